"""Runs one compiled query on Apache Spark. It has no rule of its own: the query says what becomes of each row.

The first line of standard input is the task, as JSON. Answers go to the file that the argument names, one JSON document a
line: `refused` (what, remedy), `counted` (rows by file and verdict), `written` (rows). After `counted` a line on standard input
says whether to go on.
"""

import json
import sys


def answer(name, **fields):
    with open(sys.argv[1], "a") as answers:
        answers.write(json.dumps({"answer": name, **fields}) + "\n")


def refuse(what, remedy, kind="snapshot"):
    answer("refused", kind=kind, what=what, remedy=remedy)
    sys.exit(0)


def first_line(error):
    """The line of a Spark error that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    caused = [line for line in lines if line.startswith("Caused by:")]
    return (caused[-1] if caused else lines[0] if lines else type(error).__name__)[:500]


def start(task):
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        refuse(f"{sys.executable} has no pyspark", "install pyspark, or name a Python that has it with --python", "usage")
    builder = SparkSession.builder.master(task["master"]).appName("smi-sweep")
    # Those that the result depends on cannot be set otherwise.
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **task["settings"],
        # A time without a zone is UTC, wherever the cluster is.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",
        # Values in names of folders are text.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        # Old dates are read as they are written.
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:  # Any failure to start has the same way on.
        refuse(
            f"Spark cannot start on {task['master']}: {first_line(error)}",
            "check that the master runs, and that Java 17 is installed here",
            "cluster",
        )
    session.sparkContext.setLogLevel("ERROR")
    return session


def text_of(frame, column, name):
    """A column as text. Device IDs and parties may be the bytes or the number of an EUI-64."""
    from pyspark.sql import functions as f

    kind = frame.schema[column].dataType.typeName()
    value = frame[column]
    if kind in ("string", "varchar", "char"):
        return value
    pairs = lambda digits: f.regexp_replace(digits, "(..)(?=.)", "$1-")
    if name in ("device_id", "notifying_party") and kind in ("long", "decimal"):
        digits = f.hex(value) if kind == "long" else f.conv(value.cast("string"), 10, 16)
        return pairs(f.lpad(digits, 16, "0"))
    if name == "device_id" and kind == "binary":
        return f.when(f.length(value) == 8, pairs(f.hex(value))).otherwise(value.cast("string"))
    if name == "notifying_party" and kind == "binary":
        text = value.cast("string")
        printable = text.rlike("^[\\x21-\\x7E \\t\\n\\f\\r]*$")
        # Spark does not tell bytes of a fixed length, which are an EUI-64, from others, which may be text.
        if not frame.where((f.length(value) == 8) & printable & (f.trim(text) != "")).limit(1).isEmpty():
            refuse(f"column {column} has eight bytes that are an EUI-64 or text", f"cast {column} to text in a copy")
        return f.when((f.length(value) == 8) & ~printable, pairs(f.hex(value))).otherwise(text)
    refuse(f"column {column} is {kind}, and text is needed", f"cast {column} to text in a copy of the snapshot")


def relation(session, task):
    """The snapshot under the columns' own names, each row with its file and its number in it."""
    from pyspark.sql import functions as f

    try:
        frame = session.read.parquet(*task["snapshot"])
    except Exception as error:
        refuse(f"the snapshot cannot be read: {first_line(error)}", "name Parquet files or folders that all machines reach")
    columns = task["columns"]
    for name, found in columns.items():
        if name == "notifying_role":
            continue
        if found not in frame.columns:
            refuse(f"the snapshot has no column {found}", f"it has {', '.join(frame.columns)}; map columns in the policy")
    since = columns["status_since"]
    kind = frame.schema[since].dataType.typeName()
    if kind not in ("timestamp", "timestamp_ntz", "date"):
        refuse(f"column {since} is {kind}, and a date or timestamp is needed", f"cast {since} in a copy of the snapshot")
    has_role = columns["notifying_role"] in frame.columns
    chosen = [f.col("_metadata.file_path").alias("source_file"), f.col("_metadata.row_index").alias("row_in_file")]
    for name, found in columns.items():
        if name == "status_since":
            chosen.append(frame[found])
        elif name != "notifying_role" or has_role:
            chosen.append(text_of(frame, found, name).alias(found))
    if not has_role:
        chosen.append(f.lit(None).cast("string").alias(columns["notifying_role"]))
    facts = {"has_role": has_role, "assumes_utc": kind == "timestamp_ntz"}
    return frame.select(*chosen), frame.inputFiles(), facts


def sizes(session, files):
    hadoop, jvm = session.sparkContext._jsc.hadoopConfiguration(), session.sparkContext._jvm
    paths = [jvm.org.apache.hadoop.fs.Path(file) for file in files]
    return [path.getFileSystem(hadoop).getFileStatus(path).getLen() for path in paths]


def main():
    task = json.loads(sys.stdin.readline())
    session = start(task)
    try:
        frame, files, facts = relation(session, task)
        frame.createOrReplaceTempView("snapshot")
        judged = session.sql(task["sql"])
        keys = ["source_file", "device_type", "disposition", "reason", "alert"]
        counts = [row.asDict() for row in judged.groupBy(*keys).count().collect()]
        answer(
            "counted",
            counts=counts,
            files=[{"path": path, "bytes": size} for path, size in zip(files, sizes(session, files))],
            **facts,
            spark=session.version,
            cores=session.sparkContext.defaultParallelism,
        )
        if json.loads(sys.stdin.readline() or "false"):
            listed = judged.where("disposition IN ('delete', 'quarantined')")
            listed.write.option("compression", "zstd").parquet(task["staging"])
            answer("written", rows=session.read.parquet(task["staging"]).count())
    except SystemExit:
        raise
    except Exception as error:
        refuse(f"the cluster stopped: {first_line(error)}", task["remedy"], "cluster")
    finally:
        session.stop()


main()
