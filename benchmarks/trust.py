"""What learn promises of labels that nobody checked, against the truth.

Each model is that of `gpussl learn` by default, of labels that `gpussl choose` would ask for: 70 % representatives, and
30 % random ones. Its labels of up to 5,000 other points are then audited a thousand times at random. The results go to
four files: promises.csv (accepted labels, and how often the promise was broken), accuracies.csv (intervals of the
accuracy), calibration.csv (of the probabilities) and doubts.csv (labels that were spoilt, found again).
"""

import argparse
import functools
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from few import in_parallel, read
from few_sets import SETS, from_csv_or_r, table
from rich import box
from rich.console import Console
from rich.table import Table

from gpussl.errors import GpusslError
from gpussl.evaluate import confident_learning
from gpussl.evaluate.accepted import accept
from gpussl.evaluate.powered import estimate_accuracy
from gpussl.numeric.intervals import share_interval
from gpussl.report.results import to_csv
from gpussl.report.sweep import half_width
from gpussl.runtime import config, store

FOLDER = Path(__file__).parent / "results"
MODELS = {  # by data: the numbers of labels
    "mnist": (10, 100, 500),
    "fashion_mnist": (100, 500),
    "letters": (500,),
    "shuttle": (500,),
    "reviews": (500,),
    "digits": (100, 500),
    "synthetic": (0,),
    "mnist_convnet": (10,),  # of study runs
    "fashion_mnist_convnet": (500, 2000),
}
CONVNET = "_convnet"
KINDS = ("as it is", "in two steps", "flattened", "inverted")  # scores, and how they are audited
AUDITS, TARGETS, N_AUDITS = (60, 125, 250, 500), (0.90, 0.95, 0.99), 1000
N_SYNTHETIC = 10_000  # audits
MOST_POINTS = 5_000  # of which the truth is known, audited
N_SPOILT_OF, N_SPOILT = 500, 5  # labels, and draws


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench trust", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--runs", type=Path, help="folder of study runs, such as fashion_mnist_500")
    parser.add_argument("--show", action="store_true", help="what is there already")
    asked = parser.parse_args()
    if not asked.show:
        cases = [
            (data, n, asked.runs)
            for data in asked.data
            for n in MODELS[data]
            if asked.runs is not None or not data.endswith(CONVNET)
        ]
        found = in_parallel(measure, cases, "models")
        for name in ("promises", "accuracies", "calibration", "doubts"):
            path = FOLDER / f"trust_{name}.csv"
            rows = [row for of_case in found for row in of_case[name]]
            fresh = {(row["data"], row["labels"]) for row in rows}
            kept = [row for row in read(path) if (row["data"], row["labels"]) not in fresh]
            rows = sorted([*kept, *rows], key=lambda row: (list(MODELS).index(row["data"]), int(row["labels"])))
            store.write_text(path, to_csv(rows))
    show()


def measure(data, n_labels, runs):
    """The rows of one model."""
    warnings.simplefilter("ignore")
    here = {"data": data, "labels": str(n_labels)}
    numbers, chance, y, bought, held_out, X = modelled(data, n_labels, runs)
    others = np.setdiff1d(np.arange(len(y)), bought)
    others = np.sort(np.random.default_rng(0).permutation(others)[:MOST_POINTS])
    right, score = (numbers == y)[others], chance[others]
    spoilt = [] if held_out is None else doubts(X, held_out, y[bought])
    return {
        "promises": [here | row for row in promises(right, score, N_SYNTHETIC if data == "synthetic" else N_AUDITS)],
        "accuracies": [here | row for row in accuracies(right, score)],
        "calibration": [] if data == "synthetic" else [here | calibration(right, score)],
        "doubts": [here | row for row in spoilt],
    }


def modelled(data, n_labels, runs):
    """Class numbers, probabilities, the truth, and of the bought labels: places, what is held out, and their points."""
    if data == "synthetic":
        rng = np.random.default_rng(0)
        chance = rng.beta(5, 0.6, MOST_POINTS)
        right = rng.random(MOST_POINTS) < chance
        return np.zeros(MOST_POINTS), chance, np.where(right, 0, 1), np.array([], dtype=np.int64), None, None
    if data.endswith(CONVNET):
        name = data.removesuffix(CONVNET)
        return of_run(name, runs / f"{name}_{n_labels}")
    return of_project(data, n_labels)


def of_run(data, folder):
    """What the model of a study says of the training points."""
    import gpussl
    from gpussl.records import UNLABELLED

    (path,) = (folder / "models").glob("*-convnet.safetensors")
    model = gpussl.load(path)
    labels = gpussl.load(folder / "labels" / f"{path.stem.removesuffix('-convnet')}.safetensors")
    dataset = config.job(f"data={data}", "classifier=[knn]", "device=cpu").data.load()
    y = np.asarray(dataset.y_train)
    places = np.sort(np.random.default_rng(0).permutation(len(y))[: 2 * MOST_POINTS])
    proba = model.predict_proba(np.asarray(dataset.X_train)[places])
    sources = np.asarray(labels.sources)
    is_bought = (sources == np.arange(len(y))) & (np.asarray(labels.labels) != UNLABELLED)
    kept = ~is_bought[places]
    numbers = proba.argmax(axis=1)
    return numbers[kept], proba.max(axis=1)[kept], y[places][kept], np.array([], dtype=np.int64), None, None


def of_project(data, n_labels):
    """What `gpussl learn` says of all points of a project."""
    from gpussl.backend import cpu
    from gpussl.cluster.kmeans import KMeans
    from gpussl.records import Answers, Dataset
    from gpussl.select.nearest_to_centroid import NearestToCentroid
    from gpussl.tasks import learn, own, prepare
    from gpussl.tasks.monitor import Monitor
    from gpussl.tasks.own import OwnPoints
    from gpussl.tasks.prepare import Context

    X, y, shape = points_of(data)
    names = [str(place) for place in range(len(X))]
    dataset = Dataset(data, X, train_ids=names, image_shape=shape, max_value=1.0 if shape else None)
    points = OwnPoints(dataset, names, np.arange(len(X)))
    basis = "+experiment=own_data", "data=digits", "task=learn", "cache=null", "device=cpu", "project=mine.gpussl"
    job = config.job(*basis, *(() if shape else ("represent=[pixels]",)))
    run_on = Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())
    represented = own.represent(run_on, points)
    k = round(0.7 * n_labels)
    clustering = KMeans(n_clusters=k).fit(represented.X_train, 0)
    nothing = Answers(np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    chosen = NearestToCentroid().select(represented.X_train, clustering, nothing, None, 0)
    left = np.setdiff1d(np.arange(len(X)), chosen)
    random = np.random.default_rng(1).permutation(left)[: n_labels - k]
    bought = np.sort(np.concatenate([np.asarray(chosen), random]))
    classes, of_bought = np.unique(y[bought], return_inverse=True)  # a project knows the classes that were seen
    trained = learn.train(run_on, represented, Answers(bought, of_bought))
    numbers, chance = learn._predict(run_on, represented, trained)
    place_of = np.full(int(y.max()) + 1, -1)
    place_of[classes] = np.arange(len(classes))
    return numbers, chance, place_of[y], bought, trained.held_out, represented.X_train[bought]


@functools.lru_cache(1)
def points_of(data):
    if data == "shuttle":
        found = table("Class", *from_csv_or_r("mlbench", "Shuttle"))
        return found.X, found.y, None
    found = SETS[data]()
    shape = {"mnist": (28, 28), "fashion_mnist": (28, 28), "digits": (8, 8)}.get(data)
    return found.X, found.y, shape


def promises(right, score, n_audits, kinds=KINDS):
    """For each score, number of audited labels and target: how often the promise was broken, and the share accepted."""
    noise = np.random.default_rng(9).random(len(score)) * 1e-6
    of = {"as it is": score, "in two steps": score, "flattened": score / 1000, "inverted": 1 - score}
    for kind in kinds:
        for n in (n for n in AUDITS if n < 0.8 * len(right)):
            for target in TARGETS:
                n_broken, shares, naive, naive_broken = 0, [], [], 0
                worth = worth_auditing(score, target) if kind == "in two steps" else np.zeros(len(score), dtype=bool)
                for seed in range(n_audits):
                    audited, is_extra = audit(np.random.default_rng([seed, n]).permutation(len(right)), n, worth)
                    found = accept(
                        of[kind], audited, right[audited], target=target, region=worth, is_extra=is_extra, seed=seed
                    )
                    shares.append(found.share)
                    n_broken += bool(found.n_accepted) and right[found.is_accepted].mean() < target
                    if kind == "as it is":
                        taken = by_threshold(of[kind] + noise, audited, right[audited], target)
                        naive.append(taken.mean())
                        naive_broken += bool(taken.any()) and right[taken].mean() < target
                yield {
                    "score": kind, "audited": str(n), "target": str(target), "audits": str(n_audits),
                    "broken": str(n_broken), "accepted": f"{100 * np.mean(shares):.1f}",
                    "naive_broken": str(naive_broken) if naive else "",
                    "naive_accepted": f"{100 * np.mean(naive):.1f}" if naive else "",
                    "possible": f"{100 * possible(right, of[kind], target):.1f}",
                }  # fmt: skip


def worth_auditing(score, target):
    """The labels that may be accepted, before any are audited."""
    return accept(score, np.arange(0), np.zeros(0, dtype=bool), target=target).worth_auditing


def audit(order, n, worth):
    """n audited labels: the first ones in a random order; half of them those of some alone, if there are any."""
    if not worth.any():
        return order[:n], np.zeros(n, dtype=bool)
    first, rest = np.split(order, [n // 2])
    extra = rest[worth[rest]][: n - len(first)]
    return np.concatenate([first, extra]), np.arange(len(first) + len(extra)) >= len(first)


def by_threshold(score, audited, is_right, target):
    """What is accepted without a guarantee: above the lowest threshold at which so many audited labels are right."""
    order = np.argsort(-score[audited])
    shares = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    last = np.flatnonzero(shares >= target).max(initial=-1)
    return score >= score[audited][order[last]] if last >= 0 else np.zeros(len(score), dtype=bool)


def possible(right, score, target):
    """The largest share with so many right labels, for someone who knows all."""
    shares = np.cumsum(right[np.argsort(-score, kind="stable")]) / np.arange(1, len(right) + 1)
    return (np.flatnonzero(shares >= target).max(initial=-1) + 1) / len(right)


def accuracies(right, score):
    """For each number of random labels: how often the interval holds, and its width beside that of labels alone."""
    for n in (30, *(n for n in AUDITS if n < 0.8 * len(right))):
        n_held, plain_held, widths = 0, 0, []
        for seed in range(N_AUDITS):
            few = np.random.default_rng([seed, n, 1]).permutation(len(right))[:n]
            found = estimate_accuracy(right[few], score[few], float(score.mean()), len(right))
            low, high = share_interval(right[few].mean(), n / (1 - n / len(right)))
            n_held += found.low <= right.mean() <= found.high
            plain_held += low <= right.mean() <= high
            widths.append((found.high - found.low, high - low))
        ours, plain = np.array(widths).T
        yield {
            "random": str(n), "accuracy": f"{100 * right.mean():.1f}", "held": f"{100 * n_held / N_AUDITS:.1f}",
            "held_plain": f"{100 * plain_held / N_AUDITS:.1f}", "width": f"{100 * ours.mean():.2f}",
            "width_ratio": f"{ours.mean() / plain.mean():.3f}",
            "widest_ratio": f"{np.max(ours / np.maximum(plain, 1e-9)):.3f}",
        }  # fmt: skip


def calibration(right, score):
    """The calibration error in points: ten bins of as many points, without the error that chance alone would give."""
    rng = np.random.default_rng(0)

    def error(of_right, of_score):
        bins = np.array_split(np.argsort(of_score, kind="stable"), 10)
        return sum(len(rows) * abs(of_right[rows].mean() - of_score[rows].mean()) for rows in bins) / len(of_score)

    chance = np.mean([error(rng.random(len(score)) < score, score) for _ in range(50)])
    found = error(right, score)
    draws = [error(right[rows], score[rows]) for rows in rng.integers(0, len(right), (100, len(right)))]
    return {
        "accuracy": f"{100 * right.mean():.1f}", "mean_probability": f"{100 * score.mean():.1f}",
        "error": f"{100 * max(found - chance, 0):.2f}", "uncertainty": f"{196 * np.std(draws):.2f}",
    }  # fmt: skip


def doubts(X, held_out, y):
    """The area under the precision-recall curve of spoilt labels, by our order and cleanlab's.

    5 % of the labels are spoilt at random and 5 % as models confuse classes; the models learn from these labels. Both
    orders see the same probabilities.
    """
    try:
        from cleanlab.rank import get_label_quality_scores
    except ModuleNotFoundError:
        return
    from sklearn.metrics import average_precision_score

    from gpussl.classifier.auto import AutoClassifier

    n, n_classes = held_out.shape
    if n != N_SPOILT_OF:
        return
    confused = np.zeros((n_classes, n_classes))
    np.add.at(confused, (y, np.nan_to_num(held_out).argmax(axis=1)), 1)
    np.fill_diagonal(confused, 0)
    confused = confused + confused.T + 1e-3
    ours, theirs = [], []
    for seed in range(N_SPOILT):
        rng = np.random.default_rng(seed)
        labels, spoilt = y.copy(), rng.permutation(n)[: n // 10]
        for place, row in enumerate(spoilt.tolist()):
            weights = np.ones(n_classes) if place % 2 else confused[y[row]].copy()
            weights[y[row]] = 0
            labels[row] = rng.choice(n_classes, p=weights / weights.sum())
        model = AutoClassifier().prepared(seed, None, "cpu").fit(X, labels)
        proba = np.zeros((n, n_classes))
        proba[:, model.classes_] = model.held_out_
        is_spoilt = labels != y
        ours.append(average_precision_score(is_spoilt, confident_learning.doubt(proba, labels)))
        theirs.append(average_precision_score(is_spoilt, -get_label_quality_scores(labels, proba)))
    difference = np.array(ours) - theirs
    yield {
        "ours": f"{np.mean(ours):.3f}", "cleanlab": f"{np.mean(theirs):.3f}",
        "difference": f"{difference.mean():+.3f}",
        "half_width": f"{half_width(difference.tolist()):.3f}",
    }  # fmt: skip


def show():
    console = Console()
    for name in ("promises", "accuracies", "calibration", "doubts"):
        rows = read(FOLDER / f"trust_{name}.csv")
        shown = Table(box=box.SIMPLE, title=name)
        for column in rows[0] if rows else ():
            shown.add_column(column, justify="right")
        for row in rows:
            shown.add_row(*row.values())
        console.print(shown)
    rows = read(FOLDER / "trust_promises.csv")
    worst = max(rows, key=lambda row: int(row["broken"]) / int(row["audits"]))
    console.print(f"{len(rows)} cells; the promise was broken most often in {worst}")


if __name__ == "__main__":
    try:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        main()
    except GpusslError as error:
        sys.exit(f"gpussl: error: {error}")
