"""Logistic regression on the CPU: scikit-learn's objective and solver, with the points read once an iteration."""

import warnings

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from gpussl.arrays import mean_row
from gpussl.backend.blocks import map_on_threads, row_slices

BLOCK_ROWS = 1024  # which stay in the cache between the product for the scores and that for the slopes
N_PARTS = 64  # of the points, at most: each adds up its blocks, and then they are added, in one order always


class LogisticRegression:
    """Logistic regression with an L2 penalty, under the names of scikit-learn's and cuML's.

    L-BFGS minimises `C` times the summed log-loss plus half the squared weights, from nought, as scikit-learn has it.
    That reads all points for their scores and then again for the slopes; here a block of them gets both while it is in
    the cache, on each thread another block. What comes out does not depend on the number of threads.

    References
    ----------
    Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming, 1989.
    """

    def __init__(self, *, C: float = 1.0, max_iter: int = 100, tol: float = 1e-4) -> None:
        self.C, self.max_iter, self.tol = C, max_iter, tol

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "LogisticRegression":
        """Fit to (n, d) points and (n,) labels of k classes: `coef_` (k, d), or (1, d) for two; `intercept_` likewise.

        Parameters
        ----------
        sample_weight : (n,) float array, optional
            What each point's log-loss is multiplied by.

        Raises
        ------
        ValueError
            There is only one class, not one label a point, or the points hold NaN or infinity.
        """
        if y.shape != (len(X),):
            raise ValueError(f"y: expected shape ({len(X)},), found {y.shape}")
        if not np.isfinite(mean_row(X)).all():
            raise ValueError("X: expected finite numbers, found NaN or infinity")
        self.classes_, encoded = np.unique(y, return_inverse=True)
        k, (n, d), dtype = len(self.classes_), X.shape, np.result_type(X, np.float32)
        total = n if sample_weight is None else np.sum(sample_weight, dtype=np.float64)
        if k < 2:
            raise ValueError(f"y: expected at least two classes, found {k}")
        part_rows = BLOCK_ROWS * -(-n // (BLOCK_ROWS * N_PARTS))
        shape = (k if k > 2 else 1, d + 1)  # of two classes, the first has the score 0

        with map_on_threads() as on_threads:

            def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
                parameters = flat.reshape(shape)
                weights = parameters[:, :d] / (self.C * total)
                parts = on_threads(
                    lambda rows: _add_blocks(X, encoded, sample_weight, rows, parameters), row_slices(n, part_rows)
                )
                loss = sum(part[0] for part in parts) / total + np.sum(weights * parameters[:, :d]) / 2
                slopes: np.ndarray = sum(part[1] for part in parts) / total
                slopes[:, :d] += weights
                return loss, slopes.ravel()

            options = {"maxiter": self.max_iter, "maxls": 50, "gtol": self.tol, "ftol": 64 * np.finfo(float).eps}
            found = minimize(objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options)
        if not found.success:
            warnings.warn(f"expected to converge, found: {found.message}", ConvergenceWarning, stacklevel=2)
        parameters = found.x.reshape(shape).astype(dtype)
        self.coef_, self.intercept_, self.n_iter_ = parameters[:, :d], parameters[:, d], int(found.nit)
        return self


def _add_blocks(
    X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None, rows: slice, parameters: np.ndarray
) -> tuple[float, np.ndarray]:
    """`_loss_and_slopes` of some of the points, a block after the other."""
    loss, slopes = 0.0, np.zeros(parameters.shape)
    for first in range(rows.start, rows.stop, BLOCK_ROWS):
        block = slice(first, min(first + BLOCK_ROWS, rows.stop))
        points = X[block].astype(np.result_type(X, np.float32), copy=False)
        counted = None if sample_weight is None else sample_weight[block].astype(points.dtype, copy=False)
        of_block = _loss_and_slopes(points, y[block], counted, parameters)
        loss, slopes = loss + of_block[0], slopes + of_block[1]
    return loss, slopes


def _loss_and_slopes(
    X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None, parameters: np.ndarray
) -> tuple[float, np.ndarray]:
    """Of (m, d) points with classes (m,): the summed log-loss, and its slopes in weights and intercepts (k, d + 1)."""
    points, (weights, intercepts) = np.arange(len(y)), (parameters[:, :-1], parameters[:, -1])
    scores = X @ weights.T.astype(X.dtype) + intercepts.astype(X.dtype)
    if len(parameters) == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    scores -= np.max(scores, axis=1, keepdims=True)
    true = scores[points, y]
    np.exp(scores, out=scores)
    total = np.sum(scores, axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - true
    scores /= total
    scores[points, y] -= 1
    if sample_weight is not None:
        losses *= sample_weight
        scores *= sample_weight[:, None]
    loss = np.sum(losses, dtype=np.float64)
    of_scores = scores[:, -len(parameters) :]
    slopes = np.empty((len(parameters), X.shape[1] + 1))
    slopes[:, :-1], slopes[:, -1] = of_scores.T @ X, of_scores.sum(axis=0, dtype=np.float64)
    return float(loss), slopes
