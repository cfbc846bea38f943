"""Accept: which labels need no second look, what is promised of them, and what is left for a person."""

from dataclasses import dataclass
from shlex import quote
from typing import Any

import numpy as np

from gpussl.errors import ConfigError
from gpussl.evaluate.accepted import Accepted, accept
from gpussl.report.parts import Picture
from gpussl.runtime.config import Job
from gpussl.tasks import project
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


def decide(job: Job, points: OwnPoints, bought: np.ndarray, checked: Checked, crossed: Crossed) -> Accepted:
    """Decide which labels are accepted. What a person has labelled is, whatever the model says.

    The random labels audit. Each was predicted by a model that has not seen it, and each point without a label by one
    of the same models, drawn at random: they are as right as the random ones.

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
    >>> found = decide(config.job("task=learn", "accept=0.95"), points, np.arange(100), checked, crossed)
    >>> found.n_accepted, found.n_audited
    (500, 100)
    """
    if job.accept is None:
        raise ConfigError("accept: expected a share of right labels, found none; accept so many with accept=0.95")
    sizes = np.bincount(points.place_of, minlength=len(points.dataset.X_train))
    score = np.ones(len(sizes))
    score[crossed.places] = crossed.chance
    drawn = np.flatnonzero(checked.counts)
    if checked.chance is not None:
        score[bought[drawn]] = checked.chance[drawn]
    return accept(
        score,
        bought[drawn],
        checked.y[drawn] == checked.predicted[drawn],
        target=job.accept,
        confidence=job.confidence,
        sizes=sizes,
        counts=checked.counts[drawn],
        seed=job.seed,
    )


def sentences(made: Project, accepted: Accepted, n_points: int, n_accepted: int) -> list[str]:
    """Return what is promised, in words.

    Parameters
    ----------
    n_points, n_accepted : int
        All labels, and the accepted ones with those that a person has given.

    Examples
    --------
    >>> found = accept(np.arange(500.0), np.arange(20), np.ones(20, dtype=bool), target=0.95)
    >>> made = Project(project.Path("mine.gpussl"), {})
    >>> print("\\n".join(sentences(made, found, 500, 20)))
    No label is accepted: 20 random labels, 0 of them wrongly predicted, do not show with 95 % confidence that 95 % of
        any part are right. About 188 random labels would; ask for more with gpussl choose mine.gpussl audit_more=168.
    """
    target, sure = f"{accepted.target:.4g}", f"{100 * accepted.confidence:.3g} % confidence"
    share = f"{100 * float(target):.4g} %"
    if not accepted.n_accepted:
        wrong = int(accepted.wrong[-1])
        found = (
            f"No label is accepted: {accepted.n_sample:,} random labels, {wrong:,} of them wrongly predicted, do not "
            f"show with {sure} that {share} of any part are right."
        )
        if accepted.needed is None:
            return [f"{found} More random labels alone would not; label more, or accept a smaller share."]
        more = max(1, accepted.needed - accepted.n_sample)
        return [
            f"{found} About {accepted.needed:,} random labels would; ask for more with gpussl choose "
            f"{quote(str(made.folder))} audit_more={more}."
        ]
    found = (
        f"{n_accepted:,} of {n_points:,} labels are accepted: with {sure} at least {share} of them are right, from "
        f"{accepted.n_audited:,} random labels among them, {accepted.n_wrong:,} of which were wrongly predicted."
    )
    left = n_points - n_accepted
    if not left:
        return [found]
    return [
        f"{found} {left:,} are left for you in {project.TO_CHECK}, the likeliest wrong first; with right labels for "
        f"these, at most {accepted.error_of_all:.1%} of all are wrong."
    ]


def of_labels(job: Job, made: Project, points: OwnPoints, bought: np.ndarray, checked: Checked) -> Accepting | None:
    """Decide which labels are accepted, and say what is promised; None if it was not asked for.

    Examples
    --------
    >>> from gpussl.records import Dataset
    >>> from gpussl.runtime import config
    >>> points = OwnPoints(Dataset("mine", np.zeros((2, 1))), ["a", "b"], np.arange(2))
    >>> checked, made = Checked(*np.zeros((3, 1), dtype=int)), Project(project.Path("mine.gpussl"), {})
    >>> of_labels(config.job("task=learn"), made, points, np.array([0]), checked) is None
    True
    """
    if job.accept is None or checked.crossed is None:
        return None
    accepted = decide(job, points, bought, checked, checked.crossed)
    is_accepted = accepted.is_accepted.copy()
    is_accepted[bought] = True
    n_accepted = int(is_accepted[points.place_of].sum())
    return Accepting(accepted, is_accepted, n_accepted, sentences(made, accepted, len(points.ids), n_accepted))


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
