"""Confidence intervals."""

import numpy as np

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy measured on `n` points (Wilson, 1927), as shares from 0 to 1."""
    center = (accuracy + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * np.sqrt(accuracy * (1 - accuracy) / n + Z_95**2 / (4 * n**2))
    return float(center - half), float(center + half)
