//! Parquet pages for manifests: plain values, dictionary codes and Device IDs, encoded column by column.

mod chunk;
mod delta;

pub use chunk::{ChunkWriter, EncodedChunk, PAGE_ROWS};
