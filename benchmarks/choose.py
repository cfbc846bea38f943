"""What choosing is worth: the accuracy with chosen labels less that with as many random labels of the same draw.

Each row of results/choose.csv is one draw: a data set, a number of labels, a selection, a learner, and the accuracy in
percent on up to 5,000 points of which these are labelled, without them. Points are represented as `gpussl choose` does
by default: gradients of pictures, TF-IDF weights of words, standardised columns. Draws that are there already are not
made again.
"""

import argparse
import functools
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from few import in_parallel, read
from few_sets import SETS
from rich import box
from rich.console import Console
from rich.table import Table
from trust import points_of

from gpussl import seeds
from gpussl.backend import cpu
from gpussl.classifier.auto import AutoClassifier
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.cluster.kmeans import KMeans
from gpussl.cluster.none import NoClustering
from gpussl.errors import GpusslError
from gpussl.propagate.graph import GraphPropagation
from gpussl.propagate.neighbor_graph import neighbor_graph, neighbors
from gpussl.records import Answers, Dataset
from gpussl.report.results import to_csv
from gpussl.report.sweep import half_width
from gpussl.runtime import config, store
from gpussl.select.coverage import Coverage
from gpussl.select.doubtful import Doubtful
from gpussl.select.herding import Herding
from gpussl.select.nearest_to_centroid import NearestToCentroid
from gpussl.select.typical import Typical
from gpussl.tasks import own, prepare
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.own import OwnPoints

RESULTS = Path(__file__).parent / "results" / "choose.csv"
DATA = ("digits", "mnist", "fashion_mnist", "letters", "shuttle", "spam", "dna", "reviews", "rare")
LABELS = (10, 20, 50, 100, 200, 500)
KEY = ("data", "labels", "seed")
LEARNERS = ("nearest", "logistic", "spreading", "auto")
MOST = 5_000  # points
NOTHING = Answers(np.array([], dtype=np.int64), np.array([], dtype=np.int64))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench choose", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=[*SETS, "shuttle", "rare"], default=list(DATA))
    parser.add_argument("--labels", nargs="+", type=int, default=list(LABELS))
    parser.add_argument("--draws", type=int, default=30, help="0 to show what is there")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    rows = read(asked.results)
    done = {tuple(row[name] for name in KEY) for row in rows}
    for data in asked.data:
        cases = [
            (data, n, seed, tuple(asked.learners))
            for seed in range(asked.draws)
            for n in asked.labels
            if (data, str(n), str(seed)) not in done
        ]
        for found in in_parallel(draw, cases, data):
            rows += found
        rows.sort(key=lambda row: ([*DATA, *SETS].index(row["data"]), int(row["labels"]), int(row["seed"])))
        store.write_text(asked.results, to_csv(rows))
    show(rows)


@functools.lru_cache(1)
def prepared(data):
    """Represented points (n, d), their classes (n,), and the graph of nearest neighbours."""
    X, y, shape = rare() if data == "rare" else points_of(data)
    some = np.sort(seeds.generator(0, "choose").permutation(len(X))[:MOST])
    X, y = X[some], y[some]
    names = [str(place) for place in range(len(X))]
    dataset = Dataset(data, X, train_ids=names, image_shape=shape, max_value=1.0 if shape else None)
    basis = "+experiment=own_data", "data=digits", "task=learn", "cache=null", "device=cpu", "project=mine.gpussl"
    job = config.job(*basis, *(() if shape else ("represent=[pixels]",)))
    run_on = prepare.Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())
    represented = np.asarray(own.represent(run_on, OwnPoints(dataset, names, np.arange(len(X)))).X_train)
    return represented, y, neighbor_graph(neighbors(represented, 10))


def rare():
    """Eight classes of two blobs each in twelve dimensions; the rarest has one point in a hundred."""
    rng = seeds.generator(0, "choose/rare")
    shares = np.array([0.4, 0.2, 0.13, 0.1, 0.08, 0.05, 0.03, 0.01])
    blob = rng.choice(16, MOST, p=np.repeat(shares, 2) / 2)
    X = rng.normal(size=(16, 12))[blob] * 1.6 + rng.normal(size=(MOST, 12))
    return X.astype(np.float32), blob // 2, None


def selections(n):
    return {
        "representatives": NearestToCentroid(),
        "typical": Typical(),
        "coverage": Coverage(n),
        "spread": Doubtful(n),
        "herding": Herding(n),
    }


def draw(data, n, seed, learners):
    """The rows of one draw."""
    warnings.simplefilter("ignore")
    X, y, graph = prepared(data)
    chosen = {"random": np.random.default_rng([seed, n]).permutation(len(X))[:n]}
    clusters = {True: KMeans(n_clusters=n).fit(X, seed), False: NoClustering().fit(X, seed)}
    for name, selection in selections(n).items():
        chosen[name] = np.asarray(selection.select(X, clusters[selection.one_per_cluster], NOTHING, None, seed))
    rows = []
    for name, places in chosen.items():
        places = np.sort(places)
        rest = np.setdiff1d(np.arange(len(X)), places)
        for learner in learners:
            right = said(learner, X, graph, places, y[places], rest, seed) == y[rest]
            rows.append(
                dict(zip(KEY, (data, str(n), str(seed)), strict=True))
                | {"select": name, "learner": learner, "classes": str(len(np.unique(y[places])))}
                | {"accuracy": f"{100 * right.mean():.2f}"}
            )
    return rows


def said(learner, X, graph, places, labels, rest, seed):
    """The classes of the rest, by a learner of the labels of some places."""
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) == 1:
        return np.full(len(rest), classes[0])
    if learner == "spreading":
        return classes[GraphPropagation().class_shares(graph, places, numbers, len(classes))[rest].argmax(axis=1)]
    model = {"nearest": KNeighborsClassifier(1), "logistic": LogisticRegression(), "auto": AutoClassifier()}[learner]
    model = model.prepared(seed, None, "cpu").fit(X[places], numbers, groups=places)
    return classes[np.asarray(model.predict(X[rest]))]


def show(rows):
    """The paired gains over random labels, with the learner that is the better one with random labels."""
    console = Console()
    for data in dict.fromkeys(row["data"] for row in rows):
        table = Table("labels", "draws", "learner", "random", *selections(1), box=box.SIMPLE, title=data)
        for n in sorted({int(row["labels"]) for row in rows if row["data"] == data}):
            of = {
                (row["select"], row["learner"], int(row["seed"])): float(row["accuracy"])
                for row in rows
                if (row["data"], row["labels"]) == (data, str(n))
            }
            means = {
                learner: np.mean([value for (name, one, _), value in of.items() if (name, one) == ("random", learner)])
                for learner in {learner for _, learner, _ in of}
            }
            best = max(means, key=means.get)
            draws = sorted({seed for name, learner, seed in of if learner == best})
            cells = [
                gain([of[name, best, seed] - of["random", best, seed] for seed in draws]) for name in selections(1)
            ]
            table.add_row(str(n), str(len(draws)), best, f"{means[best]:.1f}", *cells)
        console.print(table)


def gain(differences):
    half = half_width(differences)
    return f"{np.mean(differences):+.1f}" + ("" if half is None else f" ± {half:.1f}")


if __name__ == "__main__":
    try:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        main()
    except GpusslError as error:
        sys.exit(f"gpussl: error: {error}")
