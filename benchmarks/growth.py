"""How the cost grows: seconds and memory of clustering, selecting and propagating, against rows and against clusters.

The script tiles Fashion-MNIST's training images with noise into IDX files of up to six million images. For each size it
runs the gpussl command in a process of its own, on the memory-mapped file and under a memory limit. k-means always runs
ten iterations, so that runs differ only in size. Writes results/growth.csv and docs/growth.png.

Argument: the rows of the largest file, by default six million.
"""

import json
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import peers
import yaml
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gpussl.data.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from gpussl.report.results import to_csv
from gpussl.runtime import config, environment, store

ROOT = Path(__file__).parent
MOST_ROWS, FEWEST_ROWS, FEWEST_CLUSTERS = 6_000_000, 60_000, 10
CLUSTERS = (10, 100, 1_000, 10_000)  # in the series with the fewest rows
OF_ROWS = 100  # clusters, in the series over rows
MEMORY_LIMIT = "2GB"
NOISE = 8  # largest whole number added to a pixel or subtracted from it
TILE_ROWS, N_FEATURES = 60_000, 784
STAGES = ("cluster", "select", "propagate")


def main(most_rows=str(MOST_ROWS)):
    if not most_rows.isdecimal() or int(most_rows) < FEWEST_ROWS:
        print(f"gpussl: error: expected a number of rows of at least {FEWEST_ROWS}, found {most_rows}", file=sys.stderr)
        sys.exit(2)
    most_rows = int(most_rows)
    rows = sorted({n for n in (FEWEST_ROWS, 10 * FEWEST_ROWS, most_rows) if n <= most_rows})
    sizes = [(n, OF_ROWS) for n in rows] + [(FEWEST_ROWS, k) for k in CLUSTERS if k != OF_ROWS]
    measured, commit = [], environment.git_commit()  # first: writing the table makes the repository dirty
    outputs = ROOT.parent / "outputs"
    outputs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=outputs) as folder:
        for n, k in sizes:
            write_tiled(Path(folder), n)
            measured.append(measure(Path(folder), n, k) | {"commit": commit})
            store.write_text(ROOT / "results" / "growth.csv", to_csv(measured))
    draw(measured, ROOT.parent / "docs" / "growth.png")
    show(measured)


def write_tiled(folder, n):
    """Write four IDX files with n training images; those after the first 60,000 are copies with noise."""
    dataset = peers.read("fashion_mnist")
    height, width = dataset.image_shape
    write_idx(folder / TEST_IMAGES, (len(dataset.X_test), height, width), [dataset.X_test])
    write_idx(folder / TEST_LABELS, (len(dataset.y_test),), [dataset.y_test])
    write_idx(folder / TRAIN_LABELS, (n,), [np.resize(dataset.y_train, n)])
    write_idx(folder / TRAIN_IMAGES, (n, height, width), tiles(dataset.X_train, n))


def tiles(X, n):
    rng = np.random.default_rng(0)
    for first in track(range(0, n, TILE_ROWS), f"tiling {n:,} images", transient=True):
        tile = X[: n - first].astype(np.int16)
        if first:
            tile += rng.integers(-NOISE, NOISE + 1, tile.shape, dtype=np.int16)
        yield np.clip(tile, 0, 255)


def write_idx(path, shape, blocks):
    with path.open("wb") as file:
        file.write(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape))
        for block in blocks:
            file.write(block.astype(np.uint8).tobytes())


def measure(folder, n, k):
    """Seconds of each stage and peak memory, from the command in a process of its own."""
    data = {"_target_": "gpussl.data.idx.IdxImages", "name": "tiled", "folder": str(folder)}
    data["class_names"] = [str(number) for number in range(10)]
    (folder / "conf" / "data").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "data" / "tiled.yaml").write_text(yaml.safe_dump(data))
    run = folder / f"run-{n}-{k}"
    command = [
        sys.executable, "-m", "gpussl", "--config-dir", str(folder / "conf"), "data=tiled", "device=cpu", "cache=null",
        f"cluster.n_clusters={k}", "cluster.max_iter=10", "classifier=[]", "allocate=true", f"hydra.run.dir={run}",
        f"memory_limit={MEMORY_LIMIT}",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    manifest = json.loads((run / "manifest.json").read_text())
    seconds = {stage["name"]: round(stage["seconds"], 2) for stage in manifest["stages"]}
    return {
        "rows": n,
        "clusters": k,
        **{stage: seconds[stage] for stage in STAGES},
        "seconds": round(sum(seconds[stage] for stage in STAGES), 2),
        "whole_run_seconds": round(manifest["seconds"], 2),
        "peak_memory_MB": round(manifest["peak_memory_bytes"] / 1e6),
        "memory_limit_MB": round(config.memory_limit(MEMORY_LIMIT) / 1e6),
        "features_as_float32_MB": round(n * N_FEATURES * 4 / 1e6),
        "machine": " ".join(str(part) for part in environment.machine().values()),
    }


def series(measured):
    """The measurements over rows, and those over clusters."""
    by_rows = [row for row in measured if row["clusters"] == OF_ROWS]
    by_clusters = sorted((row for row in measured if row["rows"] == FEWEST_ROWS), key=lambda row: row["clusters"])
    return {"rows": by_rows, "clusters": by_clusters}


def slope(measured, against):
    """Slope of a line fitted on logarithmic axes: 1 if the seconds grow in proportion."""
    x, y = (np.log([row[name] for row in measured]) for name in (against, "seconds"))
    return float(np.polyfit(x, y, 1)[0]) if len(measured) > 1 else math.nan


def show(measured):
    headings = {"rows": "rows", "clusters": "clusters", **dict(zip(STAGES, STAGES, strict=True)), "seconds": "seconds"}
    headings |= {"peak_memory_MB": "peak MB", "memory_limit_MB": "limit"}
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for row in measured:
        table.add_row(*(f"{row[column]:,}" for column in headings))
    Console().print(table)
    for against, of_series in series(measured).items():
        print(f"seconds against {against}: slope {slope(of_series, against):.2f} in logarithms")


def draw(measured, path):
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
        for axis, (against, of_series) in zip(axes, series(measured).items(), strict=True):
            x = [row[against] for row in of_series]
            axis.loglog(x, [row["seconds"] for row in of_series], "o-", label="seconds")
            axis.loglog(x, [row["peak_memory_MB"] / 1000 for row in of_series], "s--", label="peak memory, GB")
            axis.axhline(of_series[0]["memory_limit_MB"] / 1000, color="#555", linestyle=":", label="memory limit, GB")
            axis.set_xlabel(against)
            axis.set_title(f"seconds grow with slope {slope(of_series, against):.2f}", fontsize=10)
            axis.grid(alpha=0.3)
        axes[0].legend(frameon=False)
        figure.suptitle(f"cluster, select and propagate: {OF_ROWS} clusters; {FEWEST_ROWS:,} rows", fontsize=11)
        figure.savefig(path, dpi=110)
        plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
