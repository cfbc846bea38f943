"""The graph of nearest neighbours, and two ways to spread labels along its edges.

One code for NumPy with SciPy and for CuPy: the array decides, and its backend twin provides the sparse matrices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from gpussl import backend
from gpussl.numeric.arrays import arange_like, row_blocks
from gpussl.records import Array, Neighbors, OnProgress
from gpussl.runtime import console

TOLERANCE = 1e-8  # of the solver: norm of the residual over that of the right-hand side
ROUNDING = 1e-12  # sources below this share of the largest target are rounding errors
MIN_QUERIES, MAX_PARTS = 8192, 20  # of the search for neighbours: signs of progress must not slow it down
MAX_ITER = 20_000  # of the solver, which then warns and returns its current solution


@dataclass(frozen=True)
class Graph:
    """An undirected graph of n points with weighted edges and k connected components.

    Attributes
    ----------
    weights : (n, n) sparse float64 matrix
        Symmetric and non-negative, with a zero diagonal.
    degrees : (n,) float64 array
        Row sums of the weights.
    component : (n,) int array
        Index of each point's component.
    members : (k, n) sparse float64 matrix
        Indicator of the components: multiplying by it sums over the points of each.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> graph = Graph.of(csr_matrix(np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])))
    >>> graph.degrees.tolist(), graph.component.tolist()
    ([2.0, 2.0, 0.0], [0, 0, 1])
    """

    weights: Any
    degrees: Array
    component: Array
    members: Any

    @classmethod
    def of(cls, weights: Any) -> "Graph":
        """The graph with these weights, an (n, n) sparse matrix in CSR format."""
        from scipy import sparse  # late: few need it, and all would wait for it
        from scipy.sparse.csgraph import connected_components

        twin, n = backend.of(weights.data), weights.shape[0]
        # on the host: connected_components of CuPy needs cuGraph
        structure = [twin.to_numpy(array) for array in (weights.data, weights.indices, weights.indptr)]
        k, component = connected_components(sparse.csr_matrix(tuple(structure), shape=(n, n)), directed=False)
        component = twin.asarray(component)
        ones = array_namespace(weights.data).ones(n)
        members = twin.sparse.csr_matrix((ones, (component, arange_like(n, component))), shape=(k, n))
        return cls(weights, weights @ ones, component, members)

    def normalized(self) -> Any:
        """D^(-1/2) W D^(-1/2), (n, n), for weights W and degrees D; its eigenvalues lie in [-1, 1]."""
        diags = backend.of(self.degrees).sparse.diags
        scale = diags([_inverse(self.degrees) ** 0.5], [0], format="csr")
        return (scale @ self.weights @ scale).tocsr()


def neighbors(X: Array, n_neighbors: int, on_progress: OnProgress | None = None) -> Neighbors:
    """Find the nearest neighbours of each of (n, d) points and the point itself: n_neighbors + 1 of each.

    Examples
    --------
    >>> import numpy as np
    >>> neighbors(np.array([[0.0], [1.0], [3.0]]), 1).indices.tolist()
    [[0, 1], [1, 0], [2, 1]]
    """
    xp, twin, n = array_namespace(X), backend.of(X), X.shape[0]
    parts = []
    for rows in row_blocks(n, 1, max(MIN_QUERIES, n // MAX_PARTS)):
        parts.append(twin.nearest_neighbors(X, X[rows, :], n_neighbors + 1))
        if on_progress is not None:
            on_progress(rows.stop, n, f"neighbours of {rows.stop:,} of {n:,}")
    indices, distances = (xp.concat(part) for part in zip(*parts, strict=True))
    return Neighbors(indices, distances)


def neighbor_graph(found: Neighbors) -> Graph:
    """Join each point to its nearest neighbours.

    A point gives its neighbour at distance r the weight exp(-4 (r / R)^2), R being the distance of its farthest
    neighbour, and every other point the weight 0. The weight of an edge is the mean of the two weights that its ends
    give each other.

    Parameters
    ----------
    found : Neighbors
        Of n points: k neighbours of each, and the point itself.

    References
    ----------
    Calder, Cook, Thorpe, Slepcev, "Poisson learning: graph based semi-supervised learning at very low label rates",
    ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> neighbor_graph(neighbors(np.array([[0.0], [1.0], [3.0]]), 1)).weights.toarray().round(4)
    array([[0.    , 0.0183, 0.    ],
           [0.0183, 0.    , 0.0092],
           [0.    , 0.0092, 0.    ]])
    """
    xp, twin = array_namespace(found.indices), backend.of(found.indices)
    n, n_neighbors = found.indices.shape[0], found.indices.shape[1] - 1
    others = _without(found.indices, arange_like(n, found.indices))
    indices = xp.reshape(found.indices[others], (n, n_neighbors))
    distances = xp.astype(xp.reshape(found.distances[others], (n, n_neighbors)), xp.float64)
    reach = distances[:, -1:]
    seen = xp.exp(-4 * (distances / xp.where(reach > 0, reach, 1.0)) ** 2)  # 1 if all neighbours are duplicates
    ends = xp.repeat(arange_like(n, indices), n_neighbors), xp.reshape(indices, (-1,))
    both_ways = xp.concat(ends), xp.concat(ends[::-1])
    halves = xp.concat([xp.reshape(seen, (-1,)) / 2] * 2)
    return Graph.of(twin.sparse.csr_matrix((halves, both_ways), shape=(n, n)))  # duplicate entries are summed


def label_spreading(graph: Graph, indices: Array, targets: Array, alpha: float) -> Array:
    """Label spreading: labels diffuse along the edges, and each step keeps a share alpha of them.

    Parameters
    ----------
    graph : Graph
        Of n points.
    indices : (m,) int array
        The labelled points.
    targets : (m, c) float64 array
        The weight of each label in the column of its class, 1 if labels count alike; 0 elsewhere.
    alpha : float
        Share of a label that is passed on at each step, in (0, 1).

    Returns
    -------
    (n, c) float64 array
        Score of each class: (1 - alpha) (I - alpha S)^-1 Y, with S the normalised weights and Y the targets. Scores
        within the solver's error are set to 0, as are those of points without a path to a label.

    References
    ----------
    Zhou, Bousquet, Lal, Weston, Schölkopf, "Learning with local and global consistency", NeurIPS 2003.

    Examples
    --------
    >>> import numpy as np
    >>> graph = neighbor_graph(neighbors(np.arange(5.0)[:, None], 2))
    >>> scores = label_spreading(graph, np.array([0, 4]), np.eye(2), 0.9)
    >>> scores.argmax(axis=1)[[0, 1, 3, 4]]
    array([0, 0, 1, 1])
    """
    xp, S = array_namespace(targets), graph.normalized()
    found = _conjugate_gradients(lambda F: F - alpha * (S @ F), (1 - alpha) * _spread(graph, indices, targets))
    # a bound on the solver's error: the smallest eigenvalue of I - alpha S is 1 - alpha
    error = TOLERANCE * xp.sqrt(xp.sum(targets**2, axis=0))
    return xp.where(found > error, found, 0.0)


def poisson_learning(graph: Graph, indices: Array, targets: Array) -> Array:
    """Poisson learning: labels are the sources and sinks of a flow along the edges; the scores are its potentials.

    Parameters are those of `label_spreading`, the reference is that of `neighbor_graph`.

    Returns
    -------
    (n, c) float64 array
        Potential u of each class: the solution of L u = f with a degree-weighted mean of 0. L is the graph Laplacian
        and f the targets minus their mean over the labelled points. Each connected component is solved on its own; its
        potentials are 0 if its labels are of one class, or if it has none.

    Examples
    --------
    >>> import numpy as np
    >>> graph = neighbor_graph(neighbors(np.arange(5.0)[:, None], 2))
    >>> potentials = poisson_learning(graph, np.array([0, 4]), np.eye(2))
    >>> potentials.argmax(axis=1)[[0, 1, 3, 4]]
    array([0, 0, 1, 1])
    """
    xp, S = array_namespace(targets), graph.normalized()
    source = _spread(graph, indices, targets)
    source[indices, :] -= label_means(graph, indices, targets)[indices, :]
    # a component with labels of one class has no flow; sources left there by rounding would make the system singular
    source = xp.where(xp.abs(source) > ROUNDING * xp.max(targets), source, 0.0)
    scale = _inverse(graph.degrees)[:, None] ** 0.5
    # solve with the normalised Laplacian, which is better conditioned: it maps D^(1/2) u to D^(-1/2) L u
    potentials = scale * _conjugate_gradients(lambda V: V - S @ V, scale * source)
    weighted = graph.members @ (graph.degrees[:, None] * potentials)
    return potentials - xp.take(weighted * _inverse(graph.members @ graph.degrees)[:, None], graph.component, axis=0)


def shares(scores: Array) -> Array:
    """Scale the scores (n, c) of each point to sum to 1; points without a score keep 0.

    Examples
    --------
    >>> import numpy as np
    >>> shares(np.array([[1.0, 3.0], [0.0, 0.0]]))
    array([[0.25, 0.75],
           [0.  , 0.  ]])
    """
    return scores * _inverse(array_namespace(scores).sum(scores, axis=1))[:, None]


def potential_shares(potentials: Array, means: Array) -> Array:
    """Turn potentials into shares (n, c) of the classes at each point, with a sum below 1.

    The potentials of a point are centred, and the positive ones divided by their sum plus a constant: the lower decile
    of these sums over all points. With two classes, one centred potential is the negative of the other, so the winner's
    share would be 1 everywhere without the constant. With it, the share is small far from all labels and between labels
    of different classes.

    Parameters
    ----------
    potentials : (n, c) float64 array
        From `poisson_learning`.
    means : (n, c) float64 array
        The `label_means` of targets that are 1 or 0. A component with labels of one class has no potentials; the share
        of that class is 1 there.

    Examples
    --------
    >>> import numpy as np
    >>> potential_shares(np.array([[0.3, -0.3], [-0.1, 0.1]]), np.full((2, 2), 0.5))
    array([[0.75, 0.  ],
           [0.  , 0.5 ]])
    """
    xp = array_namespace(potentials)
    centred = potentials - xp.mean(potentials, axis=1)[:, None]  # weighted targets may make all of them negative
    positive = xp.where(centred > 0, centred, 0.0)
    totals = xp.sum(positive, axis=1)
    ascending = xp.sort(totals[totals > 0])
    little = ascending[ascending.shape[0] // 10] if ascending.shape[0] else 1.0
    found = positive / (totals + little)[:, None]
    return xp.where(xp.max(means, axis=1)[:, None] == 1, means, found)


def label_means(graph: Graph, indices: Array, targets: Array) -> Array:
    """(n, c): the mean of the targets in each point's component; 0 in components without labels.

    Parameters are those of `label_spreading`.

    Examples
    --------
    >>> import numpy as np
    >>> graph = neighbor_graph(neighbors(np.array([[0.0], [1.0], [8.0], [9.0]]), 1))  # two components
    >>> label_means(graph, np.array([0, 1]), np.eye(2))
    array([[0.5, 0.5],
           [0.5, 0.5],
           [0. , 0. ],
           [0. , 0. ]])
    """
    xp = array_namespace(targets)
    sums = graph.members @ _spread(graph, indices, targets)
    counts = graph.members @ _spread(graph, indices, xp.ones_like(targets[:, :1]))
    return xp.take(sums / xp.where(counts > 0, counts, 1.0), graph.component, axis=0)


def _spread(graph: Graph, indices: Array, targets: Array) -> Array:
    """(n, c): the targets in the rows of the labelled points, and 0 elsewhere."""
    everywhere = array_namespace(targets).zeros((graph.degrees.shape[0], targets.shape[1]))
    everywhere[indices, :] = targets
    return everywhere


def _inverse(x: Array) -> Array:
    """1 / x, and 0 where x is 0."""
    xp = array_namespace(x)
    return xp.where(x > 0, 1 / xp.where(x > 0, x, 1.0), 0.0)


def _without(found: Array, own: Array) -> Array:
    """A mask (n, k) over the neighbours `found` (n, k) that drops one per point: the point itself, `own` (n,).

    A point that is missing among its own neighbours, crowded out by duplicates, drops the last one instead.
    """
    xp = array_namespace(found)
    is_own = found == own[:, None]
    crowded_out = ~xp.any(is_own, axis=1)
    is_own[:, -1] |= crowded_out
    return ~is_own


def _conjugate_gradients(apply: Callable[[Array], Array], B: Array) -> Array:
    """Solve apply(X) = B (n, c), each column on its own, for a symmetric positive semidefinite map.

    The map may be singular if B lies in its range; X then lies in its range, too.

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
