"""Runs queries on Spark: reads a list of {"parquet", "sql"} from the file named first, and writes for each query its rows, as
lists, to the file named second. The relation of the Parquet file is called `snapshot`. SPARK_MASTER names the master."""

import datetime
import json
import os
import sys

from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master(os.environ.get("SPARK_MASTER", "local[2]"))
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)


def plain(value):
    return value.isoformat() if isinstance(value, datetime.date) else value


with open(sys.argv[1]) as tasks, open(sys.argv[2], "w") as out:
    results = []
    for task in json.load(tasks):
        spark.read.parquet(task["parquet"]).createOrReplaceTempView("snapshot")
        rows = spark.sql(task["sql"]).collect()
        results.append([[plain(value) for value in row] for row in rows])
    json.dump(results, out)
