"""The small end of every peer's job: from a few hundred grouped counts to the disposition of every row.

Each peer counts the rows of every (device type, status), which needs two small columns, and keeps the few rows that
`secmp0060` could delete. All else follows from these, so no peer pays for a second look at the dates.
"""

import json
import time
from collections import Counter, defaultdict
from pathlib import Path

AS_OF = "2026-11-01"
CUTOFF = "2025-11-02 00:00:00"  # first instant that is not yet 12 calendar months old on the as-of date
TOMORROW = "2026-11-02 00:00:00"  # first instant after the as-of date
SWEPT = ["CAD", "ESME", "GSME", "HCALCS", "IHD", "PPMID"]  # what the policy does not exclude
HUBS = ["CHF", "GPF"]
TYPE_2 = ["CAD", "IHD"]
STATUSES = [
    "Commissioned", "Decommissioned", "InstalledNotCommissioned", "Pending", "Recovered", "Recovery", "Suspended",
    "Whitelisted", "Withdrawn",
]  # fmt: skip


def by_type(groups, judged):
    """Counts of each disposition by type.

    `groups` are (type, status, rows) of all rows; `judged` are (type, reason or None, rows) of the swept types' Pending
    rows that are due or have no usable date, where None means delete.
    """
    counts = defaultdict(Counter)
    for device_type, status, rows in groups:
        known = device_type in SWEPT or device_type in HUBS
        name = device_type if known else "(null)" if device_type is None else "(unknown)"
        if status is None:
            disposition = "not_candidate" if device_type in TYPE_2 else "quarantined"
        elif status not in STATUSES:
            disposition = "quarantined"
        elif status != "Pending":
            disposition = "not_candidate"
        elif device_type in HUBS:
            disposition = "excluded"
        else:
            disposition = "not_due" if known else "quarantined"
        counts[name][disposition] += rows
    for device_type, reason, rows in judged:
        counts[device_type]["delete" if reason is None else "quarantined"] += rows
        counts[device_type]["not_due"] -= rows
    return {name: {key: n for key, n in sorted(row.items()) if n} for name, row in sorted(counts.items())}


def finish(out, groups, judged, started):
    """Writes the counts, and then how long the job took after its imports."""
    Path(out, "counts.json").write_text(json.dumps(by_type(groups, judged), indent=1))
    Path(out, "seconds.json").write_text(json.dumps(time.perf_counter() - started))
