"""The sweep in ClickHouse, in this process through chdb. Arguments: files, form of the ids (text or bytes), folder for
the output, threads."""

import json
import sys
import time

from chdb import session
from tally import CUTOFF, SWEPT, TOMORROW, finish

started = time.perf_counter()
files, ids, out, threads = sys.argv[1:]
cutoff, tomorrow = (f"toDateTime64('{text}', 6, 'UTC')" for text in (CUTOFF, TOMORROW))


def eui(column):
    """Canonical text of an id, once only due rows are left."""
    if ids == "text":
        return f"upper({column})"
    pairs = ", '-', ".join(f"substring(hex({column}), {at}, 2)" for at in range(1, 17, 2))
    return f"concat({pairs})"


db = session.Session()
for setting in (
    f"max_threads = {threads}",
    "output_format_parquet_date_as_uint16 = 0",
    "output_format_parquet_string_as_string = 1",
    "engine_file_truncate_on_insert = 1",
):
    db.query(f"SET {setting}")


def rows(sql):
    """All rows of a small result."""
    text = db.query(f"{sql} SETTINGS output_format_json_quote_64bit_integers = 0", "JSONCompactEachRow").bytes()
    return [tuple(json.loads(line)) for line in text.decode().splitlines()]


groups = rows(f"SELECT device_type, smi_status, count() FROM file('{files}', Parquet) GROUP BY 1, 2")
db.query("CREATE DATABASE IF NOT EXISTS sweep ENGINE = Atomic")
for sql in (
    f"""
    CREATE TABLE sweep.flagged ENGINE = Memory AS
    SELECT {eui("device_id")} AS device_id, device_type, smi_status, status_since,
           {eui("notifying_party")} AS notifying_party
    FROM file('{files}', Parquet)
    WHERE smi_status = 'Pending' AND device_type IN {tuple(SWEPT)}
      AND (status_since < {cutoff} OR status_since >= {tomorrow} OR status_since IS NULL)""",
    f"""
    CREATE TABLE sweep.judged ENGINE = Memory AS
    SELECT device_id, device_type, smi_status, status_since,
           toDate32(addMonths(toDate32(status_since, 'UTC'), 12)) AS due_on, notifying_party,
           CAST(device_type NOT IN ('CHF', 'GPF'), 'Bool') AS alert,
           multiIf(status_since IS NULL, 'missing_date',
                   status_since >= {tomorrow}, 'future_date',
                   device_id IS NULL OR NOT match(device_id, '^[0-9A-F]{{2}}(-[0-9A-F]{{2}}){{7}}$'), 'bad_device_id',
                   device_id IN (SELECT device_id FROM sweep.flagged WHERE status_since < {cutoff}
                                 GROUP BY device_id HAVING count() > 1), 'duplicate_device_id',
                   alert AND coalesce(notifying_party, '') = '', 'missing_party',
                   NULL) AS reason
    FROM sweep.flagged""",
    f"""
    INSERT INTO FUNCTION file('{out}/delete.parquet', Parquet)
    SELECT device_id, device_type, smi_status, status_since, due_on, notifying_party, alert
    FROM sweep.judged WHERE reason IS NULL ORDER BY device_id""",
    f"""
    INSERT INTO FUNCTION file('{out}/alerts.parquet', Parquet)
    SELECT 'N8' AS alert_code, notifying_party, device_id, device_type, status_since, due_on
    FROM sweep.judged WHERE reason IS NULL AND alert ORDER BY notifying_party, device_id""",
):
    db.query(sql)
judged = rows("SELECT device_type, reason, count() FROM sweep.judged GROUP BY 1, 2")
finish(out, groups, judged, started)
