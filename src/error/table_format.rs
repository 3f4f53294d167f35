//! Table formats: a log beside the data files, or a catalogue elsewhere, decides which of the files are current.

use std::fmt;

/// A format whose folders must not be read as plain Parquet files: they also hold rows that were replaced or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Delta Lake: `_delta_log`.
    DeltaLake,
    /// Apache Hudi: `.hoodie`.
    Hudi,
    /// Apache Iceberg: `metadata/*.metadata.json`.
    Iceberg,
    /// Apache Paimon: `snapshot/LATEST`, with `manifest` beside it.
    Paimon,
    /// DuckLake: a catalogue in a database, files named `ducklake-*.parquet`.
    DuckLake,
    /// The file sink of Spark Structured Streaming: `_spark_metadata`.
    SparkStream,
    /// A transactional table of Apache Hive: folders named `base_N`, `delta_N_N`, `delete_delta_N_N`.
    HiveTransactional,
}

impl TableFormat {
    /// What to do instead.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::DeltaLake => "export its current version to plain Parquet with a Delta Lake reader, and sweep that",
            Self::Hudi => "export its current state to plain Parquet with a Hudi reader, and sweep that",
            Self::Iceberg => "export its current snapshot to plain Parquet with an Iceberg reader, and sweep that",
            Self::Paimon => "export its current snapshot to plain Parquet with a Paimon reader, and sweep that",
            Self::DuckLake => "export the table to plain Parquet with `COPY` in DuckDB, and sweep that",
            Self::SparkStream => "export it to plain Parquet with Spark, which reads its log, and sweep that",
            Self::HiveTransactional => "export the table to plain Parquet with Hive, and sweep that",
        }
    }
}

impl fmt::Display for TableFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeltaLake => "a Delta Lake table",
            Self::Hudi => "an Apache Hudi table",
            Self::Iceberg => "an Apache Iceberg table",
            Self::Paimon => "an Apache Paimon table",
            Self::DuckLake => "a DuckLake table",
            Self::SparkStream => "the output of a Spark stream",
            Self::HiveTransactional => "a transactional table of Apache Hive",
        })
    }
}
