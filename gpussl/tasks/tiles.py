"""Points as a person sees them on a page."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from gpussl.records import Dataset
from gpussl.report.parts import Tile
from gpussl.tasks.own import OwnPoints

LONGEST = 160  # characters of a text


class Tiles:
    """Makes tiles of points.

    Parameters
    ----------
    points : OwnPoints
    path : Path
        Of the data.
    items : collection of str
        The ids of all points that may be shown.

    Examples
    --------
    >>> dataset = Dataset("mine", np.zeros((1, 4), np.uint8), train_ids=["a"], image_shape=(2, 2), max_value=255)
    >>> points = OwnPoints(dataset, ["a"], np.array([0]))
    >>> Tiles(points, Path("photos"), ["a"]).of("a", "cat").note
    'cat'
    """

    def __init__(self, points: OwnPoints, path: Path, items: Collection[str]) -> None:
        self._dataset = points.dataset
        self._place_of = points.places() if points.dataset.image_shape is not None else {}
        self._fields: Sequence[str] = ()
        self._records: Mapping[str, Sequence[str]] = {}
        if points.dataset.image_shape is None and points.dataset.reader is not None:
            self._fields, self._records = points.dataset.reader.records(path, set(items))

    def of(self, item: str, note: str = "") -> Tile:
        """Return the tile of a point."""
        if self._dataset.image_shape is not None:
            return Tile(item, note, pixels(self._dataset, self._place_of[item]))
        cells = self._records.get(item, ())
        named = [f"{name}: {cell}" for name, cell in zip(self._fields, cells, strict=False)]
        text = cells[0] if len(cells) == 1 else "\n".join(named)
        return Tile(item, note, text=text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def pixels(dataset: Dataset, place: int) -> np.ndarray:
    """Return the pixels (height, width) or (height, width, 3) of a point as uint8.

    >>> pixels(Dataset("mine", np.ones((1, 4)), image_shape=(2, 2), max_value=1), 0).tolist()
    [[255, 255], [255, 255]]
    """
    shape = dataset.image_shape or ()
    raw = np.asarray(dataset.X_train[place]).reshape(shape)
    scaled = raw if raw.dtype == np.uint8 else np.round(255 * raw / (dataset.max_value or 1)).astype(np.uint8)
    return scaled.reshape(shape[:2]) if shape[2:] == (1,) else scaled
