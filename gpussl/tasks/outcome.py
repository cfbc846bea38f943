"""The outcome of a task."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpussl.records import Dataset, Result
from gpussl.report.parts import Part


@dataclass(frozen=True)
class Outcome:
    """What a task returns to the run.

    Attributes
    ----------
    dataset : Dataset
    parts : sequence of Part
        The parts of the report, in order.
    results : list of Result
        A row for each trained model, if the task compares models.
    saved : str
        A sentence about other files in the folder of the run.

    Examples
    --------
    >>> from gpussl.report.parts import Words
    >>> outcome = Outcome(Dataset("table", [[0.0], [1.0]]), [Words("Buy 500 more labels.", is_answer=True)])
    >>> outcome.results
    []
    """

    dataset: Dataset
    parts: Sequence[Part]
    results: list[Result] = field(default_factory=list)
    saved: str = ""
