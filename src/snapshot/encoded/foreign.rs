//! Decompression by the `parquet` crate, which has all codecs but does not export them.
//!
//! Its page reader is given a column chunk of one page: a header that we write, and the body. So only the codec of the
//! crate is used. Page headers of a file are never read by it.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, Type as Physical, ZstdLevel};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, ColumnPath, Type};

use super::{Codec, Damage, Result};
use crate::error::contained;

/// Decompresses `packed`, which unpacks to `expected` bytes.
///
/// # Errors
/// Bytes that do not decompress, or not to exactly `expected` bytes.
pub fn unpack(codec: Codec, packed: &[u8], expected: usize) -> Result<Bytes> {
    // The crate reads these two to their end, whatever the page claims.
    match codec {
        Codec::Gzip => return read_bounded(flate2::read::MultiGzDecoder::new(packed), expected),
        Codec::Brotli => return read_bounded(brotli::Decompressor::new(packed, BROTLI_BUFFER), expected),
        _ => {}
    }
    let unpacked = contained(|| page_body(codec, packed, expected));
    unpacked
        .ok_or_else(|| Damage::corrupt("a compressed page contradicts itself"))?
        .map_err(|error| Damage::corrupt(error.to_string()))
}

/// Bytes of the input buffer of the brotli decoder.
const BROTLI_BUFFER: usize = 32 << 10;

/// Reads at most `expected` bytes; the buffer grows as they are decoded.
fn read_bounded(reader: impl Read, expected: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let read = reader.take(expected as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Damage::corrupt(error.to_string()))?;
    if bytes.len() > expected {
        return Err(Damage::corrupt(format!("a page unpacks to more than the {expected} bytes of its header")));
    }
    Ok(bytes.into())
}

fn page_body(codec: Codec, packed: &[u8], expected: usize) -> Result<Bytes, ParquetError> {
    // DICTIONARY_PAGE, its sizes, and a DictionaryPageHeader of no values in PLAIN encoding.
    let mut page = vec![0x15, 4, 0x15];
    push_zigzag(&mut page, expected);
    page.push(0x15);
    push_zigzag(&mut page, packed.len());
    page.extend([0x4C, 0x15, 0, 0x15, 0, 0, 0]);
    page.extend_from_slice(packed);
    let chunk = ColumnChunkMetaData::builder(any_column()?)
        .set_compression(compression(codec))
        .set_total_compressed_size(page.len() as i64)
        .set_num_values(1)
        .set_data_page_offset(0)
        .build()?;
    let mut reader = SerializedPageReader::new(Arc::new(Bytes::from(page)), &chunk, 1, None)?;
    match reader.get_next_page()? {
        Some(Page::DictionaryPage { buf, .. }) => Ok(buf),
        _ => Err(ParquetError::General("a page is empty".into())),
    }
}

fn push_zigzag(bytes: &mut Vec<u8>, value: usize) {
    let mut rest = (value as u64) << 1;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn compression(codec: Codec) -> Compression {
    match codec {
        Codec::Plain => Compression::UNCOMPRESSED,
        Codec::Snappy => Compression::SNAPPY,
        Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        Codec::Gzip => Compression::GZIP(GzipLevel::default()),
        Codec::Brotli => Compression::BROTLI(BrotliLevel::default()),
        Codec::Lz4Hadoop => Compression::LZ4,
        Codec::Lz4 => Compression::LZ4_RAW,
    }
}

/// A column, since the crate wants one. Decompression does not depend on it.
fn any_column() -> Result<ColumnDescPtr, ParquetError> {
    static COLUMN: OnceLock<ColumnDescPtr> = OnceLock::new();
    if let Some(column) = COLUMN.get() {
        return Ok(Arc::clone(column));
    }
    let column = Arc::new(Type::primitive_type_builder("c", Physical::BYTE_ARRAY).build()?);
    let path = ColumnPath::new(vec!["c".into()]);
    Ok(Arc::clone(COLUMN.get_or_init(|| Arc::new(ColumnDescriptor::new(column, 0, 0, path)))))
}
