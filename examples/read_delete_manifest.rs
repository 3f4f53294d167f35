//! Reads the delete manifest of a run, and counts its devices by Notifying Party.
//!
//! ```sh
//! smi-sweep sweep fixtures/estate --policy secmp0060 --out target/run
//! cargo run --example read_delete_manifest -- target/run
//! ```
//!
//! Verify the run first, as `smi-sweep verify` does, where it may have been changed. Any Parquet reader can read the
//! manifest; this example uses the library's, which also checks the columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use smi_sweep::Result;
use smi_sweep::run::read::{Batches, Deletes, Manifest, text};

fn main() -> Result<()> {
    let run = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/run"), PathBuf::from);
    for (party, deletions) in deletions_by_party(&run)? {
        println!("{party}: {deletions}");
    }
    Ok(())
}

/// The deletions of a run by Notifying Party; devices without a party are under `(none)`.
///
/// # Errors
/// A directory without a delete manifest.
pub fn deletions_by_party(run: &Path) -> Result<BTreeMap<String, u64>> {
    let mut deletions = BTreeMap::new();
    let mut batches = Batches::<Deletes>::open(run)?;
    while let Some(batch) = batches.next_batch()? {
        for row in 0..batch.len() {
            let party = text(&batch.party, row).unwrap_or("(none)");
            *deletions.entry(party.to_owned()).or_default() += 1;
        }
    }
    Ok(deletions)
}
