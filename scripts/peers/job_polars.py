"""The sweep in Polars' streaming engine. Arguments: files, form of the ids (text or bytes), folder for the output,
threads (which Polars takes from its environment)."""

import datetime as dt
import sys
import time

import polars as pl
from tally import CUTOFF, HUBS, SWEPT, TOMORROW, finish

started = time.perf_counter()
files, ids, out, _ = sys.argv[1:]
cutoff, tomorrow = (
    pl.lit(dt.datetime.fromisoformat(text + "+00:00"), pl.Datetime("us", "UTC")) for text in (CUTOFF, TOMORROW)
)


def eui(column):
    """Canonical text of an id, once only due rows are left."""
    if ids == "text":
        return pl.col(column).str.to_uppercase()
    digits = pl.col(column).bin.encode("hex").str.to_uppercase()
    return pl.concat_str([digits.str.slice(at, 2) for at in range(0, 16, 2)], separator="-").alias(column)


estate = pl.scan_parquet(files)
since = pl.col("status_since")
groups, flagged = pl.collect_all(
    [
        estate.group_by("device_type", "smi_status").len(),
        estate.filter(
            (pl.col("smi_status") == "Pending")
            & pl.col("device_type").is_in(SWEPT)
            & ((since < cutoff) | (since >= tomorrow) | since.is_null())
        ).select(eui("device_id"), "device_type", "smi_status", "status_since", eui("notifying_party")),
    ],
    engine="streaming",
)
twice = flagged.filter(since < cutoff).group_by("device_id").len().filter(pl.col("len") > 1)["device_id"]
well_formed = pl.col("device_id").str.contains("^[0-9A-F]{2}(-[0-9A-F]{2}){7}$").fill_null(False)
judged = flagged.with_columns(
    due_on=since.dt.date().dt.offset_by("12mo"),  # clamps to the month's last day
    alert=~pl.col("device_type").is_in(HUBS),
).with_columns(
    reason=pl.when(since.is_null())
    .then(pl.lit("missing_date"))
    .when(since >= tomorrow)
    .then(pl.lit("future_date"))
    .when(~well_formed)
    .then(pl.lit("bad_device_id"))
    .when(pl.col("device_id").is_in(twice.implode()))
    .then(pl.lit("duplicate_device_id"))
    .when(pl.col("alert") & (pl.col("notifying_party").fill_null("") == ""))
    .then(pl.lit("missing_party"))
)
delete = judged.filter(pl.col("reason").is_null()).sort("device_id")
delete.select(
    "device_id", "device_type", "smi_status", "status_since", "due_on", "notifying_party", "alert"
).write_parquet(f"{out}/delete.parquet")
# The rows stand in order of device_id, so a stable sort by party is all that is left.
delete.filter("alert").sort("notifying_party", maintain_order=True).select(
    pl.lit("N8").alias("alert_code"), "notifying_party", "device_id", "device_type", "status_since", "due_on"
).write_parquet(f"{out}/alerts.parquet")
finish(out, groups.rows(), judged.group_by("device_type", "reason").len().rows(), started)
