"""The rule of `secmp0060`, one row at a time and as plainly as it can be said: what the fixtures expect."""

import calendar
import datetime as dt
import re
from collections import Counter

AS_OF = dt.date(2026, 11, 1)
MONTHS = 12
HUBS = {"CHF", "GPF"}
TYPE_2 = {"IHD", "CAD"}
TYPES = {"ESME", "GSME", "GPF", "CHF", "HCALCS", "PPMID", "IHD", "CAD"}
STATUSES = {
    "Pending", "Whitelisted", "InstalledNotCommissioned", "Commissioned", "Decommissioned", "Withdrawn", "Suspended",
    "Recovery", "Recovered",
}  # fmt: skip
# With dashes, with colons, or with nothing between the pairs.
EUI = re.compile("[0-9A-F]{2}(?:(?:-[0-9A-F]{2}){7}|(?::[0-9A-F]{2}){7}|[0-9A-F]{14})")


def add_months(date, months):
    """The corresponding date, or the last day of a month that is too short."""
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    return dt.date(year, month + 1, min(date.day, calendar.monthrange(year, month + 1)[1]))


def canonical(device_id):
    """The id in upper case with dashes; None where it is null or malformed."""
    upper = (device_id or "").upper()
    if not EUI.fullmatch(upper):
        return None
    digits = upper.replace("-", "").replace(":", "")
    return "-".join(digits[at : at + 2] for at in range(0, 16, 2))


def first_look(row):
    """What can be said of a row on its own, before its id is looked at: (disposition, reason)."""
    device_type, status, since = row["device_type"], row["smi_status"], row["status_since"]
    if status is None and device_type not in TYPE_2:
        return "quarantined", "missing_status"
    if status is not None and status not in STATUSES:
        return "quarantined", "unknown_status"
    if status != "Pending":
        return "not_candidate", None
    if device_type in HUBS:
        return "excluded", None
    if device_type not in TYPES:
        return "quarantined", "unknown_type"
    if since is None:
        return "quarantined", "missing_date"
    if since.date() > AS_OF:
        return "quarantined", "future_date"
    return ("delete" if add_months(since.date(), MONTHS) <= AS_OF else "not_due"), None


def judge(rows):
    """For each row: disposition, reason, alert and due date."""
    looks = [first_look(row) for row in rows]
    due_ids = Counter(canonical(row["device_id"]) for row, look in zip(rows, looks) if look[0] == "delete")
    judged = []
    for row, (disposition, reason) in zip(rows, looks):
        alert = due_on = None
        if disposition == "delete":
            device_id, role = canonical(row["device_id"]), row.get("notifying_role")
            alert = role == "ServiceUser" if role else row["device_type"] not in HUBS
            if device_id is None:
                reason = "bad_device_id"
            elif due_ids[device_id] > 1:
                reason = "duplicate_device_id"
            elif role not in (None, "ServiceUser", "CSP"):
                reason = "unknown_role"
            elif alert and not row["notifying_party"]:
                reason = "missing_party"
            if reason:
                disposition, alert = "quarantined", None
            else:
                due_on = add_months(row["status_since"].date(), MONTHS)
        judged.append({"disposition": disposition, "reason": reason, "alert": alert, "due_on": due_on})
    return judged
