"""Accuracy from few random labels, with what the model says of all other points."""

from dataclasses import dataclass

import numpy as np

from gpussl.numeric.intervals import share_interval

FEWEST = 3  # right and wrong labels each, from which their relation to the probabilities can be seen
MOST_RISE = 1.0  # of the accuracy with the probability: that of a calibrated one


@dataclass(frozen=True)
class Estimate:
    """An accuracy and its 95 % interval, as shares.

    Attributes
    ----------
    accuracy, low, high : float
    n : float
        So many random labels alone would give the same interval.

    Examples
    --------
    >>> estimate = Estimate(0.9, 0.84, 0.94, n=120.0)
    >>> f"{estimate.accuracy:.0%} ({estimate.low:.0%} to {estimate.high:.0%})"
    '90% (84% to 94%)'
    """

    accuracy: float
    low: float
    high: float
    n: float


def estimate_accuracy(
    is_right: np.ndarray,
    probability: np.ndarray,
    mean_probability: float,
    n_points: float,
    counts: np.ndarray | None = None,
) -> Estimate:
    """Estimate the accuracy on n points of which a random sample is labelled.

    By chance, the sample has more or fewer easy points than all points. The probabilities of the predicted classes show
    that, and the estimate corrects it by as much as right and wrong labels of the sample rise with the probability: by
    nothing if they do not. So the probabilities need not be calibrated, and the interval holds whatever they say.

    Parameters
    ----------
    is_right : (m,) bool array
        Whether the predicted class of each point of the sample is right; the prediction has not seen its label.
    probability : (m,) array
        The probability of the predicted class.
    mean_probability : float
        Its mean over all points, predicted in the same way.
    n_points : float
        All points, of which the sample was drawn without replacement; infinite for data of which the points are a part.
    counts : (m,) array, optional
        How often each point is in the sample; copies are right or wrong together, and count as fewer points.

    References
    ----------
    Angelopoulos, Duchi, Zrnic, "PPI++: efficient prediction-powered inference", 2023.
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA, 1927.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> chance = rng.beta(3, 0.6, 10_000)
    >>> is_right, few = rng.random(10_000) < chance, rng.permutation(10_000)[:100]
    >>> found = estimate_accuracy(is_right[few], chance[few], chance.mean(), 10_000)
    >>> bool(found.low < is_right.mean() < found.high), round(found.n)
    (True, 120)
    """
    weights = np.ones(len(is_right)) if counts is None else np.asarray(counts, dtype=np.float64)
    shares, right = weights / weights.sum(), np.asarray(is_right, dtype=np.float64)
    n_drawn = min(weights.sum() ** 2 / np.sum(weights**2), n_points)
    # of a sample without replacement, the part that is known has no error
    n = n_drawn / max(1 - weights.sum() / n_points, 1e-9)
    accuracy, mean = float(shares @ right), float(shares @ probability)
    variance = accuracy * (1 - accuracy)
    spread, together = shares @ (probability - mean) ** 2, shares @ ((right - accuracy) * (probability - mean))
    few = min(accuracy, 1 - accuracy) * n_drawn < FEWEST - 1e-9
    if few or spread <= 0 or together <= 0:
        return Estimate(accuracy, *share_interval(accuracy, n), n)
    rise = float(min(together / spread, MOST_RISE))
    left = (variance - 2 * rise * together + rise**2 * spread) * n_drawn / (n_drawn - 2)  # two are estimated
    n /= min(left / variance, 1)
    better = float(np.clip(accuracy + rise * (mean_probability - mean), 0, 1))
    return Estimate(better, *share_interval(better, n), n)
