"""Shared by the sources of a person's own data."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpussl.data import frames
from gpussl.errors import DataError
from gpussl.protocols import Reader
from gpussl.records import UNLABELLED, Dataset, Reading

MAX_SKIPPED = 0.5  # share of broken points beyond which the data are not what they are taken for
SHOWN = 5  # names in a message


def dataset(
    name: str, reader: Reader, reading: Reading, notes: Sequence[str] = (), *, strict: bool = False, **form: Any
) -> Dataset:
    """Make a data set of all points that were read.

    Parameters
    ----------
    strict : bool
        Whether a point that cannot be read is an error.
    form : dict
        `image_shape` and `max_value`, if the points are images.

    Raises
    ------
    DataError
        There are no points, most are broken, or two have one id.

    Examples
    --------
    >>> reading = Reading(["a", "b"], np.zeros((2, 3)), labels=["cat", ""])
    >>> data = dataset("table", None, reading)
    >>> data.class_names, data.y_train.tolist()
    (('cat',), [0, -1])
    """
    n_skipped = len(reading.skipped)
    if strict and n_skipped:
        item, reason = reading.skipped[0]
        raise DataError(
            f"{item}: expected a point that can be read, found one that cannot ({reason}); mend or remove it"
        )
    if n_skipped > MAX_SKIPPED * (n_skipped + len(reading.ids)):
        reasons = "; ".join(f"{item}: {reason}" for item, reason in reading.skipped[:SHOWN])
        raise DataError(
            f"{name}: expected at least half of the data to be readable, found {n_skipped:,} of "
            f"{n_skipped + len(reading.ids):,} points broken ({reasons}); name what they are with data=..."
        )
    if not reading.ids:
        raise DataError(f"{name}: expected at least one point, found none")
    double = [item for item, count in Counter(reading.ids).items() if count > 1]
    if double:
        raise DataError(
            f"{name}: expected an id of its own for each point, found {len(double):,} that several share, such as "
            f"{double[0]!r}; name another column with data.id=..."
        )
    if "" in reading.ids:
        raise DataError(
            f"{name}: expected an id for each point, found an empty one; name another column with data.id=..."
        )
    y, class_names = None, tuple[str, ...]()
    if any(reading.labels):
        class_names = tuple(sorted({label for label in reading.labels if label}))
        number_of = {name: number for number, name in enumerate(class_names)}
        y = np.array([number_of.get(label, UNLABELLED) for label in reading.labels], dtype=np.int64)
    return Dataset(
        name=name,
        X_train=reading.X,
        y_train=y,
        class_names=class_names,
        train_ids=reading.ids,
        reader=reader,
        skipped=reading.skipped,
        notes=[*notes, *(f"{what}: {count:,}" for what, count in reading.counts.items())],
        **form,
    )


def joined(parts: Sequence[Reading]) -> Reading:
    """Join the parts of a source.

    >>> joined([Reading(["a"], np.zeros((1, 2))), Reading(["b"], np.ones((1, 2)))]).X.tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Reading(
        [item for part in parts for item in part.ids],
        np.concatenate([part.X for part in parts]) if parts else np.zeros((0, 0), dtype=np.float32),
        [item for part in parts for item in part.skipped],
        [label for part in parts for label in part.labels],
        dict(counts),
    )


def classes(column: Any, where: str) -> list[str]:
    """Return an Arrow column of classes as text, empty where a class is unknown.

    Raises
    ------
    DataError
        The values are numbers with decimals: no classes.

    Examples
    --------
    >>> import pyarrow as pa
    >>> classes(pa.array(["NA", ""]), "label"), classes(pa.array([0.0, None, 1.0]), "label")
    (['NA', ''], ['0', '', '1'])
    """
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        decimals = [value for value in column.to_pylist() if value is not None and value == value and value % 1]
        if decimals:
            raise DataError(
                f"{where}: expected classes, found numbers with decimals, such as {decimals[0]:g}; divide them into "
                "classes first"
            )
    return frames.texts(column)
