"""Calibration: the accuracy of propagated labels by their weight. For reports, never for training."""

from collections.abc import Sequence

import numpy as np

from gpussl import backend
from gpussl.protocols import Judge
from gpussl.records import UNLABELLED, Calibration, TrainingSet

N_BINS = 10


def calibrate(judge: Judge, training_sets: Sequence[TrainingSet]) -> list[Calibration]:
    """Bin the propagated labels of each training set by weight; training sets without any are left out.

    References
    ----------
    Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.

    Examples
    --------
    >>> from gpussl.label.oracle import Oracle
    >>> from gpussl.records import PseudoLabels
    >>> weights = np.array([1, 0.75, 0.75], dtype=np.float32)
    >>> known = PseudoLabels(labels=np.array([5, 5, 5]), sources=np.array([0, 0, 0]), weights=weights)  # 0 was bought
    >>> training_set = TrainingSet("graph", "random", "graph", known, n_bought=1, label_accuracy=2 / 3)
    >>> (found,) = calibrate(Oracle(np.array([5, 5, 6])), [training_set])
    >>> found.counts.tolist(), float(found.accuracies[7]), found.error
    ([0, 0, 0, 0, 0, 0, 0, 2, 0, 0], 0.5, 0.25)
    """
    found = []
    for training_set in training_sets:
        known = training_set.pseudo_labels
        labels, sources, weights = map(backend.of(known.labels).to_numpy, (known.labels, known.sources, known.weights))
        labelled = np.flatnonzero(labels != UNLABELLED)
        is_propagated = sources[labelled] != labelled  # a bought label is right by construction
        if is_propagated.any():
            is_right = judge.correct(known)[is_propagated]
            found.append(_bin(training_set.name, weights[labelled][is_propagated].astype(np.float64), is_right))
    return found


def _bin(name: str, weights: np.ndarray, is_right: np.ndarray) -> Calibration:
    """Bin labels by their weights (n,) and whether they are correct (n,)."""
    bins = np.minimum((weights * N_BINS).astype(np.int64), N_BINS - 1)
    counts = np.bincount(bins, minlength=N_BINS)
    sums = np.bincount(bins, weights, N_BINS), np.bincount(bins, is_right, N_BINS)
    return Calibration(
        name=name,
        counts=counts,
        weights=sums[0] / np.maximum(counts, 1),
        accuracies=sums[1] / np.maximum(counts, 1),
        error=float(np.abs(sums[0] - sums[1]).sum() / len(weights)),
        is_weighted=bool((weights != 1).any()),
    )
