"""Images in CSV files without a header: one line for each image, with its class number followed by its pixels."""

import bz2
import gzip
import hashlib
import io
import itertools
import lzma
import math
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpussl.errors import DataError
from gpussl.protocols import Source
from gpussl.records import Dataset
from gpussl.runtime.names import expanded
from gpussl.runtime.params import check


@dataclass(frozen=True)
class CsvImages(Source):
    """A data set of labelled square images in two CSV files.

    Parameters
    ----------
    name : str
    train, test : str
        The files, plain or compressed (.gz, .bz2, .xz): comma-separated integers from 0 to 255.
    class_names : list of str
        Names of classes 0, 1, ...

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     path = Path(name, "images.csv")
    ...     _ = path.write_text("0,0,0,255,255\\n1,255,0,255,0\\n")  # two images of 2x2 pixels
    ...     data = CsvImages("bars", str(path), str(path), ["horizontal", "vertical"]).load()
    >>> data.X_train.tolist(), data.y_train.tolist(), data.image_shape
    ([[0, 0, 255, 255], [255, 0, 255, 0]], [0, 1], (2, 2))
    """

    name: str
    train: str
    test: str
    class_names: list[str]

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read both files.

        Raises
        ------
        DataError
            A file is missing, the images are not square or not all of one size, or a class has no name.
        """
        X_train, y_train, train_sum = self._read(expanded(self.train))
        X_test, y_test, test_sum = self._read(expanded(self.test))
        if X_train.shape[1] != X_test.shape[1]:
            raise DataError(
                f"{self.test}: expected {X_train.shape[1]} pixels an image, as in {self.train}, found {X_test.shape[1]}"
            )
        side = math.isqrt(X_train.shape[1])
        return Dataset(
            name=self.name,
            X_train=X_train,
            y_train=y_train,
            X_test=X_test,
            y_test=y_test,
            class_names=tuple(self.class_names),
            image_shape=(side, side),
            max_value=255.0,
            checksums={"train": train_sum, "test": test_sum},
        )

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray, str]:
        """Read images (n, d) uint8, labels (n,) int64, and the sha256 of the decompressed file."""
        try:
            if path.exists() and not path.is_file():
                raise DataError(f"{path}: expected a file, found a folder, pipe or device")  # a pipe may never end
            with _open(path) as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            with warnings.catch_warnings(), io.TextIOWrapper(_open(path), "utf-8-sig") as file:
                warnings.filterwarnings("ignore", message=".*input contained no data")
                values = np.loadtxt(file, dtype=np.uint8, delimiter=",", ndmin=2, comments=None)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: expected a whole compressed file, found a broken one ({error})") from error
        except OSError as error:
            raise DataError(f"{path}: expected a readable CSV file, found: {error.strerror or error}") from error
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{path}: expected lines of a class number and pixels, all whole numbers from 0 to 255, without a "
                f"header, found: {_explain(error, path)}"
            ) from error
        if values.size == 0:
            raise DataError(f"{path}: expected lines of a class number and pixels, found an empty file")
        n, d = values.shape[0], values.shape[1] - 1
        if d < 1 or math.isqrt(d) ** 2 != d:
            raise DataError(
                f"{path}: expected lines of a class number and a square number of pixels, found {n} lines of "
                f"{values.shape[1]} numbers"
            )
        y = values[:, 0].astype(np.int64)
        if y.max() >= len(self.class_names):
            raise DataError(
                f"{path}: expected class numbers below {len(self.class_names)} first in each line, found {y.max()} in "
                f"line {_line_of(path, int(y.argmax()))}"
            )
        return np.ascontiguousarray(values[:, 1:]), y, checksum


def _open(path: Path) -> Any:
    """A file of bytes, decompressed as its name says."""
    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers.get(path.suffix, lambda plain: plain.open("rb"))(path)


def _line_of(path: Path, row: int) -> int:
    """The line, counted from 1, of a row, counted from 0: NumPy skips blank lines."""
    with io.TextIOWrapper(_open(path), "utf-8-sig", errors="replace") as file:
        lines = (number for number, line in enumerate(file, start=1) if line.rstrip("\n"))
        return next(itertools.islice(lines, row, None), row + 1)


def _explain(error: Exception, path: Path) -> str:
    """NumPy's message with the line number. NumPy counts rows from 0 if a value is invalid, otherwise from 1."""
    text = str(error).partition("; use `usecols`")[0]
    found = re.search(r"(.*) at row (\d+)(?:, column \d+)?", text)
    if not found:
        return text
    line = _line_of(path, int(found[2]) - ("could not convert" not in found[1]))
    return f"{found[1]} in line {line}; are there commas between the numbers?"
