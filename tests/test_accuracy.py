import numpy as np
import pytest
from scipy import stats

from gpussl import seeds
from gpussl.evaluate.accuracy import accuracy
from gpussl.label.oracle import Oracle
from gpussl.numeric.intervals import accuracy_interval
from gpussl.records import Dataset, PseudoLabels
from gpussl.report.sweep import half_width


def test_the_interval_is_wilsons():
    for right, n in [(0, 10), (7, 10), (8123, 10000)]:
        expected = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert accuracy_interval(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_accuracy_is_the_share_of_right_answers():
    dataset = Dataset("d", None, None, np.zeros((4, 1)), np.array([1, 2, 3, 4]), (), (1, 1), 1.0)
    assert accuracy(dataset, np.array([1, 2, 3, 0])) == 0.75


def test_the_interval_of_a_mean_is_students():
    values = [1.0, 2.0, 4.0]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2)
    assert half_width([1.0]) is None


def test_the_oracle_counts_each_label_once(xp, host):
    oracle = Oracle(np.array([5, 6, 7, 8]))
    assert oracle.n_bought == 0
    assert host(oracle.buy(xp.asarray(np.array([3, 1])))).tolist() == [8, 6]
    assert host(oracle.buy(xp.asarray(np.array([1, 0])))).tolist() == [6, 5]
    assert oracle.n_bought == 3


def test_the_oracle_judges_only_what_is_labelled():
    oracle = Oracle(np.array([5, 6, 7, 8]))
    labels = np.array([5, -1, 0, 8])
    assert oracle.correct(PseudoLabels(labels, labels)).tolist() == [True, False, True]
    assert oracle.n_bought == 0


def test_seeds_differ_by_name_and_by_run_and_stay():
    found = {seeds.derive(run, name) for run in range(50) for name in ("cluster", "select", "train/none/mlp")}
    assert len(found) == 150
    assert all(0 <= seed < 2**32 for seed in found)
    assert seeds.derive(0, "cluster") == 1518808472
