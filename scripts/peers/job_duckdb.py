"""The sweep in DuckDB. Arguments: files, form of the ids (text or bytes), folder for the output, threads."""

import sys
import time

import duckdb
from tally import CUTOFF, SWEPT, TOMORROW, finish

started = time.perf_counter()
files, ids, out, threads = sys.argv[1:]


def eui(column):
    """Canonical text of an id, once only due rows are left."""
    if ids == "text":
        return f"upper({column})"
    pairs = ", ".join(f"substr(hex({column}), {at}, 2)" for at in range(1, 17, 2))
    return f"CASE WHEN {column} IS NOT NULL THEN concat_ws('-', {pairs}) END"


db = duckdb.connect()
db.execute(f"SET threads = {threads}; SET TimeZone = 'UTC'")
groups = db.execute(f"SELECT device_type, smi_status, count(*) FROM '{files}' GROUP BY ALL").fetchall()
db.execute(f"""
    CREATE TEMP TABLE flagged AS
    SELECT {eui("device_id")} AS device_id, device_type, smi_status, status_since,
           {eui("notifying_party")} AS notifying_party
    FROM '{files}'
    WHERE smi_status = 'Pending' AND device_type IN {tuple(SWEPT)}
      AND (status_since < TIMESTAMPTZ '{CUTOFF}+00' OR status_since >= TIMESTAMPTZ '{TOMORROW}+00'
           OR status_since IS NULL);
    CREATE TEMP TABLE twice AS
    SELECT device_id FROM flagged WHERE status_since < TIMESTAMPTZ '{CUTOFF}+00' GROUP BY 1 HAVING count(*) > 1;
    CREATE TEMP TABLE judged AS
    SELECT device_id, device_type, smi_status, status_since,
           (status_since::TIMESTAMP::DATE + INTERVAL 12 MONTH)::DATE AS due_on, notifying_party,
           device_type NOT IN ('CHF', 'GPF') AS alert,
           CASE WHEN status_since IS NULL THEN 'missing_date'
                WHEN status_since >= TIMESTAMPTZ '{TOMORROW}+00' THEN 'future_date'
                WHEN device_id IS NULL
                  OR NOT regexp_full_match(device_id, '[0-9A-F]{{2}}(-[0-9A-F]{{2}}){{7}}') THEN 'bad_device_id'
                WHEN device_id IN (SELECT device_id FROM twice) THEN 'duplicate_device_id'
                WHEN alert AND coalesce(notifying_party, '') = '' THEN 'missing_party' END AS reason
    FROM flagged;
    COPY (SELECT * EXCLUDE reason FROM judged WHERE reason IS NULL ORDER BY device_id)
    TO '{out}/delete.parquet';
    COPY (SELECT 'N8' AS alert_code, notifying_party, device_id, device_type, status_since, due_on
          FROM judged WHERE reason IS NULL AND alert ORDER BY notifying_party, device_id)
    TO '{out}/alerts.parquet';
""")
judged = db.execute("SELECT device_type, reason, count(*) FROM judged GROUP BY ALL").fetchall()
finish(out, groups, judged, started)
