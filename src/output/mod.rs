//! Writes files: whole or not at all, digested while they are written, as Parquet, CSV, JSON or HTML.
//!
//! What a file contains is decided elsewhere. Nothing here reads data.

pub mod csv;
mod directory;
mod file;
pub mod html;
pub mod json;
pub mod parquet;
mod staged;

pub use directory::{OutputDirectory, SEAL_FILE};
pub use file::{OutputFile, Written, check_movable, check_writable, folder_of, write_private};
pub use staged::{Existing, abandon};
