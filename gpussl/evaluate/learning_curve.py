"""Learning curve: how accuracy grows with the number of labels, estimated from the bought labels alone.

All arrays are small and on the host. In shapes, s is the number of training sizes, h of hold-out points, r of repeats.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares

from gpussl.errors import ConfigError
from gpussl.runtime.params import check, param

LEVEL = 0.9  # coverage of every interval, and the probability that the stop rule requires
Z = 1.6448536269514722  # the 95 % quantile of the normal distribution
MIN_HOLDOUT = 30  # images: with fewer, an accuracy has a standard error of some ten points
MIN_SIZE, MIN_TOP = 10, 40  # labels: lower bounds on the smallest and on the largest training size
SPAN = 4  # largest size over smallest: still smaller samples miss classes, and the error outruns any power law
C_MIN, C_MAX = 0.05, 2.0  # range of the exponent; above 1 because the error on easy data may fall faster than 1 / n
TRAINING_SHARE = 0.25  # variance of accuracy over training sets of m points, over e (1 - e) / m; linear models: 0.1-0.4
DRIFT = 0.04  # relative standard deviation of the error around a power law, for each doubling of the labels
GAIN_DRIFT = 0.3  # relative standard deviation of the gain beyond what is known, for each doubling
PER_DOUBLING, N_LABELS_AHEAD = (
    16,
    320,
)  # numbers of labels that are tried for an accuracy, up to a million times as many
N_BOOTSTRAP, N_DRAWS, N_GRID = 1000, 4000, 160
EDGE = 1e-6  # keeps shares off 0 and 1, and covariances positive definite


@dataclass(frozen=True)
class LabelBudget:
    """A number of labels to buy, and the questions to answer with them.

    Parameters
    ----------
    n_labels : int
        Total number of bought labels, including the hold-out.
    holdout : float
        Share of the labels drawn at random to score classifiers. Unused if labels are selected at random: then each
        label is scored by cross-validation.
    n_folds, n_repeats, n_sizes : int
        Number of cross-validation folds, of repeated divisions into folds, and of training sizes within each fold.
    target : float
        Desired accuracy, as a share.
    min_gain : float
        Smallest gain in accuracy, as a share, that justifies doubling the labels.

    Raises
    ------
    ConfigError
        A parameter is out of range, or the hold-out or the training sizes are too small.

    Examples
    --------
    >>> budget = LabelBudget(n_labels=500)
    >>> budget.sizes(is_random=True)
    array([112, 159, 225, 318, 450])
    >>> budget.n_holdout(is_random=False), budget.sizes(is_random=False)
    (200, array([ 42,  85, 171]))
    """

    n_labels: int = param(500, ge=1)
    holdout: float = param(0.4, gt=0, lt=1)
    n_folds: int = param(10, ge=2)
    n_repeats: int = param(3, ge=2)
    n_sizes: int = param(5, ge=3)
    target: float = param(0.85, gt=0, lt=1)
    min_gain: float = param(0.01, gt=0, lt=1)

    def __post_init__(self) -> None:
        check(self)
        self.check_plan(is_random=True)

    def n_holdout(self, is_random: bool) -> int:
        """The number of labels in the random sample that scores classifiers."""
        return self.n_labels if is_random else round(self.holdout * self.n_labels)

    def sizes(self, is_random: bool) -> np.ndarray:
        """The training sizes (s,), ascending.

        A random selection takes nested subsets of the training folds. Any other selection buys new labels for each
        size; together with the hold-out they stay within the budget.
        """
        n_holdout = self.n_holdout(is_random)
        top = n_holdout - -(-n_holdout // self.n_folds)  # the training set that remains beside the largest fold
        if is_random:
            return np.unique(np.geomspace(max(MIN_SIZE, top / SPAN), top, self.n_sizes).round().astype(int))
        halvings = 0.5 ** np.arange(np.log2(SPAN) + 1)
        top = min(top, int((self.n_labels - n_holdout) / halvings.sum()))
        sizes = (top * halvings[::-1]).astype(int)
        return sizes[sizes >= MIN_SIZE]

    def check_plan(self, is_random: bool) -> None:
        """Raise ConfigError if the hold-out or the training sizes are too small to fit a curve."""
        n_holdout, sizes = self.n_holdout(is_random), self.sizes(is_random)
        if n_holdout < MIN_HOLDOUT:
            name, cure = ("n_labels", "raise it") if is_random else ("holdout", "raise it, or n_labels")
            raise ConfigError(
                f"{name}: expected a hold-out of at least {MIN_HOLDOUT} labels, found {n_holdout} of {self.n_labels}; "
                f"{cure}"
            )
        if len(sizes) < 3 or sizes[-1] < MIN_TOP:
            found = sizes[-1] if len(sizes) else 0
            raise ConfigError(
                f"n_labels: expected a training set of at least {MIN_TOP} labels, found {found} of {self.n_labels}; "
                "raise it, or change holdout or n_folds"
            )

    def check_size(self, n: int) -> None:
        """Raise ConfigError if the budget exceeds the `n` training points."""
        if self.n_labels > n:
            raise ConfigError(
                f"budget.n_labels: expected at most the number of training points, {n}, found {self.n_labels}; lower it"
            )


@dataclass(frozen=True)
class Measured:
    """Hold-out results of classifiers trained on labels of one selection.

    Attributes
    ----------
    select : str
        Name of the selection.
    sizes : (s,) int array
        Numbers of training labels, ascending.
    correct : (r, s, h) bool array
        Whether each hold-out image was classified correctly, for each repeat and size.
    is_reused : bool
        Whether training and scoring share their images by cross-validation.
    floor : float
        Accuracy of always predicting the most frequent class of the hold-out.

    Examples
    --------
    >>> correct = np.array([[[True, False], [True, True]]])  # one repeat, two sizes, two images
    >>> Measured("random", np.array([40, 80]), correct, is_reused=False).accuracies
    array([0.5, 1. ])
    """

    select: str
    sizes: np.ndarray
    correct: np.ndarray
    is_reused: bool
    floor: float = 0.0

    @property
    def accuracies(self) -> np.ndarray:
        """(s,): the mean over repeats and images."""
        return self.correct.mean(axis=(0, 2))


@dataclass(frozen=True)
class Curve:
    """A power law, or m of them: the accuracy with n labels is a - b n^-c.

    Attributes
    ----------
    a, b, c : () or (m,) float64 array
        Accuracy with unlimited labels, scale and exponent.

    Examples
    --------
    >>> curve = Curve(np.array(0.9), np.array(2.0), np.array(0.5))
    >>> curve.at(np.array([100, 400]))
    array([0.7, 0.8])
    >>> curve.labels_for(0.8), curve.labels_for(0.95)
    (array([400.]), array([inf]))
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def at(self, n: float | np.ndarray) -> np.ndarray:
        """The accuracy with n labels."""
        return self.a - self.b * n**-self.c

    def labels_for(self, accuracy: float) -> np.ndarray:
        """(m,): the labels needed to reach an accuracy, at least 1; infinite where the curve stays below it."""
        a, b, c = np.broadcast_arrays(*np.atleast_1d(self.a, self.b, self.c))
        can = a - accuracy > EDGE
        with np.errstate(over="ignore"):
            needed = (b[can] / (a[can] - accuracy)) ** (1 / c[can])
        labels = np.full(a.shape, np.inf)
        labels[can] = np.maximum(needed, 1)
        return labels


def bootstrap(measured: Measured, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap covariance (s, s) of the accuracies, resampling images and repeats.

    Two pseudo-observations, an image that is always classified correctly and one that never is, keep a perfect score
    from having no variance.

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist., 1979.
    Agresti, Coull, "Approximate is better than exact for interval estimation of binomial proportions", Am. Stat., 1998.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> correct = rng.random((1, 2, 100)) < 0.8  # 100 images: a standard error of 0.04
    >>> cov = bootstrap(Measured("random", np.array([40, 80]), correct, is_reused=False), rng)
    >>> np.sqrt(np.diag(cov)).round(2)
    array([0.04, 0.04])
    """
    n_repeats, n_sizes, _ = measured.correct.shape
    added = np.broadcast_to([0.0, 1.0], (n_repeats, n_sizes, 2))
    correct = np.concatenate([measured.correct, added], axis=2)
    h = correct.shape[2]
    images = rng.multinomial(h, np.full(h, 1 / h), N_BOOTSTRAP) / h
    repeats = rng.multinomial(n_repeats, np.full(n_repeats, 1 / n_repeats), N_BOOTSTRAP) / n_repeats
    drawn = np.einsum("br,bsr->bs", repeats, np.einsum("bh,rsh->bsr", images, correct, optimize=True))
    return np.cov(drawn, rowvar=False)


def covariance(measured: Measured, rng: np.random.Generator) -> np.ndarray:
    """Covariance (s, s) of the accuracies: that of `bootstrap`, plus the variance over training sets.

    Resampling hold-out images cannot show how accuracy varies with the training set. The mean over training subsets of
    m out of n labels has at most m / n times the variance of a single subset.

    References
    ----------
    Hoeffding, "A class of statistics with asymptotically normal distribution", Ann. Math. Statist., 1948.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> measured = Measured("random", np.array([40, 80]), rng.random((1, 2, 100)) < 0.8, is_reused=False)
    >>> np.sqrt(np.diag(covariance(measured, rng))).round(2)
    array([0.06, 0.05])
    """
    sizes, n_holdout = measured.sizes, measured.correct.shape[2]
    error = _plausible_error(measured.accuracies, n_holdout)
    spread = np.sqrt(TRAINING_SHARE * error * (1 - error) / sizes)  # standard deviation over single training sets
    shared = np.eye(len(sizes))
    if measured.is_reused:
        spread = spread * np.sqrt(np.minimum(sizes / n_holdout, 1))
        shared = np.sqrt(np.minimum.outer(sizes, sizes) / np.maximum.outer(sizes, sizes))
    return bootstrap(measured, rng) + shared * np.outer(spread, spread) + EDGE**2 * np.eye(len(sizes))


def drift(measured: Measured, n: int) -> np.ndarray:
    """Covariance (s, s) of a random walk away from the power law that holds near n labels.

    The walk starts at n and takes one step for each halving of the labels. A classifier may follow another law at small
    sizes, so these count for less in a forecast beyond n.

    Examples
    --------
    >>> measured = Measured("random", np.array([40, 80]), np.full((1, 2, 100), [[True, False] * 50]), is_reused=False)
    >>> np.sqrt(np.diag(drift(measured, 80)))  # 4 % of an error of 0.5, one halving below 80
    array([0.02, 0.  ])
    """
    error = _plausible_error(measured.accuracies, measured.correct.shape[2])
    doublings = np.log2(np.maximum(n / measured.sizes, 1))
    return DRIFT**2 * np.outer(error, error) * np.minimum.outer(doublings, doublings)


def ahead(draws: Curve, n: int, sizes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the accuracy (s, m) with n labels or more, for m curves whose gain beyond n drifts from the power law.

    Parameters
    ----------
    steps : (m,) array
        Standard normal draws.

    Examples
    --------
    >>> draws = Curve(np.full(4000, 0.9), np.full(4000, 2.0), np.full(4000, 0.5))
    >>> found = ahead(draws, 100, np.array([100, 200]), np.random.default_rng(0).standard_normal(4000))
    >>> found.mean(axis=1).round(2), found.std(axis=1).round(2)
    (array([0.7 , 0.76]), array([0.  , 0.02]))
    """
    now = draws.at(n)
    gains = [(draws.at(size) - now) * np.exp(GAIN_DRIFT * steps * np.sqrt(max(np.log2(size / n), 0))) for size in sizes]
    return np.clip(now + gains, 0, 1)


def labels_ahead(draws: Curve, n: int, accuracy: float, steps: np.ndarray) -> np.ndarray:
    """Return the labels (m,) needed to reach an accuracy, by the same draws as `ahead`; infinite where none suffice.

    Examples
    --------
    >>> draws = Curve(np.full(3, 0.9), np.full(3, 2.0), np.full(3, 0.5))
    >>> labels_ahead(draws, 100, 0.8, np.array([-1.0, 0.0, 1.0])).round(-1)
    array([ inf, 400., 250.])
    """
    labels = draws.labels_for(accuracy)
    doublings = np.arange(1, N_LABELS_AHEAD + 1) / PER_DOUBLING
    reached = ahead(draws, n, n * 2**doublings, steps) >= accuracy
    first = n * 2 ** doublings[reached.argmax(axis=0)]
    return np.where(draws.at(n) >= accuracy, labels, np.where(reached.any(axis=0), first, np.inf))


def fit(sizes: np.ndarray, accuracies: np.ndarray, cov: np.ndarray, n: int) -> Curve:
    """Fit a power law to accuracies by generalised least squares.

    The unknowns are the error at n labels, the irreducible share of it, and the exponent. Beta(2, 2) priors keep the
    share and the exponent off the ends of their ranges, [0, 1] and [C_MIN, C_MAX], unless the accuracies say otherwise.

    Parameters
    ----------
    sizes, accuracies : (s,) array
    cov : (s, s) float64 array
        Covariance of the accuracies.
    n : int
        Number of labels at which the error is parameterised.

    References
    ----------
    Cortes, Jackel, Solla, Vapnik, Denker, "Learning curves: asymptotic values and rate of convergence", NeurIPS 1994.
    Figueroa, Zeng-Treitler, Kandula, Ngo, "Predicting sample size required for classification performance", BMC Med.
    Inform. Decis. Mak., 2012.

    Examples
    --------
    >>> sizes = np.array([50, 100, 200, 400])
    >>> found = fit(sizes, 0.9 - 2 * sizes**-0.5, 1e-8 * np.eye(4), 400)
    >>> print(f"{found.a:.3f} - {found.b:.2f} n^-{found.c:.3f}")
    0.900 - 2.00 n^-0.500
    """
    root = cholesky(cov, lower=True)

    def residuals(unknown: np.ndarray) -> np.ndarray:
        error, *shape = unknown
        off = 1 - error * _decline(sizes / n, *shape)[0] - accuracies
        return np.append(solve_triangular(root, off, lower=True), [_prior_residual(share) for share in shape])

    shares, rates, log_weights, errors = _grid(sizes, accuracies, cov, n)
    best = np.argmax(log_weights)
    start = np.clip([errors[best], shares[best], rates[best]], EDGE, 1 - EDGE)
    found = least_squares(residuals, start, bounds=(EDGE / 10, 1 - EDGE / 10), x_scale=0.1, xtol=1e-12, ftol=1e-12)
    error, share, rate = found.x
    return _curve(error, share, rate, n)


def draw_curves(sizes: np.ndarray, accuracies: np.ndarray, cov: np.ndarray, n: int, rng: np.random.Generator) -> Curve:
    """Draw `N_DRAWS` curves from the posterior under the priors of `fit` and a flat prior of the error at n labels.

    The exponent and the irreducible share are drawn from a grid, then the error at n from its conditional normal
    distribution. Parameters are those of `fit`.

    Examples
    --------
    >>> sizes = np.array([50, 100, 200, 400])
    >>> draws = draw_curves(sizes, 0.9 - 2 * sizes**-0.5, 1e-6 * np.eye(4), 400, np.random.default_rng(0))
    >>> draws.at(400).mean().round(2)
    np.float64(0.8)
    """
    shares, rates, log_weights, _ = _grid(sizes, accuracies, cov, n)
    weights = np.exp(log_weights - log_weights.max())
    places = (rng.random() + np.arange(N_DRAWS)) / N_DRAWS
    cells = np.searchsorted(np.cumsum(weights) / weights.sum(), places).clip(max=len(weights) - 1)
    jitter = rng.uniform(-0.5, 0.5, (2, N_DRAWS)) / N_GRID
    share, rate = shares[cells] + jitter[0], rates[cells] + jitter[1]
    error, sd, _ = _level(_decline(sizes / n, share, rate), accuracies, cov)
    return _curve(np.clip(rng.normal(error, sd), 0, 1), share, rate, n)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The central interval that holds a share `LEVEL` of the values (m,); some of them may be infinite.

    Examples
    --------
    >>> interval(np.arange(101.0))
    (5.0, 95.0)
    """
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return float(low), float(high)


def paired_difference(one: Measured, other: Measured) -> tuple[float, float, float]:
    """The difference in accuracy between two selections at the largest size, and the interval (low, high) of it.

    Both must have been scored on the same images: the difference is paired.

    Examples
    --------
    >>> right, wrong = np.ones((1, 1, 100), dtype=bool), np.full((1, 1, 100), [True, False] * 50)
    >>> one, other = (Measured(name, np.array([80]), it, False) for name, it in (("a", right), ("b", wrong)))
    >>> np.round(paired_difference(one, other), 2)
    array([0.5 , 0.42, 0.58])
    """
    difference = one.correct[:, -1].mean(axis=0) - other.correct[:, -1].mean(axis=0)
    spread = one.accuracies[-1] * (1 - one.accuracies[-1]) * TRAINING_SHARE / one.sizes[-1]  # over training sets
    half = Z * np.sqrt(np.var(difference, ddof=1) / len(difference) + spread)
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)


def _plausible_error(accuracies: np.ndarray, n: int) -> np.ndarray:
    """Errors (s,) after two pseudo-observations, one correct and one wrong, are added to n images: never 0 or 1."""
    return (n * (1 - accuracies) + 1) / (n + 2)


def _grid(sizes: np.ndarray, accuracies: np.ndarray, cov: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
    """Shares, rates, log posterior weights and conditional errors at n, (N_GRID**2,) each, on a grid over (0, 1)^2."""
    middle = (np.arange(N_GRID) + 0.5) / N_GRID
    shares, rates = (axis.ravel() for axis in np.meshgrid(middle, middle))
    errors, sds, log_likelihoods = _level(_decline(sizes / n, shares, rates), accuracies, cov)
    log_weights = log_likelihoods + np.log(sds) - (_prior_residual(shares) ** 2 + _prior_residual(rates) ** 2) / 2
    return shares, rates, log_weights, errors


def _decline(relative: np.ndarray, share: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """(m, s): the error at sizes (s,), relative to n, as a multiple of the error at n, for m shares and rates."""
    share, rate = np.atleast_1d(share)[:, None], np.atleast_1d(rate)[:, None]
    return share + (1 - share) * relative ** -(C_MIN + (C_MAX - C_MIN) * rate)


def _level(decline: np.ndarray, accuracies: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best error at n for each decline (m, s), its standard deviation, and the log-likelihood: (m,) each."""
    root = cholesky(cov, lower=True)
    white, seen = solve_triangular(root, decline.T, lower=True), solve_triangular(root, 1 - accuracies, lower=True)
    precision = (white**2).sum(axis=0)
    error = seen @ white / precision
    return error, 1 / np.sqrt(precision), -((seen[:, None] - error * white) ** 2).sum(axis=0) / 2


def _prior_residual(share: np.ndarray) -> np.ndarray:
    """Signed residual; half its square is the negative log of the Beta(2, 2) density, relative to its mode."""
    share = np.clip(share, EDGE / 100, 1 - EDGE / 100)
    return np.sign(share - 0.5) * np.sqrt(np.maximum(-2 * np.log(4 * share * (1 - share)), 0))


def _curve(error: np.ndarray, share: np.ndarray, rate: np.ndarray, n: int) -> Curve:
    """The curve with an error at n, an irreducible share of it, and an exponent at `rate` within its range."""
    c = C_MIN + (C_MAX - C_MIN) * np.asarray(rate)
    return Curve(1 - error * share, error * (1 - share) * float(n) ** c, c)
