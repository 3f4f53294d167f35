"""The modes of `bench-peers` that run things: `run`, `scaling` and `cold`."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from . import policies, stopwatch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ["duckdb", "polars", "datafusion", "clickhouse"]
LAYOUTS = ["L1", "L2", "L3"]
AS_OF = "2026-11-01"
PYTHON = [sys.executable, "-B"]  # no __pycache__ among the sources


def engine():
    """Our binary; SMI_SWEEP names another one."""
    path = Path(os.environ.get("SMI_SWEEP", ROOT / "target/release/smi-sweep"))
    if not path.exists():
        sys.exit(f"{path}: no such file; build it with `cargo build --release`, or give --only-peers")
    return path


def estate(args, layout, rows):
    """The folder of a layout, made where it is not there yet. A process of its own, to keep this one small."""
    folder = Path(args.dir) / f"{layout}-{rows}"
    subprocess.run([*PYTHON, HERE / "estate.py", layout, str(rows), str(args.seed), folder], check=True)
    return folder


def warm(folder):
    """Reads every file once, so that no run pays for the disk."""
    for path in sorted(folder.glob("*.parquet")):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


class Bench:
    """Runs sweeps of ours and of the peers into a scratch folder."""

    def __init__(self, scratch):
        self.scratch = Path(scratch)
        self.policy = policies.write("secmp0060", scratch)

    def fresh(self, name):
        """A path that does not exist."""
        out = self.scratch / name
        shutil.rmtree(out, ignore_errors=True)
        return out

    def ours(self, folder, threads, name="ours"):
        """One sweep of ours."""
        out = self.fresh(name)
        command = [engine(), "sweep", folder, "--policy", self.policy, "--as-of", AS_OF, "--out", out]
        return stopwatch.run([*command, "--threads", str(threads)])

    def peer(self, peer, folder, layout, threads):
        """One sweep of a peer. What counts is the smaller of the whole process and the job after its imports."""
        out = self.fresh(peer)
        out.mkdir()
        form = "text" if layout == "L1" else "bytes"
        job = [*PYTHON, HERE / f"job_{peer}.py", f"{folder.resolve()}/*.parquet", form, out, str(threads)]
        cost = stopwatch.run(job, {"POLARS_MAX_THREADS": str(threads), "TOKIO_WORKER_THREADS": str(threads)})
        cost.seconds = min(cost.wall, json.loads((out / "seconds.json").read_text()))
        return cost

    def same(self, left, right):
        """Whether two outputs say the same."""
        check = [*PYTHON, HERE / "check.py", self.scratch / left, self.scratch / right]
        return subprocess.run(check).returncode == 0


def median(costs, what):
    return statistics.median(getattr(cost, what) for cost in costs)


def line(name, costs, ratio=None):
    """One line of the table of results."""
    disturbed = sum(cost.others > 0.25 for cost in costs)
    note = f"   {disturbed} of {len(costs)} disturbed" if disturbed else ""
    ratio = f"{ratio:7.2f}x" if ratio else " " * 8
    print(
        f"  {name:<14}{median(costs, 'seconds'):>9.3f} s{median(costs, 'wall'):>9.3f} s{median(costs, 'cpu'):>9.2f} s"
        f"{median(costs, 'peak') / 1e6:>9.0f} MB {ratio}{note}",
        flush=True,
    )


HEAD = f"  {'':<14}{'counted':>11}{'process':>11}{'CPU':>11}{'peak':>12}   peer/ours"


def alternate(bench, args, folder, layout, peers):
    """Rounds of ours, peer, ours, peer, ...: each ratio is of two runs that follow each other."""
    ours, theirs, ratios = [], {peer: [] for peer in peers}, {peer: [] for peer in peers}
    for _ in range(args.rounds):
        for peer in peers:
            if not args.only_peers:
                ours.append(stopwatch.undisturbed(lambda: bench.ours(folder, args.threads)))
            theirs[peer].append(stopwatch.undisturbed(lambda: bench.peer(peer, folder, layout, args.threads)))
            if not args.only_peers:
                ratios[peer].append(theirs[peer][-1].seconds / ours[-1].seconds)
    return ours, theirs, ratios


def run(args):
    """The contest. Returns whether all outputs agree."""
    stopwatch.pin(args.threads)
    agree, record, best_of_all = True, [], {}
    folders = {layout: estate(args, layout, args.rows) for layout in args.layouts}
    with tempfile.TemporaryDirectory(prefix="bench-peers-", dir=args.dir) as scratch:
        bench = Bench(scratch)
        for layout, folder in folders.items():
            warm(folder)
            print(f"{layout}, {args.rows:,} rows, {args.threads} threads, {args.rounds} rounds, medians\n{HEAD}")
            ours, theirs, ratios = alternate(bench, args, folder, layout, args.peers)
            best = min(args.peers, key=lambda peer: median(theirs[peer], "seconds"))
            best_of_all[layout] = (best, theirs[best])
            if ours:
                line("smi-sweep", ours)
            for peer in args.peers:
                line(peer, theirs[peer], statistics.median(ratios[peer]) if ours else None)
            if ours:
                print(f"  best peer: {best}; ours is {statistics.median(ratios[best]):.2f} times as fast (paired median)")
            first, *others = args.peers if args.only_peers else ["ours", *args.peers]
            same = all([bench.same(first, other) for other in others])
            print(f"  outputs {'agree' if same else 'DIFFER'}: {first}, {', '.join(others)}\n", flush=True)
            agree &= same
            record.append({
                "layout": layout, "rows": args.rows, "threads": args.threads, "agree": same, "best_peer": best,
                "ours": [cost.as_dict() for cost in ours],
                "peers": {peer: [cost.as_dict() for cost in costs] for peer, costs in theirs.items()},
                "ratios": ratios,
            })  # fmt: skip
        if args.own_layout:
            record.append(own_layout(bench, args, next(iter(folders.values())), best_of_all))
            agree &= bench.same("ours", "own")
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1))
    return agree


def own_layout(bench, args, folder, best_of_all):
    """Ours on the layout that it recommends, against the best that any peer did on any layout."""
    target = Path(args.dir) / f"own-{args.rows}"
    shutil.rmtree(target, ignore_errors=True)
    made = stopwatch.run([engine(), "recluster", folder, "--out", target])
    warm(target)
    ours = [stopwatch.undisturbed(lambda: bench.ours(target, args.threads, "own")) for _ in range(args.rounds)]
    layout, (best, costs) = min(best_of_all.items(), key=lambda item: median(item[1][1], "seconds"))
    print(f"own layout, reclustered once in {made.wall:.1f} s\n{HEAD}")
    line("smi-sweep", ours)
    line(f"{best} {layout}", costs, median(costs, "seconds") / median(ours, "seconds"))
    return {"layout": "own", "recluster": made.as_dict(), "ours": [c.as_dict() for c in ours], "best": [best, layout]}


def scaling(args):
    """Ours over rows and threads."""
    record = []
    print(f"{'layout':<8}{'rows':>14}{'threads':>9}{'seconds':>10}{'ns/row':>9}{'CPU s':>9}{'peak MB':>9}")
    with tempfile.TemporaryDirectory(prefix="bench-peers-", dir=args.dir) as scratch:
        bench = Bench(scratch)
        for layout in args.layouts:
            for rows in args.rows_list:
                folder = estate(args, layout, rows)
                warm(folder)
                for threads in args.threads_list:
                    costs = [
                        stopwatch.undisturbed(lambda: bench.ours(folder, threads)) for _ in range(args.rounds)
                    ]
                    wall, cpu, peak = (median(costs, what) for what in ("wall", "cpu", "peak"))
                    print(
                        f"{layout:<8}{rows:>14,}{threads:>9}{wall:>10.3f}{wall / rows * 1e9:>9.2f}{cpu:>9.2f}"
                        f"{peak / 1e6:>9.0f}",
                        flush=True,
                    )
                    record.append({"layout": layout, "rows": rows, "threads": threads, "wall": wall, "peak": peak})
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1))
    return True


def evict(folder):
    """Drops the snapshot from the page cache; only what is already on disk can be dropped, hence the fsync."""
    for path in folder.glob("*.parquet"):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def cold(args):
    """What one sweep of ours reads from the disk, against what the five columns take up there."""
    print(f"{'layout':<8}{'rows':>14}{'seconds':>10}{'read MB':>10}{'columns MB':>12}{'files MB':>10}{'read/columns':>14}")
    with tempfile.TemporaryDirectory(prefix="bench-peers-", dir=args.dir) as scratch:
        bench = Bench(scratch)
        bench.ours(estate(args, args.layouts[0], args.rows), args.threads)  # so that the binary itself is cached
        for layout in args.layouts:
            folder = estate(args, layout, args.rows)
            sizes = subprocess.run([*PYTHON, HERE / "chunks.py", folder], check=True, stdout=subprocess.PIPE)
            needed = sum(json.loads(sizes.stdout).values())
            whole = sum(path.stat().st_size for path in folder.glob("*.parquet"))
            evict(folder)
            cost = bench.ours(folder, args.threads)
            read = f"{cost.read / 1e6:>10.1f}" if cost.read else f"{'none seen':>10}"
            print(
                f"{layout:<8}{args.rows:>14,}{cost.wall:>10.3f}{read}{needed / 1e6:>12.1f}{whole / 1e6:>10.1f}"
                f"{cost.read / needed:>14.3f}",
                flush=True,
            )
    return True
