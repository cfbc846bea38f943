"""gpussl's classifiers against scikit-learn's and XGBoost's defaults where labels are few, on the same labels.

Each row of results/few.csv is one draw of labels: test accuracy in percent of each classifier, and the seconds that
`auto` took. A row that is there already is not made again, so an interrupted benchmark goes on.
"""

import argparse
import csv
import functools
import multiprocessing
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from few_sets import SETS
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from gpussl import seeds
from gpussl.classifier.auto import AutoClassifier
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.cluster.kmeans import KMeans
from gpussl.errors import GpusslError
from gpussl.records import Answers
from gpussl.report.results import to_csv
from gpussl.report.sweep import half_width
from gpussl.runtime import store
from gpussl.select.nearest_to_centroid import NearestToCentroid

RESULTS = Path(__file__).parent / "results" / "few.csv"
KEY = ("data", "labels", "select", "seed")
LABELS, SELECTIONS = (10, 20, 50, 100, 200, 500), ("random", "representatives")
OURS = {
    "logistic": LogisticRegression,
    "mlp": MLPClassifier,
    "xgboost": XGBClassifier,
    "knn": KNeighborsClassifier,
    "auto": AutoClassifier,
}
PEER = {"logistic": "sk_logistic", "mlp": "sk_mlp", "xgboost": "xgb", "knn": "sk_knn", "auto": "sk_chosen"}


def peers(seed):
    """Other people's classifiers as they come; `sk_chosen` is the best of three by plain cross-validation."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import Pipeline
    from xgboost import XGBClassifier

    chosen = GridSearchCV(
        Pipeline([("model", LogisticRegression())]),
        {"model": [LogisticRegression(), ExtraTreesClassifier(random_state=seed), KNeighborsClassifier(1)]},
        cv=KFold(5, shuffle=True, random_state=seed),
    )
    return {
        "sk_logistic": LogisticRegression(),
        "sk_mlp": MLPClassifier(random_state=seed),
        "xgb": XGBClassifier(random_state=seed, n_jobs=1),
        "sk_knn": KNeighborsClassifier(),
        "sk_chosen": chosen,
    }


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench few", description=__doc__)
    parser.add_argument("--data", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--labels", nargs="+", type=int, default=list(LABELS))
    parser.add_argument("--seeds", type=int, default=10, help="0 to show what is there")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    rows = read(asked.results)
    asked.data = [data for data in asked.data if asked.seeds and can_load(data)]
    done = {tuple(row[name] for name in KEY) for row in rows}
    for seed in range(asked.seeds):  # seed by seed, so that what is there after an interruption is balanced
        for data in asked.data:
            loaded(data)  # here, so that the processes below share it
            cases = [(data, n, select, seed) for n in asked.labels for select in SELECTIONS]
            open_ones = [case for case in cases if tuple(map(str, case)) not in done]
            rows += in_parallel(measure, open_ones, f"{data}, seed {seed}")
            store.write_text(asked.results, to_csv(sorted(rows, key=order)))
    show(rows)


def can_load(data):
    try:
        loaded(data)
    except GpusslError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def read(path):
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def order(row):
    return (list(SETS).index(row["data"]), int(row["labels"]), row["select"], int(row["seed"]))


def in_parallel(measure, cases, description):
    """The rows of all cases, one single-threaded process for each core; none for a case that cannot be."""
    if not cases:
        return []
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        made = pool.imap_unordered(functools.partial(alone, measure), cases, chunksize=1)
        return [row for row in track(made, total=len(cases), description=description) if row]


def alone(measure, case):
    import torch

    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure(*case)


@functools.lru_cache(1)
def loaded(data):
    return SETS[data]()


def measure(data, n, select, seed):
    """One row, or None if there are too few points, or labels of one class only."""
    points = loaded(data)
    if n > 0.8 * len(points.X):
        return None
    bought = choose(points.X, n, select, seed)
    X, y = points.X[bought], points.y[bought]
    classes, numbers = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        return None
    row = dict(zip(KEY, map(str, (data, n, select, seed)), strict=True))
    models = {name: make().prepared(seed, None, "cpu") for name, make in OURS.items()} | peers(seed)
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(X, numbers)
        if name == "auto":
            row["auto_seconds"] = f"{time.perf_counter() - start:.2f}"
        row[name] = f"{100 * np.mean(classes[model.predict(points.X_test)] == points.y_test):.2f}"
    return row


def choose(X, n, select, seed):
    """The points to label: random ones, or those nearest the centroids of as many clusters."""
    if select == "random":
        return np.sort(seeds.generator(seed, f"few/{n}").permutation(len(X))[:n])
    clustering = KMeans(n_clusters=n).fit(X, seed)
    none = Answers(np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    return NearestToCentroid().select(X, clustering, none, None, seed)


def cell_means(rows, name):
    """{(data, labels, select): mean accuracy over seeds}."""
    cells = {}
    for row in rows:
        cells.setdefault((row["data"], int(row["labels"]), row["select"]), []).append(float(row[name]))
    return {cell: float(np.mean(values)) for cell, values in cells.items()}


def by_labels(means):
    """Our mean and the peer's, for each number of labels."""
    table = Table(title="the same by number of labels: ours, and the peer's", box=box.SIMPLE)
    for head in ("classifier", *map(str, LABELS)):
        table.add_column(head)
    for name, peer in PEER.items():
        cells = []
        for n in LABELS:
            both = [[mean for (_, labels, _), mean in means[one].items() if labels == n] for one in (name, peer)]
            cells.append(" ".join(f"{np.mean(values):.1f}" for values in both if values))
        table.add_row(name, *cells)
    return table


def difference(rows, name, peer):
    """The mean difference with its 95 % interval over seeds."""
    by_seed = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(float(row[name]) - float(row[peer]))
    means = [float(np.mean(gaps)) for gaps in by_seed.values()]
    half = half_width(means)
    return f"{np.mean(means):+.2f}" + ("" if half is None else f" ± {half:.2f}")


def show(rows):
    """Each classifier beside its peer: means over cells, cells won, and the worst cell."""
    console = Console()
    title = f"{len(rows):,} draws of labels: test accuracy in percent, mean over cells of data, labels and selection"
    table = Table(title=title, box=box.SIMPLE)
    for head in ("classifier", "its mean", "peer", "its mean", "difference", "cells above", "worst cell"):
        table.add_column(head)
    means = {name: cell_means(rows, name) for name in (*OURS, *PEER.values())}
    cells = list(means["auto"])
    for name, peer in PEER.items():
        gaps = {cell: means[name][cell] - means[peer][cell] for cell in cells}
        worst = min(gaps, key=gaps.get)
        table.add_row(
            name,
            f"{np.mean(list(means[name].values())):.2f}",
            peer,
            f"{np.mean(list(means[peer].values())):.2f}",
            difference(rows, name, peer),
            f"{sum(gap > 0 for gap in gaps.values())} of {len(cells)}",
            f"{gaps[worst]:+.1f} {' '.join(map(str, worst))}",
        )
    console.print(table)
    console.print(by_labels(means))
    single = [name for name in OURS if name != "auto"]
    behind = {cell: means["auto"][cell] - max(means[name][cell] for name in single) for cell in cells}
    worst = min(behind, key=behind.get)
    best = max(single, key=lambda name: np.mean(list(means[name].values())))
    console.print(
        f"auto against the best single one on the mean ({best}): "
        f"{np.mean(list(means['auto'].values())) - np.mean(list(means[best].values())):+.2f}; against the best in each "
        f"cell: {np.mean(list(behind.values())):+.2f} on the mean, {behind[worst]:+.1f} at worst "
        f"({' '.join(map(str, worst))}); cells more than 4 behind: {sum(gap < -4 for gap in behind.values())}"
    )
    of_200 = [row for row in rows if row["labels"] == "200"]
    if of_200:
        slow = max(of_200, key=lambda row: float(row["auto_seconds"]))
        console.print(f"auto with 200 labels: at most {slow['auto_seconds']} s ({slow['data']})")
    of_digits = [float(row["mlp"]) for row in rows if [row[name] for name in KEY[:3]] == ["digits", "50", "random"]]
    if len(of_digits) > 1:
        deviation = np.std(of_digits, ddof=1)
        console.print(f"mlp, digits, 50 random labels: {np.mean(of_digits):.1f}, standard deviation {deviation:.1f}")


if __name__ == "__main__":
    main()
