"""Whether the forecasts of `gpussl learn` hold: made from n random labels for 2 n and 4 n, against what these give.

Each row of results/trust_forecasts.csv is one forecast: a data set, a classifier, n labels, one draw of them. The truth
is the mean accuracy of the classifier over twenty draws of as many labels, on up to 4,000 other points. `noise` is the
width of a 90 % interval of the accuracy with n labels if these had no other error than a binomial one. Images and texts
are given as 50 principal components. A row that is there already is not made again. Where models of a quarter of the
labels are no better than always saying the commonest class, `learn` makes no forecast: its cells are empty.
"""

import argparse
import functools
import os
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from few import in_parallel, read
from few_sets import SETS
from rich import box
from rich.console import Console
from rich.table import Table
from trust import points_of

from gpussl.errors import GpusslError
from gpussl.evaluate.learning_curve import Z
from gpussl.records import Answers, Dataset
from gpussl.report.results import to_csv
from gpussl.runtime import config, store
from gpussl.tasks import choose, estimate, own, prepare
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.own import OwnPoints

RESULTS = Path(__file__).parent / "results" / "trust_forecasts.csv"
DATA = ("mnist", "fashion_mnist", "letters", "shuttle", "spam", "reviews")
CLASSIFIERS, LABELS, AHEAD = ("logistic", "knn"), (200, 500, 1000), (2, 4)
KEY = ("data", "classifier", "n", "seed")
N_DRAWS, N_SCORED, N_COMPONENTS = 20, 4000, 50
MOST = 0.9  # of the points may be labelled


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench forecasts", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=[*SETS, "shuttle"], default=list(DATA))
    parser.add_argument("--seeds", type=int, default=60, help="0 to show what is there")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    rows = read(asked.results)
    done = {tuple(row[name] for name in KEY) for row in rows}
    for data in asked.data:
        cases = [
            (data, classifier, n, seed)
            for classifier in CLASSIFIERS
            for n in LABELS
            for seed in range(asked.seeds)
            if (data, classifier, str(n), str(seed)) not in done and AHEAD[0] * n <= MOST * len(points(data)[1])
        ]
        sizes = sorted({(data, classifier, size) for _, classifier, n, _ in cases for size in ahead_of(data, n)})
        truths = dict(in_parallel(truth, sizes, f"{data}: truth"))
        for found in in_parallel(functools.partial(forecasts, truths), cases, data):
            rows += found
        store.write_text(asked.results, to_csv(rows))
    show(rows)


def ahead_of(data, n):
    """The numbers of labels whose accuracy is of interest, n itself first."""
    return [n, *(times * n for times in AHEAD if times * n <= MOST * len(points(data)[1]))]


@functools.lru_cache(1)
def points(data):
    """Points (n, d) and their classes (n,)."""
    X, y, _ = points_of(data)
    if X.shape[1] > 200:
        centred = X - X.mean(axis=0)
        axes = np.linalg.svd(centred[: 60 * N_COMPONENTS], full_matrices=False)[2][:N_COMPONENTS]
        X = (centred @ axes.T).astype(np.float32)
    return X, y


@functools.lru_cache(2)
def context(data, classifier):
    X, _ = points(data)
    names = [str(place) for place in range(len(X))]
    found = OwnPoints(Dataset(data, X, train_ids=names), names, np.arange(len(X)))
    basis = "+experiment=own_data", "data=digits", "task=learn", "cache=null", "device=cpu", "project=mine.gpussl"
    job = config.job(*basis, f"classifier=[{classifier}]", "represent=[pixels]", "propagate=[none]")
    from gpussl.backend import cpu

    run_on = prepare.Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())
    return run_on, own.represent(run_on, found)


def answers_of(data, places):
    classes, numbers = np.unique(points(data)[1][places], return_inverse=True)  # a project knows what was seen
    return Answers(np.asarray(places), numbers), classes


def truth(data, classifier, size):
    """The mean accuracy with so many random labels, as a share, by what it is of."""
    run_on, prepared = context(data, classifier)
    X, y = points(data)
    found = []
    for draw in range(N_DRAWS):
        order = np.random.default_rng([draw, size]).permutation(len(X))
        answers, classes = answers_of(data, np.sort(order[:size]))
        with run_on.monitor.stage("train", run_on.twin):
            model = choose.fitted(run_on, prepared, answers)
        scored = order[size : size + N_SCORED]
        found.append(np.mean(classes[model.predict(X[scored])] == y[scored]))
    return (data, classifier, size), float(np.mean(found))


def forecasts(truths, data, classifier, n, seed):
    """The rows of one draw of labels."""
    warnings.simplefilter("ignore")
    run_on, prepared = context(data, classifier)
    places = np.sort(np.random.default_rng([seed, n, 1]).permutation(len(points(data)[1]))[:n])
    answers, _ = answers_of(data, places)
    sample = Counter(places.tolist())
    checked = estimate.check_accuracy(run_on, sample, prepared, answers, None)
    found = estimate.forecast(run_on, sample, prepared, answers, None, checked)
    now = truths[data, classifier, n]
    by_size = {item.n_labels: item for item in found.forecasts} if found is not None else {}
    return [
        {
            "data": data, "classifier": classifier, "n": str(n), "seed": str(seed), "labels": str(size),
            "truth": percent(truths[data, classifier, size]), "noise": percent(2 * Z * (now * (1 - now) / n) ** 0.5),
            **said(by_size.get(size)),
        }
        for size in ahead_of(data, n)[1:]
    ]  # fmt: skip


def said(item):
    """A forecast in percent; empty cells if there is none."""
    if item is None:
        return {"forecast": "", "low": "", "high": ""}
    return {"forecast": percent(item.accuracy), "low": percent(item.low), "high": percent(item.high)}


def percent(share):
    return f"{100 * share:.2f}"


def show(rows):
    names = ("data", "classifier", "n", "forecasts", "held, %", "truth below, %", "width", "over noise", "error")
    table = Table(*names, box=box.SIMPLE, title="90 % intervals of the accuracy with 2 n labels")
    for times in AHEAD:
        held, ratios = {}, {}
        chosen = [row for row in rows if int(row["labels"]) == times * int(row["n"]) and row["forecast"]]
        for key in dict.fromkeys((row["data"], row["classifier"], row["n"]) for row in chosen):
            of_key = [row for row in chosen if (row["data"], row["classifier"], row["n"]) == key]
            low, high, true, noise, said = (
                np.array([float(row[name]) for row in of_key]) for name in ("low", "high", "truth", "noise", "forecast")
            )
            held[key] = (low <= true) & (true <= high)
            ratios[key] = (high - low).mean() / noise.mean()
            if times == AHEAD[0]:
                shares = (f"{100 * np.mean(of):.0f}" for of in (held[key], true < low))
                numbers = f"{(high - low).mean():.1f}", f"{ratios[key]:.2f}", f"{(said - true).mean():+.1f}"
                table.add_row(*key, str(len(of_key)), *shares, *numbers)
        if times == AHEAD[0]:
            Console().print(table)
        if held:
            everything, worst = np.concatenate(list(held.values())), min(held, key=lambda key: held[key].mean())
            print(
                f"{times} n: {100 * everything.mean():.1f} % of {len(everything):,} intervals held, at least "
                f"{100 * held[worst].mean():.0f} % of a cell ({', '.join(worst)}); mean width over binomial noise "
                f"{np.mean(list(ratios.values())):.3f}"
            )
    n_without = sum(not row["forecast"] for row in rows)
    print(f"no forecast in {n_without:,} of {len(rows):,} cases")


if __name__ == "__main__":
    try:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        main()
    except GpusslError as error:
        sys.exit(f"gpussl: error: {error}")
