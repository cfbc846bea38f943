"""gpussl on a person's own tables: chosen labels and classifier=auto, against scikit-learn on as many random labels.

Each row of results/own.csv is one draw. A table is written to two CSV files with its classes hidden in the first;
`choose` and `label` run as a person would run them, and the model predicts the second file. The peers get the same
columns through scikit-learn's usual ColumnTransformer. A row that is there already is not made again.

With --reviews, each row of results/reviews.csv is one draw of 300 reviews of fine foods, against TF-IDF with logistic
regression on as many random ones. With --rounds, each row of results/rounds.csv is one draw of three rounds of 100
labels on Shuttle, and has the number of classes among the labels and among as many random ones. With --intervals N,
each row of results/intervals.csv is one of N projects on 4,000 rows of LetterRecognition with 300 labels: the accuracy
that `learn` states, with its 95 % interval, and the true one on all points without a label. With --forecasts N, each
row of results/forecasts.csv is one of N such projects with 200 labels: what `learn` says that 200 more would add, with
its 90 % interval, and what a second round of 200 added. With --accepted N, each row of results/accepted.csv is one of N
such projects with 300 labels, half of them random, and then 100 random ones of those that may be accepted: the share of
the labels that `learn accept=0.8` accepts, and the share of these that is right.
"""

import argparse
import contextlib
import csv
import io
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from few import in_parallel, read
from few_sets import from_csv_or_r
from rich import box
from rich.console import Console
from rich.table import Table

from gpussl.report.results import to_csv
from gpussl.report.sweep import half_width
from gpussl.runtime import config, store

RESULTS = Path(__file__).parent / "results" / "own.csv"
KEY = ("data", "seed")
TARGETS = {
    "LetterRecognition": "lettr",
    "Shuttle": "Class",
    "spam": "type",
    "HouseVotes84": "Class",
    "BreastCancer": "Class",
    "DNA": "Class",
    "Vowel": "Class",
}
SKLEARN = ("hist_gradient_boosting", "logistic_regression")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench own", description=__doc__)
    parser.add_argument("--data", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=10, help="0 to show what is there")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--intervals", type=int, metavar="N")
    parser.add_argument("--forecasts", type=int, metavar="N")
    parser.add_argument("--accepted", type=int, metavar="N")
    parser.add_argument("--rounds", action="store_true")
    parser.add_argument("--reviews", action="store_true")
    asked = parser.parse_args()
    if asked.reviews:
        show_reviews(asked.seeds)
        return
    if asked.rounds:
        show_rounds(asked.seeds)
        return
    if asked.intervals is not None:
        show_intervals(asked.intervals)
        return
    if asked.accepted is not None:
        show_accepted(asked.accepted)
        return
    if asked.forecasts is not None:
        show_forecasts(asked.forecasts)
        return
    rows = read(asked.results)
    done = {tuple(row[name] for name in KEY) for row in rows}
    for seed in range(asked.seeds):
        cases = [(data, seed) for data in asked.data if (data, str(seed)) not in done]
        rows += in_parallel(measure, cases, f"seed {seed}")
        store.write_text(asked.results, to_csv(sorted(rows, key=lambda row: (row["data"], int(row["seed"])))))
    show(rows)


def measure(data, seed):
    """One row: accuracies in percent on the points that were kept apart."""
    header, rows = from_csv_or_r("kernlab" if data == "spam" else "mlbench", data)
    at = header.index(TARGETS[data])
    rows = [row for row in rows if row[at]]
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    n_test = round(0.3 * len(rows))
    n_labels = 200 if len(rows) >= 1000 else 100
    test, pool = ([rows[place] for place in part] for part in (shuffled[:n_test], shuffled[n_test:]))
    truth = np.array([row[at] for row in test])
    row = dict(zip(KEY, map(str, (data, seed)), strict=True))
    with quiet_folder() as folder:
        said, n_classes = ours(folder, header, pool, test, at, n_labels, seed)
        row |= {"auto": percent(said, truth), "classes_found": str(n_classes)}
        row |= peers(header, pool, test, at, n_labels, seed)
    return row


def ours(folder, header, pool, test, at, n_labels, seed, *settings):
    """Predictions for the test rows, and the number of classes among the bought labels."""
    from gpussl.tasks import learn

    write(folder / "test.csv", header, test, at)
    *_, classes, data, trained = learnt(folder, header, pool, at, n_labels, seed, *settings)
    model = learn.model_of(data, trained.for_new_data, classes)
    said = [model.predict(part.X) for part in model.reader.read(folder / "test.csv")]
    return np.concatenate(said), len(classes)


@contextlib.contextmanager
def quiet_folder():
    """A folder for a project, and silence."""
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder, quiet[0], quiet[1]:
        warnings.simplefilter("ignore")
        yield Path(folder)


def draws(measure, n, name):
    """The rows of n seeds; those that are in the file are not made again."""
    path = RESULTS.with_name(name)
    rows = read(path)
    rows += in_parallel(measure, [(seed,) for seed in range(len(rows), n)], name)
    rows.sort(key=lambda row: int(row["seed"]))
    store.write_text(path, to_csv(rows))
    return rows


def interval(seed):
    """What `learn` states of a project, and the truth."""
    from gpussl.tasks import estimate, project

    header, rows = from_csv_or_r("mlbench", "LetterRecognition")
    at, rows = header.index("lettr"), rows[:4000]
    with quiet_folder() as folder:
        cheap = "classifier=[knn]", "classifier.knn.n_neighbors=1", "propagate=[none]"
        run_on, points, answers, classes, data, trained = learnt(folder, header, rows, at, 300, seed, *cheap)
        made = project.opened(folder / "mine.gpussl")
        sample, sizes = estimate.random_sample(made, points), np.bincount(points.place_of)
        checked = estimate.check_accuracy(run_on, sample, data, answers, None, sizes)
    said = np.array(classes)[trained.classifier.predict(data.X_train)]
    truth = np.array([rows[int(item)][at] for item in points.dataset.train_ids])
    correct = np.delete(said == truth, answers.indices)
    low, high = checked.interval
    stated = {"stated": checked.accuracy, "low": low, "high": high, "true": correct.mean()}
    return {"seed": str(seed)} | {name: f"{100 * value:.2f}" for name, value in stated.items()}


def accepted(seed):
    """What is accepted of a project by a first model, and by a second after random ones of what may be accepted."""
    header, rows = from_csv_or_r("mlbench", "LetterRecognition")
    at, rows = header.index("lettr"), rows[:4000]
    basis = "classifier=[knn]", "classifier.knn.n_neighbors=5", "propagate=[none]"
    with quiet_folder() as folder:
        write(folder / "pool.csv", header, rows, at)
        ask(folder, rows, at, "n_labels=300", "audit=0.5", seed=seed, basis=basis)
        row = {"seed": str(seed)} | look(folder, rows, at, seed, basis, "first_")
        ask(folder, rows, at, "audit_more=100", seed=seed, basis=basis)
        return row | look(folder, rows, at, seed, basis, "")


def look(folder, rows, at, seed, basis, name):
    """What `learn accept=0.8` accepts of the labels that nobody has given, and how much of it is right, in percent."""
    from gpussl.tasks import learn, project

    learn.work(context(folder, seed, "task=learn", "accept=0.8", *basis))
    given, made = answers_of(folder), project.opened(folder / "mine.gpussl").latest("learned")
    _, *found = rows_of(made / project.ACCEPTED)
    others = [(item, label) for item, label, *_ in found if item not in given]
    right = [rows[int(item)][at] == label for item, label in others]
    return {
        f"{name}accepted": f"{100 * len(others) / (len(rows) - len(given)):.2f}",
        f"{name}right": f"{100 * np.mean(right):.2f}" if right else "",
    }


def forecast(seed):
    """What `learn` says that a second round would add, and what it added, on points that neither has labelled."""
    from gpussl.tasks import estimate, project

    header, rows = from_csv_or_r("mlbench", "LetterRecognition")
    at, rows = header.index("lettr"), rows[:4000]
    cheap = "classifier=[knn]", "classifier.knn.n_neighbors=1", "propagate=[none]"
    with quiet_folder() as folder:
        run_on, points, answers, *first = learnt(folder, header, rows, at, 200, seed, *cheap)
        sample = estimate.random_sample(project.opened(folder / "mine.gpussl"), points)
        checked = estimate.check_accuracy(run_on, sample, first[1], answers, None)
        ahead = estimate.forecast(run_on, sample, first[1], answers, None, checked)
        _, _, answers, *second = learnt(folder, header, rows, at, 200, seed, *cheap)
    truth = np.array([rows[int(item)][at] for item in points.dataset.train_ids])
    hits = [
        np.delete(np.array(classes)[trained.classifier.predict(data.X_train)] == truth, answers.indices)
        for classes, data, trained in (first, second)
    ]
    true = {"true": f"{100 * (hits[1].mean() - hits[0].mean()):.2f}"}
    gain = ["", "", ""] if ahead is None else [f"{100 * value:.2f}" for value in ahead.gain]
    return {"seed": str(seed)} | dict(zip(("gain", "low", "high"), gain, strict=True)) | true


def reviews(seed):
    """Accuracies on the test reviews."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    folder = Path(os.environ["GPUSSL_DATA"]) / "real"
    (header, *pool), (_, *test) = (rows_of(folder / f"fine_foods_{part}.csv") for part in ("train", "test"))
    at, text = header.index("score"), header.index("review")
    truth = np.array([row[at] for row in test])
    with quiet_folder() as place:
        said, _ = ours(place, header, pool, test, at, 300, seed, "data=texts", "data.text=review")
    bought = np.random.default_rng([seed, 1]).permutation(len(pool))[:300]
    words = TfidfVectorizer()
    X = words.fit_transform([row[text] for row in pool])
    peer = LogisticRegression().fit(X[bought], [pool[place][at] for place in bought])
    theirs = peer.predict(words.transform([row[text] for row in test]))
    return {"seed": str(seed), "auto": percent(said, truth), "tfidf_logistic_regression": percent(theirs, truth)}


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def show_reviews(n):
    rows = draws(reviews, n, "reviews.csv")
    auto, peer = (np.array([float(row[name]) for row in rows]) for name in ("auto", "tfidf_logistic_regression"))
    half = half_width((auto - peer).tolist())
    difference = f"{np.mean(auto - peer):+.2f}" + ("" if half is None else f" ± {half:.2f}")
    print(f"{len(rows)} draws: {auto.mean():.2f} against {peer.mean():.2f}, difference {difference}")


def rounds(seed):
    """The classes that three rounds of 100 labels find in Shuttle."""
    header, rows = from_csv_or_r("mlbench", "Shuttle")
    at = header.index("Class")
    pool = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))[round(0.3 * len(rows)) :]]
    with quiet_folder() as folder:
        found = []
        write(folder / "pool.csv", header, pool, at)
        for _ in range(3):
            ask(folder, pool, at, "n_labels=100", seed=seed)
            found.append(len(set(answers_of(folder).values())))
    random = {pool[place][at] for place in np.random.default_rng([seed, 1]).permutation(len(pool))[:300]}
    return (
        {"seed": str(seed)} | {f"round_{n}": str(count) for n, count in enumerate(found, 1)} | {"random": len(random)}
    )


def show_rounds(n):
    rows = draws(rounds, n, "rounds.csv")
    for name in ("round_1", "round_2", "round_3", "random"):
        counts = sorted(int(row[name]) for row in rows)
        print(f"{name}: {np.median(counts):g} of 7 classes, median of {len(rows)} ({', '.join(map(str, counts))})")


def show_intervals(n):
    rows = draws(interval, n, "intervals.csv")
    print(f"{held(rows, 'the truth')}; stated minus true accuracy {mean(rows, 'stated') - mean(rows, 'true'):+.2f}")


def show_accepted(n):
    rows = draws(accepted, n, "accepted.csv")
    broken = [[bool(row[name]) and float(row[name]) < 80 for row in rows] for name in ("first_right", "right")]
    first, second, either = (100 * np.mean(of) for of in (*broken, np.any(broken, axis=0)))
    print(
        f"accepted on the mean: {mean(rows, 'first_accepted'):.1f} % of the labels that nobody had given, then "
        f"{mean(rows, 'accepted'):.1f} %; fewer than 80 % of these were right in {first:.1f} % of {len(rows)} "
        f"projects, then in {second:.1f} %, at least once in {either:.1f} %"
    )


def show_forecasts(n):
    drawn = draws(forecast, n, "forecasts.csv")
    rows = [row for row in drawn if row["gain"]]
    print(
        f"{len(rows)} forecasts for {len(drawn)} projects; {held(rows, 'what a second round added')}; forecast "
        f"{mean(rows, 'gain'):.1f} points, added {mean(rows, 'true'):.1f}"
    )


def held(rows, what):
    """How often the interval from `low` to `high` holds what is `true`, in words."""
    low, high, true = (np.array([float(row[name]) for row in rows]) for name in ("low", "high", "true"))
    n_held = np.sum((low <= true) & (true <= high))
    return (
        f"the interval held {what} in {n_held} of {len(rows)} projects ({100 * n_held / len(rows):.1f} %); it lay "
        f"below in {np.sum(high < true)} and above in {np.sum(low > true)}"
    )


def mean(rows, name):
    return np.mean([float(row[name]) for row in rows])


def write(path, header, rows, at):
    """A table without the column of the classes, with the number of the row."""

    body = [[str(number), *(cell for place, cell in enumerate(row) if place != at)] for number, row in enumerate(rows)]
    names = ["row", *(name for place, name in enumerate(header) if place != at)]
    store.write_csv(path, [names, *body])


def context(folder, seed, *settings):
    from gpussl.backend import cpu
    from gpussl.tasks import prepare
    from gpussl.tasks.monitor import Monitor
    from gpussl.tasks.prepare import Context

    common = (
        "+experiment=own_data", f"data.path={folder}/pool.csv", "data.id=row",
        f"project={folder}/mine.gpussl", f"seed={seed}", "cache=null", "device=cpu",
    )  # fmt: skip
    kind = () if any(text.startswith("data=") for text in settings) else ("data=table",)
    job = config.job(*kind, *common, *settings)
    return Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())


def ask(folder, pool, at, *number, seed, basis=()):
    """A round: choose, with the settings of how many, and the answers of someone who knows."""
    from gpussl.tasks import choose, label, project

    choose.work(context(folder, seed, "task=choose", *number, *basis))
    asked = project.opened(folder / "mine.gpussl").rounds()[-1]
    labels = {item: pool[int(item)][at] for item in asked.asked}
    store.write_csv(folder / "labels.csv", [("id", "label"), *labels.items()])
    label.work(context(folder, seed, "task=label", f"source={folder}/labels.csv", *basis))


def answers_of(folder):
    from gpussl.tasks import project

    return project.opened(folder / "mine.gpussl").labels()


def learnt(folder, header, pool, at, n_labels, seed, *settings):
    """The four commands up to the model: context, points, answers, classes, represented data and what was learnt."""
    from gpussl.tasks import learn, own, project

    write(folder / "pool.csv", header, pool, at)
    ask(folder, pool, at, f"n_labels={n_labels}", seed=seed, basis=settings)
    run_on = context(folder, seed, "task=learn", *settings)
    points = own.read(run_on)
    answers, classes = own.known(project.opened(folder / "mine.gpussl"), points, run_on.twin)
    data = own.represent(run_on, points)
    return run_on, points, answers, classes, data, learn.train(run_on, data, answers)


def peers(header, pool, test, at, n_labels, seed):
    """Accuracies of scikit-learn's classifiers on random labels."""
    import pandas as pd
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame([*pool, *test], columns=header).replace("", None)
    y = frame.pop(header[at]).to_numpy()
    frame = frame.apply(lambda column: numeric if (numeric := to_numbers(column)) is not None else column)
    bought = np.random.default_rng([seed, 1]).permutation(len(pool))[:n_labels]
    X, X_test, y_test = frame.iloc[bought], frame.iloc[len(pool) :], y[len(pool) :]
    row = {}
    for name, model in zip(
        SKLEARN, (HistGradientBoostingClassifier(random_state=seed), LogisticRegression(max_iter=1000)), strict=True
    ):
        prepared = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
        )
        row[name] = percent(make_pipeline(prepared, model).fit(X, y[bought]).predict(X_test), y_test)
    row["random_classes_found"] = str(len(set(y[bought])))
    return row


def to_numbers(column):
    import pandas as pd

    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return None


def percent(said, truth):
    return f"{100 * np.mean(np.asarray(said) == truth):.2f}"


def show(rows):
    console = Console()
    table = Table(
        title="test accuracy in percent, mean over seeds, and the paired difference to the better peer", box=box.SIMPLE
    )
    for head in ("data", "seeds", "ours", *SKLEARN, "difference"):
        table.add_column(head)
    means = []
    for data in TARGETS:
        mine = [row for row in rows if row["data"] == data]
        if not mine:
            continue
        of = {name: np.array([float(row[name]) for row in mine]) for name in ("auto", *SKLEARN)}
        better = max(SKLEARN, key=lambda name: of[name].mean())
        gap = of["auto"] - of[better]
        half = half_width(gap.tolist())
        means.append(gap.mean())
        table.add_row(
            data, str(len(mine)), *(f"{of[name].mean():.2f}" for name in ("auto", *SKLEARN)),
            f"{gap.mean():+.2f}" + ("" if half is None else f" ± {half:.2f}"),
        )  # fmt: skip
    console.print(table)
    if means:
        console.print(f"mean difference {np.mean(means):+.2f}, worst set {min(means):+.2f}")


if __name__ == "__main__":
    sys.path.insert(0, os.fspath(Path(__file__).parent))
    main()
