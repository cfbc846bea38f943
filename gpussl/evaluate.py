"""Evaluate: how good a trained model is. The only reader of test labels."""

import numpy as np

from gpussl import backend
from gpussl.records import Array, Dataset

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def accuracy(dataset: Dataset, predicted: Array) -> float:
    """Share of the test points whose predicted class (n_test,) is the true one."""
    return float(np.mean(backend.of(predicted).to_numpy(predicted) == dataset.y_test))


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy measured on `n` points (Wilson, 1927), as shares from 0 to 1."""
    center = (accuracy + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * np.sqrt(accuracy * (1 - accuracy) / n + Z_95**2 / (4 * n**2))
    return float(center - half), float(center + half)
