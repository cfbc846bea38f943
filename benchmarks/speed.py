"""gpussl against its peers: the same work on the same data, alternately, three times, each run in its own process.

Arguments: [--device cpu|cuda] [ROW...], the rows of that device's COMPARISONS to measure, by default all. Work that
takes over two minutes is run once. Writes results/speed.csv, or for a GPU speed-<its name>.csv; rows that are not
measured keep their old values.
"""

import argparse
import csv
import importlib
import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

from gpussl import backend
from gpussl.errors import DeviceError
from gpussl.report.results import to_csv
from gpussl.runtime import environment, store

RESULTS = Path(__file__).parent / "results"
PEERS = {"cpu": "peers", "cuda": "peers_cuda"}  # modules that define the rows; importing the second needs a GPU
REPEATS, LONG_SECONDS = 3, 120
PACKAGES = (
    "numpy", "scikit-learn", "torch", "xgboost", "xgboost-cpu", "faiss-cpu", "scikit-learn-intelex", "cupy-cuda13x",
    "cuml-cu13",
)  # fmt: skip


def main(arguments):
    if arguments[:1] == ["--once"]:
        once(*arguments[1:])
        return
    parser = argparse.ArgumentParser("scripts/bench speed", description=__doc__, allow_abbrev=False)
    parser.error = fail  # one line, like the errors of gpussl
    parser.add_argument("--device", default="cpu")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    given = parser.parse_intermixed_args(arguments)
    expect([given.device], PEERS)
    try:
        twin, _ = backend.select(given.device)
    except DeviceError as error:
        fail(error)
    comparisons = importlib.import_module(PEERS[given.device]).COMPARISONS
    expect(given.rows, comparisons)
    path = table_of(twin)
    rows = read(path)
    for name in given.rows or comparisons:
        rows[name] = compare(twin, name, comparisons[name])
        columns = list(rows[name])  # a row written before a column existed leaves it empty
        ordered = [rows[name] for name in comparisons if name in rows]
        store.write_text(path, to_csv([{column: row.get(column) for column in columns} for row in ordered]))
        show([rows[name]])
    show([rows[name] for name in comparisons if name in rows])


def fail(message):
    print(f"gpussl: error: {message}", file=sys.stderr)
    sys.exit(2)


def expect(given, known):
    for name in given:
        if name not in known:
            fail(f"expected one of {', '.join(known)}, found {name!r}")


def table_of(twin):
    """The file with the results of a device: speed-a-gpu.csv for "cuda (A GPU)"."""
    if twin.DEVICE == "cpu":
        return RESULTS / "speed.csv"
    _, *words = re.findall("[a-z0-9]+", twin.device_name().lower())
    return RESULTS / f"speed-{'-'.join(words)}.csv"


def read(path):
    """The rows of a table by name; none if there is no table yet."""
    if not path.is_file():
        return {}
    with path.open(newline="") as lines:
        return {row["row"]: row for row in csv.DictReader(lines)}


def compare(twin, name, comparison):
    """A row of the table: median seconds of both sides, and the median ratio of alternating runs."""
    ours, peers = [], []
    for _ in range(REPEATS):
        for runs, side in ((ours, "ours"), (peers, "peer")):
            if not runs or runs[0]["seconds"] <= LONG_SECONDS:
                runs.append(measure(twin.DEVICE, name, side))
    # a single run stands for all repeats
    seconds = [run["seconds"] for run in ours * (REPEATS // len(ours))]
    peer_seconds = [comparison.times * run["seconds"] for run in peers * (REPEATS // len(peers))]
    return {
        "row": name,
        "work": comparison.work,
        "peer": comparison.peer.__name__,
        "at_least": comparison.at_least,
        "times_as_fast": round(statistics.median(b / a for a, b in zip(seconds, peer_seconds, strict=True)), 2),
        "seconds": round(statistics.median(seconds), 3),
        "peer_seconds": round(statistics.median(peer_seconds), 3),
        "quality": comparison.quality,
        "found": statistics.median(run["quality"] for run in ours),
        "peer_found": statistics.median(run["quality"] for run in peers),
        "no_worse": all(is_no_worse(comparison.quality, a["quality"], b["quality"]) for a in ours for b in peers),
        "runs": len(ours),
        "peer_runs": len(peers),
        "versions": " ".join(f"{package}={found}" for package in PACKAGES if (found := version(package))),
        "device": twin.device_name(),
        "machine": " ".join(str(part) for part in environment.machine().values()),
        "commit": commit(),
    }


@cache
def commit():
    """The commit, read once: writing the table makes the repository dirty."""
    return environment.git_commit()


def is_no_worse(quality, ours, peers):
    """Whether inertia is within 0.1 %, or accuracy within half a point, the resolution of 10,000 test images."""
    if quality == "inertia":
        return ours <= 1.001 * peers
    return ours >= peers - (0.005 if quality == "accuracy" else 0)


def measure(device, name, side):
    """Seconds and quality of one side of a comparison in a process of its own."""
    command = [sys.executable, __file__, "--once", device, name, side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | openblas())
    return json.loads(done.stdout.splitlines()[-1])


def openblas():
    """The processor type that NumPy's OpenBLAS detects, for all: the older one in faiss's wheel misjudges new ones."""
    kinds = [pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    return {"OPENBLAS_CORETYPE": kinds[0]} if kinds else {}


def once(device, name, side):
    """Seconds and quality; the data are on the device before the clock starts, and all its work is done at the end."""
    twin, _ = backend.select(device)
    comparison = importlib.import_module(PEERS[device]).COMPARISONS[name]
    if comparison.package is not None:
        importlib.import_module(comparison.package)
    work = getattr(comparison, side)
    data = [twin.asarray(part) for part in comparison.data()]
    if comparison.warm_up:  # the first call creates a GPU's context and kernels
        work(*(part[: comparison.warm_up] for part in data))
    twin.synchronize()
    start = time.perf_counter()
    quality = work(*data)
    twin.synchronize()
    seconds = time.perf_counter() - start
    quality = quality() if callable(quality) else quality
    print(json.dumps({"seconds": seconds, "quality": float(f"{quality:.6g}")}))


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def show(rows):
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("work, and the peer")
    for name in ("times as fast", "wanted", "seconds", "peer's", "no worse"):
        table.add_column(name, justify="right", no_wrap=name != "times as fast")
    for row in rows:
        numbers = (_short(row[name]) for name in ("times_as_fast", "at_least", "seconds", "peer_seconds"))
        table.add_row(f"{row['work']}: {row['peer']}", *numbers, "yes" if str(row["no_worse"]) == "True" else "no")
    Console().print(table)


def _short(text):
    if text == "":  # a row that was measured before a column existed
        return ""
    number = float(text)
    return f"{number:,.3g}" if number < 1000 else f"{number:,.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
