"""Image data sets in four IDX files: MNIST, Fashion-MNIST and their like."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpussl.data import sources
from gpussl.data.idx import read_idx
from gpussl.errors import DataError, DataNotFoundError
from gpussl.params import check
from gpussl.records import Dataset

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
N_DIMS = {TRAIN_IMAGES: 3, TRAIN_LABELS: 1, TEST_IMAGES: 3, TEST_LABELS: 1}


@dataclass(frozen=True)
class IdxImages:
    """A data set of labelled images in four IDX files.

    Parameters
    ----------
    name : str
    class_names : list of str
        Of class 0, 1, ...
    folder : str, optional
        The folder with the four files. Nowhere else is looked at then.
    sources : list of str
        Folders and mirrors (http, https) in the order to try.
    cache : str
        The folder in which what a mirror sends is kept.
    sha256 : dict of str to list of str
        For each file the sums of its decompressed bytes, one of which must match.
    """

    name: str
    class_names: list[str]
    folder: str | None = None
    sources: list[str] = field(default_factory=list)
    cache: str = "~/.cache/gpussl"
    sha256: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the four files from the first source that has them.

        Raises
        ------
        DataError
            No source has them (`DataNotFoundError`), or what is there is broken.
        """
        folder = self._folder()
        checksums: dict[str, str] = {}
        X_train, y_train = self._read(folder, TRAIN_IMAGES, TRAIN_LABELS, checksums)
        X_test, y_test = self._read(folder, TEST_IMAGES, TEST_LABELS, checksums)
        if X_train.shape[1:] != X_test.shape[1:]:
            raise DataError(
                f"{folder}: expected training and test images of one size, found {X_train.shape[1:]} and "
                f"{X_test.shape[1:]}"
            )
        return Dataset(
            name=self.name,
            X_train=X_train.reshape(len(X_train), -1),
            y_train=y_train,
            X_test=X_test.reshape(len(X_test), -1),
            y_test=y_test,
            class_names=tuple(self.class_names),
            image_shape=X_train.shape[1:],
            max_value=255.0,
            checksums=checksums,
        )

    def _folder(self) -> Path:
        """The folder that holds the four files, once they have been fetched if need be."""
        found = sources.find_folder(self.name, list(N_DIMS), self.folder, self.sources)
        if found is not None:
            return found
        problems = []
        for url in filter(sources.is_url, self.sources):
            cache = Path(self.cache).expanduser()
            try:
                for file, n_dims in N_DIMS.items():
                    if not sources.locate(cache, file).is_file():
                        sources.download(url, file, cache, n_dims, self.sha256.get(file, []))
                return cache
            except DataError as error:
                problems.append(str(error))
        folders = [str(Path(source).expanduser()) for source in self.sources if not sources.is_url(source)]
        tried = "; ".join(dict.fromkeys([*folders, *problems]))
        raise DataNotFoundError(
            f"data={self.name}: expected {', '.join(N_DIMS)} (each with or without .gz) in one of its sources, found "
            f"none ({tried}); name a folder that has them with data.folder=..."
        )

    def _read(self, folder: Path, images: str, labels: str, checksums: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, height, width) uint8 and labels (n,) int64 of one part, which must agree."""
        X, checksums[images] = read_idx(sources.locate(folder, images), 3, self.sha256.get(images))
        y, checksums[labels] = read_idx(sources.locate(folder, labels), 1, self.sha256.get(labels))
        if len(X) != len(y):
            raise DataError(
                f"{sources.locate(folder, labels)}: expected {len(X)} labels, one for each image of {images}, "
                f"found {len(y)}"
            )
        if y.max() >= len(self.class_names):
            raise DataError(
                f"{sources.locate(folder, labels)}: expected class numbers below {len(self.class_names)}, "
                f"found {y.max()}"
            )
        return X, y.astype(np.int64)
