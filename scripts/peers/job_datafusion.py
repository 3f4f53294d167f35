"""The sweep in DataFusion. Arguments: files, form of the ids (text or bytes), folder for the output, threads (which its
runtime takes from the environment as well)."""

import os
import sys
import time

import datafusion
from tally import CUTOFF, SWEPT, TOMORROW, finish

started = time.perf_counter()
files, ids, out, threads = sys.argv[1:]


def eui(column):
    """Canonical text of an id, once only due rows are left."""
    if ids == "text":
        return f"upper({column})"
    digits = f"upper(encode(arrow_cast({column}, 'Binary'), 'hex'))"
    pairs = ", ".join(f"substr({digits}, {at}, 2)" for at in range(1, 17, 2))
    return f"CASE WHEN {column} IS NOT NULL THEN concat_ws('-', {pairs}) END"


config = (
    datafusion.SessionConfig()
    .with_target_partitions(int(threads))
    .set("datafusion.execution.parquet.pushdown_filters", "true")
    .set("datafusion.execution.parquet.reorder_filters", "true")
)
db = datafusion.SessionContext(config)
db.register_parquet("estate", os.path.dirname(files) + "/", file_extension=".parquet")


def rows(sql):
    """All rows of a small result."""
    return [tuple(row.values()) for batch in db.sql(sql).collect() for row in batch.to_pylist()]


def utc(text):
    """A literal of the column's own type, so that the column is not cast."""
    return f"arrow_cast('{text}Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"


groups = rows("SELECT device_type, smi_status, count(*) FROM estate GROUP BY 1, 2")
for sql in (
    f"""
    CREATE TABLE flagged AS
    SELECT {eui("device_id")} AS device_id, device_type, smi_status, status_since,
           {eui("notifying_party")} AS notifying_party
    FROM estate
    WHERE smi_status = 'Pending' AND device_type IN {tuple(SWEPT)}
      AND (status_since < {utc(CUTOFF)} OR status_since >= {utc(TOMORROW)} OR status_since IS NULL)""",
    f"""
    CREATE TABLE twice AS
    SELECT device_id FROM flagged WHERE status_since < {utc(CUTOFF)} GROUP BY 1 HAVING count(*) > 1""",
    f"""
    CREATE TABLE judged AS
    SELECT f.device_id, device_type, smi_status, status_since,
           arrow_cast(arrow_cast(status_since, 'Date32') + INTERVAL '12 months', 'Date32') AS due_on, notifying_party,
           device_type NOT IN ('CHF', 'GPF') AS alert,
           CASE WHEN status_since IS NULL THEN 'missing_date'
                WHEN status_since >= {utc(TOMORROW)} THEN 'future_date'
                WHEN f.device_id IS NULL
                  OR f.device_id !~ '^[0-9A-F]{{2}}(-[0-9A-F]{{2}}){{7}}$' THEN 'bad_device_id'
                WHEN t.device_id IS NOT NULL THEN 'duplicate_device_id'
                WHEN device_type NOT IN ('CHF', 'GPF') AND coalesce(notifying_party, '') = '' THEN 'missing_party'
           END AS reason
    FROM flagged f LEFT JOIN twice t ON f.device_id = t.device_id""",
    f"""
    COPY (SELECT device_id, device_type, smi_status, status_since, due_on, notifying_party, alert
          FROM judged WHERE reason IS NULL ORDER BY device_id)
    TO '{out}/delete.parquet' STORED AS PARQUET""",
    f"""
    COPY (SELECT 'N8' AS alert_code, notifying_party, device_id, device_type, status_since, due_on
          FROM judged WHERE reason IS NULL AND alert ORDER BY notifying_party, device_id)
    TO '{out}/alerts.parquet' STORED AS PARQUET""",
):
    db.sql(sql).collect()
judged = rows("SELECT device_type, reason, count(*) FROM judged GROUP BY 1, 2")
finish(out, groups, judged, started)
