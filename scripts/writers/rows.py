"""The snapshots that the fixtures hold.

`base` keeps to what every physical form can hold: ids are well formed or null, since eight bytes cannot be malformed,
and no disposition hangs on the time of day, since a date column has none. `text` and `roles` hold the rest.
"""

import datetime as dt
import random

TYPES = ["ESME", "GSME", "GPF", "CHF", "HCALCS", "PPMID", "IHD", "CAD"]
TYPE_SHARES = [21, 14, 21, 21, 1, 17, 4, 1]
STATUSES = [
    "Commissioned", "Pending", "InstalledNotCommissioned", "Whitelisted", "Decommissioned", "Withdrawn", "Suspended",
    "Recovery", "Recovered",
]  # fmt: skip
STATUS_SHARES = [50, 30, 6, 3, 4, 3, 2, 1, 1]
SERVICE_USERS = [f"90-B3-D5-1F-30-00-00-{n:02X}" for n in range(1, 25)]
CSPS = [f"90-B3-D5-1F-30-01-00-{n:02X}" for n in range(1, 4)]
DAY = dt.timedelta(days=1)

# Each says where the corresponding date falls; as of 1 November 2026 the last that is due is 1 November 2025.
EDGES = [
    dt.datetime(2024, 2, 29), dt.datetime(2023, 8, 31), dt.datetime(2025, 10, 31, 23, 59, 59), dt.datetime(2025, 11, 1),
    dt.datetime(2025, 11, 1, 23, 59, 59), dt.datetime(2025, 11, 2), dt.datetime(2025, 11, 2, 0, 0, 1),
    dt.datetime(2026, 11, 1), dt.datetime(2026, 11, 1, 23, 59, 59), dt.datetime(1999, 12, 31),
    dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(2026, 2, 28),
]  # fmt: skip


def device(random_, number):
    """A sound row. Some ids have their highest bit set, so that a signed number is negative; some are in lower case."""
    device_type = random_.choices(TYPES, TYPE_SHARES)[0]
    type_2 = device_type in ("IHD", "CAD")
    high = random_.choice([0x00DB12, 0x00DB12, 0x80A1B2, 0xFCC23D])
    digits = f"{high << 40 | random_.getrandbits(8) << 32 | number:016X}"
    device_id = "-".join(digits[at : at + 2] for at in range(0, 16, 2))
    since = dt.datetime(2026, 10, 31) - random_.randrange(1500) * DAY + dt.timedelta(seconds=random_.randrange(24) * 3600)
    return {
        "device_id": device_id.lower() if random_.random() < 0.1 else device_id,
        "device_type": device_type,
        "smi_status": None if type_2 else random_.choices(STATUSES, STATUS_SHARES)[0],
        "status_since": None if type_2 else since,
        "notifying_party": random_.choice(CSPS if device_type in ("CHF", "GPF") else SERVICE_USERS),
    }


def due(row, device_type="ESME"):
    """Makes a row one that is due, so that a defect in it counts."""
    row.update(device_type=device_type, smi_status="Pending", status_since=dt.datetime(2025, 3, 4, 5, 6, 7))
    if row["notifying_party"] not in SERVICE_USERS:
        row["notifying_party"] = SERVICE_USERS[0]
    return row


def base(count=2000):
    """The snapshot of nearly all cases: every edge date, and a handful of each defect."""
    random_ = random.Random(20261101)
    rows = [device(random_, number) for number in range(count)]
    place = iter(random_.sample(range(count), 200))
    for edge in EDGES:
        for device_type in ("ESME", "GSME", "CHF"):
            due(rows[next(place)], device_type)["status_since"] = edge
    for column, value in (
        ("device_id", None), ("smi_status", "Lost"), ("smi_status", None), ("device_type", "SAPC"), ("device_type", None),
        ("status_since", None), ("status_since", dt.datetime(2026, 11, 2)), ("status_since", dt.datetime(2040, 1, 1)),
        ("notifying_party", None),
    ):  # fmt: skip
        for _ in range(4):
            due(rows[next(place)])[column] = value
    for _ in range(4):  # the same id twice, once in each case; and twice where only one row is due
        one, other = due(rows[next(place)]), due(rows[next(place)], "PPMID")
        other["device_id"] = one["device_id"].swapcase()
    for _ in range(3):
        one, other = due(rows[next(place)]), due(rows[next(place)])
        other.update(device_id=one["device_id"], smi_status="Commissioned")
    for _ in range(4):  # defects that change nothing: the row is no candidate anyway
        due(rows[next(place)]).update(smi_status="Withdrawn", device_id=None, status_since=None, notifying_party=None)
    for _ in range(3):  # hubs are excluded, whatever is wrong with them
        due(rows[next(place)], "GPF").update(device_id=None, status_since=None)
    for _ in range(2):  # a Type 2 device that has a status after all is a candidate like any other
        due(rows[next(place)], "IHD")
    return rows


def text(count=300):
    """Malformed ids, and parties that are no EUI-64: only text can hold these."""
    random_ = random.Random(137)
    rows = [device(random_, number) for number in range(count)]
    place = iter(random_.sample(range(count), 60))
    good = "00-DB-12-34-56-78-90-A0"
    for bad in ("", " ", good[:-1], good + "0", good + " ", " " + good, good.replace("-", ""), good.replace("-", ":"),
                good.replace("A0", "G0"), good.replace("A0", "Ａ0"), "é" * 8, "-" * 23, "x" * 4000):  # fmt: skip
        due(rows[next(place)])["device_id"] = bad
        due(rows[next(place)])["device_id"] = bad  # malformed twice is malformed, not a duplicate
    for party in ("", "Supplier A", "Énergie du Nord", "x" * 64, "a,b\"c'd"):
        due(rows[next(place)])["notifying_party"] = party
        due(rows[next(place)])["notifying_party"] = party
    return rows


def roles(count=300):
    """With `notifying_role`, which goes before the device type."""
    random_ = random.Random(60)
    rows = [device(random_, number) for number in range(count)]
    for row in rows:
        hub = row["device_type"] in ("CHF", "GPF")
        row["notifying_role"] = random_.choice(["CSP" if hub else "ServiceUser"] * 3 + [None])
    place = iter(random_.sample(range(count), 60))
    for role in ("ServiceUser", "CSP", None, "Installer", "serviceuser"):
        for party in (SERVICE_USERS[3], None):
            for _ in range(3):
                due(rows[next(place)]).update(notifying_role=role, notifying_party=party)
    return rows
