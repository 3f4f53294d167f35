"""Generates a synthetic estate with pyarrow and numpy, without any of the engine's code.

That is on purpose: the engine must not be measured on files that it wrote itself. A file is generated whole and written
a row group at a time, so memory stays flat whatever the number of rows. The same seed gives the same rows in every
layout; only their order within a file differs, and how they are stored.

    L1  as an exporter with default settings writes it: snappy, text ids, unsorted
    L2  as an expert writes it: zstd, ids as 8 bytes, page index, pages of 20,000 rows, unsorted
    L3  as L2, each file clustered by status, type and date
"""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 1 << 20  # pyarrow's default
AS_OF = np.datetime64("2026-11-01T00:00:00", "us").astype(np.int64)
DAY = 86_400_000_000

TYPES = ["CAD", "CHF", "ESME", "GPF", "GSME", "HCALCS", "IHD", "PPMID"]
TYPE_SHARES = [0.01, 0.21, 0.21, 0.21, 0.14, 0.01, 0.04, 0.17]
TYPE_2 = [TYPES.index("CAD"), TYPES.index("IHD")]
HUBS = [TYPES.index("CHF"), TYPES.index("GPF")]
STATUSES = [
    "Commissioned", "Decommissioned", "InstalledNotCommissioned", "Pending", "Recovered", "Recovery", "Suspended",
    "Whitelisted", "Withdrawn",
]  # fmt: skip
PENDING = STATUSES.index("Pending")
NO_STATUS = len(STATUSES)
# 8 % of all rows are Pending; the rest keep the proportions of a settled estate. Type 2 devices (5 %) have no status.
PENDING_SHARE = 0.08 / 0.95
OTHER_SHARES = {
    "Commissioned": 88, "Decommissioned": 2.5, "InstalledNotCommissioned": 2, "Recovered": 0.3, "Recovery": 0.2,
    "Suspended": 0.5, "Whitelisted": 1, "Withdrawn": 1.5,
}  # fmt: skip
# The share of Pending devices that are a year old or older: 1.1 % of all rows, once hubs are left out.
OLD_SHARE = 0.011 / (0.53 * PENDING_SHARE)
OLD_SHARE_HUBS = 0.40

SERVICE_USERS, CSPS = 150, 3


def bijective_ids(rows):
    """Distinct EUI-64s that look random: every step maps the 40 low bits one to one."""
    mask = np.uint64((1 << 40) - 1)
    x = rows.astype(np.uint64)
    for odd, shift in ((0x9E3779B97F, 20), (0xBF58476D1D, 17)):
        x = (x * np.uint64(odd) + np.uint64(0x1234567)) & mask
        x ^= x >> np.uint64(shift)
    return x | np.uint64(0x00DB12 << 40)


def party_shares():
    """Six large service users, then a Zipf tail."""
    large = [0.24, 0.20, 0.17, 0.13, 0.11, 0.08]
    tail = 1 / np.arange(1, SERVICE_USERS - len(large) + 1)
    return np.concatenate([large, tail / tail.sum() * (1 - sum(large))])


def draw(rng, shares, n):
    """Codes with the given shares."""
    bounds = np.cumsum(np.asarray(shares, dtype=np.float64))
    return np.searchsorted(bounds / bounds[-1], rng.random(n, dtype=np.float32), side="right").astype(np.uint8)


def generate(seed, file, first, n):
    """The columns of one file as codes and numbers."""
    rng = np.random.default_rng([seed, file])
    types = draw(rng, TYPE_SHARES, n)
    hub = np.isin(types, HUBS)

    others = [OTHER_SHARES.get(s, 0) for s in STATUSES]
    statuses = draw(rng, [s / sum(others) * (1 - PENDING_SHARE) for s in others], n)
    pending = rng.random(n, dtype=np.float32) < PENDING_SHARE
    statuses[pending] = PENDING
    statuses[np.isin(types, TYPE_2)] = NO_STATUS
    pending &= statuses == PENDING

    # Settled devices: any time in the last ten years. Pending ones: about two months, or well past a year.
    days = rng.random(n, dtype=np.float32) * 3650
    at = np.flatnonzero(pending)
    fresh = np.minimum(np.exp(rng.normal(np.log(60), 0.9, at.size)), 364.0)
    old = 366 + np.minimum(rng.exponential(400, at.size), 3000)
    is_old = rng.random(at.size) < np.where(hub[at], OLD_SHARE_HUBS, OLD_SHARE)
    days[at] = np.where(is_old, old, fresh)
    since = AS_OF - (days.astype(np.float64) * 86_400_000).astype(np.int64) * 1000

    parties = draw(rng, party_shares(), n)
    parties[hub] = SERVICE_USERS + draw(rng, [0.4, 0.35, 0.25], n)[hub]
    ids = bijective_ids(np.arange(first, first + n, dtype=np.uint64))
    return {"ids": ids, "types": types, "statuses": statuses, "since": since, "parties": parties}


def clustered(columns):
    """The rows of a file by status, type and date."""
    key = (columns["statuses"].astype(np.uint64) << np.uint64(60)) | (columns["types"].astype(np.uint64) << np.uint64(56))
    order = np.argsort(key | columns["since"].astype(np.uint64), kind="stable")
    return {name: values[order] for name, values in columns.items()}


PAIRS = np.array([list(f"{byte:02X}-".encode()) for byte in range(256)], dtype=np.uint8)


def as_text(numbers):
    """EUI-64s as DUIS writes them."""
    n = len(numbers)
    text = PAIRS[numbers.astype(">u8").view(np.uint8).reshape(n, 8)].reshape(n, 24)[:, :23]
    offsets = np.arange(0, 23 * n + 1, 23, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text))])


def as_bytes(numbers):
    """EUI-64s as FIXED_LEN_BYTE_ARRAY(8)."""
    return pa.Array.from_buffers(pa.binary(8), len(numbers), [None, pa.py_buffer(numbers.astype(">u8"))])


def table(columns, eui):
    """One row group as an Arrow table; `eui` is the form of the ids."""
    no_status = columns["statuses"] == NO_STATUS
    party_ids = np.uint64(0x90B3D51F30000001) + np.arange(SERVICE_USERS + CSPS, dtype=np.uint64)
    return pa.table({
        "device_id": eui(columns["ids"]),
        "device_type": pa.array(TYPES).take(pa.array(columns["types"])),
        "smi_status": pa.array(STATUSES).take(pa.array(columns["statuses"], mask=no_status)),
        "status_since": pa.array(columns["since"], mask=no_status).cast(pa.timestamp("us", "UTC")),
        "notifying_party": eui(party_ids).take(pa.array(columns["parties"])),
    })


def write(layout, path, columns):
    """One file of the estate."""
    eui, options = as_text, {}
    if layout != "L1":
        eui = as_bytes
        options = {
            "compression": "zstd", "write_page_index": True, "max_rows_per_page": 20_000,
            "use_dictionary": ["device_type", "smi_status", "notifying_party"],
        }  # fmt: skip
    n = len(columns["ids"])
    writer = None
    for start in range(0, n, ROW_GROUP):
        part = table({name: values[start : start + ROW_GROUP] for name, values in columns.items()}, eui)
        writer = writer or pq.ParquetWriter(path, part.schema, **options)
        writer.write_table(part)
    writer.close()


def make(layout, rows, seed, folder):
    """Makes the estate, unless the folder has it already."""
    folder = Path(folder)
    mark = folder / "_made.json"
    what = {"layout": layout, "rows": rows, "seed": seed, "generator": 1}
    if mark.exists() and json.loads(mark.read_text()) == what:
        print(f"{folder}: already there", file=sys.stderr)
        return
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = max(1, round(rows / 10_000_000)) if rows >= 80_000_000 else 8
    bounds = [rows * i // files for i in range(files + 1)]
    for file, (first, last) in enumerate(zip(bounds, bounds[1:])):
        columns = generate(seed, file, first, last - first)
        write(layout, folder / f"part-{file:05}.parquet", clustered(columns) if layout == "L3" else columns)
    mark.write_text(json.dumps(what))
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    seconds = time.monotonic() - started
    print(f"{folder}: {rows:,} rows, {files} files, {size / 1e6:,.0f} MB, {seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
