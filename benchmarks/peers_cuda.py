"""The comparisons of `peers.py` on an NVIDIA GPU: our code on CuPy arrays, against cuML, CuPy and the usual PyTorch
loop.

Importing this needs a GPU with CuPy and cuML, so `speed.py` does so only for `--device cuda`.
"""

import functools
import itertools

import cupy
import numpy as np
import peers
from cuml.cluster import KMeans
from cuml.linear_model import LogisticRegression
from cuml.neighbors import KNeighborsClassifier
from peers import Comparison
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from gpussl import backend
from gpussl.backend import cpu
from gpussl.numeric.allocations import contingency, score_allocations
from gpussl.numeric.arrays import paired_distances

# k-means


def cuml_kmeans(X, *_):
    fitted = KMeans(n_clusters=peers.N_CLUSTERS).fit(X)
    return lambda: inertia(X, fitted)


def cuml_starts(X, *_):
    fitted = KMeans(n_clusters=10, init="random", n_init=64).fit(X)
    return lambda: inertia(X, fitted)


def inertia(X, fitted):
    """The inertia in double precision, as ours; cuML reports a float32 sum."""
    distances = paired_distances(X, fitted.cluster_centers_, fitted.labels_)
    return float((distances.astype(np.float64) ** 2).sum())


# Allocations of classes to clusters


def table():
    return (contingency(*peers.predictions(), 10, 10, cpu),)


def permutations(table):
    return score_allocations(table, backend.of(table)).score


@functools.cache
def every_permutation(n_clusters, n_classes):
    return cupy.array(list(itertools.permutations(range(n_classes), n_clusters)))


def cupy_permutations(table):
    return int(table[cupy.arange(len(table)), every_permutation(*table.shape)].sum(axis=1).max())


# Classifiers


def cuml_knn(X, y, *test):
    return peers.accuracy(KNeighborsClassifier(n_neighbors=3).fit(X, y), *test)


def cuml_logistic(X, y, X_test, y_test):
    """With our penalty, tolerance, iterations and features."""
    model = LogisticRegression(**peers.logistic_settings())
    return peers.accuracy(model.fit(X**0.5, y), X_test**0.5, y_test)


def cuml_logistic_2000(X, y, *test):
    return cuml_logistic(X[:2000], y[:2000], *test)


class PlainMLP(peers.PlainMLP):
    """The loop for data on a GPU: batches are indexed there as a whole, not one point at a time."""

    def batches(self, data, shuffle=False, drop_last=False):
        sampler = (RandomSampler if shuffle else SequentialSampler)(data)
        batches = BatchSampler(sampler, self.batch_size, drop_last)
        return DataLoader(data, sampler=batches, batch_size=None)


def loop_epochs(X, y, *test):
    return peers.accuracy(PlainMLP(peers.EPOCHS).fit(X, y), *test)


def label_curve(*data):
    return peers.label_curve(*data, tree_method="gpu_hist")


def study_label_curve(*data):
    return peers.study_label_curve(*data, device="cuda", tree_method="hist")


# Whole jobs


def main_job():
    return peers.main_job("cuda")


def plain_main_job():
    return peers.program(__file__)


def sweep():
    return peers.sweep("cuda")


def sweep_without_cache():
    return peers.sweep_without_cache("cuda")


COMPARISONS = {
    "kmeans-cuml": Comparison(
        "k-means, 2,000 clusters, to convergence",
        peers.kmeans,
        cuml_kmeans,
        1,
        "inertia",
        peers.fashion_mnist,
        warm_up=4096,
    ),
    "starts-cuml": Comparison(
        "k-means, 10 clusters, 64 random starts", peers.starts, cuml_starts, 1, "inertia", peers.mnist, warm_up=4096
    ),
    "permutations-cupy": Comparison(
        "all 10! allocations", permutations, cupy_permutations, 10, "best score", table, warm_up=10
    ),
    "knn-cuml": Comparison("3 nearest neighbours", peers.knn, cuml_knn, 0.9, "accuracy", peers.mnist, warm_up=4096),
    "mlp-loop": Comparison(
        "three epochs of the MLP on 60,000",
        peers.mlp_epochs,
        loop_epochs,
        3,
        "accuracy",
        peers.fashion_mnist,
        warm_up=4096,
    ),
    "logistic-2000-cuml": Comparison(
        "logistic regression on 2,000",
        peers.logistic_2000,
        cuml_logistic_2000,
        1,
        "accuracy",
        peers.fashion_mnist,
        warm_up=500,
    ),
    "logistic-60000-cuml": Comparison(
        "logistic regression on 60,000", peers.logistic, cuml_logistic, 1, "accuracy", peers.fashion_mnist, warm_up=4096
    ),
    "xgboost-study": Comparison(
        "boosted trees on 100 to 10,000 labels", label_curve, study_label_curve, 1, "accuracy", peers.mnist, warm_up=100
    ),
    "main-plain": Comparison("the main job, whole process", main_job, plain_main_job, 5, "accuracy", peers.nothing),
    "sweep-no-cache": Comparison(
        "a sweep of six percentiles and five seeds, 30 jobs", sweep, sweep_without_cache, 3, "accuracy", peers.nothing
    ),
}


if __name__ == "__main__":
    print(peers.plain_rows(KMeans, LogisticRegression, *map(cupy.asarray, peers.fashion_mnist())))
