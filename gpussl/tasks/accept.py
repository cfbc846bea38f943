"""Accept: which labels need no second look, what is promised of them, and what is left for a person."""

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

import numpy as np

from gpussl.errors import ConfigError
from gpussl.evaluate.accepted import Accepted, accept
from gpussl.label.answers import LABELLED
from gpussl.records import UNLABELLED
from gpussl.report.parts import Picture
from gpussl.runtime.config import Job
from gpussl.tasks import choose, project
from gpussl.tasks.checked import Checked, Crossed
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.project import Project


@dataclass(frozen=True)
class Accepting:
    """What is accepted, and what is said of it.

    Attributes
    ----------
    accepted : Accepted
    is_accepted : (n,) bool array
        Of all points without copies; what a person has labelled is accepted.
    n_accepted : int
        Copies included.
    said : list of str

    Examples
    --------
    >>> accepted = accept(np.arange(500.0), np.arange(20), np.ones(20, dtype=bool), target=0.95)
    >>> Accepting(accepted, accepted.is_accepted, 0, ["No label is accepted."]).said
    ['No label is accepted.']
    """

    accepted: Accepted
    is_accepted: np.ndarray
    n_accepted: int
    said: list[str]


@dataclass(frozen=True)
class Audit:
    """The random points whose labels audit: as many as were answered without a gap, in the random order of all points.

    So they are a uniform sample of the data as they are now, whoever answered first what was easy, and wherever points
    were added since.

    Attributes
    ----------
    labelled, passed : Counter
        How often each place is among them: of those with a label, and of those that a person has skipped or called
        unusable, which count as wrong.
    region : (n,) bool array
        Whether a point is one of those of which more random ones were asked for.
    extra : Counter
        How often each place is among the further ones of the region, in the same order.

    Examples
    --------
    >>> Audit(Counter([3, 3, 5]), Counter(), np.zeros(9, dtype=bool), Counter()).counts[3]
    2
    """

    labelled: Counter[int]
    passed: Counter[int]
    region: np.ndarray
    extra: Counter[int]

    @property
    def counts(self) -> Counter[int]:
        """How often each place is in the sample of all points."""
        return self.labelled + self.passed

    @property
    def places(self) -> set[int]:
        """All places."""
        return {*self.labelled, *self.passed, *self.extra}


def audit_of(made: Project, points: OwnPoints, known: Collection[int]) -> Audit:
    """Return the audit of a project.

    Parameters
    ----------
    known : collection of int
        The places of labelled points. Those that audit must be predicted without their labels.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     audit_of(made, own.read(run_on), range(30)).labelled.total()
    10
    """
    rounds, places = made.rounds(), points.places()
    passed = {places[item] for item, answer in made.answers().items() if answer.state != LABELLED and item in places}
    region = choose.region_of(points, made.worth_auditing("rounds"))
    order = choose.random_order(points.ids, rounds[-1].seed) if rounds else np.array([], dtype=np.int64)
    in_order = points.place_of[order]
    # points that were labelled for another reason must not prolong a sample: it ends where the questions ended
    n_drawn = max((len(asked.audit) for asked in rounds), default=0)
    further = [places[item] for asked in rounds for item in asked.reasons(choose.AUDIT) if item in places]
    is_drawn = (np.arange(len(order)) < n_drawn) | np.isin(in_order, further)
    n_further = int(np.flatnonzero(is_drawn & region[in_order]).max(initial=-1)) + 1
    answered = without_gap(in_order[:n_drawn].tolist(), known, passed)
    so_far = in_order[:n_further]
    of_region = Counter(without_gap(so_far[region[so_far]].tolist(), known, passed))
    labelled = Counter(place for place in answered if place in known)
    return Audit(labelled, Counter(answered) - labelled, region, of_region - Counter(answered))


def without_gap(places: Sequence[int], *answered: Collection[int]) -> list[int]:
    """Return the places up to the first that is not answered.

    >>> without_gap([4, 2, 7, 1], {2, 1}, {4})
    [4, 2]
    """
    return list(itertools.takewhile(lambda place: any(place in some for some in answered), places))


def decide(
    job: Job, points: OwnPoints, bought: np.ndarray, checked: Checked, crossed: Crossed, audit: Audit
) -> Accepted:
    """Decide which labels are accepted. What a person has labelled is, whatever the model says.

    The random labels audit. Each was predicted by a model that has not seen it, and each point without a label by one
    of the same models, drawn at random: they are as right as the random ones. Points that were labelled for another
    reason have a score of 1, and none of them audits: they are right, and the sample is one of all points, so the test
    is on the safe side. It would not be if they were left out, for the sample has points like them.

    Parameters
    ----------
    bought : (m,) int array
        The places of the labelled points.
    crossed : Crossed
        Of all points without a label.

    Examples
    --------
    >>> from gpussl.records import Dataset
    >>> from gpussl.runtime import config
    >>> points = OwnPoints(Dataset("mine", np.zeros((500, 1))), [f"{n}" for n in range(500)], np.arange(500))
    >>> checked = Checked(*np.zeros((2, 100), dtype=int), np.ones(100, dtype=int), chance=np.ones(100))
    >>> crossed = Crossed(np.arange(100, 500), np.zeros(400, dtype=int), np.linspace(1, 0.5, 400))
    >>> job = config.job("task=learn", "accept=0.95")
    >>> audit = Audit(Counter(range(100)), Counter(), np.zeros(500, dtype=bool), Counter())
    >>> found = decide(job, points, np.arange(100), checked, crossed, audit)
    >>> found.n_accepted, found.n_audited
    (500, 100)
    """
    if job.accept is None:
        raise ConfigError("accept: expected a share of right labels, found none; accept so many with accept=0.95")
    n = len(points.dataset.X_train)
    score, is_right = np.ones(n), np.zeros(n, dtype=bool)
    score[crossed.places] = crossed.chance
    held = np.flatnonzero(checked.predicted != UNLABELLED)
    if checked.chance is not None:
        score[bought[held]] = checked.chance[held]
    is_right[bought[held]] = checked.y[held] == checked.predicted[held]
    drawn = [*sorted(audit.counts.items()), *sorted(audit.extra.items())]
    places = np.array([place for place, _ in drawn], dtype=np.int64)
    return accept(
        score,
        places,
        is_right[places],
        target=job.accept,
        confidence=job.confidence,
        sizes=np.bincount(points.place_of, minlength=n),
        counts=np.array([count for _, count in drawn], dtype=np.int64),
        region=audit.region,
        is_extra=np.arange(len(drawn)) >= len(audit.counts),
        is_given=np.isin(np.arange(n), bought),
        seed=job.seed,
    )


def sentences(
    made: Project, accepted: Accepted, n_points: int, n_accepted: int, n_given: int, n_to_check: int, n_open: int = 0
) -> list[str]:
    """Return what is promised, in words.

    Parameters
    ----------
    n_open : int
        Random points that were asked for and have no answer.
    n_points, n_accepted, n_given : int
        All labels, the accepted ones with those that a person has given, and these.
    n_to_check : int
        The others, each with its copies one.

    Examples
    --------
    >>> found = accept(np.arange(500.0), np.arange(20), np.ones(20, dtype=bool), target=0.95)
    >>> made = Project(project.Path("mine.gpussl"), {})
    >>> print("\\n".join(sentences(made, found, 500, 20, 20, 480)))
    No label but your own is accepted: 20 random labels, 0 of them wrongly predicted, do not show with 95 % confidence
        that 95 % of any part are right. About 168 more may: ask for them with gpussl choose mine.gpussl
        audit_more=168.
    """
    sure = f"{100 * accepted.confidence:.4g} % confidence"
    share = f"{100 * accepted.target:.4g} %"
    if not n_to_check and not accepted.n_accepted:
        return ["All points have labels of yours."]
    if not accepted.n_accepted:
        found = (
            f"No label but your own is accepted: {accepted.n_sample:,} random labels, "
            f"{accepted.n_wrong_of_sample:,} of them wrongly predicted, do not show with {sure} "
            f"that {share} of any part are right."
        )
        if n_open:
            what = "the random point that is" if n_open == 1 else f"the {n_open:,} random points that are"
            return [f"{found} Answer {what} open first, with gpussl label {quote(str(made.folder))}."]
        if accepted.needed is None:
            return [f"{found} How many would cannot be said; label more, or accept a smaller share."]
        more = min(accepted.needed, n_to_check)
        return [
            f"{found} About {more:,} more may: ask for them with gpussl choose {quote(str(made.folder))} "
            f"audit_more={more}."
        ]
    which = f"{n_accepted:,} of {n_points:,}" if n_to_check else f"All {n_points:,}"
    found = (
        f"{which} labels are accepted, {n_given:,} of them yours: with {sure} at least {share} of the others are "
        f"right, from {accepted.n_audited:,} random labels, {accepted.n_wrong:,} of which were wrongly predicted."
    )
    if not n_to_check:
        return [found]
    left = n_points - n_accepted
    copies = f" ({left:,} with their copies)" if left > n_to_check else ""
    return [
        f"{found} {n_to_check:,}{copies} are left for you in {project.TO_CHECK}, the likeliest wrong first; with right "
        f"labels for these, at most {(1 - accepted.target) * (n_accepted - n_given) / n_points:.1%} of all are wrong."
    ]


def of_labels(
    job: Job, made: Project, points: OwnPoints, bought: np.ndarray, checked: Checked, audit: Audit | None
) -> Accepting | None:
    """Decide which labels are accepted, and say what is promised; None if it was not asked for.

    Examples
    --------
    >>> from gpussl.records import Dataset
    >>> from gpussl.runtime import config
    >>> points = OwnPoints(Dataset("mine", np.zeros((2, 1))), ["a", "b"], np.arange(2))
    >>> checked, made = Checked(*np.zeros((3, 1), dtype=int)), Project(project.Path("mine.gpussl"), {})
    >>> of_labels(config.job("task=learn"), made, points, np.array([0]), checked, None) is None
    True
    """
    if audit is None or checked.crossed is None:
        return None
    accepted = decide(job, points, bought, checked, checked.crossed, audit)
    is_accepted = accepted.is_accepted.copy()
    is_accepted[bought] = True
    n_accepted, n_to_check = int(is_accepted[points.place_of].sum()), int((~is_accepted).sum())
    answers = made.answers()
    asked = {item for one in made.rounds() for item in one.reasons(choose.RANDOM, choose.AUDIT)}
    n_open = sum(item not in answers for item in asked & points.places().keys())
    n_given = int(np.isin(points.place_of, bought).sum())
    told = sentences(made, accepted, len(points.ids), n_accepted, n_given, n_to_check, n_open)
    n_looks = 1 + sum((path / project.ACCEPTED).exists() for path in (made.folder / "learned").glob("*"))
    if n_looks > 1 and accepted.n_accepted:
        of_all = max(0.0, 1 - n_looks * (1 - job.confidence))
        told.append(
            f"This project was asked {n_looks} times, and each time is one more chance to be wrong: that all promises "
            f"hold has a confidence of {100 * of_all:.4g} %. For {100 * job.confidence:.4g} % with so many, ask with "
            f"confidence={1 - (1 - job.confidence) / n_looks:.4g} each time."
        )
    return Accepting(accepted, is_accepted, n_accepted, told)


def picture(accepted: Accepted) -> Picture:
    """Return how right labels are by how many are accepted.

    Examples
    --------
    >>> picture(accept(np.arange(500.0), np.arange(20), np.ones(20, dtype=bool), target=0.95)).name
    'accepted'
    """
    audited = np.flatnonzero(accepted.audited)
    shares, n, wrong = accepted.shares[audited], accepted.audited[audited], accepted.wrong[audited]
    at = accepted.share if accepted.n_accepted else None

    def draw(figures: Any) -> Any:
        return figures.precision(shares, n, wrong, accepted.target, at)

    return Picture("accepted", "Right labels by the share that is accepted", draw)
