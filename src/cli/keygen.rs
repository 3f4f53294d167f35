//! `smi-sweep keygen`: a key pair to approve runs with.

use std::path::PathBuf;

use serde::Serialize;

use super::{Common, print, print_json, remark};
use crate::approval::{KeyPair, PublicKey};
use crate::error::Result;
use crate::shown;

/// Make a key pair to approve runs with
///
/// The private key is readable by its owner only (mode 0600), and is refused otherwise. The public key is printed and
/// written beside it; add it to [approvals.keys] of the loader's configuration.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The private key, which must not exist yet; the public key is written to FILE.pub
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct KeygenDocument {
    key: PublicKey,
    private: PathBuf,
    public: PathBuf,
}

/// Runs the command.
pub fn exec(args: &Args, common: &Common) -> Result<()> {
    let KeyPair { public, private_path, public_path } = KeyPair::create(&args.out)?;
    if common.json {
        return print_json(&KeygenDocument { key: public, private: private_path, public: public_path });
    }
    remark(
        common,
        &format!("private part in {}, public part in {}", shown::path(&private_path), shown::path(&public_path)),
    );
    print(&format!("{public}\n"))
}
