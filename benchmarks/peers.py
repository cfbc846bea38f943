"""The comparisons that `speed.py` measures on the CPU: work of gpussl, and the same work done by a peer.

Each function does its work once on the data it is given and returns the quality: an inertia, an accuracy, a score, or a
function that computes one after the clock has stopped. scikit-learn, faiss and PyTorch are used as in their guides,
with their defaults unless the peer gives a reason. Functions without a library's name run on the device of their data:
`peers_cuda.py` calls them too.
"""

import csv
import itertools
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
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

from gpussl import backend
from gpussl.backend import cpu
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.cluster.kmeans import KMeans
from gpussl.numeric.allocations import contingency, score_allocations
from gpussl.protocols import Source
from gpussl.runtime import config
from gpussl.studies.watch import Watch
from gpussl.studies.xgboost_test_stopped import TestStoppedXGBClassifier

EPOCHS = 3
N_CLUSTERS = 2000
LABEL_COUNTS = (100, 600, 1000, 6000, 10000)
SWEEP = ("-m", "+experiment=fashion_percentile_sweep", "seed=0,1,2,3,4")  # six percentiles times five seeds


@dataclass(frozen=True)
class Comparison:
    """A row of the table.

    Attributes
    ----------
    work : str
        Description of the work.
    ours, peer : callable
        Each takes the data and returns the quality.
    at_least : float
        Target for the ratio of the peer's seconds to ours.
    quality : str
        Name of the quality.
    data : callable
        Makes the arrays that are put on the device before the clock starts.
    times : float
        The whole work as a multiple of the part that the peer does; its seconds are extrapolated by this factor.
    package : str, optional
        Imported before the clock starts.
    warm_up : int
        Rows of the data in an untimed call before the clock starts; with 0 there is none.
    """

    work: str
    ours: Callable
    peer: Callable
    at_least: float
    quality: str
    data: Callable
    times: float = 1
    package: str | None = None
    warm_up: int = 0


# Data


def fashion_mnist():
    return load("fashion_mnist")


def mnist():
    return load("mnist")


def load(name):
    """Float32 pixels from 0 to 1, and classes, for the training and the test images."""
    dataset = read(name)
    X_train, X_test = (X.astype(np.float32) / np.float32(dataset.max_value) for X in (dataset.X_train, dataset.X_test))
    return X_train, dataset.y_train.astype(np.int64), X_test, dataset.y_test.astype(np.int64)


def read(name):
    """The data set as stored on disk."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return config.instantiate(compose("config", [f"data={name}"]).data, "data", Source).load()


def predictions():
    """Cluster indices of 10,000 points that match half of the classes, and the classes."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 10, 10_000)
    return np.where(rng.random(10_000) < 0.5, classes, rng.integers(0, 10, 10_000)), classes


def nothing():
    """Whole processes load their data themselves."""
    return ()


# k-means


def kmeans(X, *_):
    return KMeans(N_CLUSTERS).fit(X, 0).inertia


def kmeans_four_iterations(X, *_):
    return KMeans(N_CLUSTERS, max_iter=4).fit(X, 0).inertia


def sklearn_kmeans(X, *_):
    return sklearn.cluster.KMeans(N_CLUSTERS, n_init=1, random_state=0).fit(X).inertia_


def sklearn_kmeans_random(X, *_):
    return sklearn.cluster.KMeans(N_CLUSTERS, init="random", n_init=1, random_state=0).fit(X).inertia_


def sklearnex_kmeans(X, *_):
    from sklearnex.cluster import KMeans as IntelKMeans

    return IntelKMeans(N_CLUSTERS, n_init=1, random_state=0).fit(X).inertia_


def faiss_kmeans(X, *_):
    import faiss

    fitted = faiss.Kmeans(X.shape[1], N_CLUSTERS, niter=25, seed=1)
    fitted.train(X)
    return lambda: fitted.index.search(X, 1)[0].sum(dtype=np.float64)


def starts(X, *_):
    return KMeans(10, init="random", n_init=64).fit(X, 0).inertia


def sklearn_starts(X, *_):
    return sklearn.cluster.KMeans(10, init="random", n_init=64, random_state=0).fit(X).inertia_


# Allocations of classes to clusters


def permutations(clusters, classes):
    return score_allocations(contingency(clusters, classes, 10, 10, cpu), cpu).score


def numpy_permutations(clusters, classes):
    every = np.array(list(itertools.permutations(range(10))))
    return int(contingency(clusters, classes, 10, 10, cpu)[np.arange(10), every].sum(axis=1).max())


def study_permutations(clusters, classes):
    """Scores 2,000 of the allocations; the seconds for all are extrapolated."""
    some = list(itertools.islice(itertools.permutations(range(10)), 2000))
    with multiprocessing.Pool(2) as pool:
        halves = [(half, clusters, classes) for half in (some[::2], some[1::2])]
        return round(10_000 * max(pool.starmap(best_accuracy, halves)))


def best_accuracy(allocations, clusters, classes):
    return max(accuracy_score(classes, np.array(allocation)[clusters]) for allocation in allocations)


# Classifiers


def accuracy(model, X, y):
    return float((model.predict(X) == y).mean())


def knn(X, y, *test):
    return accuracy(KNeighborsClassifier(3, "uniform", "none").fit(X, y), *test)


def sklearn_knn(X, y, *test):
    return accuracy(sklearn.neighbors.KNeighborsClassifier(3, algorithm="brute").fit(X, y), *test)


def logistic(X, y, *test):
    return accuracy(LogisticRegression(0.5, "none", C=0.2).fit(X, y), *test)


def logistic_2000(X, y, *test):
    return logistic(X[:2000], y[:2000], *test)


def logistic_settings():
    ours = LogisticRegression(0.5, "none", C=0.2)
    return {"C": ours.C, "max_iter": ours.max_iter, "tol": ours.tol}


def lbfgs(X, y, X_test, y_test):
    """With our penalty, tolerance, iterations and features."""
    model = sklearn.linear_model.LogisticRegression(**logistic_settings())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return accuracy(model.fit(np.sqrt(X), y), np.sqrt(X_test), y_test)


def lbfgs_2000(X, y, *test):
    return lbfgs(X[:2000], y[:2000], *test)


def saga(X, y, *test):
    """The study's setting, but with 50 iterations for each class; it allows 5,000."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = OneVsRestClassifier(sklearn.linear_model.LogisticRegression(solver="saga", max_iter=50)).fit(X, y)
    return accuracy(model, *test)


def mlp_epochs(X, y, *test):
    return accuracy(MLPClassifier(max_epochs=EPOCHS, scale="none").fit(X, y), *test)


def loop_epochs(X, y, *test):
    return accuracy(PlainMLP(EPOCHS).fit(X, y), *test)


def loop_epochs_of_512(X, y, *test):
    return accuracy(PlainMLP(EPOCHS, MLPClassifier().batch_size).fit(X, y), *test)


class PlainMLP:
    """Our network in the loop of PyTorch's guides: a DataLoader, Adam, float32, a tenth held out.

    It runs on the device of its data.
    """

    def __init__(self, max_epochs, batch_size=128, patience=4):
        self.max_epochs, self.batch_size, self.patience = max_epochs, batch_size, patience

    def fit(self, X, y):
        torch.manual_seed(0)
        layers, width = [], X.shape[1]
        for hidden in MLPClassifier().hidden_layer_sizes:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.25)]
            width = hidden
        data = TensorDataset(torch.from_dlpack(X), torch.from_dlpack(y))
        self.network = nn.Sequential(*layers, nn.Linear(width, 10)).to(data.tensors[0].device)
        n_held_out = len(X) // 10
        train, held_out = random_split(data, [len(X) - n_held_out, n_held_out])
        optimizer, best, since = torch.optim.Adam(self.network.parameters()), 0.0, 0
        for _ in range(self.max_epochs):
            self.network.train()
            for features, labels in self.batches(train, shuffle=True, drop_last=True):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.network(features), labels).backward()
                optimizer.step()
            self.network.eval()
            with torch.no_grad():
                right = sum(
                    int((self.network(features).argmax(1) == labels).sum())
                    for features, labels in self.batches(held_out)
                )
            best, since = (right, 0) if right > best else (best, since + 1)
            if since >= self.patience:
                break
        return self

    def batches(self, data, **settings):
        return DataLoader(data, batch_size=self.batch_size, **settings)

    def predict(self, X):
        self.network.eval()
        with torch.no_grad():
            return backend.of(X).asarray(self.network(torch.from_dlpack(X)).argmax(1))


def label_curve(X, y, X_test, y_test, **settings):
    true = backend.of(y_test).to_numpy(y_test)
    watch = Watch(X_test, lambda found: float(np.mean(found == true)))
    models = [TestStoppedXGBClassifier(**settings) for _ in LABEL_COUNTS]
    for model, n in zip(models, LABEL_COUNTS, strict=True):
        model.watch = watch
        model.fit(X[:n], y[:n])
    return statistics.fmean(accuracy(model, X_test, y_test) for model in models)


def study_label_curve(X, y, X_test, y_test, **device):
    settings = {
        "eta": 0.08, "max_depth": 10, "subsample": 0.8, "colsample_bytree": 0.8, "alpha": 8, "lambda": 2,
        "objective": "multi:softmax", "eval_metric": "merror", "num_class": 10, "seed": 42,
    }  # fmt: skip
    found = []
    for n in LABEL_COUNTS:
        train, test = xgboost.DMatrix(X[:n], label=y[:n]), xgboost.DMatrix(X_test, label=y_test)
        booster = xgboost.train(
            settings | device, train, 10_000, evals=[(train, "train"), (test, "test")], early_stopping_rounds=100,
            verbose_eval=False,
        )  # fmt: skip
        predicted = booster.predict(test, iteration_range=(0, booster.best_iteration + 1))
        found.append(np.mean(predicted == test.get_label()))
    return statistics.fmean(found)


# Whole jobs


def gpussl(device, *overrides):
    """Run gpussl with a cache and a folder of its own; return the mean test accuracy of its rows."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/run"]
        caches = [] if "cache=null" in overrides else [f"cache={folder}/cache"]
        # options such as -m come first: argparse accepts no overrides after an option that itself follows overrides
        command = [sys.executable, "-m", "gpussl", *overrides, f"device={device}", *caches, *places]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with (Path(folder) / "run" / "results.csv").open(newline="") as lines:
            return statistics.fmean(float(row["test_accuracy"]) for row in csv.DictReader(lines))


def main_job(device="cpu"):
    return gpussl(device, "+experiment=fashion_propagation")


def plain_main_job():
    return program(__file__)


def program(path):
    """Run a program and return the last number it prints, so that a peer's time includes its imports as ours does."""
    done = subprocess.run([sys.executable, path], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def plain_rows(KMeans, LogisticRegression, X, y, *test):
    """The mean test accuracy of the main job's rows, by a library's defaults and the usual PyTorch loop.

    Loops over clusters run on the host: a GPU gains nothing from 2,000 small steps.
    """
    twin = backend.of(X)
    fitted = KMeans(n_clusters=N_CLUSTERS, random_state=0).fit(X)
    distances = twin.to_numpy(((X - fitted.cluster_centers_[fitted.labels_]) ** 2).sum(axis=1) ** 0.5)
    occupied, clusters = np.unique(twin.to_numpy(fitted.labels_), return_inverse=True)
    members = [np.flatnonzero(clusters == j) for j in range(len(occupied))]
    bought = np.array([of[np.argmin(distances[of])] for of in members])
    near = np.concatenate([of[distances[of] <= np.percentile(distances[of], 25)] for of in members])
    everywhere, random = np.arange(len(X)), np.random.default_rng(0).choice(len(X), N_CLUSTERS, replace=False)
    true = twin.to_numpy(y)
    spread = true[bought][clusters]
    rows = ((bought, true[bought]), (everywhere, spread), (near, spread[near]), (random, true[random]))
    found = []
    for points, labels in (map(twin.asarray, row) for row in rows):
        for model in (LogisticRegression(), PlainMLP(40)):
            found.append(accuracy(model.fit(X[points], labels), *test))
    return statistics.fmean(found)


def sweep(device="cpu"):
    return gpussl(device, *SWEEP)


def sweep_without_cache(device="cpu"):
    return gpussl(device, *SWEEP, "cache=null")


COMPARISONS = {
    "kmeans-sklearn": Comparison(
        "k-means, 2,000 clusters, to convergence", kmeans, sklearn_kmeans, 8, "inertia", fashion_mnist
    ),
    "kmeans-faiss": Comparison(
        "k-means, 2,000 clusters, until faiss's inertia",
        kmeans_four_iterations,
        faiss_kmeans,
        1.5,
        "inertia",
        fashion_mnist,
        package="faiss",
    ),
    "kmeans-sklearn-random": Comparison(
        "k-means, 2,000 clusters, to convergence", kmeans, sklearn_kmeans_random, 2, "inertia", fashion_mnist
    ),
    "kmeans-sklearnex": Comparison(
        "k-means, 2,000 clusters, to convergence",
        kmeans,
        sklearnex_kmeans,
        1.5,
        "inertia",
        fashion_mnist,
        package="sklearnex",
    ),
    "starts-sklearn": Comparison("k-means, 10 clusters, 64 random starts", starts, sklearn_starts, 5, "inertia", mnist),
    "permutations-study": Comparison(
        "all 10! allocations", permutations, study_permutations, 20000, "best score", predictions, times=3628800 / 2000
    ),
    "permutations-numpy": Comparison(
        "all 10! allocations", permutations, numpy_permutations, 10, "best score", predictions
    ),
    "knn-sklearn": Comparison("3 nearest neighbours", knn, sklearn_knn, 1.2, "accuracy", mnist),
    "mlp-loop": Comparison(
        "three epochs of the MLP on 60,000",
        mlp_epochs,
        loop_epochs,
        3,
        "accuracy",
        fashion_mnist,
        package="torch._dynamo",  # imported by the first optimizer of both sides
    ),
    "mlp-loop-512": Comparison(
        "three epochs of the MLP on 60,000, in as large batches",
        mlp_epochs,
        loop_epochs_of_512,
        1,
        "accuracy",
        fashion_mnist,
        package="torch._dynamo",
    ),
    "logistic-2000-lbfgs": Comparison(
        "logistic regression on 2,000", logistic_2000, lbfgs_2000, 1, "accuracy", fashion_mnist
    ),
    "logistic-60000-lbfgs": Comparison("logistic regression on 60,000", logistic, lbfgs, 1, "accuracy", fashion_mnist),
    "logistic-60000-saga": Comparison("logistic regression on 60,000", logistic, saga, 20, "accuracy", fashion_mnist),
    "xgboost-study": Comparison(
        "boosted trees on 100 to 10,000 labels", label_curve, study_label_curve, 1.5, "accuracy", mnist
    ),
    "main-plain": Comparison("the main job, whole process", main_job, plain_main_job, 5, "accuracy", nothing),
    "sweep-no-cache": Comparison(
        "a sweep of six percentiles and five seeds, 30 jobs", sweep, sweep_without_cache, 3, "accuracy", nothing
    ),
}


if __name__ == "__main__":
    print(plain_rows(sklearn.cluster.KMeans, sklearn.linear_model.LogisticRegression, *fashion_mnist()))
