"""The built-in policies as files with their guards out of the way.

A guard stops a sweep that would delete more than change control expects, which is right for an estate and wrong for a
benchmark or a comparison: there the number of deletions is the point.
"""

from pathlib import Path

BUILT_IN = {  # name: months, excluded types
    "pre-change": (12, []),
    "scr137": (36, []),
    "secmp0060": (12, ["CommsHub"]),
}


def write(name, folder):
    """Writes the policy as a file and returns its path."""
    months, excluded = BUILT_IN[name]
    path = Path(folder).resolve() / f"{name}.toml"
    path.write_text(f"""\
name = "{name}"
version = 1
candidate_statuses = ["Pending"]
boundary = "date"

[threshold]
default = {months}

[exclude]
types = [{", ".join(f'"{t}"' for t in excluded)}]

[alerts]
code = "N8"
silent_types = ["CommsHub"]

[guard]
max_deletes = 1000000000000
max_delete_share = 1.0
max_quarantined = 1000000000000
""")
    return path
