"""Clusters as classes: named by bought labels, and by the best of all allocations."""

import json

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import gpussl
from gpussl.data.digits import Digits
from gpussl.errors import ConfigError
from gpussl.tasks.run import run


@pytest.fixture(scope="module")
def dataset():
    return Digits().load()


@pytest.mark.parametrize("n_clusters", [7, 10, 15])
def test_both_accuracies_are_those_of_a_few_lines(job, tmp_path, dataset, n_clusters):
    small = ("allocate=true", "propagate=[]", "classifier=[]", "baselines=none", f"cluster.n_clusters={n_clusters}")
    honest, by_training, bound = run(job(*small), tmp_path / "run")
    clustering = gpussl.load(tmp_path / "run" / "clustering.safetensors")
    train, test = (np.float32(X) / np.float32(16) for X in (dataset.X_train, dataset.X_test))
    clusters = ((test[:, None] - clustering.centroids[None]) ** 2).sum(axis=2).argmin(axis=1)

    nearest = ((train[:, None] - clustering.centroids[None]) ** 2).sum(axis=2)
    names = []
    for cluster in range(n_clusters):
        members = np.flatnonzero(clustering.labels == cluster)
        names.append(dataset.y_train[members[nearest[members, cluster].argmin()]])
    assert honest.test_accuracy == pytest.approx(np.mean(np.array(names)[clusters] == dataset.y_test))
    assert honest.label_accuracy == pytest.approx(np.mean(np.array(names)[clustering.labels] == dataset.y_train))
    table = np.zeros((n_clusters, 10), dtype=int)
    np.add.at(table, (clustering.labels, dataset.y_train), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    assert by_training.train_accuracy == by_training.label_accuracy == pytest.approx(table[rows, columns].sum() / 1297)
    names = np.full(n_clusters, -1)
    names[rows] = columns
    if n_clusters == 10:  # with others, which clusters have no name, or classes no cluster, may be undecided
        assert by_training.test_accuracy == pytest.approx(np.mean(names[clusters] == dataset.y_test))
    assert (honest.n_labels, by_training.n_labels, bound.n_labels) == (n_clusters, 1297, 500)
    assert (honest.select, bound.select) == ("nearest_to_centroid", "test_labels")

    described = json.loads((tmp_path / "run" / "allocations.json").read_text())
    best = described["ranking"][0]["class_of_cluster"]
    named = np.array([int(name) if name else -1 for name in best])[clusters]
    assert bound.test_accuracy == pytest.approx(np.mean(named == dataset.y_test)) == described["accuracy"]
    assert described["method"] == ("enumeration" if n_clusters <= 12 else "assignment")
    assert "upper bound" in described["judged_by"]
    assert (tmp_path / "run" / "figures" / "allocations.png").exists() == (n_clusters <= 12)


def test_without_clusters_there_is_nothing_to_name(job, tmp_path):
    overrides = ("cluster=none", "select=random", "allocate=true", "classifier=[]", "propagate=[]")
    with pytest.raises(ConfigError, match="allocate=true: expected clusters, found none"):
        run(job(*overrides), tmp_path / "run")
