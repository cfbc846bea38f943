"""Coverage of the budget advisor's forecasts: made from n labels for 2 n and 4 n, against the accuracy these then give.

The truth is the mean accuracy of the same classifier over several draws of as many labels, chosen in the same way and
scored on other training images, with more labels than anyone would buy. Each repetition is a run of the advisor with a
seed of its own. Writes results/budget.csv and prints how many intervals cover the truth.
"""

import argparse
import dataclasses
import functools
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from gpussl import backend, seeds
from gpussl.evaluate import advice
from gpussl.label.oracle import Oracle
from gpussl.label.rounds import ask_in_rounds
from gpussl.report.results import to_csv
from gpussl.represent.pixels import scale
from gpussl.runtime import config, environment, store
from gpussl.tasks import advise as advisor

RESULTS = Path(__file__).parent / "results" / "budget.csv"
N_DRAWS, N_SCORED = 8, 10_000  # draws of labels averaged for the truth, and images to score each on


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="scripts/bench budget")
    parser.add_argument("--data", nargs="+", default=["fashion_mnist", "mnist"])
    parser.add_argument("--labels", nargs="+", type=int, default=[250, 500])
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--select", nargs="+", default=["random"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    rows, commit = [], environment.git_commit()
    for data in asked.data:
        for select in asked.select:
            cases = [(n, seed) for n in asked.labels for seed in range(asked.repetitions)]
            sizes = sorted({times * n for n in asked.labels for times in advice.AHEAD[1:]})
            truths = dict(zip(sizes, in_parallel(functools.partial(truth, data, select), sizes), strict=True))
            for row in in_parallel(functools.partial(repetition, data, select), cases):
                expected = truths[row["labels"]]
                rows.append(row | {"truth": expected, "holds": row["low"] <= expected <= row["high"], "commit": commit})
            store.write_text(asked.results, to_csv([rounded(row) for row in rows]))
    show(rows)


def in_parallel(work, cases):
    """The results of all cases, in order, from one single-threaded process for each core."""
    with multiprocessing.get_context("fork").Pool(min(os.cpu_count(), len(cases))) as pool:
        found = list(pool.imap(functools.partial(alone, work), cases))
    return [row for rows in found for row in rows]


def alone(work, case):
    with threadpool_limits(1):
        return work(case)


@functools.cache
def prepared(data, select):
    """The validated job of the experiment, its data, and its pixels scaled to [0, 1]."""
    config.register()
    overrides = ["+experiment=label_budget", f"data={data}", f"select={select}", "cache=null", "device=cpu"]
    overrides += ["cluster=kmeans"] if select in ("nearest_to_centroid", "typical", "cluster_budget") else []
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        job = config.build(compose("config", overrides))
    dataset = job.data.load()
    return job, dataset, scale(dataset.X_train, dataset.max_value)


def learner(job, dataset, X):
    (model,) = job.classifier.values()
    return advisor.Learner(model, X, backend.of(X), dataset.image_shape, job.seed)


def fit_clusters(job, X, seed, points, n_clusters):
    settings = job.cluster if n_clusters is None else dataclasses.replace(job.cluster, n_clusters=n_clusters)
    return settings.fit(X[points], seed)


def truth(data, select, size):
    """The mean accuracy with this number of labels."""
    job, dataset, X = prepared(data, select)
    accuracies = []
    for draw in range(N_DRAWS):
        seed = seeds.derive(draw, f"truth/{size}")
        rng = np.random.default_rng(seed)
        scored = rng.choice(len(X), min(N_SCORED, (len(X) - size) // 2), replace=False)
        rest = np.setdiff1d(np.arange(len(X)), scored)
        chooser, n_clusters = advisor.of_size(job.select, size)
        clustering = fit_clusters(job, X, seed, rest, n_clusters)
        oracle = Oracle(dataset.y_train[rest])
        chosen = rest[ask_in_rounds(chooser, X[rest], clustering, seed, oracle.buy, oracle.reveal).indices]
        said = learner(job, dataset, X)(chosen, dataset.y_train[chosen], scored, f"truth {draw}")
        accuracies.append(np.mean(said == dataset.y_train[scored]))
    return [float(np.mean(accuracies))]


def repetition(data, select, case):
    """One run of the advisor: a row for each forecast beyond the budget."""
    n_labels, seed = case
    job, dataset, X = prepared(data, select)
    job = dataclasses.replace(job, seed=seed, budget=dataclasses.replace(job.budget, n_labels=n_labels))
    advisor.check(job)
    oracle, start = Oracle(dataset.y_train), time.perf_counter()
    cluster = functools.partial(fit_clusters, job, X, seeds.derive(seed, "cluster"))
    purchase = advisor.choose(job, X, backend.of(X), oracle, cluster)
    measured = advisor.measure(purchase, oracle.buy, job, learner(job, dataset, X), lambda *_: None)
    advised = advice.advise(measured[0], job.budget, len(X), seed)
    seconds = time.perf_counter() - start
    return [
        {"data": data, "select": select, "bought": oracle.n_bought, "n_labels": n_labels, "seed": seed,
         "labels": item.n_labels, "forecast": item.accuracy, "low": item.low, "high": item.high,
         "stop": advised.is_enough, "seconds": seconds}
        for item in advised.forecasts[1:]
    ]  # fmt: skip


def rounded(row):
    return {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in row.items()}


def show(rows):
    names = ("data", "select", "labels", "for", "truth, %", "held by", "width", "error")
    table = Table(*names, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False,
                  caption="held by: intervals that hold the truth; mean width and error in points")  # fmt: skip
    for key in dict.fromkeys((row["data"], row["select"], row["n_labels"], row["labels"]) for row in rows):
        of_key = [row for row in rows if (row["data"], row["select"], row["n_labels"], row["labels"]) == key]
        width = np.mean([row["high"] - row["low"] for row in of_key])
        error = np.mean([row["forecast"] - row["truth"] for row in of_key])
        held = f"{sum(row['holds'] for row in of_key)} of {len(of_key)}"
        numbers = (f"{100 * of_key[0]['truth']:.1f}", held, f"{100 * width:.1f}", f"{100 * error:+.1f}")
        table.add_row(*map(str, key), *numbers)
    Console().print(table)


if __name__ == "__main__":
    main()
