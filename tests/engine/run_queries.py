"""Runs queries on other engines: reads a list of {"engine", "parquet", "sql"} from the file named first, and writes for each
query its rows, as lists, to the file named second. The relation of the Parquet file is called `snapshot`."""

import datetime
import json
import sys

import datafusion
import duckdb


def by_duckdb(parquet, sql):
    db = duckdb.connect()
    # The result must not depend on it.
    db.execute("SET TimeZone = 'Asia/Tokyo'")
    db.execute(f"CREATE VIEW snapshot AS FROM read_parquet('{parquet}')")
    return db.execute(sql).fetchall()


def by_datafusion(parquet, sql):
    session = datafusion.SessionContext()
    session.register_parquet("snapshot", parquet)
    batches = session.sql(sql).collect()
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


ENGINES = {"duckdb": by_duckdb, "datafusion": by_datafusion}


def plain(value):
    return value.isoformat() if isinstance(value, datetime.date) else value


with open(sys.argv[1]) as tasks, open(sys.argv[2], "w") as out:
    results = []
    for task in json.load(tasks):
        rows = ENGINES[task["engine"]](task["parquet"], task["sql"])
        results.append([[plain(value) for value in row] for row in rows])
    json.dump(results, out)
