"""Prints, as JSON, the compressed bytes of each column that a sweep may need; argument: the snapshot's folder."""

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

NEEDED = {"device_id", "device_type", "smi_status", "status_since", "notifying_party", "notifying_role"}

sizes = Counter()
for path in Path(sys.argv[1]).glob("*.parquet"):
    footer = pq.read_metadata(path)
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            if chunk.path_in_schema in NEEDED:
                sizes[chunk.path_in_schema] += chunk.total_compressed_size
print(json.dumps(sizes))
