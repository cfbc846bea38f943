"""The neighbour graph and the spreading of labels on it, against dense closed forms and other libraries.

`python -m tests.test_neighbor_graph` records graphlearning's answers anew, where it is installed: it has to be
compiled, so the tests do without it.
"""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, make_moons
from sklearn.semi_supervised import LabelSpreading

from gpussl.backend import cpu
from gpussl.propagate import neighbor_graph as graph
from gpussl.propagate.neighbor_graph import (
    Graph,
    label_means,
    label_spreading,
    neighbor_graph,
    neighbors,
    poisson_learning,
    potential_shares,
)
from gpussl.runtime import console

RECORDED = Path(__file__).parent / "graphlearning.npz"  # by graphlearning 1.7.5
K = 10


def moons():
    """Points, a few of them labelled (m,), and the classes of those (m, 2)."""
    X, y = make_moons(120, noise=0.08, random_state=1)
    indices = np.array([3, 17, 40, 66, 101])
    return X, indices, np.eye(2)[y[indices]]


def digits():
    """As `moons`, of ten classes."""
    X, y = load_digits(return_X_y=True)
    X = X[:200] / 16 + np.random.default_rng(0).normal(scale=1e-3, size=(200, 64))  # no two distances are the same
    y = y[:200]
    indices = np.arange(25)
    return X, indices, np.eye(10)[y[indices]]


CASES = {"moons": moons, "digits": digits}


def dense_weights(X, k):
    """The graph's weights (n, n), point by point from the formula."""
    n = len(X)
    distances = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    seen = np.zeros((n, n))
    for i in range(n):
        others = [j for j in np.argsort(distances[i], kind="stable") if j != i][:k]
        reach = distances[i, others[-1]]
        for j in others:
            seen[i, j] = np.exp(-4 * distances[i, j] ** 2 / reach**2) if reach else 1
    return (seen + seen.T) / 2


def random_graph(rng, n, density=0.3):
    """A graph with random weights, in one piece."""
    weights = np.triu(rng.random((n, n)) * (rng.random((n, n)) < density), 1)
    weights[np.arange(n - 1), np.arange(1, n)] = 0.1 + rng.random(n - 1)
    return Graph.of(scipy.sparse.csr_matrix(weights + weights.T))


@pytest.mark.parametrize("case", CASES)
def test_edges_are_weighted_by_the_formula(case):
    X = CASES[case]()[0]
    found = neighbor_graph(neighbors(X, K))
    np.testing.assert_allclose(found.weights.toarray(), dense_weights(X, K), rtol=1e-10)
    np.testing.assert_allclose(found.degrees, found.weights.toarray().sum(axis=1))


def test_no_point_is_its_own_neighbour_not_even_among_copies_of_it():
    X = np.repeat(np.array([[0.0], [1.0], [5.0]]), 4, axis=0)
    found = neighbor_graph(neighbors(X, 3))
    blocks = np.kron(np.eye(3), np.ones((4, 4))) - np.eye(12)  # a copy at no distance weighs 1
    np.testing.assert_array_equal(found.weights.toarray(), blocks)
    assert found.component.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (
        neighbor_graph(neighbors(X, 2)).weights.diagonal().tolist() == [0] * 12
    )  # the nearest three are copies, or the point


@given(n=st.integers(2, 30), k=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_a_graph_is_symmetric_and_nobody_is_alone(n, k, seed):
    X = np.random.default_rng(seed).integers(0, 4, (n, 2)).astype(np.float64)  # many copies and ties
    found = neighbor_graph(neighbors(X, min(k, n - 1)))
    weights = found.weights.toarray()
    np.testing.assert_array_equal(weights, weights.T)
    assert weights.diagonal().tolist() == [0] * n
    assert ((weights > 0).sum(axis=1) >= min(k, n - 1)).all()
    assert weights.max() <= 1
    assert found.members.shape[0] == found.component.max() + 1
    np.testing.assert_array_equal(found.members.toarray().argmax(axis=0), found.component)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("alpha", [0.2, 0.9, 0.99])
def test_label_spreading_is_the_closed_form(case, alpha):
    X, indices, targets = CASES[case]()
    joined = neighbor_graph(neighbors(X, K))
    W = joined.weights.toarray()
    Y = np.zeros((len(X), targets.shape[1]))
    Y[indices] = targets
    S = W / np.sqrt(np.outer(W.sum(axis=1), W.sum(axis=1)))
    expected = (1 - alpha) * np.linalg.solve(np.eye(len(X)) - alpha * S, Y)
    np.testing.assert_allclose(label_spreading(joined, indices, targets, alpha), expected, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.5, 0.9])
def test_label_spreading_is_where_scikit_learns_iteration_ends(alpha):
    X, indices, targets = digits()
    joined = neighbor_graph(neighbors(X, K))
    y = np.full(len(X), -1)
    y[indices] = targets.argmax(axis=1)
    theirs = LabelSpreading(kernel=lambda *_: joined.weights.toarray(), alpha=alpha, max_iter=3000, tol=1e-12)
    theirs.fit(X, y)
    ours = graph.shares(label_spreading(joined, indices, targets, alpha))
    np.testing.assert_allclose(ours, theirs.label_distributions_, atol=1e-4)  # of tiny scores
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.transduction_)


@pytest.mark.parametrize("case", CASES)
def test_poisson_learning_is_the_equations_solution(case):
    X, indices, targets = CASES[case]()
    joined = neighbor_graph(neighbors(X, K))
    assert joined.members.shape[0] == 1
    found = poisson_learning(joined, indices, targets)
    source = np.zeros_like(found)
    source[indices] = targets - targets.mean(axis=0)
    laplacian = np.diag(joined.degrees) - joined.weights.toarray()
    np.testing.assert_allclose(laplacian @ found, source, atol=1e-6)
    np.testing.assert_allclose(joined.degrees @ found, 0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_poisson_learning_is_graphlearnings(case):
    X, indices, targets = CASES[case]()
    recorded = np.load(RECORDED)
    joined = neighbor_graph(neighbors(X, K))
    np.testing.assert_allclose(joined.weights.toarray(), recorded[f"{case}_weights"], rtol=1e-10)
    found = poisson_learning(joined, indices, targets)
    np.testing.assert_allclose(found, recorded[f"{case}_potentials"], atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=1), recorded[f"{case}_potentials"].argmax(axis=1))


@given(n=st.integers(3, 25), n_bought=st.integers(2, 8), seed=st.integers(0, 10**6))
def test_components_are_graphs_by_themselves(n, n_bought, seed):
    """Two graphs side by side, and one without labels: each has what it has alone."""
    rng = np.random.default_rng(seed)
    parts = [random_graph(rng, n), random_graph(rng, n + 2)]
    bought = [np.sort(rng.choice(n, min(n_bought, n), replace=False)) for _ in parts]
    targets = [np.eye(3)[rng.integers(0, 3, len(indices))] for indices in bought]
    blocks = [part.weights for part in parts] + [random_graph(rng, 4).weights]
    both = Graph.of(scipy.sparse.block_diag(blocks, format="csr"))
    indices = np.concatenate([bought[0], bought[1] + n])
    for solve in (poisson_learning, lambda *given: label_spreading(*given, 0.9)):
        found = solve(both, indices, np.concatenate(targets))
        alone = [solve(*each) for each in zip(parts, bought, targets, strict=True)]
        np.testing.assert_allclose(found[: 2 * n + 2], np.concatenate(alone), atol=1e-5)
        assert not found[2 * n + 2 :].any()
    of_last = label_means(both, indices, np.concatenate(targets))[-1]
    assert not of_last.any()


def test_in_a_component_of_one_class_that_class_has_all():
    blocks = [random_graph(np.random.default_rng(seed), 6).weights for seed in range(3)]
    joined = Graph.of(scipy.sparse.block_diag(blocks, format="csr"))
    indices, targets = np.array([0, 3, 7]), np.eye(3)[[0, 1, 2]]
    potentials = poisson_learning(joined, indices, targets)
    found = potential_shares(potentials, label_means(joined, indices, targets))
    assert found[6:12].tolist() == [[0, 0, 1]] * 6
    assert not found[12:].any()
    assert (found[:6].max(axis=1) < 1).all()
    assert (found[:6, 2] == 0).all()


@given(seed=st.integers(0, 10**6), n_classes=st.integers(2, 5))
def test_shares_add_up_to_one_at_most_and_keep_the_winner(seed, n_classes):
    rng = np.random.default_rng(seed)
    potentials = rng.normal(size=(30, n_classes)) * (rng.random((30, 1)) < 0.8)
    potentials -= potentials.mean(axis=1, keepdims=True)
    found = potential_shares(potentials, np.full((30, n_classes), 1 / n_classes))
    assert (found >= 0).all()
    assert (found.sum(axis=1) <= 1).all()
    some = potentials.any(axis=1)
    np.testing.assert_array_equal(found[some].argmax(axis=1), potentials[some].argmax(axis=1))
    assert not found[~some].any()
    scores = np.maximum(potentials, 0)
    np.testing.assert_allclose(graph.shares(scores).sum(axis=1), some)


def test_points_too_far_for_the_solvers_digits_have_no_label():
    n = 2000  # a chain: each step costs a share of what is left
    weights = scipy.sparse.diags([np.ones(n - 1)] * 2, [-1, 1], format="csr")
    found = label_spreading(Graph.of(weights), np.array([0, 1]), np.eye(2), 0.5)
    assert (found[:5].max(axis=1) > 0).all()
    assert not found[100:].any()


def test_a_solver_that_does_not_converge_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(console, "say", said.append)
    monkeypatch.setattr(graph, "MAX_ITER", 2)
    X, indices, targets = moons()
    label_spreading(neighbor_graph(neighbors(X, K)), indices, targets, 0.99)
    assert len(said) == 1
    assert said[0].startswith("propagate: expected the solver to converge in 2 steps, found a residual of ")


@pytest.mark.parametrize("n_features", [5, 20])  # a tree and a search
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_to_neighbours_are_exact(dtype, n_features):
    X = np.random.default_rng(0).normal(1000, 1, (300, n_features)).astype(dtype)
    indices, distances = cpu.nearest_neighbors(X, X[:40], 6)
    every = np.sqrt(((X[:40, None].astype(np.float64) - X[None]) ** 2).sum(axis=2))
    np.testing.assert_array_equal(indices, every.argsort(axis=1, kind="stable")[:, :6])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :6], rtol=1e-12)


def record():
    """Write what graphlearning says of the cases."""
    import graphlearning

    arrays = {}
    for name, case in CASES.items():
        X, indices, targets = case()
        neighbours = graphlearning.weightmatrix.knnsearch(X, K + 1, method="kdtree")
        weights = graphlearning.weightmatrix.knn(X, K, knn_data=neighbours)
        model = graphlearning.ssl.poisson(weights, tol=1e-12)
        arrays[f"{name}_weights"] = weights.toarray()
        arrays[f"{name}_potentials"] = model.fit(indices, targets.argmax(axis=1))
    np.savez_compressed(RECORDED, **arrays)


if __name__ == "__main__":
    record()


def test_where_each_component_has_one_class_nothing_flows_and_nothing_is_said(monkeypatch):
    """The mean of seven equal numbers is not that number to the last digit."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(40, 2)), 100 + rng.normal(size=(40, 2))])
    indices = np.concatenate([np.arange(7), 40 + np.arange(13)])
    targets = np.repeat(np.eye(2), [7, 13], axis=0) * [20 / 7, 20 / 13]
    said = []
    monkeypatch.setattr(console, "say", said.append)
    assert (poisson_learning(neighbor_graph(neighbors(X, 5)), indices, targets) == 0).all()
    assert not said
