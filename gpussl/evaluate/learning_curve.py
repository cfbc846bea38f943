"""Budget: how accuracy grows with labels, told from bought labels alone, and what follows for buying more.

Small numbers, on the host: s is the number of sizes at which classifiers were scored, h of hold-out images, r of
repeats.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares

from gpussl.errors import ConfigError
from gpussl.runtime.params import check, param

LEVEL = 0.9  # of all intervals, and the probability that the stop rule asks for
Z = 1.6448536269514722  # the 95 % quantile of the normal distribution
MIN_HOLDOUT = 30  # images: fewer tell accuracies no better than to ten points
MIN_SIZE, MIN_TOP = 10, 40  # labels: the smallest size trained on, and the least that the largest may be
SPAN = 4  # the largest size over the smallest: below, classes are missing and errors fall faster and faster
C_MIN, C_MAX = 0.05, 2.0  # of the exponent: simple data are learnt faster than 1 / n at first
TRAINING_SHARE = 0.25  # of e (1 - e) / m: how accuracy varies over training sets of m; 0.1 to 0.4 for linear models
DRIFT = 0.04  # how far the error may stray from a power law over one doubling, as a share of it
N_BOOTSTRAP, N_DRAWS, N_GRID = 1000, 4000, 160
EDGE = 1e-6


@dataclass(frozen=True)
class LabelBudget:
    """A budget of labels, and what is to be found out with it.

    Parameters
    ----------
    n_labels : int
        Labels bought in all, the hold-out among them.
    holdout : float
        Share of them that is drawn at random to score classifiers. Where labels are selected at random it plays no
        part: then all of them are scored, each by classifiers that have not learnt from it.
    n_folds, n_repeats, n_sizes : int
        Random labels are divided into folds, so many times anew; of each, classifiers learn at so many sizes.
    target : float
        The accuracy wanted, as a share.
    min_gain : float
        The gain of twice the labels that is still worth them, as a share.
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
        """How many labels are a random sample to score classifiers on."""
        return self.n_labels if is_random else round(self.holdout * self.n_labels)

    def sizes(self, is_random: bool) -> np.ndarray:
        """The sizes (s,) to train on, ascending.

        Labels selected in any other way are bought for each size anew, all sizes together within the budget.
        """
        n_holdout = self.n_holdout(is_random)
        top = n_holdout - -(-n_holdout // self.n_folds)  # what the largest fold leaves
        if is_random:
            return np.unique(np.geomspace(max(MIN_SIZE, top / SPAN), top, self.n_sizes).round().astype(int))
        halvings = 0.5 ** np.arange(np.log2(SPAN) + 1)
        top = min(top, int((self.n_labels - n_holdout) / halvings.sum()))
        sizes = (top * halvings[::-1]).astype(int)
        return sizes[sizes >= MIN_SIZE]

    def check_plan(self, is_random: bool) -> None:
        """Raise ConfigError if the budget does not give a hold-out and sizes large enough to say anything."""
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
                f"n_labels: expected enough to train on {MIN_TOP} of them, found {self.n_labels}, of which {found} can "
                "be trained on at once; raise it, or change holdout or n_folds"
            )

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` training points are too few."""
        if self.n_labels > n:
            raise ConfigError(
                f"budget.n_labels: expected at most the number of training points, {n}, found {self.n_labels}; lower it"
            )


@dataclass(frozen=True)
class Measured:
    """How classifiers that learnt from labels of one selection did on the hold-out.

    Attributes
    ----------
    select : str
    sizes : (s,) int array
        Labels learnt from, ascending.
    correct : (r, s, h) bool array
        Whether each hold-out image was classified rightly, in each repeat.
    is_reused : bool
        Whether the images scored are also those learnt from, fold by fold.
    """

    select: str
    sizes: np.ndarray
    correct: np.ndarray
    is_reused: bool

    @property
    def accuracies(self) -> np.ndarray:
        """(s,) means over repeats and images."""
        return self.correct.mean(axis=(0, 2))


@dataclass(frozen=True)
class Curve:
    """Accuracies a - b n^-c of n labels, for one curve or for many: all three numbers or (m,) arrays."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def at(self, n: float | np.ndarray) -> np.ndarray:
        """The accuracy with n labels."""
        return self.a - self.b * n**-self.c

    def labels_for(self, accuracy: float) -> np.ndarray:
        """How many labels give an accuracy: infinite where none do."""
        a, b, c = np.broadcast_arrays(*np.atleast_1d(self.a, self.b, self.c))
        can = a - accuracy > EDGE
        with np.errstate(over="ignore"):
            needed = (b[can] / (a[can] - accuracy)) ** (1 / c[can])
        labels = np.full(a.shape, np.inf)
        labels[can] = np.maximum(needed, 1)
        return labels


def bootstrap(measured: Measured, rng: np.random.Generator) -> np.ndarray:
    """The covariance (s, s) of the accuracies over draws of images and repeats with replacement.

    An image that is always right and one that is always wrong are added, so that a perfect score is not a certain one.

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist., 1979.
    Agresti, Coull, "Approximate is better than exact for interval estimation of binomial proportions", Am. Stat., 1998.
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
    """How uncertain the accuracies are together: (s, s).

    To the draw of images and repeats comes that of the training sets, which no bootstrap of images shows. A mean over
    training subsets of m out of n varies at most m / n times as much as one of them does.

    References
    ----------
    Hoeffding, "A class of statistics with asymptotically normal distribution", Ann. Math. Statist., 1948.
    """
    sizes, n_holdout = measured.sizes, measured.correct.shape[2]
    error = _plausible_error(measured.accuracies, n_holdout)
    spread = np.sqrt(TRAINING_SHARE * error * (1 - error) / sizes)  # over single training sets
    shared = np.eye(len(sizes))
    if measured.is_reused:
        spread = spread * np.sqrt(sizes / n_holdout)
        shared = np.sqrt(np.minimum.outer(sizes, sizes) / np.maximum.outer(sizes, sizes))
    return bootstrap(measured, rng) + shared * np.outer(spread, spread) + EDGE**2 * np.eye(len(sizes))


def drift(measured: Measured, n: int) -> np.ndarray:
    """How far the accuracies may stray from the power law that holds about n labels, a random walk from there: (s, s).

    Small sizes, at which a classifier may go by another law, so have less to say of what lies beyond n.
    """
    error = _plausible_error(measured.accuracies, measured.correct.shape[2])
    doublings = np.log2(np.maximum(n / measured.sizes, 1))
    return DRIFT**2 * np.outer(error, error) * np.minimum.outer(doublings, doublings)


def fit(sizes: np.ndarray, accuracies: np.ndarray, cov: np.ndarray, n: int) -> Curve:
    """The curve nearest to accuracies (s,) at sizes (s,) by least squares, weighted by their covariance (s, s).

    It is found as the error at n labels, the share of that which no label takes away, and the exponent. Weak priors
    keep the last two off the ends of their ranges, [0, 1] and [C_MIN, C_MAX], where the points do not say otherwise.

    References
    ----------
    Cortes, Jackel, Solla, Vapnik, Denker, "Learning curves: asymptotic values and rate of convergence", NeurIPS 1994.
    Figueroa, Zeng-Treitler, Kandula, Ngo, "Predicting sample size required for classification performance", BMC Med.
    Inform. Decis. Mak., 2012.
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
    """`N_DRAWS` curves as likely as the points make them, under the priors of `fit` and a flat one of the level.

    The exponent and the share are drawn from a grid, the error at n given them from its normal distribution.
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
    """The middle `LEVEL` of values (m,), of which some may be infinite."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return float(low), float(high)


def paired_difference(one: Measured, other: Measured) -> tuple[float, float, float]:
    """How much better one selection did than another at the largest size, on the same images, and the interval."""
    difference = one.correct[:, -1].mean(axis=0) - other.correct[:, -1].mean(axis=0)
    spread = one.accuracies[-1] * (1 - one.accuracies[-1]) * TRAINING_SHARE / one.sizes[-1]  # of the one training set
    half = Z * np.sqrt(np.var(difference, ddof=1) / len(difference) + spread)
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)


def _plausible_error(accuracies: np.ndarray, n: int) -> np.ndarray:
    """Errors (s,) as if of n images and two more, one of them right: never 0 or 1."""
    return (n * (1 - accuracies) + 1) / (n + 2)


def _grid(sizes: np.ndarray, accuracies: np.ndarray, cov: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
    """Of a grid of shares and rates (0 to 1), flat: both, how likely each is, and the error at n given them."""
    middle = (np.arange(N_GRID) + 0.5) / N_GRID
    shares, rates = (axis.ravel() for axis in np.meshgrid(middle, middle))
    errors, sds, log_likelihoods = _level(_decline(sizes / n, shares, rates), accuracies, cov)
    log_weights = log_likelihoods + np.log(sds) - (_prior_residual(shares) ** 2 + _prior_residual(rates) ** 2) / 2
    return shares, rates, log_weights, errors


def _decline(relative: np.ndarray, share: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """The error at sizes (s,) over n as a multiple of that at n: (m, s) for m shapes."""
    share, rate = np.atleast_1d(share)[:, None], np.atleast_1d(rate)[:, None]
    return share + (1 - share) * relative ** -(C_MIN + (C_MAX - C_MIN) * rate)


def _level(decline: np.ndarray, accuracies: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For declines (m, s) the error at n that fits best, its standard deviation, and the log-likelihood: (m,) each."""
    root = cholesky(cov, lower=True)
    white, seen = solve_triangular(root, decline.T, lower=True), solve_triangular(root, 1 - accuracies, lower=True)
    precision = (white**2).sum(axis=0)
    error = seen @ white / precision
    return error, 1 / np.sqrt(precision), -((seen[:, None] - error * white) ** 2).sum(axis=0) / 2


def _prior_residual(share: np.ndarray) -> np.ndarray:
    """What, squared and halved, is how much less likely a share is than 1/2 under Beta(2, 2), in logarithms."""
    share = np.clip(share, EDGE / 100, 1 - EDGE / 100)
    return np.sign(share - 0.5) * np.sqrt(np.maximum(-2 * np.log(4 * share * (1 - share)), 0))


def _curve(error: np.ndarray, share: np.ndarray, rate: np.ndarray, n: int) -> Curve:
    """The curve of the numbers that it is fitted as."""
    c = C_MIN + (C_MAX - C_MIN) * np.asarray(rate)
    return Curve(1 - error * share, error * (1 - share) * float(n) ** c, c)
