"""Accepted labels: the most labels of which it can be promised that so many are right."""

from dataclasses import dataclass
from math import ceil, log

import numpy as np
from scipy.special import bdtr, bdtrik, gammaln, ndtri

from gpussl.errors import InputError

N_STEPS = 200  # thresholds that may be tested
AS_LIKELY = 1e-3  # differences of foreseen powers that are none
LEAST_MORE = 10  # points worth asking for
SAFE = 2.0  # standard deviations, so that chance seldom leaves too few audited points where the tests begin


@dataclass(frozen=True)
class Accepted:
    """What is accepted, and what is promised of it.

    Attributes
    ----------
    target, confidence : float
        With this confidence, at least the share `target` of the accepted labels is right.
    is_accepted : (n,) bool array
    n_accepted, n_audited, n_wrong : int
        The accepted points, the audited ones among them, and those of these whose label is wrong; copies count.
    n_points, n_sample, n_wrong_of_sample : int
        All points, all audited ones, and those of these whose label is wrong.
    shares, audited, wrong : (s,) array
        For each threshold from strict to lax: the share of all points that it accepts, the audited ones among them, and
        those whose label is wrong.
    worth_auditing : (n,) bool array
        The points of which further audited ones tell most: as many as the scores say are right often enough.
    needed : int or None
        About as many more of these promise anything; None if something is promised, or no number would.

    Examples
    --------
    >>> score, right = np.linspace(1, 0, 2000), np.arange(2000) < 1500
    >>> audited = np.random.default_rng(0).permutation(2000)[:300]
    >>> found = accept(score, audited, right[audited], target=0.9)
    >>> found.n_accepted, round(found.error_of_all, 3)
    (1580, 0.079)
    """

    target: float
    confidence: float
    is_accepted: np.ndarray
    n_accepted: int
    n_audited: int
    n_wrong: int
    n_points: int
    n_sample: int
    n_wrong_of_sample: int
    shares: np.ndarray
    audited: np.ndarray
    wrong: np.ndarray
    worth_auditing: np.ndarray
    needed: int | None

    @property
    def share(self) -> float:
        """The share of all points that is accepted."""
        return self.n_accepted / self.n_points

    @property
    def error_of_all(self) -> float:
        """The most errors that all labels have, as a share, if a person labels what is not accepted."""
        return (1 - self.target) * self.share


def fewest(target: float, confidence: float = 0.95) -> int:
    """Return the fewest audited points that can promise anything: so many must all be right.

    >>> fewest(0.95), fewest(0.97), fewest(0.99)
    (59, 99, 299)
    """
    return ceil(log(1 - confidence) / log(target))


def accept(
    score: np.ndarray,
    audited: np.ndarray,
    is_right: np.ndarray,
    *,
    target: float,
    confidence: float = 0.95,
    sizes: np.ndarray | None = None,
    counts: np.ndarray | None = None,
    region: np.ndarray | None = None,
    is_extra: np.ndarray | None = None,
    is_given: np.ndarray | None = None,
    seed: int = 0,
) -> Accepted:
    """Find the most labels of which a share of at least `target` is right, with confidence.

    Thresholds of the score are tested from strict to lax until one fails. Which ones are tested, and where the tests
    begin, is known without the audited labels, so each test may have the whole error probability (Learn then Test with
    a fixed sequence). The test is exact: of the points that a threshold accepts, the audited ones are a random sample
    without replacement, and the wrong ones among them have a hypergeometric distribution.

    The score only decides how much is accepted. The promise holds for any score, as long as neither score nor label of
    a point depends on its audited label.

    Parameters
    ----------
    score : (n,) array
        Greater for labels that are more likely right; best a probability, for the tests begin where it promises most.
    audited : (m,) int array
        Places of points that were drawn uniformly at random, and whose true label is known.
    is_right : (m,) bool array
        Whether the label that would be accepted is right.
    target : float
        In (0, 1).
    confidence : float
        In (0, 1).
    sizes : (n,) int array, optional
        How many copies of each point there are; the promise is about all of them.
    counts : (m,) int array, optional
        How many of the copies were drawn.
    region : (n,) bool array, optional
        Points that are accepted before all others, because more of them were audited.
    is_extra : (m,) bool array, optional
        Whether a point was drawn from the region alone. The audited points of the region are a uniform sample of it,
        and those without the extra ones are one of all points.
    is_given : (n,) bool array, optional
        Whether a point has the label of a person, such as the audited ones. The promise is then about all others: it is
        harder to keep, for what the audit found is not among them.
    seed : int
        Decides the order of points with equal scores.

    Raises
    ------
    InputError
        Shapes do not match, a number is out of range, or a score is not finite.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test: calibrating predictive algorithms to achieve risk
    control", Ann. Appl. Stat., 2025.
    Candès, Ilyas, Zrnic, "Probably approximately correct labels", 2025: the error of all labels.

    Examples
    --------
    >>> found = accept(np.arange(500.0), np.arange(20), np.ones(20, dtype=bool), target=0.95)
    >>> found.n_accepted, found.needed
    (0, 168)
    """
    score = np.asarray(score, dtype=np.float64)
    sizes = np.ones(len(score), dtype=np.int64) if sizes is None else np.asarray(sizes)
    counts = np.ones(len(audited), dtype=np.int64) if counts is None else np.asarray(counts)
    region = np.zeros(len(score), dtype=bool) if region is None else np.asarray(region)
    is_extra = np.zeros(len(audited), dtype=bool) if is_extra is None else np.asarray(is_extra)
    is_given = np.zeros(len(score), dtype=bool) if is_given is None else np.asarray(is_given)
    _check(score, audited, is_right, sizes, counts, target, confidence)
    if not len(is_extra) == len(audited) or region.shape != score.shape or not region[audited[is_extra]].all():
        raise InputError("is_extra: expected a value for each audited point, true only in the region, found another")
    is_false = ~np.asarray(is_right, dtype=bool)
    by_score = np.lexsort((np.random.default_rng(seed).permutation(len(score)), -score))
    order = by_score[np.argsort(~region[by_score], kind="stable")]
    n_drawn, n_false = np.zeros((2, len(score)), dtype=np.int64), np.zeros((2, len(score)), dtype=np.int64)
    for row, of in enumerate((region[audited], ~is_extra)):  # the sample of the region, and that of all points
        np.add.at(n_drawn[row], audited[of], counts[of])
        np.add.at(n_false[row], audited[of], (counts * is_false)[of])
    totals = np.cumsum(sizes[order])
    ends = _thresholds(totals)
    totals, row = totals[ends], (~region[order])[ends].astype(np.int64)
    drawn, false = (np.cumsum(values[:, order], axis=1)[row, ends] for values in (n_drawn, n_false))
    expected = np.cumsum(((1 - score) * sizes)[order])[ends] / totals
    rest = np.cumsum((sizes * ~is_given)[order])[ends]
    # the fewest bad ones that break the promise: more than it allows among the rest, beside those that were found
    bad = np.floor((1 - target) * rest + 1e-9) + 1 + np.where(rest < totals, false, 0)
    p_values = p_value(totals, np.minimum(bad, totals), drawn, false)
    # how many of a sample of all points fall into the region depends on chance, and must not decide where tests begin
    whole = np.array([sizes[region].sum(), sizes.sum()])
    n_of_all = counts[~is_extra].sum()
    n_expected = np.rint([counts[is_extra].sum() + n_of_all * whole[0] / whole[1], n_of_all]).astype(np.int64)
    first = _start(totals, rest, expected, n_expected[row], whole[row], target, confidence)
    passed = np.append(p_values[first:] > 1 - confidence, True)
    last = first + int(np.argmax(passed)) - 1  # before the first that fails
    is_accepted, at_last = np.zeros(len(score), dtype=bool), (0, 0, 0)
    if last >= first and (rest[last] or not rest[-1]):
        is_accepted[order[: ends[last] + 1]] = True
        at_last = int(totals[last]), int(drawn[last]), int(false[last])
    n_accepted, n_audited, n_wrong = at_last
    worth = _worth_auditing(score, sizes, by_score, target, confidence)
    return Accepted(
        target=target,
        confidence=confidence,
        is_accepted=is_accepted,
        n_accepted=n_accepted,
        n_audited=n_audited,
        n_wrong=n_wrong,
        n_points=int(totals[-1]),
        n_sample=int(counts.sum()),
        n_wrong_of_sample=int((counts * is_false).sum()),
        shares=totals / totals[-1],
        audited=drawn,
        wrong=false,
        worth_auditing=worth,
        needed=None
        if n_accepted
        else _needed(totals, drawn, false, int(counts.sum()), int(sizes[worth].sum()), target, confidence),
    )


def p_value(totals: np.ndarray, bad: np.ndarray, drawn: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the probability (s,) of at most so many bad ones in a sample without replacement: the hypergeometric test.

    Parameters
    ----------
    totals, bad : (s,) array
        All points, and the bad ones among them.
    drawn, found : (s,) array
        The points drawn, and the bad ones found among them. It is 1 where more were found than are expected.

    Examples
    --------
    >>> p_value(np.array([100]), np.array([10]), np.array([30]), np.array([0])).round(3)
    array([0.023])
    """
    tested = np.flatnonzero(found <= drawn * bad / totals)
    found_, drawn_, bad_, totals_ = (array[tested, None].astype(np.float64) for array in (found, drawn, bad, totals))
    k = np.arange(found_.max(initial=0) + 1)[None]
    good_, others = totals_ - bad_, drawn_ - k
    can = (k <= np.minimum(found_, bad_)) & (others >= 0) & (others <= good_)
    k, others = np.where(can, k, 0), np.where(can, others, np.minimum(drawn_, good_))

    def log_choose(n: np.ndarray, m: np.ndarray) -> np.ndarray:
        return gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)

    logs = log_choose(bad_, k) + log_choose(good_, others) - log_choose(totals_, drawn_)
    found_p = np.ones(len(found))
    found_p[tested] = np.minimum(np.where(can, np.exp(logs), 0).sum(axis=1), 1)
    return found_p


def _check(
    score: np.ndarray,
    audited: np.ndarray,
    is_right: np.ndarray,
    sizes: np.ndarray,
    counts: np.ndarray,
    target: float,
    confidence: float,
) -> None:
    for name, value in (("target", target), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name}: expected a share between 0 and 1, found {value}")
    if score.ndim != 1 or not len(score) or not np.isfinite(score).all() or sizes.shape != score.shape:
        raise InputError(f"score: expected a finite number for each point, found shape {score.shape} or NaN")
    if not len(audited) == len(is_right) == len(counts):
        raise InputError(
            f"is_right: expected a value for each of the {len(audited)} audited points, found {len(is_right)}"
        )


def _thresholds(totals: np.ndarray) -> np.ndarray:
    """The last accepted place (s,) in the order for each threshold: equal steps of the share of all points."""
    wanted = np.arange(1, N_STEPS + 1) / N_STEPS * totals[-1]
    return np.unique(np.minimum(np.searchsorted(totals, wanted - 1e-9), len(totals) - 1))


def _start(
    totals: np.ndarray,
    rest: np.ndarray,
    expected: np.ndarray,
    n: np.ndarray,
    whole: np.ndarray,
    target: float,
    confidence: float,
) -> int:
    """The threshold with which the tests begin: the one that most likely passes, if the score is calibrated.

    Of several that are as likely it is the middle one: at the strictest, one error that the score has not foreseen ends
    the tests. The start must not be chosen by the audited labels, and is not: only their number counts, n of all the
    points `whole`. Far from the best start, less is accepted.
    """
    shares = totals / whole
    left_out = (whole - n) / np.maximum(whole - 1, 1)
    at_least = n * shares - SAFE * np.sqrt(n * shares * (1 - shares) * left_out)
    can = at_least >= np.minimum(n, fewest(target, confidence)) - 1e-9
    n_expected = np.maximum(np.rint(n * shares), 1).astype(np.int64)
    allowed = np.zeros(len(totals))  # errors
    for _ in range(3):  # what is found is not in the rest
        bad = ((1 - target) * rest + np.where(rest < totals, np.maximum(allowed, 0), 0)) / totals
        allowed = np.floor(np.nan_to_num(bdtrik(1 - confidence, n_expected, np.clip(bad, 1e-9, 1 - 1e-9)), nan=-1.0))
    power = np.where(allowed < 0, 0, bdtr(np.maximum(allowed, 0), n_expected, np.clip(expected, 0, 1)))
    power = np.where(can, power, -1)
    same = np.flatnonzero(power >= power.max() - AS_LIKELY)
    return int(same[len(same) // 2])


def _worth_auditing(
    score: np.ndarray, sizes: np.ndarray, by_score: np.ndarray, target: float, confidence: float
) -> np.ndarray:
    """The most points (n,) that are right often enough, if the score is calibrated; all if they are too few to test."""
    totals = np.cumsum(sizes[by_score])
    errors = np.cumsum(((1 - score) * sizes)[by_score]) / totals
    n = int(np.flatnonzero(errors <= 1 - target).max(initial=-1)) + 1
    if n == 0 or totals[n - 1] < fewest(target, confidence):
        n = len(score)
    worth = np.zeros(len(score), dtype=bool)
    worth[by_score[:n]] = True
    return worth


def _needed(
    totals: np.ndarray, drawn: np.ndarray, false: np.ndarray, n: int, n_worth: int, target: float, confidence: float
) -> int | None:
    """About how many more than n audited points promise anything, drawn of `n_worth`; None if no number does.

    Errors are taken to stay as frequent.
    """
    least = fewest(target, confidence)
    errors = (false + 0.5) / (drawn + 1)  # half an error more: there may be one that was not drawn
    room = 1 - target - errors
    wanted = np.maximum(least, ndtri(confidence) ** 2 * target * (1 - target) / np.where(room > 0, room, 1) ** 2)
    can = (drawn >= 10) & (room > 0) & (totals <= n_worth) & (wanted > drawn)
    if can.any():
        return min(max(ceil(((wanted - drawn) * n_worth / totals)[can].min()), LEAST_MORE), n_worth)
    too_few = n < least and false.max(initial=0) <= (1 - target) * n
    return min(least - n, n_worth) if too_few else None
