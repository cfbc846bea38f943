"""Calibration: how right propagated labels are, by how sure they are said to be. For reports, never for training."""

from collections.abc import Sequence

import numpy as np

from gpussl import backend
from gpussl.protocols import Judge
from gpussl.records import UNLABELLED, Calibration, TrainingSet

N_BINS = 10


def calibrate(judge: Judge, training_sets: Sequence[TrainingSet]) -> list[Calibration]:
    """Of each training set with propagated labels: those labels in bins by their weight, the bought ones apart.

    References
    ----------
    Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
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
    """The calibration of labels with weights (n,), each right or not (n,)."""
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
