"""Work that gpussl does, and the peer that does the same: what `speed.py` measures.

Each function here does its work once, on data that are loaded already, and answers what came of it: an inertia, an
accuracy, a score, or a function that finds it out when the clock has stopped. scikit-learn, faiss and PyTorch are used
as their guides show, with their defaults unless a peer says why not.
"""

import csv
import itertools
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import sklearn.cluster
import sklearn.linear_model
import sklearn.neighbors
import torch
import xgboost
from hydra import compose, initialize_config_dir
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from gpussl import config
from gpussl.cluster import KMeans
from gpussl.models.knn import KNeighborsClassifier
from gpussl.models.logistic import LogisticRegression
from gpussl.models.mlp import MLPClassifier
from gpussl.models.xgboost import XGBClassifier
from gpussl.permutations import contingency, score_allocations
from gpussl.records import Watch

EPOCHS = 3
N_CLUSTERS = 2000
LABEL_COUNTS = (100, 600, 1000, 6000, 10000)


@dataclass(frozen=True)
class Comparison:
    """A row of the table.

    Attributes
    ----------
    work : str
    ours, peer : str
        Functions of this module.
    at_least : float
        How many times as fast we want to be.
    quality : str
        What both functions answer.
    data : str, optional
        What is loaded before the clock starts.
    times : float
        How many times the peer's work all the work is.
    package : str, optional
        Imported before the clock starts.
    """

    work: str
    ours: str
    peer: str
    at_least: float
    quality: str
    data: str | None = "fashion_mnist"
    times: float = 1
    package: str | None = None


COMPARISONS = {
    "kmeans-sklearn": Comparison("k-means, 2,000 clusters, to convergence", "kmeans", "sklearn_kmeans", 8, "inertia"),
    "kmeans-faiss": Comparison(
        "k-means, 2,000 clusters, until faiss's inertia",
        "kmeans_four_iterations",
        "faiss_kmeans",
        1.5,
        "inertia",
        package="faiss",
    ),
    "kmeans-sklearn-random": Comparison(
        "k-means, 2,000 clusters, to convergence", "kmeans", "sklearn_kmeans_random", 2, "inertia"
    ),
    "kmeans-sklearnex": Comparison(
        "k-means, 2,000 clusters, to convergence", "kmeans", "sklearnex_kmeans", 1.5, "inertia", package="sklearnex"
    ),
    "starts-sklearn": Comparison(
        "k-means, 10 clusters, 64 random starts", "starts", "sklearn_starts", 5, "inertia", "mnist"
    ),
    "permutations-study": Comparison(
        "all 10! allocations", "permutations", "study_permutations", 20000, "best score", None, 3628800 / 2000
    ),
    "permutations-numpy": Comparison(
        "all 10! allocations", "permutations", "numpy_permutations", 10, "best score", None
    ),
    "knn-sklearn": Comparison("3 nearest neighbours", "knn", "sklearn_knn", 1.2, "accuracy", "mnist"),
    "mlp-loop": Comparison("three epochs of the MLP on 60,000", "mlp_epochs", "loop_epochs", 3, "accuracy"),
    "logistic-2000-lbfgs": Comparison("logistic regression on 2,000", "logistic_2000", "lbfgs_2000", 1, "accuracy"),
    "logistic-60000-lbfgs": Comparison("logistic regression on 60,000", "logistic", "lbfgs", 1, "accuracy"),
    "logistic-60000-saga": Comparison("logistic regression on 60,000", "logistic", "saga", 20, "accuracy"),
    "xgboost-study": Comparison(
        "boosted trees on 100 to 10,000 labels", "label_curve", "study_label_curve", 1.5, "accuracy", "mnist"
    ),
    "main-plain": Comparison("the main job, whole process", "main_job", "plain_main_job", 5, "accuracy"),
    "sweep-no-cache": Comparison("a sweep of six percentiles", "sweep", "sweep_without_cache", 3, "accuracy"),
}


@cache
def load(name):
    """Float32 pixels from 0 to 1 and classes, of the training and of the test images."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        dataset = config.instantiate(compose("config", [f"data={name}"]).data, "data").load()
    X_train, X_test = (X.astype(np.float32) / np.float32(dataset.max_value) for X in (dataset.X_train, dataset.X_test))
    return X_train, dataset.y_train.astype(np.int64), X_test, dataset.y_test.astype(np.int64)


# k-means


def kmeans():
    return KMeans(N_CLUSTERS).fit(load("fashion_mnist")[0], 0).inertia


def kmeans_four_iterations():
    return KMeans(N_CLUSTERS, max_iter=4).fit(load("fashion_mnist")[0], 0).inertia


def sklearn_kmeans():
    return sklearn.cluster.KMeans(N_CLUSTERS, n_init=1, random_state=0).fit(load("fashion_mnist")[0]).inertia_


def sklearn_kmeans_random():
    estimator = sklearn.cluster.KMeans(N_CLUSTERS, init="random", n_init=1, random_state=0)
    return estimator.fit(load("fashion_mnist")[0]).inertia_


def sklearnex_kmeans():
    from sklearnex.cluster import KMeans as IntelKMeans

    return IntelKMeans(N_CLUSTERS, n_init=1, random_state=0).fit(load("fashion_mnist")[0]).inertia_


def faiss_kmeans():
    import faiss

    X = load("fashion_mnist")[0]
    fitted = faiss.Kmeans(X.shape[1], N_CLUSTERS, niter=25, seed=1)
    fitted.train(X)
    return lambda: fitted.index.search(X, 1)[0].sum(dtype=np.float64)


def starts():
    return KMeans(10, init="random", n_init=64).fit(load("mnist")[0], 0).inertia


def sklearn_starts():
    return sklearn.cluster.KMeans(10, init="random", n_init=64, random_state=0).fit(load("mnist")[0]).inertia_


# Allocations of classes to clusters


@cache
def predictions():
    """10,000 classes, and clusters that are right for half of them."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 10, 10_000)
    return np.where(rng.random(10_000) < 0.5, classes, rng.integers(0, 10, 10_000)), classes


def permutations():
    clusters, classes = predictions()
    return score_allocations(contingency(clusters, classes, 10, 10)).score


def numpy_permutations():
    clusters, classes = predictions()
    every = np.array(list(itertools.permutations(range(10))))
    return int(contingency(clusters, classes, 10, 10)[np.arange(10), every].sum(axis=1).max())


def score_some(allocations):
    clusters, classes = predictions()
    return max(accuracy_score(classes, np.array(allocation)[clusters]) for allocation in allocations)


def study_permutations():
    """2,000 of them: what all would take is extrapolated."""
    some = list(itertools.islice(itertools.permutations(range(10)), 2000))
    with multiprocessing.Pool(2) as pool:
        return round(10_000 * max(pool.map(score_some, [some[::2], some[1::2]])))


# Classifiers


def accuracy(model, name):
    *_, X, y = load(name)
    return float(np.mean(model.predict(X) == y))


def knn():
    X, y, *_ = load("mnist")
    return accuracy(KNeighborsClassifier(3).fit(X, y), "mnist")


def sklearn_knn():
    X, y, *_ = load("mnist")
    return accuracy(sklearn.neighbors.KNeighborsClassifier(3, algorithm="brute").fit(X, y), "mnist")


def logistic(n=60_000):
    X, y, *_ = load("fashion_mnist")
    return accuracy(LogisticRegression().fit(X[:n], y[:n]), "fashion_mnist")


def logistic_2000():
    return logistic(2000)


def lbfgs(n=60_000):
    """With our penalty, tolerance and iterations, on pixels."""
    X, y, *_ = load("fashion_mnist")
    ours = LogisticRegression()
    model = sklearn.linear_model.LogisticRegression(C=ours.C, max_iter=ours.max_iter, tol=ours.tol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return accuracy(model.fit(X[:n], y[:n]), "fashion_mnist")


def lbfgs_2000():
    return lbfgs(2000)


def saga():
    """As the study has it, but for 50 iterations a class: it allows 5,000."""
    X, y, *_ = load("fashion_mnist")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = OneVsRestClassifier(sklearn.linear_model.LogisticRegression(solver="saga", max_iter=50)).fit(X, y)
    return accuracy(model, "fashion_mnist")


def mlp_epochs():
    X, y, *_ = load("fashion_mnist")
    return accuracy(MLPClassifier(max_epochs=EPOCHS).fit(X, y), "fashion_mnist")


def loop_epochs():
    X, y, *_ = load("fashion_mnist")
    return accuracy(PlainMLP(EPOCHS).fit(X, y), "fashion_mnist")


class PlainMLP:
    """Our network in the loop that PyTorch's guides show: a DataLoader, Adam, float32, a tenth held out."""

    def __init__(self, max_epochs, patience=4):
        self.max_epochs, self.patience = max_epochs, patience

    def fit(self, X, y):
        torch.manual_seed(0)
        layers, width = [], X.shape[1]
        for hidden in MLPClassifier().hidden_layer_sizes:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.25)]
            width = hidden
        self.network = nn.Sequential(*layers, nn.Linear(width, 10))
        data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
        n_held_out = len(X) // 10
        train, held_out = random_split(data, [len(X) - n_held_out, n_held_out])
        optimizer, best, since = torch.optim.Adam(self.network.parameters()), 0.0, 0
        for _ in range(self.max_epochs):
            self.network.train()
            for features, labels in DataLoader(train, batch_size=128, shuffle=True, drop_last=True):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.network(features), labels).backward()
                optimizer.step()
            self.network.eval()
            with torch.no_grad():
                right = sum(
                    int((self.network(features).argmax(1) == labels).sum())
                    for features, labels in DataLoader(held_out, batch_size=128)
                )
            best, since = (right, 0) if right > best else (best, since + 1)
            if since >= self.patience:
                break
        return self

    def predict(self, X):
        self.network.eval()
        with torch.no_grad():
            return self.network(torch.from_numpy(X)).argmax(1).numpy()


def label_curve():
    X, y, X_test, y_test = load("mnist")
    watch = Watch(X_test, lambda found: float(np.mean(found == y_test)))
    models = [XGBClassifier(stopping="test").fit(X[:n], y[:n], watch=watch) for n in LABEL_COUNTS]
    return float(np.mean([accuracy(model, "mnist") for model in models]))


def study_label_curve():
    X, y, X_test, y_test = load("mnist")
    settings = {
        "eta": 0.08, "max_depth": 10, "subsample": 0.8, "colsample_bytree": 0.8, "alpha": 8, "lambda": 2,
        "objective": "multi:softmax", "eval_metric": "merror", "num_class": 10, "seed": 42,
    }  # fmt: skip
    found = []
    for n in LABEL_COUNTS:
        train, test = xgboost.DMatrix(X[:n], label=y[:n]), xgboost.DMatrix(X_test, label=y_test)
        booster = xgboost.train(
            settings, train, 10_000, evals=[(train, "train"), (test, "test")], early_stopping_rounds=100,
            verbose_eval=False,
        )  # fmt: skip
        predicted = booster.predict(test, iteration_range=(0, booster.best_iteration + 1))
        found.append(np.mean(predicted == y_test))
    return float(np.mean(found))


# Whole jobs


def gpussl(*overrides):
    """Run gpussl with a cache and a folder of its own: the mean test accuracy of its rows."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/run"]
        caches = [] if "cache=null" in overrides else [f"cache={folder}/cache"]
        command = [sys.executable, "-m", "gpussl", "device=cpu", *overrides, *caches, *places]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with (Path(folder) / "run" / "results.csv").open(newline="") as lines:
            return statistics.fmean(float(row["test_accuracy"]) for row in csv.DictReader(lines))


def main_job():
    return gpussl("+experiment=fashion_propagation")


def plain_main_job():
    """The same rows by scikit-learn's defaults and the usual PyTorch loop."""
    X, y, *_ = load("fashion_mnist")
    clusters = sklearn.cluster.KMeans(N_CLUSTERS, random_state=0).fit(X)
    distances = np.linalg.norm(X - clusters.cluster_centers_[clusters.labels_], axis=1)
    members = [np.flatnonzero(clusters.labels_ == j) for j in range(N_CLUSTERS)]
    bought = np.array([of[np.argmin(distances[of])] for of in members])
    near = np.concatenate([of[distances[of] <= np.percentile(distances[of], 25)] for of in members])
    random = np.random.default_rng(0).choice(len(X), N_CLUSTERS, replace=False)
    spread = y[bought][clusters.labels_]
    found = []
    for points, labels in ((bought, y[bought]), (np.arange(len(X)), spread), (near, spread[near]), (random, y[random])):
        for model in (sklearn.linear_model.LogisticRegression(), PlainMLP(40)):
            found.append(accuracy(model.fit(X[points], labels), "fashion_mnist"))
    return statistics.fmean(found)


def sweep():
    return gpussl("-m", "+experiment=fashion_percentile_sweep")


def sweep_without_cache():
    return gpussl("-m", "+experiment=fashion_percentile_sweep", "cache=null")
