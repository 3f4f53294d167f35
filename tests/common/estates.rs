//! Small estates for tests: rows as plain values, written to Parquet in any layout, and a second implementation of the
//! rule.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, Date32Array, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use proptest::prelude::*;
use smi_sweep::estate::time::{DAY_MICROS, add_months, day_of, day_start};
use smi_sweep::estate::{DeviceType, SmiStatus, TypeSet};
use smi_sweep::policy::{Boundary, Policy};

use super::unguarded;

/// A row of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: Option<String>,
    pub device_type: Option<String>,
    pub status: Option<String>,
    pub since: Option<i64>,
    pub party: Option<String>,
    pub role: Option<String>,
}

/// How identifiers are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ids {
    Text,
    /// Text as Arrow has it in views.
    View,
    /// Bytes without an annotation: an EUI-64 as its eight, all else as text, or as what is none.
    Raw,
    Bytes,
    Number,
}

/// How a file is written.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of writers, and has nothing to do with the others"
)]
#[derive(Debug, Clone)]
pub struct Layout {
    pub ids: Ids,
    pub unit: TimeUnit,
    /// Whether dates are stored as days, whatever the unit.
    pub days: bool,
    pub dictionary: bool,
    pub v2: bool,
    pub codec: u8,
    pub group_rows: usize,
    pub page_rows: usize,
    pub statistics: u8,
    pub roles: bool,
}

impl Layout {
    /// What most exporters write: text identifiers, microseconds, dictionaries, pages v1, snappy, no statistics.
    pub const PLAIN: Self = Self {
        ids: Ids::Text,
        unit: TimeUnit::Microsecond,
        days: false,
        dictionary: true,
        v2: false,
        codec: 1,
        group_rows: 500,
        page_rows: 100,
        statistics: 0,
        roles: true,
    };
}

/// The number of a row, mixed so that its bits look random.
pub const fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

/// One of some words, by a number.
pub fn pick(words: &[&str], number: u64) -> String {
    words[(number % words.len() as u64) as usize].to_owned()
}

/// Rows in which every disposition occurs on 2026-11-01 under a threshold of 12 months: most are Pending, some have no
/// date, no party or an empty one. The same number gives the same rows.
pub fn mixed_rows(rows: u64, parties: &[&str]) -> Vec<Row> {
    let as_of = crate::common::at("2026-11-01");
    let row = |n| {
        let mixed = mixed(n);
        Row {
            id: Some(text_id(0x00DB_1234_0000_0000 | (mixed % 0xFFFF_FFFF))),
            device_type: Some(pick(&["ESME", "GSME", "GPF", "CHF", "PPMID", "HCALCS"], mixed >> 3)),
            status: Some(if mixed.is_multiple_of(5) { "Commissioned" } else { "Pending" }.into()),
            since: (n % 97 != 0).then(|| as_of - (mixed as i64 % 1500) * DAY_MICROS - mixed as i64 % 1_234_567),
            party: match n % 31 {
                0 => None,
                1 => Some(String::new()),
                _ => Some(pick(parties, mixed >> 7)),
            },
            role: (n % 5 == 0).then(|| pick(&["ServiceUser", "CSP"], mixed >> 11)),
        }
    };
    (0..rows).map(row).collect()
}

pub fn layouts() -> impl Strategy<Value = Layout> {
    (
        prop_oneof![
            3 => Just(Ids::Text),
            1 => Just(Ids::View),
            2 => Just(Ids::Raw),
            1 => Just(Ids::Bytes),
            1 => Just(Ids::Number),
        ],
        (
            prop_oneof![3 => Just(TimeUnit::Microsecond), 1 => Just(TimeUnit::Millisecond), 1 => Just(TimeUnit::Nanosecond)],
            prop_oneof![5 => Just(false), 1 => Just(true)],
        ),
        any::<bool>(),
        any::<bool>(),
        0u8..4,
        prop_oneof![Just(1usize), 2usize..20, Just(1000)],
        prop_oneof![Just(1usize), 2usize..20, Just(1000)],
        0u8..3,
        any::<bool>(),
    )
        .prop_map(|(ids, (unit, days), dictionary, v2, codec, group_rows, page_rows, statistics, roles)| Layout {
            ids,
            unit,
            days,
            dictionary,
            v2,
            codec,
            group_rows,
            page_rows,
            statistics,
            roles,
        })
}

const MILLI: i64 = 1000;

/// A party of 65 bytes: one too many.
const LONG: &str = "a party whose name is longer than any that can be sent: Acme Gas.";

/// How the estates of these tests spell what DUIS spells otherwise.
pub const SPELLINGS: [(&str, &str); 2] = [("Waiting", "Pending"), ("Live", "Commissioned")];
/// How they spell that there is no status.
pub const NO_STATUS: &str = "n/a";
/// The same of types.
pub const TYPE_SPELLINGS: [(&str, &str); 2] = [("Meter", "ESME"), ("Display", "IHD")];

fn meant<'a>(spelling: &'a str, of: &[(&'static str, &'static str)]) -> &'a str {
    of.iter().find(|(theirs, _)| *theirs == spelling).map_or(spelling, |(_, ours)| ours)
}

/// Device IDs in several forms, some of them malformed.
const SPECIAL_IDS: [&str; 8] = [
    "",
    "00-DB",
    "00-db-12-34-56-78-90-a0",
    "00:db:12:34:56:78:90:A0",
    "00db1234567890a0",
    "00:DB-12-34-56-78-90-A0",
    "00-DB-12-34-56-78-90-AG",
    "x",
];

/// Rows that lie around every edge of the rule as of `as_of`. Times are whole milliseconds, so that every unit holds
/// them.
pub fn rows(as_of: i64) -> impl Strategy<Value = Vec<Row>> {
    let word =
        |words: &'static [Option<&'static str>]| prop::sample::select(words).prop_map(|word| word.map(str::to_owned));
    let row = (
        prop_oneof![
            12 => any::<u32>().prop_map(|n| Some(text_id(0x00DB_1200_0000_0000 | u64::from(n)))),
            3 => (0u64..6).prop_map(|n| Some(text_id(n))),
            1 => Just(None),
            1 => prop::sample::select(&SPECIAL_IDS[..])
                .prop_map(|text| Some(text.to_owned())),
        ],
        word(&[
            Some("ESME"),
            Some("GSME"),
            Some("GPF"),
            Some("CHF"),
            Some("HCALCS"),
            Some("PPMID"),
            Some("IHD"),
            Some("CAD"),
            Some("SAPC"),
            Some("Meter"),
            Some("Display"),
            Some("esme"),
            None,
        ]),
        prop_oneof![
            4 => Just(Some("Pending".to_owned())),
            1 => Just(Some("Waiting".to_owned())),
            1 => Just(Some("Whitelisted".to_owned())),
            1 => word(&[Some("Live"), Some("Commissioned"), Some("Recovered"), Some("Suspended"), Some("pending"), Some(""), Some(NO_STATUS), None]),
        ],
        prop_oneof![
            1 => Just(None),
            6 => (1u32..40, -3i64..4, 0i64..3).prop_map(move |(months, days, edge)| {
                // Around the day that is so many months back, at the moment's time of day and beside it.
                let day = day_of(as_of) - (months * 365 / 12) as i32 + days as i32;
                Some(day_start(day) + as_of.rem_euclid(DAY_MICROS) + (edge - 1) * MILLI)
            }),
            2 => (-2000i64..40).prop_map(move |days| Some(as_of / MILLI * MILLI + days * DAY_MICROS)),
            1 => prop::sample::select(&[
                0i64,
                -62_135_596_800_000_000,
                // Before the year 1: by a second, and by more than any calendar reaches.
                -62_135_596_801_000_000,
                -9_000_000_000_000_000_000,
                // A NaT of nanoseconds, in microseconds.
                i64::MIN / 1000,
                4_102_444_800_000_000,
            ][..]).prop_map(Some),
        ],
        word(&[
            Some("90-B3-D5-1F-30-00-00-01"),
            Some("90-b3-d5-1f-30-00-00-01"),
            Some("A Party"),
            Some(" A Party  "),
            Some("PARTY001"),
            Some(LONG),
            Some("cut \u{fffd}"),
            Some("\u{200b}"),
            Some("  "),
            Some("        "),
            Some(""),
            None,
        ]),
        word(&[None, None, None, Some("ServiceUser"), Some("CSP"), Some("csp")]),
    )
        .prop_map(|(id, device_type, status, since, party, role)| Row {
            id,
            device_type,
            status,
            since,
            party,
            role,
        });
    prop::collection::vec(row, 0..80)
}

pub fn text_id(id: u64) -> String {
    smi_sweep::estate::DeviceId(id).to_string()
}

fn id_of(text: &str) -> Option<u64> {
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return u64::from_str_radix(text, 16).ok();
    }
    let pairs: Vec<&str> = text.split(if text.contains(':') { ':' } else { '-' }).collect();
    if pairs.len() != 8 || pairs.iter().any(|pair| pair.len() != 2 || !pair.chars().all(|c| c.is_ascii_hexdigit())) {
        return None;
    }
    pairs.iter().try_fold(0, |id, pair| Some(id << 8 | u64::from_str_radix(pair, 16).ok()?))
}

/// The row as a layout can hold it: identifiers that are not an EUI-64 become null where text cannot be stored, times
/// that the unit cannot hold move to the end of its range.
pub fn held(row: &Row, layout: &Layout) -> Row {
    let mut row = row.clone();
    if matches!(layout.ids, Ids::Bytes | Ids::Number) {
        row.id = row.id.as_deref().and_then(id_of).map(text_id);
        row.party = row.party.as_deref().and_then(id_of).map(text_id);
    }
    if layout.days {
        row.since = row.since.map(|micros| day_start(day_of(micros)));
    } else if layout.unit == TimeUnit::Nanosecond {
        // On its first and last day stand numbers for no date.
        let range = i64::MIN / 1000 + DAY_MICROS..=i64::MAX / 1000 - DAY_MICROS;
        row.since = row.since.map(|micros| micros.clamp(*range.start(), *range.end()));
    }
    if !layout.roles {
        row.role = None;
    }
    row
}

/// Writes rows, which the layout can hold.
pub fn write(path: &Path, rows: &[Row], layout: &Layout) {
    write_without(&[], path, rows, layout);
}

/// The same without some columns.
pub fn write_without(left_out: &[&str], path: &Path, rows: &[Row], layout: &Layout) {
    let ids = |value: fn(&Row) -> Option<&str>| -> ArrayRef {
        let numbers = || rows.iter().map(move |row| value(row).and_then(id_of));
        match layout.ids {
            Ids::Text => Arc::new(rows.iter().map(value).collect::<StringArray>()),
            Ids::View => Arc::new(rows.iter().map(value).collect::<StringViewArray>()),
            Ids::Raw => {
                let raw = |text: &str| match id_of(text) {
                    Some(id) => id.to_be_bytes().to_vec(),
                    // The replacement character marks bytes that are not UTF-8.
                    None => text.split('\u{fffd}').map(str::as_bytes).collect::<Vec<_>>().join(&0xFF),
                };
                Arc::new(rows.iter().map(|row| value(row).map(raw)).collect::<BinaryArray>())
            }
            Ids::Bytes => Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(numbers().map(|id| id.map(u64::to_be_bytes)), 8)
                    .unwrap(),
            ),
            Ids::Number => Arc::new(numbers().collect::<UInt64Array>()),
        }
    };
    let text =
        |value: fn(&Row) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(value).collect::<StringArray>()) };
    let since: ArrayRef = match layout.unit {
        _ if layout.days => Arc::new(rows.iter().map(|row| row.since.map(day_of)).collect::<Date32Array>()),
        TimeUnit::Millisecond => {
            Arc::new(rows.iter().map(|row| row.since.map(|t| t / MILLI)).collect::<TimestampMillisecondArray>())
        }
        TimeUnit::Nanosecond => {
            Arc::new(rows.iter().map(|row| row.since.map(|t| t * 1000)).collect::<TimestampNanosecondArray>())
        }
        _ => Arc::new(rows.iter().map(|row| row.since).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("ignored", Arc::new(Int64Array::from_iter_values(0..rows.len() as i64))),
        ("device_id", ids(|row| row.id.as_deref())),
        ("device_type", text(|row| row.device_type.as_deref())),
        ("smi_status", text(|row| row.status.as_deref())),
        ("status_since", since),
        ("notifying_party", ids(|row| row.party.as_deref())),
    ];
    if layout.roles {
        columns.push(("notifying_role", text(|row| row.role.as_deref())));
    }
    columns.retain(|(name, _)| !left_out.contains(name));
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let _: &DataType = fields[0].data_type();
    let schema = Arc::new(Schema::new(fields));
    let statistics = [EnabledStatistics::None, EnabledStatistics::Chunk, EnabledStatistics::Page];
    let codec = match layout.codec {
        0 => Compression::UNCOMPRESSED,
        1 => Compression::SNAPPY,
        2 => Compression::ZSTD(ZstdLevel::default()),
        _ => Compression::LZ4_RAW,
    };
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(layout.dictionary)
        .set_writer_version(if layout.v2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 })
        .set_compression(codec)
        .set_max_row_group_row_count(Some(layout.group_rows))
        .set_data_page_row_count_limit(layout.page_rows)
        .set_write_batch_size(layout.page_rows.clamp(1, 16))
        .set_statistics_enabled(statistics[usize::from(layout.statistics) % 3])
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), Arc::clone(&schema), Some(properties)).unwrap();
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// What becomes of each row: the rule as it is read in the contract, row by row, sharing nothing with the engine but
/// the adding of months, which has tests of its own.
pub fn ends(rows: &[Row], policy: &Policy, as_of: i64) -> Vec<String> {
    let known = |row: &Row| row.device_type.as_deref().and_then(|name| policy.types.get(meant(name, &TYPE_SPELLINGS)));
    let swept = |status: &str| policy.candidate_statuses.iter().any(|candidate| candidate.name() == status);
    let due = |row: &Row| -> Result<(), String> {
        let device_type = known(row);
        match row.status.as_deref().filter(|status| *status != NO_STATUS).map(|status| meant(status, &SPELLINGS)) {
            None if matches!(row.device_type.as_deref(), Some("IHD" | "CAD" | "Display")) => {
                return Err("not_candidate".into());
            }
            None => return Err("missing_status".into()),
            Some(status) if swept(status) => {}
            Some(
                "Pending"
                | "Whitelisted"
                | "InstalledNotCommissioned"
                | "Commissioned"
                | "Decommissioned"
                | "Withdrawn"
                | "Suspended"
                | "Recovery"
                | "Recovered",
            ) => return Err("not_candidate".into()),
            Some(_) => return Err("unknown_status".into()),
        }
        if device_type.is_some_and(|t| policy.exclude.contains(t)) {
            return Err("excluded".into());
        }
        let Some(device_type) = device_type else { return Err("unknown_type".into()) };
        // 1677-09-21 and 2262-04-11.
        let is_date = |since: &i64| ![-106_752, 106_751].contains(&day_of(*since));
        let Some(since) = row.since.filter(is_date) else { return Err("missing_date".into()) };
        let future = match policy.boundary {
            Boundary::Date => day_of(since) > day_of(as_of),
            Boundary::Instant => since > as_of,
        };
        if future {
            return Err("future_date".into());
        }
        if since < policy.earliest_date.map_or(-62_135_596_800_000_000, day_start) {
            return Err("implausible_date".into());
        }
        let due_day = add_months(day_of(since), policy.thresholds.months(device_type)).unwrap();
        let reached = match policy.boundary {
            Boundary::Date => due_day <= day_of(as_of),
            Boundary::Instant => day_start(due_day) + since.rem_euclid(DAY_MICROS) <= as_of,
        };
        if reached { Ok(()) } else { Err("not_due".into()) }
    };
    let mut times: HashMap<u64, usize> = HashMap::new();
    for row in rows.iter().filter(|row| due(row).is_ok()) {
        if let Some(id) = row.id.as_deref().and_then(id_of) {
            *times.entry(id).or_default() += 1;
        }
    }
    rows.iter()
        .map(|row| {
            if let Err(end) = due(row) {
                return end;
            }
            let Some(id) = row.id.as_deref().and_then(id_of) else { return "bad_device_id".into() };
            if times[&id] > 1 {
                return "duplicate_device_id".into();
            }
            let alert = match row.role.as_deref() {
                None => !known(row).is_some_and(|t| policy.alerts.silent_types.contains(t)),
                Some("ServiceUser") => true,
                Some("CSP") => false,
                Some(_) => return "unknown_role".into(),
            };
            if !alert {
                return "silent".into();
            }
            match row.party.as_deref().map(str::trim) {
                None | Some("") => "missing_party".into(),
                Some(party) if party.len() > 64 || party.contains(['\u{fffd}', '\u{200b}']) => "bad_party".into(),
                Some(_) => "alert".into(),
            }
        })
        .collect()
}

/// As-of times around different ends of months.
pub const MOMENTS: [&str; 6] = [
    "2026-11-01T00:00:00Z",
    "2026-02-28T10:30:00Z",
    "2024-02-29T10:30:00Z",
    "2025-02-28T23:59:59Z",
    "2026-04-30T12:00:00Z",
    "2025-03-01T00:00:00.001Z",
];

pub fn policies() -> impl Strategy<Value = Policy> {
    let statuses = prop_oneof![
        4 => Just(vec![SmiStatus::Pending]),
        1 => Just(vec![SmiStatus::Pending, SmiStatus::Whitelisted, SmiStatus::Suspended]),
        1 => Just(vec![SmiStatus::Commissioned]),
    ];
    (
        prop_oneof![Just(12u32), 1u32..37],
        any::<bool>(),
        any::<u16>(),
        any::<u16>(),
        (
            prop::option::of(1u32..37),
            prop::sample::select(&[None, None, None, Some("2012-01-01"), Some("2025-09-15")][..]),
        ),
        statuses,
    )
        .prop_map(|(months, instant, exclude, silent, (ppmid, earliest), statuses)| {
            let mut policy = unguarded("secmp0060");
            policy.types.add("SAPC").unwrap();
            policy.candidate_statuses = statuses.into_iter().collect();
            for (theirs, ours) in SPELLINGS {
                policy.spellings.statuses.insert(theirs.into(), Some(SmiStatus::from_name(ours).unwrap()));
            }
            policy.spellings.statuses.insert(NO_STATUS.into(), None);
            policy.earliest_date = earliest.map(|day| day_of(crate::common::at(day)));
            for (theirs, ours) in TYPE_SPELLINGS {
                policy.spellings.types.insert(theirs.into(), policy.types.get(ours).unwrap());
            }
            let set = |mask: u16| -> TypeSet {
                (0..9).filter(|code| mask >> code & 1 == 1).filter_map(DeviceType::from_code).collect()
            };
            policy.thresholds.default = months;
            policy.thresholds.by_type.extend(ppmid.map(|months| (DeviceType::PPMID, months)));
            policy.boundary = if instant { Boundary::Instant } else { Boundary::Date };
            policy.exclude = set(exclude & exclude.rotate_left(3));
            policy.alerts.silent_types = set(silent);
            policy
        })
}
