"""Logistic regression: scikit-learn's objective and solver, reading the points in place, once per evaluation."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from gpussl.backend.blocks import map_on_threads, row_slices
from gpussl.numeric.arrays import arange_like, mean_row
from gpussl.records import Array

Add = Callable[[np.ndarray], tuple[float, np.ndarray]]  # parameters (k, d + 1) -> summed log-loss, and its gradient

BLOCK_ROWS = 1024  # few enough to stay in the cache between the products for scores and gradient
N_PARTS = 64  # at most; added in a fixed order, so that the sum does not depend on the threads


class LogisticRegression:
    """Logistic regression with an L2 penalty, under scikit-learn's names.

    Starting from 0, L-BFGS minimises `C` times the summed log-loss plus half the squared weights, as in scikit-learn,
    until no component of the gradient of the mean objective exceeds `tol`. The few parameters live on the host; the
    points stay where they are. The result does not depend on the number of threads.

    References
    ----------
    Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming, 1989.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = LogisticRegression().fit(X, np.array([0, 0, 1, 1]))
    >>> (X @ model.coef_.T + model.intercept_ > 0).ravel().tolist()
    [False, False, True, True]
    """

    def __init__(self, *, C: float = 1.0, max_iter: int = 100, tol: float = 1e-4) -> None:
        self.C, self.max_iter, self.tol = C, max_iter, tol

    def fit(self, X: Array, y: Array, sample_weight: Array | None = None) -> "LogisticRegression":
        """Fit to (n, d) points and (n,) labels of k classes.

        Sets `coef_` (k, d) and `intercept_` (k,), on the device of the points, and `classes_` (k,), on the host. With
        two classes, there is one row, for the second class.

        Parameters
        ----------
        sample_weight : (n,) float array, optional
            Factor on the log-loss of each point.

        Raises
        ------
        ValueError
            There is only one class, the number of labels is not n, or the points hold NaN or infinity.
        """
        xp, (n, d) = array_namespace(X), X.shape
        if y.shape != (n,):
            raise ValueError(f"y: expected shape ({n},), found {y.shape}")
        if not bool(xp.all(xp.isfinite(mean_row(X)))):
            raise ValueError("X: expected finite numbers, found NaN or infinity")
        classes, encoded = xp.unique_inverse(y)
        self.classes_ = self._to_host(classes)
        k, dtype = len(self.classes_), xp.result_type(X, xp.float32)
        if k < 2:
            raise ValueError(f"y: expected at least two classes, found {k}")
        total = n if sample_weight is None else float(xp.sum(sample_weight, dtype=xp.float64))
        shape = (k if k > 2 else 1, d + 1)  # with two classes, the first has score 0

        from scipy.optimize import minimize  # late: it takes a third of a second

        with self._adding(X, encoded, sample_weight) as add:

            def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
                parameters = flat.reshape(shape)
                weights = parameters[:, :d] / (self.C * total)
                loss, slopes = add(parameters)
                slopes = slopes / total
                slopes[:, :d] += weights
                return loss / total + np.sum(weights * parameters[:, :d]) / 2, slopes.ravel()

            options = {"maxiter": self.max_iter, "maxls": 50, "gtol": self.tol, "ftol": 64 * np.finfo(float).eps}
            found = minimize(objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options)
        if not found.success:
            message = f"LogisticRegression: expected to converge, found: {found.message}; raise max_iter or scale X"
            from sklearn.exceptions import ConvergenceWarning  # late, as in `cpu`

            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        parameters = xp.asarray(found.x.reshape(shape), dtype=dtype)
        self.coef_, self.intercept_, self.n_iter_ = parameters[:, :d], parameters[:, d], int(found.nit)
        return self

    @staticmethod
    def _to_host(X: Array) -> np.ndarray:
        return np.asarray(X)

    @contextlib.contextmanager
    def _adding(self, X: Array, y: Array, sample_weight: Array | None) -> Iterator[Add]:
        """Yield the function that sums over all points; `y` holds class numbers from 0.

        Reading all points for the scores, then again for the gradient, would take twice as long. Here a block serves
        both while it is in the cache, and each thread works on its own blocks.
        """
        part_rows = BLOCK_ROWS * -(-len(X) // (BLOCK_ROWS * N_PARTS))
        with map_on_threads() as on_threads:

            def add(parameters: np.ndarray) -> tuple[float, np.ndarray]:
                parts = on_threads(
                    lambda rows: add_blocks(X, y, sample_weight, rows, parameters), row_slices(len(X), part_rows)
                )
                return sum(part[0] for part in parts), sum(part[1] for part in parts)

            yield add


def add_blocks(
    X: Array, y: Array, sample_weight: Array | None, rows: slice, parameters: Array, block_rows: int = BLOCK_ROWS
) -> tuple[Any, Any]:
    """Sum `loss_and_slopes` over the points in the slice `rows`, one block after another.

    >>> import numpy as np
    >>> X, y = np.array([[1.0], [2.0]]), np.array([0, 1])
    >>> loss, slopes = add_blocks(X, y, None, slice(0, 2), np.zeros((1, 2)), block_rows=1)
    >>> round(float(loss), 4), slopes.tolist()
    (1.3863, [[-0.5, 0.0]])
    """
    loss, slopes = 0.0, 0.0
    for first in range(rows.start, rows.stop, block_rows):
        block = slice(first, min(first + block_rows, rows.stop))
        counted = None if sample_weight is None else sample_weight[block]
        of_block = loss_and_slopes(X[block], y[block], counted, parameters)
        loss, slopes = loss + of_block[0], slopes + of_block[1]
    return loss, slopes


def loss_and_slopes(X: Array, y: Array, sample_weight: Array | None, parameters: Array) -> tuple[Array, Array]:
    """Compute the summed log-loss (), and its gradient (k, d + 1) in weights and intercepts, for (m, d) points.

    Both are float64, from products in the precision of the points.

    Parameters
    ----------
    y : (m,) int array
        Class numbers from 0.
    sample_weight : (m,) array or None
    parameters : (k, d + 1) array
        Weights, then the intercept; one row for two classes.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[1.0], [2.0]]), np.array([0, 1])
    >>> loss, slopes = loss_and_slopes(X, y, None, np.zeros((1, 2)))
    >>> round(float(loss), 4), slopes.tolist()
    (1.3863, [[-0.5, 0.0]])
    """
    xp = array_namespace(X)
    X = xp.astype(X, xp.result_type(X, xp.float32), copy=False)
    points, (weights, intercepts) = arange_like(X.shape[0], X), (parameters[:, :-1], parameters[:, -1])
    scores = X @ xp.astype(weights, X.dtype).T + xp.astype(intercepts, X.dtype)
    if parameters.shape[0] == 1:
        scores = xp.concat([xp.zeros_like(scores), scores], axis=1)
    scores -= xp.max(scores, axis=1, keepdims=True)
    true = scores[points, y]
    scores = xp.exp(scores)
    total = xp.sum(scores, axis=1, keepdims=True)
    losses = xp.log(total[:, 0]) - true
    scores /= total
    scores[points, y] -= 1
    if sample_weight is not None:
        counted = xp.astype(sample_weight, X.dtype, copy=False)
        losses = losses * counted
        scores *= counted[:, None]
    of_scores = scores[:, -parameters.shape[0] :]
    of_intercepts = xp.sum(of_scores, axis=0, dtype=xp.float64)
    slopes = xp.concat([xp.astype(of_scores.T @ X, xp.float64), of_intercepts[:, None]], axis=1)
    return xp.sum(losses, dtype=xp.float64), slopes
