//! Decompresses page bodies into reusable buffers.
//!
//! Uncompressed pages, snappy and zstd are unpacked here, because nearly all snapshots use one of them. Other codecs go
//! through the `parquet` crate.

use super::{Damage, Result, foreign, snappy};

/// The codecs of the format, except for LZO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not compressed.
    Plain,
    /// Snappy, raw format.
    Snappy,
    /// Zstandard.
    Zstd,
    /// Gzip, of one member or several.
    Gzip,
    /// Brotli.
    Brotli,
    /// LZ4 in the deprecated framing of Hadoop.
    Lz4Hadoop,
    /// LZ4 blocks.
    Lz4,
}

impl Codec {
    /// The codec with this number in the format; `None` if it is not supported.
    #[must_use]
    pub const fn of(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::Snappy),
            2 => Some(Self::Gzip),
            4 => Some(Self::Brotli),
            5 => Some(Self::Lz4Hadoop),
            6 => Some(Self::Zstd),
            7 => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// Decompresses pages, with a zstd context that is reused.
#[derive(Default)]
pub struct Unpacker {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Unpacker {
    /// Decompresses `packed` into the first `expected` bytes of `into`, which grows as needed and never shrinks.
    ///
    /// # Errors
    /// Bytes that do not decompress, or not to exactly `expected` bytes.
    pub fn unpack(&mut self, codec: Codec, packed: &[u8], expected: usize, into: &mut Vec<u8>) -> Result<()> {
        let written = match codec {
            Codec::Plain => {
                require(packed.len(), expected)?;
                grow(into, expected)?;
                into[..expected].copy_from_slice(packed);
                expected
            }
            Codec::Snappy => {
                snappy::unpack(packed, expected, into)?;
                expected
            }
            Codec::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => {
                        none.insert(zstd::bulk::Decompressor::new().map_err(|e| Damage::corrupt(format!("zstd: {e}")))?)
                    }
                };
                grow(into, expected)?;
                zstd.decompress_to_buffer(packed, &mut into[..expected])
                    .map_err(|e| Damage::corrupt(format!("zstd: {e}")))?
            }
            Codec::Gzip | Codec::Brotli | Codec::Lz4Hadoop | Codec::Lz4 => {
                let unpacked = foreign::unpack(codec, packed, expected)?;
                grow(into, expected)?;
                let found = unpacked.len().min(expected);
                into[..found].copy_from_slice(&unpacked[..found]);
                unpacked.len()
            }
        };
        require(written, expected)
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

/// Grows the buffer to at least `len` bytes without clearing it: all of them are overwritten, or the page is refused.
fn grow(buffer: &mut Vec<u8>, len: usize) -> Result<()> {
    if buffer.len() < len {
        buffer.try_reserve(len - buffer.len()).map_err(|_| Damage::corrupt("a page is larger than memory"))?;
        buffer.resize(len, 0);
    }
    Ok(())
}

fn require(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Damage::corrupt(format!("a page unpacks to {found} bytes where its header says {expected}")))
    }
}
