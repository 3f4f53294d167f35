//! The dictionary of a column chunk. A worker decodes it once for all ranges that it reads of the chunk.

use super::{Codec, Damage, Encoding, PageBuffer, PageHeader, Result, Unpacker};
use crate::memory::Reserved;

/// The dictionary of a chunk.
#[derive(Debug, Default)]
pub struct Dictionary {
    bytes: PageBuffer,
    /// Start and length in `bytes` of each value.
    spans: Vec<(u32, u32)>,
    /// Memory of `spans`.
    reserved: Reserved,
    /// Address and length of the page body that it was decoded from.
    decoded_from: Option<(usize, usize)>,
}

impl Dictionary {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The value of a code.
    ///
    /// # Errors
    /// A code that is not below [`len`](Self::len).
    #[inline]
    pub fn get(&self, code: u32) -> Result<&[u8]> {
        let (start, len) = *self.spans.get(code as usize).ok_or_else(|| {
            Damage::corrupt(format!("code {code} is beyond the dictionary's {} values", self.spans.len()))
        })?;
        Ok(&self.bytes.as_slice()[start as usize..][..len as usize])
    }

    /// All values in the order of their codes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|&(start, len)| &self.bytes.as_slice()[start as usize..][..len as usize])
    }

    /// Makes the next chunk decode its dictionary, even if it is at the same address.
    pub fn forget(&mut self) {
        self.decoded_from = None;
    }

    /// Decodes a dictionary page. Returns the bytes, as stored, that were read: 0 if it is the page that was decoded
    /// last.
    ///
    /// # Errors
    /// A damaged page, or one in a form that is not supported.
    pub(super) fn decode(
        &mut self,
        header: &PageHeader,
        body: &[u8],
        unpacker: &mut Unpacker,
        (codec, width): (Codec, Option<usize>),
    ) -> Result<u64> {
        if header.encoding != Encoding::Plain {
            return Err(Damage::Unhandled);
        }
        let from = Some((body.as_ptr().addr(), body.len()));
        if self.decoded_from == from {
            return Ok(0);
        }
        self.decoded_from = None;
        header.check(body)?;
        unpacker.unpack(codec, body, header.uncompressed, &mut self.bytes)?;
        self.index(header.uncompressed, header.values, width)?;
        self.decoded_from = from;
        Ok(body.len() as u64)
    }

    fn index(&mut self, len: usize, values: usize, width: Option<usize>) -> Result<()> {
        self.spans.clear();
        let bytes = &self.bytes.as_slice()[..len];
        let short = || Damage::corrupt("the dictionary is shorter than its values");
        // A value takes its width, or at least the four bytes of its length.
        if values > bytes.len() / width.unwrap_or(4).max(1) {
            return Err(short());
        }
        let needed = values * size_of::<(u32, u32)>();
        self.reserved.grow_to(needed).map_err(|_| Damage::too_large(needed))?;
        let mut at = 0usize;
        for _ in 0..values {
            let (start, len) = if let Some(width) = width {
                (at, width)
            } else {
                let len = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or_else(short)?;
                (at + 4, u32::from_le_bytes(*len) as usize)
            };
            at = start.checked_add(len).filter(|&end| end <= bytes.len()).ok_or_else(short)?;
            self.spans.push((start as u32, len as u32));
        }
        Ok(())
    }
}
