"""Confidence intervals."""

import numpy as np

Z_95 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution: 2.5 % in each tail


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
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
