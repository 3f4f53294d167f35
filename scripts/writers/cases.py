"""The ways to write a snapshot: one case for each physical form that the contract accepts.

A case is (name, function that writes its files into a folder). Names begin with the writer. Most are compressed, to keep
the repository small; what is not about ids holds them as text.
"""

import datetime as dt

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from . import rows

UTC = dt.timezone.utc
BASE, TEXT, ROLES = rows.base(), rows.text(), rows.roles()
COLUMNS = ["device_id", "device_type", "smi_status", "status_since", "notifying_party"]


def number(eui):
    """The big-endian number of an id's text."""
    return int(eui.replace("-", ""), 16)


def signed(eui):
    """The same 64 bits as a signed number."""
    return (number(eui) ^ 1 << 63) - (1 << 63)


EUI_FORMS = {
    "string": (pa.string(), str),
    "large_string": (pa.large_string(), str),
    "string_view": (pa.string_view(), str),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), str),
    "flba": (pa.binary(8), lambda eui: number(eui).to_bytes(8, "big")),
    "binary": (pa.binary(), lambda eui: number(eui).to_bytes(8, "big")),
    "uint64": (pa.uint64(), number),
    "int64": (pa.int64(), signed),
}
DATE_FORMS = {
    "s": pa.timestamp("s"),
    "ms": pa.timestamp("ms"),
    "us": pa.timestamp("us"),
    "ns": pa.timestamp("ns"),
    "ms-utc": pa.timestamp("ms", "UTC"),
    "us-utc": pa.timestamp("us", "UTC"),
    "ns-utc": pa.timestamp("ns", "UTC"),
    "us-london": pa.timestamp("us", "Europe/London"),  # a zone is a way to show an instant: the instant is in UTC
    "date32": pa.date32(),
    "date64": pa.date64(),
}


def column(values, form, convert=str):
    """An Arrow column of plain Python values."""
    plain = [None if value is None else convert(value) for value in values]
    if pa.types.is_dictionary(form):
        return pa.array(plain, form.value_type).dictionary_encode()
    return pa.array(plain, form)


def dates(values, form):
    """The dates in a form; a date column keeps the day only."""
    if pa.types.is_date(form):
        return pa.array([value and value.date() for value in values], form)
    if form.tz is None:
        return pa.array(values, pa.timestamp("us")).cast(form)
    return pa.array([value and value.replace(tzinfo=UTC) for value in values], form)


def arrow(rows_=BASE, eui="string", date="us-utc", words="string"):
    """The rows as an Arrow table; `eui` is the form of ids and parties, `words` that of the other text columns."""
    form, convert = EUI_FORMS[eui]
    word = EUI_FORMS[words][0]
    of = {name: [row.get(name) for row in rows_] for name in [*COLUMNS, "notifying_role"]}
    table = {
        "device_id": column(of["device_id"], form, convert),
        "device_type": column(of["device_type"], word),
        "smi_status": column(of["smi_status"], word),
        "status_since": dates(of["status_since"], DATE_FORMS[date]),
        "notifying_party": column(of["notifying_party"], form, convert),
    }
    if "notifying_role" in rows_[0]:
        table["notifying_role"] = column(of["notifying_role"], word)
    return pa.table(table)


def write(path, table, **options):
    """One file by pyarrow, with zstd where the case does not say otherwise."""
    pq.write_table(table, path, **{"compression": "zstd", **options})


def by_pyarrow(table=None, **options):
    """A case of one file by pyarrow."""
    return lambda folder: write(folder / "part-0.parquet", table or arrow(), **options)


def by_duckdb(select, table=None, **options):
    """A case of one file by DuckDB; `select` lists the columns as DuckDB should hold them."""

    def case(folder):
        db = duckdb.connect(config={"threads": 1})
        db.execute("SET TimeZone = 'UTC'")
        db.register("rows", table or arrow())
        said = ", ".join(f"{key} {value}" for key, value in {"compression": "zstd", **options}.items())
        db.execute(f"COPY (SELECT {select} FROM rows) TO '{folder}/part-0.parquet' (FORMAT parquet, {said})")

    return case


def by_polars(change=lambda frame: frame, table=None, **options):
    """A case of one file by Polars; `change` turns the columns into what Polars should hold."""

    def case(folder):
        change(pl.from_arrow(table or arrow())).write_parquet(folder / "part-0.parquet", **options)

    return case


def rewrite(**columns):
    """A DuckDB select list in which some columns are expressions."""
    return ", ".join(f"{columns[name]} AS {name}" if name in columns else name for name in COLUMNS)


def extra_columns(folder):
    """Columns in another order, between some that the sweep does not know, nested ones too."""
    table = arrow()
    rows_ = len(table)
    write(folder / "part-0.parquet", pa.table({
        "firmware": pa.array([f"v{at % 7}" for at in range(rows_)]),
        "notifying_party": table["notifying_party"],
        "history": pa.array([[{"status": "Pending", "days": at % 5}] * (at % 3) for at in range(rows_)]),
        "status_since": table["status_since"],
        "smi_status": table["smi_status"],
        "rssi": pa.array([at * 0.5 for at in range(rows_)]),
        "device_type": table["device_type"],
        "device_id": table["device_id"],
    }))  # fmt: skip


def empty_row_groups(folder):
    """A row group without rows before, between and after others."""
    table = arrow()
    with pq.ParquetWriter(folder / "part-0.parquet", table.schema, compression="zstd") as writer:
        for start, length in ((0, 0), (0, 700), (0, 0), (700, 1300), (0, 0)):
            writer.write_table(table.slice(start, length))


def empty_file(folder):
    """One file without a row group, one whose only row group is empty."""
    table = arrow()
    pq.ParquetWriter(folder / "part-0.parquet", table.schema).close()
    write(folder / "part-1.parquet", table.slice(0, 0))
    write(folder / "part-2.parquet", table)


def files_that_differ(folder):
    """One snapshot from several writers: no two files share forms, codec, pages or order of columns."""
    first = arrow(BASE[:500], "flba", "ms-utc")
    write(folder / "a.parquet", first, row_group_size=77, compression="snappy")
    second = arrow(BASE[500:1000], "string", "ns").select(COLUMNS[::-1])
    (folder / "nested").mkdir()
    write(folder / "nested" / "b.parquet", second, compression="gzip", data_page_version="2.0")
    by_polars(table=arrow(BASE[1000:1500], "uint64", "us"), compression="lz4")(folder / "nested")
    (folder / "nested" / "part-0.parquet").rename(folder / "nested" / "c.parquet")
    last = arrow(BASE[1500:], "dictionary", "date32", "dictionary")
    write(folder / "z.parquet", last, compression="none", use_dictionary=True, write_statistics=False)
    # Neither of these is part of the snapshot.
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.parquet").write_text("not Parquet\n")


def cases():
    """Every case: (name, what the fixtures expect of it, function that writes it)."""
    found = []

    def add(name, case, expected="expected.csv"):
        found.append((name, expected, case))

    for eui in EUI_FORMS:
        add(f"pyarrow-id-{eui}", by_pyarrow(arrow(eui=eui)))
    add("pyarrow-words-dictionary", by_pyarrow(arrow(eui="dictionary", words="dictionary")))
    add("pyarrow-words-large", by_pyarrow(arrow(eui="large_string", words="large_string")))
    for date in DATE_FORMS:
        add(f"pyarrow-date-{date}", by_pyarrow(arrow(eui="flba", date=date)))
    add("pyarrow-date-int96", by_pyarrow(arrow(eui="flba", date="ns"), use_deprecated_int96_timestamps=True))
    add("pyarrow-date-int96-plain", by_pyarrow(
        arrow(eui="flba", date="us-utc"), use_deprecated_int96_timestamps=True, use_dictionary=False))  # fmt: skip

    for codec in ("none", "snappy", "gzip", "lz4", "zstd", "brotli"):
        add(f"pyarrow-codec-{codec}", by_pyarrow(arrow(eui="flba"), compression=codec))
    for version in ("1.0", "2.0"):
        pages = {"data_page_version": version, "data_page_size": 2048, "write_batch_size": 64}
        add(f"pyarrow-pages-v{version[0]}", by_pyarrow(**pages))
        add(f"pyarrow-pages-v{version[0]}-plain", by_pyarrow(use_dictionary=False, **pages))
        add(f"pyarrow-pages-v{version[0]}-uncompressed", by_pyarrow(arrow(eui="flba"), compression="none", **pages))
    add("pyarrow-page-index", by_pyarrow(
        arrow(eui="flba"), write_page_index=True, data_page_size=1024, write_batch_size=64))  # fmt: skip
    add("pyarrow-page-checksum", by_pyarrow(arrow(eui="flba"), write_page_checksum=True))
    add("pyarrow-dictionary-overflow", by_pyarrow(dictionary_pagesize_limit=600, data_page_size=2048, write_batch_size=64))

    plain = {"use_dictionary": False}
    words = {name: "DELTA_BYTE_ARRAY" for name in COLUMNS if name != "status_since"}
    add("pyarrow-delta-byte-array", by_pyarrow(**plain, column_encoding={**words, "status_since": "DELTA_BINARY_PACKED"}))
    add("pyarrow-delta-byte-array-dictionary-hint", by_pyarrow(
        arrow(eui="dictionary", words="dictionary"), **plain, column_encoding=words))  # fmt: skip
    add("pyarrow-delta-byte-array-flba", by_pyarrow(arrow(eui="flba"), **plain, column_encoding=words))
    lengths = {name: "DELTA_LENGTH_BYTE_ARRAY" for name in words}
    add("pyarrow-delta-length-byte-array", by_pyarrow(**plain, column_encoding=lengths))
    packed = {name: "DELTA_BINARY_PACKED" for name in ("device_id", "status_since", "notifying_party")}
    add("pyarrow-delta-binary-packed", by_pyarrow(arrow(eui="int64"), **plain, column_encoding=packed))
    add("pyarrow-delta-binary-packed-date32", by_pyarrow(
        arrow(eui="uint64", date="date32"), **plain, column_encoding=packed, data_page_version="2.0"))  # fmt: skip
    split = {name: "BYTE_STREAM_SPLIT" for name in packed}
    add("pyarrow-byte-stream-split", by_pyarrow(arrow(eui="uint64"), **plain, column_encoding=split))
    add("pyarrow-byte-stream-split-flba", by_pyarrow(arrow(eui="flba"), **plain, column_encoding=split))

    add("pyarrow-no-statistics", by_pyarrow(arrow(eui="flba"), write_statistics=False))
    add("pyarrow-no-arrow-schema", by_pyarrow(arrow(eui="flba"), store_schema=False))
    add("pyarrow-version-1.0", by_pyarrow(version="1.0"))
    add("pyarrow-tiny-row-groups", by_pyarrow(arrow(eui="flba"), row_group_size=97))
    sound = [row for row in BASE if None not in row.values()][:500]  # required: no definition levels
    required = pa.schema([field.with_nullable(False) for field in arrow().schema])
    add("pyarrow-required", by_pyarrow(arrow(sound).cast(required)), "expected-required.csv")
    add("pyarrow-extra-columns", extra_columns)
    add("pyarrow-empty-row-groups", empty_row_groups)
    add("pyarrow-empty-file", empty_file)
    add("files-that-differ", files_that_differ)

    add("duckdb-strings", by_duckdb("*"))
    add("duckdb-strings-v2", by_duckdb("*", parquet_version="V2"))
    raw = {name: f"unhex(replace({name}, '-', ''))" for name in ("device_id", "notifying_party")}
    add("duckdb-blob", by_duckdb(rewrite(**raw)))
    add("duckdb-blob-v2", by_duckdb(rewrite(**raw), parquet_version="V2"))
    numbers = arrow(eui="uint64")
    add("duckdb-uint64", by_duckdb("*", numbers))
    add("duckdb-uint64-v2", by_duckdb("*", numbers, parquet_version="V2"))
    for kind in ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"):
        since = f"status_since::TIMESTAMP::{kind}"
        add(f"duckdb-date-{kind.lower()}", by_duckdb(rewrite(status_since=since, **raw)))
    for codec in ("uncompressed", "snappy", "gzip", "lz4_raw", "brotli"):
        add(f"duckdb-codec-{codec}", by_duckdb(rewrite(**raw), compression=codec))

    raw = pl.col("device_id", "notifying_party").str.replace_all("-", "").str.decode("hex")
    add("polars-strings", by_polars())
    add("polars-binary", by_polars(lambda frame: frame.with_columns(raw)))
    add("polars-uint64", by_polars(table=numbers))
    add("polars-int64", by_polars(table=arrow(eui="int64")))
    categorical = pl.col("device_type", "smi_status").cast(pl.Categorical)
    add("polars-categorical", by_polars(lambda frame: frame.with_columns(raw, categorical)))
    for unit in ("ms", "ns"):
        naive = pl.col("status_since").dt.replace_time_zone(None).dt.cast_time_unit(unit)
        add(f"polars-date-{unit}", by_polars(lambda frame, naive=naive: frame.with_columns(raw, naive)))
    add("polars-date-days", by_polars(lambda frame: frame.with_columns(raw, pl.col("status_since").dt.date())))
    for codec in ("uncompressed", "snappy", "gzip", "lz4", "brotli"):
        add(f"polars-codec-{codec}", by_polars(lambda frame: frame.with_columns(raw), compression=codec))
    add("polars-no-statistics", by_polars(lambda frame: frame.with_columns(raw), statistics=False))
    add("polars-small-pages", by_polars(
        lambda frame: frame.with_columns(raw), row_group_size=300, data_page_size=512))  # fmt: skip

    for writer, case in (("pyarrow", by_pyarrow), ("polars", by_polars)):
        add(f"{writer}-text-defects", case(table=arrow(TEXT)), "expected-text.csv")
        add(f"{writer}-roles", case(table=arrow(ROLES)), "expected-roles.csv")
    add("duckdb-text-defects", by_duckdb("*", arrow(TEXT)), "expected-text.csv")
    add("duckdb-roles", by_duckdb("*", arrow(ROLES)), "expected-roles.csv")
    add("pyarrow-roles-flba", by_pyarrow(arrow(ROLES, "flba", words="dictionary")), "expected-roles.csv")
    return found, {
        "expected.csv": BASE, "expected-text.csv": TEXT, "expected-roles.csv": ROLES, "expected-required.csv": sound,
    }  # fmt: skip
