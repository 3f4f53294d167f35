//! Column chunks that we encode ourselves, straight from slices.
//!
//! Manifests of a million rows are half the work of a sweep, and a general writer looks at every value several times. A
//! [`ChunkWriter`] copies plain values, packs codes, and writes page headers; the `parquet`
//! crate puts chunks into files. Only what our own files need is here: flat columns, the first page layout, plain values,
//! dictionary codes and Device IDs.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::delta;
use super::hybrid::{hybrid, same, varint, width_of};
use crate::estate::{DeviceId, TEXT_LEN};

/// Rows of a page: enough for long runs of equal codes, few enough to read a single row cheaply.
pub const PAGE_ROWS: usize = 32 * 1024;

/// Bytes that a page's header and levels take at most.
const PAGE_HEADER: usize = 64;

/// A column chunk, encoded.
#[derive(Debug)]
pub struct EncodedChunk {
    /// Its pages.
    pub bytes: Bytes,
    /// Its metadata for the footer.
    pub close: ColumnCloseResult,
}

/// Encodes one column chunk.
#[derive(Debug)]
pub struct ChunkWriter {
    descriptor: ColumnDescPtr,
    bytes: Vec<u8>,
    rows: usize,
    dictionary: bool,
    encoding: Encoding,
    data_at: usize,
    pages: i32,
    statistics: Option<Statistics>,
}

impl ChunkWriter {
    /// Begins a chunk of a column. Nothing is compressed.
    #[must_use]
    pub fn new(descriptor: ColumnDescPtr) -> Self {
        Self {
            descriptor,
            bytes: Vec::new(),
            rows: 0,
            dictionary: false,
            encoding: Encoding::PLAIN,
            data_at: 0,
            pages: 0,
            statistics: None,
        }
    }

    /// Sets the lowest and highest text of the chunk, for its statistics.
    pub fn bounds(&mut self, lowest: &[u8], highest: &[u8]) {
        let value = |bytes: &[u8]| Some(ByteArray::from(bytes.to_vec()));
        let statistics = ValueStatistics::new(value(lowest), value(highest), None, Some(0), false);
        self.statistics = Some(Statistics::ByteArray(statistics.with_backwards_compatible_min_max(false)));
    }

    /// Writes the dictionary, which must come first: text values in the order of their codes.
    pub fn text_dictionary<'v>(&mut self, values: impl ExactSizeIterator<Item = &'v [u8]>) {
        let count = values.len();
        let mut body = Vec::new();
        for value in values {
            body.extend((value.len() as u32).to_le_bytes());
            body.extend(value);
        }
        self.dictionary = true;
        self.header(PageType::DICTIONARY_PAGE, body.len(), count, Encoding::PLAIN);
        self.bytes.extend(body);
        self.data_at = self.bytes.len();
    }

    /// Writes the dictionary, which must come first: values of `N` bytes in the order of their codes.
    pub fn dictionary<const N: usize>(&mut self, values: impl ExactSizeIterator<Item = [u8; N]>) {
        let count = values.len();
        self.dictionary = true;
        self.header(PageType::DICTIONARY_PAGE, count * N, count, Encoding::PLAIN);
        self.bytes.extend(values.flatten());
        self.data_at = self.bytes.len();
    }

    /// Writes rows of plain values of `N` bytes each. There are no nulls.
    pub fn plain<const N: usize>(&mut self, rows: usize, value: impl Fn(usize) -> [u8; N]) {
        self.bytes.reserve_exact(rows * N + rows.div_ceil(PAGE_ROWS) * PAGE_HEADER);
        for start in (0..rows).step_by(PAGE_ROWS) {
            let len = (rows - start).min(PAGE_ROWS);
            let levels = self.levels_of_present(len);
            self.begin_page(levels.len() + len * N, len, Encoding::PLAIN);
            self.bytes.extend_from_slice(&levels);
            let at = self.bytes.len();
            self.bytes.resize(at + len * N, 0);
            for (row, place) in self.bytes[at..].as_chunks_mut::<N>().0.iter_mut().enumerate() {
                *place = value(start + row);
            }
        }
    }

    /// Writes rows of Device IDs as DELTA_BYTE_ARRAY text: shorter, the longer the prefix that each shares with the one before.
    pub fn device_ids(&mut self, rows: usize, id: impl Fn(usize) -> DeviceId) {
        self.encoding = Encoding::DELTA_BYTE_ARRAY;
        // Larger than needed: untouched memory costs nothing, and growing the buffer would copy it.
        self.bytes.reserve_exact(rows * TEXT_LEN + rows.div_ceil(PAGE_ROWS) * PAGE_HEADER);
        let mut ids = Vec::new();
        for start in (0..rows).step_by(PAGE_ROWS) {
            ids.clear();
            ids.extend((start..rows.min(start + PAGE_ROWS)).map(&id));
            let mut body = self.levels_of_present(ids.len());
            delta::device_ids(&ids, &mut body);
            self.page(&body, ids.len(), Encoding::DELTA_BYTE_ARRAY);
        }
    }

    /// Writes rows of plain booleans. There are no nulls.
    pub fn booleans(&mut self, rows: usize, value: impl Fn(usize) -> bool) {
        for start in (0..rows).step_by(PAGE_ROWS) {
            let end = rows.min(start + PAGE_ROWS);
            let mut body = self.levels_of_present(end - start);
            for first in (start..end).step_by(8) {
                body.push(
                    (first..end.min(first + 8)).fold(0, |byte, row| byte | u8::from(value(row)) << (row - first)),
                );
            }
            self.page(&body, end - start, Encoding::PLAIN);
        }
    }

    /// Writes rows of codes into a dictionary of `values` values.
    pub fn codes(&mut self, rows: usize, values: usize, code: impl Fn(usize) -> u32) {
        let width = width_of(values);
        let mut codes = Vec::new();
        for start in (0..rows).step_by(PAGE_ROWS) {
            let end = rows.min(start + PAGE_ROWS);
            codes.clear();
            codes.extend((start..end).map(&code));
            let mut body = self.levels_of_present(end - start);
            body.push(width);
            hybrid(&codes, width, &mut body);
            self.page(&body, end - start, Encoding::RLE_DICTIONARY);
        }
    }

    /// Writes rows of codes into a dictionary of `values` values, of which some may be null.
    pub fn nullable_codes(&mut self, rows: usize, values: usize, code: impl Fn(usize) -> Option<u32>) {
        if (0..rows).all(|row| code(row).is_some()) {
            return self.codes(rows, values, |row| code(row).unwrap_or_default());
        }
        let width = width_of(values);
        let (mut codes, mut present) = (Vec::new(), Vec::new());
        for start in (0..rows).step_by(PAGE_ROWS) {
            let end = rows.min(start + PAGE_ROWS);
            codes.clear();
            present.clear();
            for row in start..end {
                let code = code(row);
                present.push(u32::from(code.is_some()));
                codes.extend(code);
            }
            let mut levels = Vec::new();
            hybrid(&present, 1, &mut levels);
            let mut body = (levels.len() as u32).to_le_bytes().to_vec();
            body.extend(levels);
            body.push(width);
            hybrid(&codes, width, &mut body);
            self.page(&body, end - start, Encoding::RLE_DICTIONARY);
        }
    }

    /// Ends the chunk.
    ///
    /// # Errors
    /// Metadata that the `parquet` crate does not accept.
    pub fn close(self) -> Result<EncodedChunk> {
        let statistics = self.statistics;
        let coded = if self.dictionary { Encoding::RLE_DICTIONARY } else { self.encoding };
        let mut stats = vec![PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: coded, count: self.pages }];
        if self.dictionary {
            let dictionary =
                PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 };
            stats.insert(0, dictionary);
        }
        let len = self.bytes.len() as i64;
        let mut metadata = ColumnChunkMetaData::builder(self.descriptor)
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, coded])
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(len)
            .set_total_uncompressed_size(len)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(self.data_at as i64)
            .set_dictionary_page_offset(self.dictionary.then_some(0));
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        Ok(EncodedChunk {
            close: ColumnCloseResult {
                bytes_written: len as u64,
                rows_written: self.rows as u64,
                metadata: metadata.build()?,
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            },
            bytes: self.bytes.into(),
        })
    }

    fn optional(&self) -> bool {
        self.descriptor.max_def_level() > 0
    }

    /// Levels of a page without nulls, where the column has levels.
    fn levels_of_present(&self, rows: usize) -> Vec<u8> {
        if !self.optional() {
            return Vec::new();
        }
        let mut run = Vec::new();
        same(1, rows, 1, &mut run);
        let mut levels = (run.len() as u32).to_le_bytes().to_vec();
        levels.extend(run);
        levels
    }

    fn page(&mut self, body: &[u8], rows: usize, encoding: Encoding) {
        self.begin_page(body.len(), rows, encoding);
        self.bytes.extend_from_slice(body);
    }

    fn begin_page(&mut self, len: usize, rows: usize, encoding: Encoding) {
        self.header(PageType::DATA_PAGE, len, rows, encoding);
        self.rows += rows;
        self.pages += 1;
    }

    fn header(&mut self, kind: PageType, len: usize, values: usize, encoding: Encoding) {
        let mut header = ThriftWriter { out: &mut self.bytes, last: 0 };
        header.number(1, kind as i64);
        header.number(2, len as i64);
        header.number(3, len as i64);
        if kind == PageType::DICTIONARY_PAGE {
            header.nested(7, |page| {
                page.number(1, values as i64);
                page.number(2, encoding as i64);
            });
        } else {
            header.nested(5, |page| {
                page.number(1, values as i64);
                page.number(2, encoding as i64);
                page.number(3, Encoding::RLE as i64);
                page.number(4, Encoding::RLE as i64);
            });
        }
        header.stop();
    }
}

/// Writer of the Thrift compact protocol, as far as page headers need it.
struct ThriftWriter<'o> {
    out: &'o mut Vec<u8>,
    last: u8,
}

impl ThriftWriter<'_> {
    fn field(&mut self, id: u8, kind: u8) {
        self.out.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    fn number(&mut self, id: u8, value: i64) {
        self.field(id, 5);
        varint(((value << 1) ^ (value >> 63)).cast_unsigned(), self.out);
    }

    fn nested(&mut self, id: u8, fields: impl FnOnce(&mut ThriftWriter<'_>)) {
        self.field(id, 12);
        let mut inner = ThriftWriter { out: self.out, last: 0 };
        fields(&mut inner);
        inner.stop();
    }

    fn stop(&mut self) {
        self.out.push(0);
    }
}
