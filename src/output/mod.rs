//! How files are written: directories that appear whole or not at all, digests on the way to the disk, Parquet, CSV, HTML.
//!
//! What a file contains is for others to say. Nothing here reads.

pub mod csv;
mod digest;
pub mod html;
pub mod parquet;
mod staging;

pub use digest::{DigestingFile, Written};
pub use staging::{SEAL_FILE, Staging};
