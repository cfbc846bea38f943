"""Confidence intervals."""

import numpy as np

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
