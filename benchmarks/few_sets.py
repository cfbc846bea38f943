"""Twelve real and made data sets for the benchmark of few labels, each as points to label and points to test on.

Images are scaled to 0..1, texts are TF-IDF weights, and tables are standardised, with means in their gaps, as a
careful user would do for classifiers that need it. Both sides of every comparison get the same points.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpussl import seeds
from gpussl.errors import DataError
from gpussl.runtime import config
from gpussl.runtime.names import expanded

N_POOL, N_TEST = 10_000, 2_000  # at most
N_WORDS = 2_000
PACKAGES = {"mlbench": "r-cran-mlbench", "kernlab": "r-cran-kernlab"}  # of Debian; each has tables as .rda files


@dataclass(frozen=True)
class FewLabels:
    """Points to label, and points to test on."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def split(X, y):
    """Two random parts of one table."""
    shuffled = seeds.generator(0, "few/split").permutation(len(X))
    n_test = min(N_TEST, len(X) // 3)
    pool, test = shuffled[n_test : n_test + N_POOL], shuffled[:n_test]
    return FewLabels(X[pool], y[pool], X[test], y[test])


def images(name):
    data = config.job(f"data={name}", "classifier=[knn]", "device=cpu").data.load()
    rng = seeds.generator(0, "few/split")
    pool, test = rng.permutation(len(data.X_train))[:N_POOL], rng.permutation(data.n_test)[:N_TEST]
    X, X_test = (
        (np.asarray(raw)[rows] / data.max_value).astype(np.float32)
        for raw, rows in ((data.X_train, pool), (data.X_test, test))
    )
    return FewLabels(X, np.asarray(data.y_train)[pool], X_test, np.asarray(data.y_test)[test])


def digits():
    from sklearn.datasets import load_digits

    found = load_digits()
    return split((found.data / 16).astype(np.float32), found.target)


def blobs():
    """Two separable blobs in 16 dimensions, one point in ten in the second."""
    rng = seeds.generator(0, "few/blobs")
    y = (rng.random(4000) < 0.1).astype(np.int64)
    X = rng.normal(size=(4000, 16))
    X[:, 0] += 8 * y
    return split(X.astype(np.float32), y)


def folder():
    return expanded(os.environ.get("GPUSSL_DATA", "~/.cache/gpussl")) / "real"


def lines(name):
    """Header and rows of a CSV file with text cells."""
    path = folder() / f"{name}.csv"
    if not path.exists():
        raise DataError(f"{name}: expected {path}, found none; set GPUSSL_DATA to the folder that has real/{name}.csv")
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def from_r(package, name):
    """Header and rows of a table in one of Debian's R packages, installed or unpacked by `scripts/bench few`."""
    cache = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gpussl" / "tables"
    places = [Path("/usr/lib/R/site-library") / package / "data", cache]
    found = next((place / f"{name}.rda" for place in places if (place / f"{name}.rda").exists()), None)
    if found is None:
        where = " or ".join(map(str, places))
        raise DataError(f"{name}: expected {name}.rda in {where}, found none; apt-get install {PACKAGES[package]}")
    import rdata

    frame = rdata.read_rda(found)[name]
    cells = ([str(value) for value in row] for row in frame.astype(object).where(frame.notna(), "").values.tolist())
    return list(frame.columns), list(cells)


def table(target, header, rows, *, unused=(), standardise=True):
    """A table with numbers, and words of two kinds, as points; a gap has the mean of its column."""
    place = header.index(target)
    columns = []
    for index in (i for i, name in enumerate(header) if name != target and name not in unused):
        cells = [row[index] for row in rows]
        words = sorted({cell for cell in cells if cell and not is_number(cell)})
        values = np.array([np.nan if not cell else words.index(cell) if words else float(cell) for cell in cells])
        columns.append(np.where(np.isnan(values), np.nanmean(values), values))
    y = np.unique([row[place] for row in rows], return_inverse=True)[1]
    parts = split(np.stack(columns, axis=1).astype(np.float32), y)
    if not standardise:
        return parts
    mean, deviation = parts.X.mean(axis=0), parts.X.std(axis=0)
    deviation[deviation == 0] = 1
    return FewLabels((parts.X - mean) / deviation, parts.y, (parts.X_test - mean) / deviation, parts.y_test)


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def reviews():
    """Fine-food reviews as TF-IDF weights of their words: great, or other."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    (header, train), (_, test) = lines("fine_foods_train"), lines("fine_foods_test")
    text, score = header.index("review"), header.index("score")
    words = TfidfVectorizer(max_features=N_WORDS, sublinear_tf=True, min_df=2)
    X = words.fit_transform([row[text] for row in train]).toarray().astype(np.float32)
    X_test = words.transform([row[text] for row in test]).toarray().astype(np.float32)
    classes = sorted({row[score] for row in train})
    y, y_test = (np.array([classes.index(row[score]) for row in part]) for part in (train, test))
    return FewLabels(X, y, X_test[:N_TEST], y_test[:N_TEST])


SETS = {
    "digits": digits,
    "mnist": lambda: images("mnist"),
    "fashion_mnist": lambda: images("fashion_mnist"),
    "letters": lambda: table("lettr", *from_csv_or_r("mlbench", "LetterRecognition")),
    "satellite": lambda: table("classes", *from_csv_or_r("mlbench", "Satellite")),
    "spam": lambda: table("type", *from_csv_or_r("kernlab", "spam")),
    "dna": lambda: table("Class", *from_csv_or_r("mlbench", "DNA"), standardise=False),
    "vowel": lambda: table("Class", *from_csv_or_r("mlbench", "Vowel")),
    "votes": lambda: table("Class", *from_csv_or_r("mlbench", "HouseVotes84")),
    "cancer": lambda: table("Class", *from_csv_or_r("mlbench", "BreastCancer"), unused=("Id",)),
    "reviews": reviews,
    "blobs": blobs,
}


def from_csv_or_r(package, name):
    return lines(name) if (folder() / f"{name}.csv").exists() else from_r(package, name)
