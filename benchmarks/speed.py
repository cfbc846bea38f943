"""gpussl beside its peers: the same work on the same data, in turn, each time in a process of its own, three times.

Arguments: the rows of `peers.COMPARISONS` to measure, or none for all. A peer that takes over two minutes is run once.
Writes results/speed.csv, where rows that are not measured stay as they are.
"""

import csv
import importlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

from gpussl import environment, store
from gpussl.report.tables import to_csv

RESULTS = Path(__file__).parent / "results" / "speed.csv"
REPEATS, LONG_SECONDS = 3, 120
PACKAGES = ("numpy", "scikit-learn", "torch", "xgboost-cpu", "faiss-cpu", "scikit-learn-intelex")


def main(arguments):
    if arguments[:1] == ["--once"]:
        once(*arguments[1:])
        return
    from peers import COMPARISONS

    unknown = [name for name in arguments if name not in COMPARISONS]
    if unknown:
        print(f"gpussl: error: expected one of {', '.join(COMPARISONS)}, found {unknown[0]!r}", file=sys.stderr)
        sys.exit(2)
    rows = {}
    if RESULTS.is_file():
        with RESULTS.open(newline="") as lines:
            rows = {row["row"]: row for row in csv.DictReader(lines)}
    for name in arguments or COMPARISONS:
        rows[name] = compare(name, COMPARISONS[name])
        store.write_text(RESULTS, to_csv([rows[name] for name in COMPARISONS if name in rows]))
        show([rows[name]])
    show([rows[name] for name in COMPARISONS if name in rows])


def compare(name, comparison):
    """A row of the table: medians, and the median of the ratios of what was run in turn."""
    ours, peers = [], []
    for repeat in range(REPEATS):
        ours.append(measure(name, comparison.ours))
        if repeat == 0 or peers[0]["seconds"] <= LONG_SECONDS:
            peers.append(measure(name, comparison.peer))
    seconds = [peer["seconds"] * comparison.times for peer in peers]
    seconds += seconds[-1:] * (len(ours) - len(peers))
    return {
        "row": name,
        "work": comparison.work,
        "peer": comparison.peer,
        "at_least": comparison.at_least,
        "times_as_fast": round(statistics.median(b / a["seconds"] for a, b in zip(ours, seconds, strict=True)), 2),
        "seconds": round(statistics.median(run["seconds"] for run in ours), 3),
        "peer_seconds": round(statistics.median(seconds), 3),
        "quality": comparison.quality,
        "found": statistics.median(run["quality"] for run in ours),
        "peer_found": statistics.median(run["quality"] for run in peers),
        "no_worse": all(is_no_worse(comparison.quality, a["quality"], b["quality"]) for a in ours for b in peers),
        "peer_runs": len(peers),
        "versions": " ".join(f"{package}={version(package)}" for package in PACKAGES),
        "machine": " ".join(str(part) for part in environment.machine().values()),
        "commit": environment.git_commit(),
    }


def is_no_worse(quality, ours, peers):
    """Inertia within 0.1 %; accuracy within half a point, as far as 10,000 test images tell."""
    if quality == "inertia":
        return ours <= 1.001 * peers
    return ours >= peers - (0.005 if quality == "accuracy" else 0)


def measure(name, function):
    """Seconds and quality of one function in a process of its own."""
    command = [sys.executable, __file__, "--once", name, function]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | openblas())
    return json.loads(done.stdout.splitlines()[-1])


def openblas():
    """What NumPy's OpenBLAS takes this processor for, for all: that in faiss's wheel is too old to know new ones."""
    kinds = [pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    return {"OPENBLAS_CORETYPE": kinds[0]} if kinds else {}


def once(name, function):
    import peers

    comparison = peers.COMPARISONS[name]
    if comparison.data is not None:
        peers.load(comparison.data)
    if comparison.package is not None:
        importlib.import_module(comparison.package)
    start = time.perf_counter()
    quality = getattr(peers, function)()
    seconds = time.perf_counter() - start
    quality = quality() if callable(quality) else quality
    print(json.dumps({"seconds": seconds, "quality": float(f"{quality:.6g}")}))


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def show(rows):
    table = Table("work", "peer", "times as fast", "at least", "seconds", "peer's", "quality", "peer's", "no worse")
    for row in rows:
        cells = (
            "work",
            "peer",
            "times_as_fast",
            "at_least",
            "seconds",
            "peer_seconds",
            "found",
            "peer_found",
            "no_worse",
        )
        table.add_row(*(str(row[cell]) for cell in cells))
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
