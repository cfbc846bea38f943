"""Accepted labels: the promise holds, and breaks where it must."""

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from gpussl.errors import InputError
from gpussl.evaluate import accepted
from gpussl.evaluate.accepted import accept, fewest, p_value

N = 2000
N_AUDITS = 600
LIMIT = binom.ppf(0.999, N_AUDITS, 0.05) / N_AUDITS  # a true 5 % is above it once in a thousand times


@pytest.fixture(scope="module")
def points():
    """Calibrated scores, and whether each label is right: 0.89 of them are, and 0.95 of the surest 70 %."""
    rng = np.random.default_rng(0)
    score = rng.beta(5, 0.6, N)
    return score, rng.random(N) < score


def broken(score, right, n, target, decide=accept, n_audits=N_AUDITS):
    """The share of audits after which less than the target of what was accepted is right."""
    n_broken = 0
    for seed in range(n_audits):
        audited = np.random.default_rng(seed).permutation(len(score))[:n]
        is_accepted = decide(score, audited, right[audited], target=target, seed=seed).is_accepted
        n_broken += bool(is_accepted.any()) and right[is_accepted].mean() < target
    return n_broken / n_audits


@pytest.mark.parametrize("kind", ["as it is", "flattened", "inverted", "constant"])
@pytest.mark.parametrize(("n", "target"), [(60, 0.9), (125, 0.9), (250, 0.9), (250, 0.95), (500, 0.95)])
def test_the_promise_holds_for_any_score(points, kind, n, target):
    score, right = points
    of = {"as it is": score, "flattened": score / 1000, "inverted": 1 - score, "constant": np.full(N, 0.5)}
    assert broken(of[kind], right, n, target) <= LIMIT


@pytest.mark.parametrize("share", [0.949, 0.9])
def test_the_promise_holds_where_all_thresholds_are_just_too_low(share):
    right = np.random.default_rng(1).random(N) < share
    right[: int(N * 0.95) + 1] &= True
    assert broken(np.linspace(1, 0, N), right, 250, right.mean() + 0.001) <= LIMIT


def test_most_is_accepted_where_most_is_right(points):
    score, _ = points
    audited = np.arange(300)
    found = accept(score, audited, np.ones(300, dtype=bool), target=0.97)
    assert (found.n_accepted, found.share, found.needed) == (N, 1.0, None)
    assert found.is_accepted.all()


def test_a_single_threshold_is_the_hypergeometric_test():
    score, audited = np.zeros(100), np.arange(40)
    for n_wrong in range(4):
        found = accept(score, audited, np.arange(40) >= n_wrong, target=0.9)
        # the whole set is promised if so few wrong ones are unlikely among eleven wrong of 100
        assert (found.share == 1) <= (hypergeom.cdf(n_wrong, 100, 11, 40) <= 0.05)


def test_scores_that_are_too_sure_do_not_keep_easy_labels_back():
    rng = np.random.default_rng(1)
    right, score = rng.random(N) < 0.97, 1 - 10 ** -rng.uniform(3, 11, N)  # one in thousands is said to be wrong
    shares = []
    for seed in range(50):
        audited = np.random.default_rng(seed).permutation(N)[:200]
        shares.append(accept(score, audited, right[audited], target=0.8, seed=seed).share)
    assert np.mean(shares) > 0.95


def test_59_of_59_are_needed():
    assert fewest(0.95) == 59
    for n, promised in ((58, 0), (59, 10**6)):
        score = np.ones(10**6)
        assert accept(score, np.arange(n), np.ones(n, dtype=bool), target=0.95).n_accepted == promised


def test_copies_count():
    score, sizes = np.array([0.9, 0.8]), np.array([900, 100])
    found = accept(
        score, np.array([0, 1]), np.array([True, False]), target=0.85, sizes=sizes, counts=np.array([90, 10])
    )
    assert (found.n_points, found.n_sample, found.is_accepted.tolist()) == (1000, 100, [True, False])
    assert (found.n_accepted, found.n_audited, found.n_wrong) == (900, 90, 0)


def test_what_is_needed_is_enough_more_often_than_not(points):
    score, right = points
    rng = np.random.default_rng(3)
    few = rng.permutation(N)[:60]
    found = accept(score, few, right[few], target=0.95)
    assert found.n_accepted == 0
    assert 60 < found.needed <= N
    then = []
    for seed in range(100):
        audited, is_extra = drawn(np.random.default_rng(seed), found.worth_auditing, 60, found.needed)
        again = accept(
            score, audited, right[audited], target=0.95, region=found.worth_auditing, is_extra=is_extra, seed=seed
        )
        then.append(again.n_accepted > 0)
    assert np.mean(then) > 0.5


def drawn(rng, region, n, n_extra):
    """The first n points of a random order, and n_extra further ones of a region; and which are extra."""
    order = rng.permutation(len(region))
    extra = [place for place in order[n:] if region[place]][:n_extra]
    return np.array([*order[:n], *extra]), np.arange(n + len(extra)) >= n


@pytest.mark.parametrize("kind", ["as it is", "flattened", "inverted"])
@pytest.mark.parametrize(("n", "n_extra", "target"), [(60, 100, 0.95), (100, 200, 0.9), (200, 50, 0.95)])
def test_the_promise_holds_with_further_points_of_a_region(points, kind, n, n_extra, target):
    score, right = points
    region = accept(score, np.arange(0), np.zeros(0, dtype=bool), target=target).worth_auditing
    score = {"as it is": score, "flattened": score / 1000, "inverted": 1 - score}[kind]
    n_broken, shares = 0, []
    for seed in range(N_AUDITS):
        audited, is_extra = drawn(np.random.default_rng(seed), region, n, n_extra)
        found = accept(score, audited, right[audited], target=target, region=region, is_extra=is_extra, seed=seed)
        n_broken += bool(found.n_accepted) and right[found.is_accepted].mean() < target
        shares.append(found.share)
    assert n_broken / N_AUDITS <= LIMIT
    if kind == "as it is":  # more is accepted than with as many points of all
        of_all = [
            accept(score, audited := np.random.default_rng(seed).permutation(N)[: n + n_extra], right[audited],
                   target=target, seed=seed).share
            for seed in range(N_AUDITS)
        ]  # fmt: skip
        assert np.mean(shares) > np.mean(of_all)


def region_that_is_right():
    """Scores, a region in which all labels are right, and labels of which nearly 95 % are: all others are wrong."""
    region = np.arange(N) < 0.948 * N
    return np.linspace(1, 0.9, N), region, region.copy()


def broken_with_region(decide=accept):
    score, region, right = region_that_is_right()
    n_broken = 0
    for seed in range(N_AUDITS):
        audited, is_extra = drawn(np.random.default_rng(seed), region, 60, 200)
        found = decide(score, audited, right[audited], target=0.95, region=region, is_extra=is_extra, seed=seed)
        n_broken += right[found.is_accepted].mean() < 0.95
    return n_broken / N_AUDITS


def test_the_promise_holds_where_all_beyond_the_region_is_wrong():
    assert broken_with_region() <= LIMIT


def broken_among_others(points, n, target, decide=accept):
    """The share of audits after which less than the target of the accepted labels that nobody gave is right."""
    score, right = points
    n_broken = 0
    for seed in range(N_AUDITS):
        audited = np.random.default_rng(seed).permutation(N)[:n]
        is_given = np.isin(np.arange(N), audited)
        found = decide(score, audited, right[audited], target=target, is_given=is_given, seed=seed)
        others = found.is_accepted & ~is_given
        n_broken += bool(others.any()) and right[others].mean() < target
    return n_broken / N_AUDITS


@pytest.mark.parametrize(("n", "target"), [(300, 0.95), (1000, 0.9), (1000, 0.95), (1900, 0.9)])
def test_the_promise_holds_for_the_labels_that_nobody_gave(points, n, target):
    assert broken_among_others(points, n, target) <= LIMIT


def test_where_all_labels_are_given_all_are_accepted():
    right = np.arange(100) >= 50
    found = accept(np.ones(100), np.arange(100), right, target=0.9, is_given=np.ones(100, dtype=bool))
    assert found.n_accepted == 100


def test_thresholds_beyond_the_region_are_tested_with_the_sample_of_all_points():
    score, region = np.linspace(1, 0.99, N), np.arange(N) < 500
    audited, is_extra = drawn(np.random.default_rng(0), region, 300, 100)
    found = accept(score, audited, np.ones(len(audited), dtype=bool), target=0.95, region=region, is_extra=is_extra)
    assert found.n_accepted == N
    at = found.shares <= 500 / N
    assert found.audited[at][-1] == region[audited].sum() > found.audited[~at][0]
    assert found.audited[-1] == 300


def test_extra_points_are_of_the_region():
    with pytest.raises(InputError, match="true only in the region"):
        accept(np.ones(2), np.array([1]), np.array([True]), target=0.9, is_extra=np.array([True]))


def test_no_number_is_enough_where_labels_are_too_often_wrong():
    score, audited = np.linspace(1, 0, N), np.arange(0, N, 10)
    assert accept(score, audited, np.arange(200) % 2 == 0, target=0.95).needed is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 1.0}, "target: expected a share between 0 and 1, found 1.0"),
        ({"confidence": 0.0}, "confidence: expected a share between 0 and 1, found 0.0"),
        ({"score": np.array([np.nan])}, "score: expected a finite number for each point"),
        ({"is_right": np.array([True, True])}, "is_right: expected a value for each of the 1 audited points, found 2"),
    ],
)
def test_wrong_input_is_said(settings, message):
    given = {"score": np.ones(1), "audited": np.zeros(1, dtype=int), "is_right": np.ones(1, dtype=bool)}
    with pytest.raises(InputError, match=message):
        accept(**{**given, "target": 0.9, **settings})


class TestWhatMustNotBeDone:
    """Each of these breaks the promise: if a test here fails, the checks above could not have failed either."""

    def test_to_audit_what_the_model_has_learnt(self, points):
        score, right = points

        def decide(score, audited, is_right, **settings):
            learnt = score.copy()
            learnt[audited] = 1.0  # a model that knows these labels is sure of them, and right
            return accept(learnt, audited, np.ones(len(audited), dtype=bool), **settings)

        assert broken(score, right, 250, 0.95, decide) > LIMIT

    def test_to_choose_the_threshold_by_the_audited_labels(self, points):
        score, right = points

        def decide(score, audited, is_right, *, target, seed):
            order = audited[np.argsort(-score[audited])]
            shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
            last = np.flatnonzero(shares >= target).max(initial=-1)
            chosen = score >= score[order[last]] if last >= 0 else np.zeros(N, dtype=bool)
            return accepted.Accepted(target, 0.95, chosen, 0, 0, 0, N, 0, 0, *[np.zeros(0)] * 4, None)

        assert broken(score, right, 250, 0.95, decide) > LIMIT

    def test_to_audit_representatives(self, points):
        score, right = points

        def decide(score, audited, is_right, **settings):
            easy = np.flatnonzero(score > np.quantile(score, 0.3))  # representatives are easier points
            drawn = np.random.default_rng(settings["seed"]).permutation(easy)[: len(audited)]
            return accept(score, drawn, right[drawn], **settings)

        assert broken(score, right, 250, 0.92, decide) > LIMIT

    def test_to_count_what_the_audit_has_found_for_what_is_left(self, points):
        def decide(score, audited, is_right, *, is_given, **settings):
            return accept(score, audited, is_right, **settings)

        assert broken_among_others(points, 1000, 0.9, decide) > LIMIT

    def test_to_take_what_is_drawn_of_a_region_for_a_sample_of_all_points(self):
        def decide(score, audited, is_right, *, is_extra, **settings):
            return accept(score, audited, is_right, **settings)

        assert broken_with_region(decide) > LIMIT

    def test_to_test_thresholds_in_the_wrong_order(self, monkeypatch):
        monkeypatch.setattr(accepted, "N_STEPS", 20)

        def decide(score, audited, is_right, **settings):
            # from lax to strict until one passes: each further test is one more chance to be wrong
            for first in reversed(range(accepted.N_STEPS)):
                monkeypatch.setattr(accepted, "_start", lambda *_, first=first: first)
                found = accept(score, audited, is_right, **settings)
                if found.n_accepted:
                    break
            return found

        score, right = np.linspace(1, 0, N), np.arange(N) % 10 > 0  # nine of ten, wherever the threshold is
        assert broken(score, right, 250, 0.901, decide) > LIMIT
        monkeypatch.undo()
        assert broken(score, right, 250, 0.901) <= LIMIT


def test_the_p_value_is_that_of_the_hypergeometric_distribution():
    rng = np.random.default_rng(0)
    totals = rng.integers(1, 400, 500)
    bad, drawn = rng.integers(0, totals + 1), rng.integers(0, totals + 1)
    found = np.minimum(rng.integers(0, 30, 500), np.minimum(bad, drawn))
    expected = hypergeom.cdf(found, totals, bad, drawn)
    is_few = found <= drawn * bad / totals
    np.testing.assert_allclose(p_value(totals, bad, drawn, found), np.where(is_few, expected, 1), atol=1e-9)
