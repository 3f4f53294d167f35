//! The seal of a snapshot folder: `_snapshot.json`, with bytes, rows and BLAKE3 digest of each file.
//!
//! Parquet alone does not detect a flipped bit. If a folder has a seal, every byte is verified before it is used, and a
//! missing or additional file is refused. Files that the user names one by one are compared with the seal in their
//! folder: each must be listed and match; other listed files need not be present.
//!
//! The seal also states when the snapshot was taken and whether its Device IDs are unique, and has a digest of its own
//! content. Neither digest has a key: who may write to the folder can seal an altered snapshot again. Run records
//! contain the digest of the seal, so that the approval of a run is the approval of the seal, too.

mod blocks;
mod document;
mod verified;
mod verify;

pub use crate::output::SEAL_FILE;
pub use blocks::{BLOCK_BYTES, BlockDigests};
pub use document::{DeviceIds, Seal, SealSchema, SealedFile};
pub use verified::{VerifiedSeal, VerifiedSeals};
pub use verify::{SealContent, SealedFolder, verify_rest};
