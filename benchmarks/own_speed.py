"""Seconds and memory of the commands for a person's own data, on data of a size that hurts.

    pictures   60,000 PNG files of 28 x 28 pixels, made of Fashion-MNIST: choose, the first time and again
    photos     JPEG files of 12 megapixels: choose
    table      a CSV file of 1,000,000 rows and 20 columns: choose, learn and predict

Each command runs as a person would run it, in a process of its own, with an empty cache. Beside the seconds to read
pictures are those of a plain loop of Pillow in as many processes, right before. Rows of results/own_speed.csv of other
data than those named are kept.
"""

import argparse
import csv
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from few import read
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

from gpussl.report.results import to_csv
from gpussl.runtime import config, store

RESULTS = Path(__file__).parent / "results" / "own_speed.csv"
N_ROWS, N_PHOTOS, N_SHAPES = 1_000_000, 2_000, 50
GB = 2**30


def main():
    kinds = {"pictures": pictures, "photos": photos, "table": table}
    parser = argparse.ArgumentParser(prog="scripts/bench own-speed", description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", help=f"of {', '.join(kinds)}; all by default")
    asked = parser.parse_args().data or list(kinds)
    if set(asked) - set(kinds):
        parser.error(f"expected {', '.join(kinds)}, found {', '.join(sorted(set(asked) - set(kinds)))}")
    rows = [row for row in read(RESULTS) if row["data"] not in asked]
    for name in asked:
        with tempfile.TemporaryDirectory(prefix="gpussl-own-") as folder:
            found = kinds[name](Path(folder))
        rows += [
            {"data": name, "what": what, "found": f"{value:.2f}", "wanted": wanted} for what, value, wanted in found
        ]
        store.write_text(RESULTS, to_csv(rows))
    show(rows)


def pictures(folder):
    data = config.job("data=fashion_mnist", "classifier=[knn]", "cluster.n_clusters=10").data.load()
    images = np.asarray(data.X_train).reshape(-1, *data.image_shape)
    (folder / "photos").mkdir()
    for place in np.random.default_rng(0).permutation(len(images)).tolist():
        Image.fromarray(images[place]).save(folder / "photos" / f"{place:05}.png")
    bare = plain_loop(folder / "photos", plain)
    first = run(folder, "choose", "photos", "n_labels=300", "project=first.gpussl")
    again = run(folder, "choose", "photos", "n_labels=300", "project=again.gpussl")
    return [
        ("seconds to read, plain loop of Pillow", bare, ""),
        ("seconds to read, first time", first.stages["load"], ""),
        ("read first time / plain loop", first.stages["load"] / bare, "1.2"),
        ("seconds to read again", again.stages["load"], "3"),
        ("seconds of choose, first time", first.seconds, "90"),
        ("seconds of choose again", again.seconds, "10"),
    ]


def photos(folder):
    (folder / "photos").mkdir()
    for shape in range(N_SHAPES):
        photo(shape).save(folder / f"{shape}.jpg", quality=90)
    for number in range(N_PHOTOS):  # as many files; each is decoded anew
        os.link(folder / f"{number % N_SHAPES}.jpg", folder / "photos" / f"{number:04}.jpg")
    bare = plain_loop(folder / "photos", converted)
    ours = run(folder, "choose", "photos", "n_labels=50").stages["load"]
    return [
        ("seconds to open, convert and resize", bare, ""),
        ("seconds to read", ours, ""),
        ("open, convert and resize / read", bare / ours, "3"),
    ]


def photo(seed):
    """A picture of 4,000 x 3,000 pixels: smooth colours with the grain of a camera."""
    rng = np.random.default_rng(seed)
    colours = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((4000, 3000), Image.BICUBIC)
    grain = rng.integers(-6, 7, (3000, 4000, 1))
    return Image.fromarray(np.clip(np.asarray(colours) + grain, 0, 255).astype(np.uint8))


def table(folder):
    write_table(folder / "rows.csv", 0)
    write_table(folder / "new.csv", 1)
    chosen = run(folder, "choose", "rows.csv", "data.id=id", "n_labels=200")
    with (folder / "rows.gpussl" / "rounds" / "1" / "to_label.csv").open(newline="") as file:
        asked = list(csv.DictReader(file))
    labels = [(row["id"], "high" if float(row["number 0"]) + float(row["number 1"]) > 0 else "low") for row in asked]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *labels])
    run(folder, "label", "rows.gpussl", "labels.csv")
    learnt = run(folder, "learn", "rows.gpussl")
    predicted = run(folder, "predict", "rows.gpussl", "new.csv", "output=out.csv")
    return [
        ("seconds of choose", chosen.seconds, "90"),
        ("GB of choose", chosen.peak / GB, "4"),
        ("seconds of learn", learnt.seconds, ""),
        ("GB of learn", learnt.peak / GB, ""),
        ("thousand rows a second of predict, start included", N_ROWS / predicted.seconds / 1000, "100"),
        ("GB of predict", predicted.peak / GB, ""),
    ]


def write_table(path, seed):
    """15 columns of numbers, one of them with gaps, three of categories, and a date, beside the id."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.arange(N_ROWS)})
    for number in range(15):
        frame[f"number {number}"] = rng.normal(size=N_ROWS).round(4)
    frame.loc[rng.random(N_ROWS) < 0.1, "number 3"] = None
    for number, size in enumerate((3, 12, 60)):
        frame[f"kind {number}"] = np.array([f"k{value}" for value in range(size)])[rng.integers(0, size, N_ROWS)]
    frame["date"] = (np.datetime64("2020-01-01") + rng.integers(0, 2000, N_ROWS)).astype(str)
    frame.to_csv(path, index=False)


class run:
    """A command of gpussl: its seconds, its peak memory in bytes, and the seconds of its stages."""

    def __init__(self, folder, *arguments):
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        start = time.perf_counter()
        with (folder / "said.txt").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "gpussl", *arguments], cwd=folder, env=environment, stdout=said, stderr=said
            )
            _, status, usage = os.wait4(process.pid, 0)
        self.seconds, self.peak = time.perf_counter() - start, 1024 * usage.ru_maxrss
        text = (folder / "said.txt").read_text()
        if status:
            sys.exit(f"gpussl {' '.join(arguments)}: expected it to end with 0, found:\n{text}")
        self.stages = {name: float(seconds) for name, seconds in re.findall(r"^(\w+)[ \w]* +([\d.]+) s ", text, re.M)}


def plain_loop(folder, one):
    """Seconds of a plain loop over all files in as many processes as there are cores."""
    paths = sorted(map(str, folder.iterdir()))
    with multiprocessing.get_context("forkserver").Pool(os.cpu_count()) as pool:
        pool.map(one, paths[:1])
        start = time.perf_counter()
        pool.map(one, paths, chunksize=64)
        return time.perf_counter() - start


def plain(path):
    return np.asarray(Image.open(path).convert("L"))


def converted(path):
    return np.asarray(Image.open(path).convert("RGB").resize((64, 48)))


def show(rows):
    shown = Table(box=box.SIMPLE, title="a person's own data: what the commands cost")
    for name in ("data", "what", "found", "wanted"):
        shown.add_column(name, justify="right" if name in ("found", "wanted") else "left")
    for row in rows:
        shown.add_row(*(row[name] for name in ("data", "what", "found", "wanted")))
    Console().print(shown)


if __name__ == "__main__":
    sys.path.insert(0, os.fspath(Path(__file__).parent))
    main()
