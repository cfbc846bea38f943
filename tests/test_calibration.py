"""Calibration against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpussl.evaluate.calibration import N_BINS, calibrate
from gpussl.label.oracle import Oracle
from gpussl.records import PseudoLabels, TrainingSet

Y = np.arange(200) % 3


def training_set(labels, weights, n_bought=20):
    """One whose first points were bought and whose others have the first for their source."""
    sources = np.where(np.arange(200) < n_bought, np.arange(200), 0)
    known = PseudoLabels(labels, np.where(labels < 0, -1, sources), weights.astype(np.float32))
    return TrainingSet("a", "random", "poisson", known, n_bought, 0.5)


@given(seed=st.integers(0, 10**6))
def test_bins_hold_the_propagated_labels_by_their_weight(seed):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(200) < 0.2, -1, np.where(rng.random(200) < 0.7, Y, 0))
    weights = np.where(labels < 0, 0, rng.choice([0.05, 0.1, 0.37, 0.99, 1.0], 200)).astype(np.float32)
    (found,) = calibrate(Oracle(Y), [training_set(labels, weights)])
    error, n = 0.0, 0
    for number in range(N_BINS):
        low, high = number / N_BINS, (number + 1) / N_BINS
        wide = weights.astype(np.float64)
        of_bin = [i for i in range(20, 200) if labels[i] >= 0 and (low <= wide[i] < high or (high == wide[i] == 1))]
        assert found.counts[number] == len(of_bin)
        if of_bin:
            mean, right = wide[of_bin].mean(), (labels[of_bin] == Y[of_bin]).mean()
            assert (found.weights[number], found.accuracies[number]) == pytest.approx((mean, right))
            error, n = error + len(of_bin) * abs(mean - right), n + len(of_bin)
    assert found.error == pytest.approx(error / n)
    assert found.is_weighted


def test_labels_that_are_all_sure_are_off_by_those_that_are_wrong():
    labels = Y.copy()
    labels[20:65] = (Y[20:65] + 1) % 3
    (found,) = calibrate(Oracle(Y), [training_set(labels, np.ones(200))])
    assert found.error == pytest.approx(45 / 180)
    assert not found.is_weighted


def test_where_nothing_was_propagated_there_is_nothing_to_say_and_no_label_is_bought():
    labels = np.where(np.arange(200) < 20, Y, -1)
    oracle = Oracle(Y)
    assert calibrate(oracle, [training_set(labels, np.ones(200))]) == []
    calibrate(oracle, [training_set(Y, np.ones(200))])
    assert oracle.n_bought == 0
