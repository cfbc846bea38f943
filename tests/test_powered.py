"""Accuracy without a test set: intervals that hold, and are narrower where probabilities say something."""

import numpy as np
import pytest

from gpussl.evaluate.powered import estimate_accuracy
from gpussl.numeric.intervals import accuracy_interval, share_interval

N, N_SAMPLES = 4000, 1500


@pytest.fixture(scope="module", params=[(3, 0.6), (8, 0.3)], ids=["0.83", "0.96"])
def points(request):
    rng = np.random.default_rng(0)
    chance = rng.beta(*request.param, N)
    return chance, rng.random(N) < chance


def estimates(right, chance, n):
    for seed in range(N_SAMPLES):
        few = np.random.default_rng(seed).permutation(N)[:n]
        yield estimate_accuracy(right[few], chance[few], chance.mean(), N), accuracy_interval(right[few].mean(), n)


@pytest.mark.parametrize("kind", ["calibrated", "too sure", "inverted", "of no use"])
@pytest.mark.parametrize("n", [30, 125, 500])
def test_the_interval_holds_whatever_the_probabilities_say(points, n, kind):
    chance, right = points
    noise = np.random.default_rng(1).random(N)
    said = {"calibrated": chance, "too sure": 1 - (1 - chance) ** 3, "inverted": 1 - chance, "of no use": noise}[kind]
    found = [(one.low <= right.mean() <= one.high) for one, _ in estimates(right, said, n)]
    assert 0.925 <= np.mean(found) <= 0.985


def test_it_is_narrower_by_what_the_probabilities_explain(points):
    chance, right = points
    pairs = list(estimates(right, chance, 250))
    ratio = np.mean([one.high - one.low for one, _ in pairs]) / np.mean([high - low for _, (low, high) in pairs])
    explained = np.corrcoef(chance, right)[0, 1] ** 2
    known = 1 - 250 / N
    assert ratio == pytest.approx(np.sqrt((1 - explained) * known), abs=0.02)


def test_it_has_no_bias(points):
    chance, right = points
    found = [one.accuracy for one, _ in estimates(right, 1 - (1 - chance) ** 3, 125)]
    assert np.mean(found) == pytest.approx(right.mean(), abs=3 * np.std(found) / np.sqrt(N_SAMPLES) + 0.001)


def test_probabilities_count_for_nothing_where_too_few_are_wrong():
    right = np.arange(100) > 1
    with_them = estimate_accuracy(right, np.linspace(0, 1, 100), 0.9, 10**9)
    assert with_them.accuracy == 0.98
    assert (with_them.low, with_them.high) == pytest.approx(share_interval(0.98, 100))


def test_all_points_leave_no_doubt():
    found = estimate_accuracy(np.arange(100) > 9, np.zeros(100), 0.0, 100)
    assert (found.low, found.high) == pytest.approx((0.9, 0.9), abs=1e-3)


def test_copies_are_worth_one_point():
    right, counts = np.array([True, False, True, True]), np.array([50, 1, 1, 1])
    found = estimate_accuracy(right, np.zeros(4), 0.0, np.inf, counts)
    assert found.accuracy == 52 / 53
    assert found.high - found.low > 0.5


class TestShareInterval:
    @pytest.mark.parametrize(("n", "p"), [(30, 0.98), (60, 0.998), (250, 0.998), (500, 0.999), (60, 0.002)])
    def test_it_holds_near_the_ends_where_wilsons_does_not(self, n, p):
        from scipy.stats import binom

        k = np.arange(n + 1)
        ends = np.array([share_interval(x / n, n) for x in k])
        held = binom.pmf(k, n, p)[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum()
        assert held >= 0.93

    def test_it_is_wilsons_elsewhere(self):
        assert share_interval(0.8, 100) == accuracy_interval(0.8, 100)

    def test_all_right_leaves_the_end_open(self):
        assert share_interval(1.0, 20)[1] == 1.0
        assert share_interval(0.0, 20)[0] == 0.0
