"""What a task gives the report."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpussl.records import Dataset, Result
from gpussl.report.parts import Part


@dataclass(frozen=True)
class Outcome:
    """What a task found.

    Attributes
    ----------
    dataset : Dataset
        What it worked on.
    parts : sequence of Part
        What there is to show and to write, in order.
    results : list of Result
        A row for each trained model, where the task trains models to compare them.
    saved : str
        A sentence on what else lies in the run's folder.
    """

    dataset: Dataset
    parts: Sequence[Part]
    results: list[Result] = field(default_factory=list)
    saved: str = ""
