//! Decompresses page bodies into reusable buffers.
//!
//! Uncompressed pages, snappy and zstd are unpacked here, because nearly all snapshots use one of them. Other codecs go
//! through the `parquet` crate.

use super::{Damage, Result, foreign, snappy};
use crate::memory::{self, Reserved};

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
    pub fn unpack(&mut self, codec: Codec, packed: &[u8], expected: usize, into: &mut PageBuffer) -> Result<()> {
        justify(codec, packed.len(), expected)?;
        let written = match codec {
            Codec::Plain => {
                into.grow(expected)?[..expected].copy_from_slice(packed);
                expected
            }
            Codec::Snappy => {
                snappy::unpack(packed, expected, into.for_snappy(packed.len(), expected)?)?;
                expected
            }
            Codec::Zstd if expected > TRUSTED_BYTES && expected / TRUSTED_RATIO > packed.len() => {
                unpack_in_steps(packed, expected, into)?
            }
            Codec::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::bulk::Decompressor::new().map_err(|error| zstd_damage(&error))?),
                };
                let into = into.grow(expected)?;
                zstd.decompress_to_buffer(packed, &mut into[..expected]).map_err(|error| zstd_damage(&error))?
            }
            Codec::Gzip | Codec::Brotli | Codec::Lz4Hadoop | Codec::Lz4 => {
                let unpacked = foreign::unpack(codec, packed, expected)?;
                require(unpacked.len(), expected)?;
                into.grow(expected)?[..expected].copy_from_slice(&unpacked);
                expected
            }
        };
        require(written, expected)
    }
}

/// A zstd page that claims no more than this is unpacked at once.
const TRUSTED_BYTES: usize = 4 << 20;
/// A zstd page that claims no more than so many times its packed length is unpacked at once.
const TRUSTED_RATIO: usize = 64;

/// Unpacks a zstd page whose claim is large for its packed length: the buffer grows as there is something to put into it.
fn unpack_in_steps(packed: &[u8], expected: usize, into: &mut PageBuffer) -> Result<usize> {
    use zstd::stream::raw::Operation as _;

    let mut decoder = zstd::stream::raw::Decoder::new().map_err(|error| zstd_damage(&error))?;
    let (mut read, mut written, mut room) = (0, 0, TRUSTED_BYTES);
    loop {
        room = room.min(expected);
        let bytes = into.grow(room)?;
        let step =
            decoder.run_on_buffers(&packed[read..], &mut bytes[written..room]).map_err(|error| zstd_damage(&error))?;
        read += step.bytes_read;
        written += step.bytes_written;
        if (written == expected && read == packed.len()) || (step.bytes_read == 0 && step.bytes_written == 0) {
            return if read == packed.len() { Ok(written) } else { Err(longer(expected)) };
        }
        if written == room {
            room = room.saturating_mul(2);
        }
    }
}

fn zstd_damage(error: &std::io::Error) -> Damage {
    Damage::corrupt(format!("zstd: {error}"))
}

fn longer(expected: usize) -> Damage {
    Damage::corrupt(format!("a page unpacks to more than the {expected} bytes of its header"))
}

/// Checks that so many packed bytes can unpack to `expected` bytes at all.
///
/// # Errors
/// A claim beyond what the codec can reach.
pub(super) fn justify(codec: Codec, packed: usize, expected: usize) -> Result<()> {
    let most = match codec {
        Codec::Plain => return require(packed, expected),
        // A copy of 64 bytes takes three.
        Codec::Snappy => packed.saturating_mul(22),
        // A block of 128 KiB takes at least four bytes.
        Codec::Zstd => packed.saturating_mul(32 << 10),
        // A match of 258 bytes takes at least two bits.
        Codec::Gzip => packed.saturating_mul(1032),
        // A byte extends a match by 255.
        Codec::Lz4 | Codec::Lz4Hadoop => packed.saturating_mul(255).saturating_add(64),
        // A block of up to 16 MiB takes a few bytes.
        Codec::Brotli => packed.saturating_mul(16 << 20),
    };
    if expected > most {
        return Err(Damage::corrupt(format!("a page of {packed} bytes claims to unpack to {expected}")));
    }
    if expected as u64 > memory::limit() {
        return Err(Damage::too_large(expected));
    }
    Ok(())
}

/// A buffer for unpacked bytes, counted against the memory limit.
#[derive(Debug, Default)]
pub struct PageBuffer {
    bytes: Vec<u8>,
    reserved: Reserved,
}

impl PageBuffer {
    /// The bytes; those after the last page are of earlier pages.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Grows to at least `len` bytes without clearing what is there: all of it is overwritten, or the page is refused.
    fn grow(&mut self, len: usize) -> Result<&mut [u8]> {
        if self.bytes.len() < len {
            self.reserve(len)?;
            self.bytes.resize(len, 0);
        }
        Ok(&mut self.bytes)
    }

    /// The buffer for [`snappy::unpack`], which puts the packed bytes behind the unpacked ones.
    pub(super) fn for_snappy(&mut self, packed: usize, expected: usize) -> Result<&mut Vec<u8>> {
        self.reserve(expected.saturating_add(packed).saturating_add(2 * snappy::GAP))?;
        Ok(&mut self.bytes)
    }

    fn reserve(&mut self, len: usize) -> Result<()> {
        self.reserved.grow_to(len).map_err(|_| Damage::too_large(len))?;
        let more = len.saturating_sub(self.bytes.len());
        self.bytes.try_reserve_exact(more).map_err(|_| Damage::too_large(len))
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

fn require(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Damage::corrupt(format!("a page unpacks to {found} bytes where its header says {expected}")))
    }
}
