"""Compares the output of two sweeps, ours or a peer's; arguments: the two folders. Prints what differs, then exits 1.

The manifests must agree row for row, in the same order, in what they say of each device; how each writer stores a string
or a boolean does not matter. The counts must agree by device type and disposition.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

DISPOSITIONS = ["not_candidate", "excluded", "not_due", "delete", "quarantined"]
DELETE = {"device_id": pa.string(), "due_on": pa.date32(), "notifying_party": pa.string(), "alert": pa.bool_()}
ALERTS = {"notifying_party": pa.string(), "device_id": pa.string(), "due_on": pa.date32(), "alert_code": pa.string()}


def number(value):
    """A count; quarantined rows may be given by reason."""
    return sum(value.values()) if isinstance(value, dict) else value


def counts(folder):
    """Non-zero counts by type and disposition, from a run record of ours or a peer's counts."""
    ours = folder / "run.json"
    table = json.loads(ours.read_text())["by_type"] if ours.exists() else json.loads((folder / "counts.json").read_text())
    found = {(t, d): number(row.get(d, 0)) for t, row in table.items() for d in DISPOSITIONS}
    return {key: n for key, n in found.items() if n}


def manifest(path, columns):
    """The named columns, each in one chunk of the wanted type."""
    parts = path.glob("*.parquet") if path.is_dir() else [path]
    table = pa.concat_tables([pq.ParquetFile(part).read(list(columns)) for part in sorted(parts)])
    return pa.table({name: table[name].cast(kind).combine_chunks() for name, kind in columns.items()})


def same_rows(name, left, right, columns):
    """Whether a manifest is the same in both folders."""
    a, b = (manifest(folder / name, columns) for folder in (left, right))
    if a.num_rows != b.num_rows:
        print(f"{name}: {a.num_rows} rows in {left}, {b.num_rows} in {right}")
        return False
    if a.equals(b):
        return True
    for column in columns:
        for at, (x, y) in enumerate(zip(a[column].to_pylist(), b[column].to_pylist())):
            if x != y:
                print(f"{name}: row {at}, {column}: {x!r} in {left}, {y!r} in {right}")
                break
    return False


def same_counts(left, right):
    """Whether the counts are the same in both folders."""
    a, b = counts(left), counts(right)
    for key in sorted(a.keys() | b.keys()):
        if a.get(key, 0) != b.get(key, 0):
            print(f"counts: {' '.join(key)}: {a.get(key, 0)} in {left}, {b.get(key, 0)} in {right}")
    return a == b


def main():
    left, right = map(Path, sys.argv[1:])
    checks = [
        same_counts(left, right),
        same_rows("delete.parquet", left, right, DELETE),
        same_rows("alerts.parquet", left, right, ALERTS),
    ]
    if not all(checks):
        sys.exit(1)


if __name__ == "__main__":
    main()
