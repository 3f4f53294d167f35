//! The physical forms of values, as far as the contract accepts them.

/// The unit of a stored timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Milli,
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

/// How a column is stored: its Parquet type, as far as the contract accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhysicalForm {
    /// BYTE_ARRAY, annotated as text (STRING or ENUM).
    Text,
    /// BYTE_ARRAY without a logical type: text from some writers, an EUI-64 from others.
    Raw,
    /// FIXED_LEN_BYTE_ARRAY(8): an EUI-64.
    Fixed8,
    /// INT64: the bit pattern of an EUI-64.
    Number,
    /// INT64: a number of units since 1970, in UTC.
    Timestamp(TimestampUnit),
    /// INT64: a number of units since 1970 on a clock whose zone is not stored.
    LocalTimestamp(TimestampUnit),
    /// INT96: nanoseconds of the day, and a Julian day.
    Int96,
    /// INT32, annotated as DATE: days since 1970.
    Date,
    /// INT32, annotated as UNKNOWN (Parquet's null type): every row is null.
    Null,
}

impl PhysicalForm {
    /// Microseconds since 1970.
    pub const MICROS: Self = Self::Timestamp(TimestampUnit::Micro);

    /// Bytes of a value in PLAIN encoding; `None` if each value is stored with its length.
    #[must_use]
    pub const fn width(self) -> Option<usize> {
        match self {
            Self::Text | Self::Raw => None,
            Self::Fixed8 | Self::Number | Self::Timestamp(_) | Self::LocalTimestamp(_) => Some(8),
            Self::Int96 => Some(12),
            Self::Date | Self::Null => Some(4),
        }
    }
}
