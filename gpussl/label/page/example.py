"""A desk with four fruits, for the examples of this package."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from gpussl.label.answers import AnswerLog
from gpussl.label.page.classes import Classes
from gpussl.label.page.desk import Desk, Doubt, Material


class Fruit(Material):
    """Four fruits, three of them asked for.

    Examples
    --------
    >>> list(Fruit().asked())
    ['fruit 0', 'fruit 1', 'fruit 2']
    """

    name = key = "fruit"
    has_pictures = True

    def refresh(self) -> None:
        """See `Material.refresh`."""

    def ids(self) -> Sequence[str]:
        """See `Material.ids`."""
        return [f"fruit {number}" for number in range(4)]

    def asked(self) -> Mapping[str, str]:
        """See `Material.asked`."""
        return {f"fruit {number}": "random" for number in range(3)}

    def groups(self) -> Sequence[Sequence[str]]:
        """See `Material.groups`."""
        return [["fruit 0", "fruit 3"]]

    def doubts(self) -> Sequence[Doubt]:
        """See `Material.doubts`."""
        return [Doubt("fruit 0", "melon", 0.9)]

    def fields(self, item: str) -> Sequence[tuple[str, str]]:
        """See `Material.fields`."""
        return [("weight", "120")]

    def picture(self, item: str) -> tuple[bytes, str]:
        """See `Material.picture`."""
        content = io.BytesIO()
        Image.new("L", (28, 28), 100).save(content, "png")
        return content.getvalue(), "image/png"

    def said(self) -> Sequence[str]:
        """See `Material.said`."""
        return ["Accuracy 90.0%."]

    def round(self) -> int:
        """See `Material.round`."""
        return 1


def fruit(folder: str) -> Desk:
    """Return a desk with the fruits, whose answers go to a folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fruit(folder).state()["asked"]
    3
    """
    return Desk(Fruit(), AnswerLog(Path(folder, "answers.jsonl")), Classes(Path(folder, "classes.csv")))
