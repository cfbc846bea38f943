"""Confidence intervals."""

import numpy as np
from scipy.special import betainc

FEW_ON_A_SIDE = 3.5  # right or wrong points
Z_95 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution: 2.5 % in each tail


def accuracy_interval(accuracy: float, n: float) -> tuple[float, float]:
    """Compute the 95 % Wilson score interval of an accuracy measured on `n` points, as shares from 0 to 1.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA, 1927.

    Examples
    --------
    >>> low, high = accuracy_interval(0.9, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    center = (accuracy + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * np.sqrt(accuracy * (1 - accuracy) / n + Z_95**2 / (4 * n**2))
    return float(center - half), float(center + half)


def share_interval(share: float, n: float) -> tuple[float, float]:
    """Compute the 95 % interval of a share that was measured on `n` points, good for few points and shares near 0 or 1.

    It is Wilson's interval; with fewer than four points on one side, that end is the mid-p interval's if it is wider:
    Wilson's is too narrow there. `n` need not be whole.

    References
    ----------
    Lancaster, "Significance tests in discrete distributions", JASA, 1961: the mid-p interval.

    Examples
    --------
    >>> low, high = share_interval(59 / 60, 60)
    >>> round(low, 3), round(high, 4), round(accuracy_interval(59 / 60, 60)[1], 4)
    (0.911, 0.9992, 0.9971)
    """
    low, high = accuracy_interval(share, n)
    right, wrong = share * n, (1 - share) * n
    if wrong < FEW_ON_A_SIDE:
        high = max(high, _mid_p_end(right, wrong))
    if right < FEW_ON_A_SIDE:
        low = min(low, 1 - _mid_p_end(wrong, right))
    return low, high


def _mid_p_end(many: float, few: float) -> float:
    """The upper end of the mid-p interval of the share of the many."""
    from scipy.optimize import brentq  # late: few need it

    many = max(many, 1e-9)
    if few < 1e-9:
        return 1.0

    def tail(share: float) -> float:  # of no more than the many; half of exactly as many; of no whole numbers as well
        return float(1 - (betainc(many + 1, few, share) + betainc(many, few + 1, share)) / 2) - (1 - 0.95) / 2

    ends = 1e-9, 1 - 1e-12
    return float(brentq(tail, *ends)) if tail(ends[0]) > 0 > tail(ends[1]) else 1.0


def paired_difference(correct: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """Compute the difference in accuracy of two classifiers on the same points, and its 95 % interval.

    Half an observation is added to each of the four cells of right and wrong, so that few points are enough.

    Parameters
    ----------
    correct, others : (n,) bool array
        Whether each of the two classified each point correctly.

    Returns
    -------
    difference, low, high : float
        Shares from -1 to 1.

    References
    ----------
    Agresti, Min, "Simple improved confidence intervals for comparing matched proportions", Stat. in Medicine, 2005.

    Examples
    --------
    >>> correct, others = np.arange(100) < 80, np.arange(100) < 70
    >>> np.round(paired_difference(correct, others), 3).tolist()
    [0.1, 0.037, 0.159]
    """
    n = len(correct) + 2
    only_first = float(np.sum(correct & ~others)) + 0.5
    only_second = float(np.sum(others & ~correct)) + 0.5
    center = (only_first - only_second) / n
    half = Z_95 * np.sqrt((only_first + only_second) / n - center**2) / np.sqrt(n)
    return float(np.mean(correct) - np.mean(others)), float(center - half), float(center + half)
