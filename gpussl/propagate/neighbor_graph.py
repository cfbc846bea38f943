"""Graph: points joined to their nearest neighbours, and labels spread along the edges.

Written once for NumPy with SciPy and for CuPy: the points decide, and the sparse matrices are their twin's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import scipy.sparse
from array_api_compat import array_namespace
from scipy.sparse.csgraph import connected_components

from gpussl import backend
from gpussl.numeric.arrays import arange_like
from gpussl.records import Array
from gpussl.runtime import console

TOLERANCE = 1e-8  # of the solvers: a residual, as a share of the right-hand side
ROUNDING = 1e-12  # of the largest target: what is less is nought
MAX_ITER = 20_000  # of the solvers: where they have not converged by then, that is said


@dataclass(frozen=True)
class Graph:
    """An undirected graph of n points with weighted edges.

    Attributes
    ----------
    weights : (n, n) sparse float64 matrix
        Symmetric, not negative, and without a diagonal.
    degrees : (n,) float64 array
        The sum of each point's weights.
    component : (n,) int array
        Which of the k connected components each point is in.
    members : (k, n) sparse float64 matrix
        1 where a point is in a component: its products are sums over components.
    """

    weights: Any
    degrees: Array
    component: Array
    members: Any

    @classmethod
    def of(cls, weights: Any) -> "Graph":
        """The graph with these weights, a sparse matrix in rows (CSR)."""
        twin, n = backend.of(weights.data), weights.shape[0]
        # on the host: CuPy's own needs cuGraph
        structure = [twin.to_numpy(array) for array in (weights.data, weights.indices, weights.indptr)]
        k, component = connected_components(scipy.sparse.csr_matrix(tuple(structure), shape=(n, n)), directed=False)
        component = twin.asarray(component)
        ones = array_namespace(weights.data).ones(n)
        members = twin.sparse.csr_matrix((ones, (component, arange_like(n, component))), shape=(k, n))
        return cls(weights, weights @ ones, component, members)

    def normalized(self) -> Any:
        """(n, n): the weights over the square roots of both ends' degrees; its eigenvalues are at most 1."""
        diags = backend.of(self.degrees).sparse.diags
        scale = diags([_inverse(self.degrees) ** 0.5], [0], format="csr")
        return (scale @ self.weights @ scale).tocsr()


def neighbor_graph(X: Array, n_neighbors: int) -> Graph:
    """The graph that joins each of (n, d) points to its nearest others.

    Seen from a point, the weight of another at distance r is exp(-4 (r / R)^2), R the distance of the last of its
    neighbours; an edge has the mean of what both of its ends see, 0 where one does not see the other.

    References
    ----------
    Calder, Cook, Thorpe, Slepcev, "Poisson learning: graph based semi-supervised learning at very low label rates",
    ICML 2020.
    """
    xp, twin, n = array_namespace(X), backend.of(X), X.shape[0]
    found, distances = twin.nearest_neighbors(X, X, n_neighbors + 1)
    others = _without(found, arange_like(n, found))
    found = xp.reshape(found[others], (n, n_neighbors))
    distances = xp.astype(xp.reshape(distances[others], (n, n_neighbors)), xp.float64)
    reach = distances[:, -1:]
    seen = xp.exp(-4 * (distances / xp.where(reach > 0, reach, 1.0)) ** 2)  # where all are copies, all weigh 1
    ends = xp.repeat(arange_like(n, found), n_neighbors), xp.reshape(found, (-1,))
    both_ways = xp.concat(ends), xp.concat(ends[::-1])
    halves = xp.concat([xp.reshape(seen, (-1,)) / 2] * 2)
    return Graph.of(twin.sparse.csr_matrix((halves, both_ways), shape=(n, n)))  # which adds up what falls together


def label_spreading(graph: Graph, indices: Array, targets: Array, alpha: float) -> Array:
    """Label spreading: what reaches each point of the labels, at each step of a random walk less by a factor.

    Parameters
    ----------
    graph : Graph
        Of n points.
    indices : (m,) int array
        The labelled points.
    targets : (m, c) float64 array
        1, or what it counts, at the class of each, else 0.
    alpha : float
        The factor.

    Returns
    -------
    (n, c) float64 array
        Each class's score: (1 - alpha) (I - alpha S)^-1 Y, S the normalised weights. What the solver cannot tell from
        nought is nought; all are where no label leads.

    References
    ----------
    Zhou, Bousquet, Lal, Weston, Schölkopf, "Learning with local and global consistency", NeurIPS 2003.
    """
    xp, S = array_namespace(targets), graph.normalized()
    found = _conjugate_gradients(lambda F: F - alpha * (S @ F), (1 - alpha) * _spread(graph, indices, targets))
    error = TOLERANCE * xp.sqrt(xp.sum(targets**2, axis=0))  # at most: the least eigenvalue of I - alpha S is 1 - alpha
    return xp.where(found > error, found, 0.0)


def poisson_learning(graph: Graph, indices: Array, targets: Array) -> Array:
    """Poisson learning: labels as sources and sinks of a flow, and each point's potential.

    Parameters are those of `label_spreading`.

    Returns
    -------
    (n, c) float64 array
        Each class's potential u, where L u is the targets less their mean, L the graph's Laplacian, and u has the
        weighted mean 0 by degree. Components are graphs by themselves, each with the mean of its own targets: in one
        with labels of one class, or none, all potentials are 0.

    References
    ----------
    As of `neighbor_graph`.
    """
    xp, S = array_namespace(targets), graph.normalized()
    source = _spread(graph, indices, targets)
    source[indices, :] -= label_means(graph, indices, targets)[indices, :]
    # where all labels are alike nothing flows; what rounding leaves there would be a system without a solution
    source = xp.where(xp.abs(source) > ROUNDING * xp.max(targets), source, 0.0)
    scale = _inverse(graph.degrees)[:, None] ** 0.5
    # of the normalised Laplacian, whose condition is better: it maps D^(1/2) u to D^(-1/2) L u
    potentials = scale * _conjugate_gradients(lambda V: V - S @ V, scale * source)
    weighted = graph.members @ (graph.degrees[:, None] * potentials)
    return potentials - xp.take(weighted * _inverse(graph.members @ graph.degrees)[:, None], graph.component, axis=0)


def shares(scores: Array) -> Array:
    """(n, c): each class's score as a share of its point's; 0 where all scores are."""
    return scores * _inverse(array_namespace(scores).sum(scores, axis=1))[:, None]


def potential_shares(potentials: Array, means: Array) -> Array:
    """(n, c): each point's positive potentials, less their mean, as shares of their sum and of a little more.

    That little is the same for all points: the sum that nine tenths of them exceed. Of two classes one potential is the
    other's negative, and without it the winner's share would be 1 everywhere. With it, the share is small far from all
    labels, and between those of several classes.

    Parameters
    ----------
    potentials : (n, c) float64 array
        As `poisson_learning` has them.
    means : (n, c) float64 array
        The `label_means` of targets that are 1 or 0. In a component with one class there are no potentials, and that
        class has all.
    """
    xp = array_namespace(potentials)
    centred = potentials - xp.mean(potentials, axis=1)[:, None]  # else none need be positive where targets are not 1
    positive = xp.where(centred > 0, centred, 0.0)
    totals = xp.sum(positive, axis=1)
    ascending = xp.sort(totals[totals > 0])
    little = ascending[ascending.shape[0] // 10] if ascending.shape[0] else 1.0
    found = positive / (totals + little)[:, None]
    return xp.where(xp.max(means, axis=1)[:, None] == 1, means, found)


def label_means(graph: Graph, indices: Array, targets: Array) -> Array:
    """(n, c): the mean of the targets in each point's component; 0 where there are none.

    Parameters are those of `label_spreading`.
    """
    xp = array_namespace(targets)
    sums = graph.members @ _spread(graph, indices, targets)
    counts = graph.members @ _spread(graph, indices, xp.ones_like(targets[:, :1]))
    return xp.take(sums / xp.where(counts > 0, counts, 1.0), graph.component, axis=0)


def _spread(graph: Graph, indices: Array, targets: Array) -> Array:
    """(n, c): the targets at their points, and 0 elsewhere."""
    everywhere = array_namespace(targets).zeros((graph.degrees.shape[0], targets.shape[1]))
    everywhere[indices, :] = targets
    return everywhere


def _inverse(x: Array) -> Array:
    """1 / x, and 0 where that is 0."""
    xp = array_namespace(x)
    return xp.where(x > 0, 1 / xp.where(x > 0, x, 1.0), 0.0)


def _without(found: Array, own: Array) -> Array:
    """(n, k) bool: what is left of each point's neighbours (n, k) without itself, `own` (n,).

    A point that its copies have crowded out loses the last neighbour instead.
    """
    xp = array_namespace(found)
    is_own = found == own[:, None]
    crowded_out = ~xp.any(is_own, axis=1)
    is_own[:, -1] |= crowded_out
    return ~is_own


def _conjugate_gradients(apply: Callable[[Array], Array], B: Array) -> Array:
    """X (n, c) with apply(X) = B (n, c), for a symmetric map without negative eigenvalues: each column by itself.

    The map may be singular where B is in its range: X is then, too.

    References
    ----------
    Hestenes, Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.
    """
    xp = array_namespace(B)
    X, residual, direction = xp.zeros_like(B), B, B
    size = xp.sum(B * B, axis=0)
    goal = TOLERANCE**2 * size
    for _ in range(MAX_ITER):
        is_open = size > goal
        if not bool(xp.any(is_open)):
            return X
        image = apply(direction)
        step = xp.where(is_open, size / xp.where(is_open, xp.sum(direction * image, axis=0), 1.0), 0.0)
        X, residual = X + step * direction, residual - step * image
        before, size = size, xp.sum(residual * residual, axis=0)
        direction = residual + size / xp.where(before > 0, before, 1.0) * direction
    worst = float(xp.max(size / xp.where(goal > 0, goal, 1.0))) ** 0.5 * TOLERANCE
    console.say(f"propagate: expected the solver to converge in {MAX_ITER:,} steps, found a residual of {worst:.0e}")
    return X
