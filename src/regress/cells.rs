//! The matrix: the storage forms in which a case is swept. Every cell must give the same manifests.
//!
//! A cell has one value of each dimension. All combinations would be thousands of cells for each case. Errors usually need
//! no more than two values together, so [`cells`] covers every pair of values (pairwise testing).

use std::collections::HashSet;
use std::fmt;

use super::case::Device;
use crate::estate::{DeviceId, time};

/// How Device IDs are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdForm {
    Text,
    TextView,
    Fixed8,
    Bytes,
    Unsigned,
    Signed,
}

/// How status dates are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateForm {
    Micros,
    MicrosWithoutZone,
    Seconds,
    Millis,
    Nanos,
    Int96,
    Date32,
    Date64,
}

/// How values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueEncoding {
    Dictionary,
    Plain,
    Delta,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageCodec {
    None,
    Snappy,
    Zstd,
}

/// A value of one dimension of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DimensionValue {
    IdForm(IdForm),
    DateForm(DateForm),
    Pages(u8),
    ValueEncoding(ValueEncoding),
    PageCodec(PageCodec),
    Files(usize),
    GroupRows(usize),
    Threads(usize),
}

impl fmt::Display for DimensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdForm(IdForm::Text) => "ids as text",
            Self::IdForm(IdForm::TextView) => "ids as string views",
            Self::IdForm(IdForm::Fixed8) => "ids as 8 fixed bytes",
            Self::IdForm(IdForm::Bytes) => "ids as binary of 8 bytes",
            Self::IdForm(IdForm::Unsigned) => "ids as UINT64",
            Self::IdForm(IdForm::Signed) => "ids as INT64",
            Self::DateForm(DateForm::Micros) => "dates as microseconds",
            Self::DateForm(DateForm::MicrosWithoutZone) => "dates as microseconds without a zone",
            Self::DateForm(DateForm::Seconds) => "dates as seconds",
            Self::DateForm(DateForm::Millis) => "dates as milliseconds",
            Self::DateForm(DateForm::Nanos) => "dates as nanoseconds",
            Self::DateForm(DateForm::Int96) => "dates as INT96",
            Self::DateForm(DateForm::Date32) => "dates as DATE32",
            Self::DateForm(DateForm::Date64) => "dates as DATE64",
            Self::Pages(1) => "pages v1",
            Self::Pages(_) => "pages v2",
            Self::ValueEncoding(ValueEncoding::Dictionary) => "dictionaries",
            Self::ValueEncoding(ValueEncoding::Plain) => "plain values",
            Self::ValueEncoding(ValueEncoding::Delta) => "delta encodings",
            Self::PageCodec(PageCodec::None) => "not compressed",
            Self::PageCodec(PageCodec::Snappy) => "snappy",
            Self::PageCodec(PageCodec::Zstd) => "zstd",
            Self::Files(1) => "one file",
            Self::Files(_) => "three files",
            Self::GroupRows(usize::MAX) => "one row group a file",
            Self::GroupRows(_) => "row groups of two rows",
            Self::Threads(1) => "1 thread",
            Self::Threads(_) => "4 threads",
        })
    }
}

/// One storage form, and a number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixCell {
    pub(super) ids: IdForm,
    pub(super) dates: DateForm,
    pub(super) pages: u8,
    pub(super) values: ValueEncoding,
    pub(super) codec: PageCodec,
    pub(super) files: usize,
    pub(super) group_rows: usize,
    /// Workers that sweep.
    pub threads: usize,
}

impl fmt::Display for MatrixCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.values().join(", "))
    }
}

impl MatrixCell {
    fn of(traits: &[DimensionValue]) -> Self {
        let mut cell = Self {
            ids: IdForm::Text,
            dates: DateForm::Micros,
            pages: 1,
            values: ValueEncoding::Dictionary,
            codec: PageCodec::None,
            files: 1,
            group_rows: usize::MAX,
            threads: 1,
        };
        for value in traits {
            match *value {
                DimensionValue::IdForm(ids) => cell.ids = ids,
                DimensionValue::DateForm(dates) => cell.dates = dates,
                DimensionValue::Pages(pages) => cell.pages = pages,
                DimensionValue::ValueEncoding(values) => cell.values = values,
                DimensionValue::PageCodec(codec) => cell.codec = codec,
                DimensionValue::Files(files) => cell.files = files,
                DimensionValue::GroupRows(rows) => cell.group_rows = rows,
                DimensionValue::Threads(threads) => cell.threads = threads,
            }
        }
        cell
    }

    fn values(&self) -> Vec<String> {
        let traits = [
            DimensionValue::IdForm(self.ids),
            DimensionValue::DateForm(self.dates),
            DimensionValue::Pages(self.pages),
            DimensionValue::ValueEncoding(self.values),
            DimensionValue::PageCodec(self.codec),
            DimensionValue::Files(self.files),
            DimensionValue::GroupRows(self.group_rows),
            DimensionValue::Threads(self.threads),
        ];
        traits.iter().map(ToString::to_string).collect()
    }

    /// A Device ID as the quarantine manifest has it: text as it is stored, bytes and numbers in canonical form.
    pub(super) fn quoted(&self, id: &str) -> String {
        match (self.ids, DeviceId::from_text(id.as_bytes())) {
            (IdForm::Text | IdForm::TextView, _) | (_, None) => id.to_owned(),
            (_, Some(id)) => id.to_string(),
        }
    }
}

/// Describes some cells: their number, and the values that they share but not all cells have.
#[must_use]
pub fn in_common(some: &[MatrixCell], all: &[MatrixCell]) -> String {
    let Some(first) = some.first() else { return "no cell".into() };
    let has = |cell: &MatrixCell, word: &String| cell.values().contains(word);
    let shared: Vec<String> =
        first.values().into_iter().filter(|word| some.iter().all(|cell| has(cell, word))).collect();
    let distinctive: Vec<String> = shared.into_iter().filter(|word| !all.iter().all(|cell| has(cell, word))).collect();
    let count = format!("{} of {} cells", some.len(), all.len());
    if some.len() == all.len() {
        "every other cell".into()
    } else if distinctive.is_empty() {
        format!("{count}, such as ({first})")
    } else {
        format!("{count}, all with {}", distinctive.join(", "))
    }
}

/// The values of each dimension that can store these devices. The first of each is the most common form.
fn dimensions(devices: &[Device]) -> Vec<Vec<DimensionValue>> {
    let mut ids = vec![IdForm::Text, IdForm::TextView];
    // A malformed Device ID can only be stored as text.
    if devices.iter().all(|device| device.id.is_none() || device.device_id().is_some()) {
        ids.extend([IdForm::Fixed8, IdForm::Bytes, IdForm::Unsigned, IdForm::Signed]);
    }
    let mut dates = vec![DateForm::Micros, DateForm::MicrosWithoutZone, DateForm::Int96];
    let all = |holds: &dyn Fn(i64) -> bool| devices.iter().filter_map(|device| device.since).all(holds);
    if all(&|since| since % 1_000_000 == 0) {
        dates.push(DateForm::Seconds);
    }
    if all(&|since| since % 1000 == 0) {
        dates.push(DateForm::Millis);
    }
    if all(&|since| since.checked_mul(1000).is_some()) {
        dates.push(DateForm::Nanos);
    }
    if all(&|since| since % time::DAY_MICROS == 0) {
        dates.extend([DateForm::Date32, DateForm::Date64]);
    }
    vec![
        ids.into_iter().map(DimensionValue::IdForm).collect(),
        dates.into_iter().map(DimensionValue::DateForm).collect(),
        vec![DimensionValue::Pages(1), DimensionValue::Pages(2)],
        [ValueEncoding::Dictionary, ValueEncoding::Plain, ValueEncoding::Delta]
            .map(DimensionValue::ValueEncoding)
            .into(),
        [PageCodec::None, PageCodec::Snappy, PageCodec::Zstd].map(DimensionValue::PageCodec).into(),
        vec![DimensionValue::Files(1), DimensionValue::Files(3)],
        vec![DimensionValue::GroupRows(usize::MAX), DimensionValue::GroupRows(2)],
        vec![DimensionValue::Threads(1), DimensionValue::Threads(4)],
    ]
}

/// The cells for these devices: every pair of values of different dimensions is in some cell. The first cell has the
/// first value of each dimension.
#[must_use]
pub fn cells(devices: &[Device]) -> Vec<MatrixCell> {
    let dimensions = dimensions(devices);
    rows(&dimensions.iter().map(Vec::len).collect::<Vec<_>>())
        .into_iter()
        .map(|row| {
            MatrixCell::of(&row.iter().zip(&dimensions).map(|(&value, values)| values[value]).collect::<Vec<_>>())
        })
        .collect()
}

/// The indexes of a dimension and of one of its values.
type Choice = (usize, usize);

/// Rows with one value of each dimension, such that every pair of values of different dimensions is in some row. `sizes`
/// are the numbers of values.
///
/// Greedy: each row takes a pair that no row has yet, and from every other dimension the value that adds most new pairs.
fn rows(sizes: &[usize]) -> Vec<Vec<usize>> {
    let places = |dimension: usize| (0..sizes[dimension]).map(move |value| (dimension, value));
    let mut order: Vec<(Choice, Choice)> = Vec::new();
    for one in 0..sizes.len() {
        for other in one + 1..sizes.len() {
            order.extend(places(one).flat_map(|a| places(other).map(move |b| (a, b))));
        }
    }
    let mut unmet: HashSet<(Choice, Choice)> = order.iter().copied().collect();
    let mut rows = vec![vec![0; sizes.len()]];
    meet(&rows[0], &mut unmet);
    for (a, b) in order {
        if !unmet.contains(&(a, b)) {
            continue;
        }
        let mut chosen = vec![a, b];
        for dimension in (0..sizes.len()).filter(|&dimension| dimension != a.0 && dimension != b.0) {
            let gain =
                |place: Choice| chosen.iter().filter(|&&own| unmet.contains(&(own.min(place), own.max(place)))).count();
            // The first of equals, so that common forms come first.
            let best = places(dimension).max_by_key(|&place| (gain(place), usize::MAX - place.1));
            chosen.extend(best);
        }
        chosen.sort_unstable();
        let row: Vec<usize> = chosen.into_iter().map(|(_, value)| value).collect();
        meet(&row, &mut unmet);
        rows.push(row);
    }
    rows
}

/// Removes the pairs of a row from those that no row has yet.
fn meet(row: &[usize], unmet: &mut HashSet<(Choice, Choice)>) {
    for one in 0..row.len() {
        for other in one + 1..row.len() {
            unmet.remove(&((one, row[one]), (other, row[other])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices that every form can store, and devices that few can.
    fn estates() -> [Vec<Device>; 3] {
        let device = |id: &str, since: i64| Device { id: Some(id.into()), since: Some(since), ..Device::default() };
        [vec![device("00-DB-12-34-56-78-90-01", 365 * time::DAY_MICROS)], vec![device("not an id", 1)], Vec::new()]
    }

    #[test]
    fn every_two_values_meet_in_some_cell() {
        for devices in estates() {
            let cells = cells(&devices);
            let words: Vec<Vec<String>> = cells.iter().map(MatrixCell::values).collect();
            let dimensions: Vec<Vec<String>> =
                dimensions(&devices).iter().map(|values| values.iter().map(ToString::to_string).collect()).collect();
            for (index, one) in dimensions.iter().enumerate() {
                for other in &dimensions[index + 1..] {
                    for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                        assert!(words.iter().any(|cell| cell.contains(a) && cell.contains(b)), "{a} with {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn cells_differ_and_the_first_has_the_first_values() {
        let cells = cells(&estates()[0]);
        assert!(cells.iter().enumerate().all(|(index, cell)| !cells[..index].contains(cell)));
        assert_eq!(cells[0], MatrixCell::of(&[]));
        assert!(cells.len() < 80, "{} cells are more than a case is worth", cells.len());
    }

    #[test]
    fn what_some_cells_share_is_named() {
        let all = cells(&estates()[0]);
        let of =
            |wanted: &dyn Fn(&MatrixCell) -> bool| all.iter().copied().filter(|cell| wanted(cell)).collect::<Vec<_>>();
        let int96 = in_common(&of(&|cell| cell.dates == DateForm::Int96), &all);
        assert!(int96.ends_with("cells, all with dates as INT96"), "{int96}");
        assert_eq!(in_common(&all, &all), "every other cell");
    }
}
