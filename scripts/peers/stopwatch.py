"""Runs a command and says what it cost, as the operating system counts it.

Standard library only: a child's peak memory is never below its parent's at the fork, so the parent must stay small.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass

TICK = os.sysconf("SC_CLK_TCK")
DISTURBED = 0.10  # of one core
RETRIES = 4


@dataclass
class Cost:
    """One run: seconds, bytes, and the share of one core that other processes used meanwhile."""

    wall: float
    cpu: float
    peak: int
    read: int
    others: float
    seconds: float = 0.0  # what is compared: for a peer, without its interpreter's start

    def as_dict(self):
        return asdict(self)


def busy():
    """Seconds that all cores together have been busy since the system started; 0 where the system does not say."""
    try:
        with open("/proc/stat") as stat:
            user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq + steal) / TICK


def own():
    """This process's own CPU seconds."""
    times = os.times()
    return times.user + times.system


def run(command, env=None):
    """Runs a command to its end; stops the script, with what the command said, where it fails."""
    with tempfile.TemporaryFile() as said:
        before, mine, start = busy(), own(), time.perf_counter()
        child = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        others = max(0.0, busy() - before - cpu - (own() - mine)) / wall
        if child.returncode != 0:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-4000:])
            sys.exit(f"{command[0]}: exit {child.returncode}: {' '.join(map(str, command))}")
    return Cost(wall, cpu, usage.ru_maxrss * 1024, usage.ru_inblock * 512, others, wall)


def undisturbed(once):
    """Repeats a run that other processes disturbed, up to `RETRIES` times; the least disturbed one counts."""
    best = None
    for _ in range(1 + RETRIES):
        cost = once()
        # /proc/stat counts whole ticks on each core, so a short run is always off by a few.
        noise = DISTURBED + 4 / TICK / cost.wall
        if best is None or cost.others < best.others:
            best = cost
        if cost.others <= noise:
            break
    return best


def pin(cores):
    """Keeps this process and its children on so many cores, so that no peer can use more than it was told to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
