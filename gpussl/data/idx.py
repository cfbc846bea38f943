"""A strict reader of image data sets in four IDX files, such as MNIST and Fashion-MNIST.

An IDX file consists of two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a
big-endian uint32, and the values. Format: http://yann.lecun.com/exdb/mnist/
"""

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpussl.data import download
from gpussl.errors import ConfigError, DataError, DataNotFoundError
from gpussl.protocols import Source
from gpussl.records import Dataset
from gpussl.runtime.names import did_you_mean, expanded, nearest
from gpussl.runtime.params import check

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
N_DIMS = {TRAIN_IMAGES: 3, TRAIN_LABELS: 1, TEST_IMAGES: 3, TEST_LABELS: 1}
UINT8 = 0x08  # the only type that image data sets use
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 2**20
MAPPED_BYTES = 2**28  # an uncompressed file of at least this size is memory-mapped


@dataclass(frozen=True)
class IdxImages(Source):
    """A data set of labelled images in four IDX files.

    Parameters
    ----------
    name : str
    class_names : list of str
        Names of classes 0, 1, ...
    folder : str, optional
        The folder with the four files; if given, no source is tried.
    sources : list of str
        Folders and mirrors (http, https), in the order to try.
    cache : str
        Folder for downloaded files.
    sha256 : dict of str to list of str
        Checksums of the decompressed bytes of each file; one of them must match.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for file, n_dims in N_DIMS.items():  # two blank images of 4x4 pixels in each part, both of class 0
    ...         shape = (2, 4, 4)[:n_dims]
    ...         header = struct.pack(f">HBB{n_dims}I", 0, UINT8, n_dims, *shape)
    ...         _ = Path(folder, file).write_bytes(header + bytes(math.prod(shape)))
    ...     data = IdxImages("blank", ["nothing"], folder=folder).load()
    >>> data.X_train.shape, data.image_shape, data.y_test.tolist()
    ((2, 16), (4, 4), [0, 0])
    """

    name: str
    class_names: list[str]
    folder: str | None = None
    sources: list[str] = field(default_factory=list)
    cache: str = "~/.cache/gpussl"
    sha256: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)
        for file, checksums in self.sha256.items():
            if file not in N_DIMS:
                raise ConfigError(
                    f"sha256.{file}: expected the name of a file, one of {', '.join(N_DIMS)}, found {file}"
                    f"{did_you_mean(nearest(file, N_DIMS))}"
                )
            if not checksums:
                raise ConfigError(f"sha256.{file}: expected at least one checksum, found none; leave out {file}")

    def load(self) -> Dataset:
        """Read the four files from the first source that has them.

        Raises
        ------
        DataError
            No source has them (`DataNotFoundError`), or a file is corrupt.
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
        """Find the folder with the four files, after downloading them if necessary."""
        found = download.find_folder(self.name, list(N_DIMS), self.folder, self.sources)
        if found is not None:
            return found
        problems = []
        for url in filter(download.is_url, self.sources):
            cache = expanded(self.cache)
            try:
                for file in N_DIMS:
                    if not download.locate(cache, file).is_file():
                        download.fetch(url, file, cache, partial(self._check, file))
                return cache
            except DataError as error:
                problems.append(str(error))
        folders = [str(expanded(source)) for source in self.sources if not download.is_url(source)]
        tried = "; ".join(dict.fromkeys([*folders, *problems]))
        raise DataNotFoundError(
            f"data={self.name}: expected {', '.join(N_DIMS)} (each with or without .gz) in one of its sources, found "
            f"none ({tried}); name a folder that has them with data.folder=..."
        )

    def _check(self, file: str, path: Path) -> None:
        """Raise DataError if the download of `file` is corrupt, or does not have the expected checksum."""
        read_idx(path, N_DIMS[file], self.sha256.get(file))

    def _read(self, folder: Path, images: str, labels: str, checksums: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Read images (n, height, width) uint8 and labels (n,) int64 of one part, and check that they match."""
        X, checksums[images] = read_idx(download.locate(folder, images), 3, self.sha256.get(images))
        y, checksums[labels] = read_idx(download.locate(folder, labels), 1, self.sha256.get(labels))
        if len(X) != len(y):
            raise DataError(
                f"{download.locate(folder, labels)}: expected {len(X)} labels, one for each image of {images}, "
                f"found {len(y)}"
            )
        if y.max() >= len(self.class_names):
            raise DataError(
                f"{download.locate(folder, labels)}: expected class numbers below {len(self.class_names)}, "
                f"found {y.max()}"
            )
        return X, y.astype(np.int64)


def read_idx(path: Path, n_dims: int, sha256: list[str] | None = None) -> tuple[np.ndarray, str]:
    """Read one IDX file of unsigned bytes, gzipped or not.

    Parameters
    ----------
    path : Path
    n_dims : int
        Required number of dimensions: 3 for images, 1 for labels.
    sha256 : list of str, optional
        Checksums of the decompressed bytes; one of them must match.

    Returns
    -------
    values : uint8 array of `n_dims` dimensions
        Memory-mapped if the file is large and not gzipped.
    checksum : str
        sha256 of the decompressed bytes.

    Raises
    ------
    DataError
        The file cannot be read, or its magic number, type, dimensions, length or checksum is wrong.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels")
    ...     _ = path.write_bytes(struct.pack(">HBBI", 0, UINT8, 1, 3) + bytes([7, 2, 1]))
    ...     labels, checksum = read_idx(path, n_dims=1)
    >>> labels.tolist(), len(checksum)
    ([7, 2, 1], 64)
    """
    header_bytes = 4 + 4 * n_dims
    with _open(path) as file:
        try:
            header = file.read(header_bytes)
            shape = _check_header(path, header, n_dims)
            expected = math.prod(shape)
            body: Any
            if expected < MAPPED_BYTES or isinstance(file, gzip.GzipFile) or path.stat().st_size == header_bytes:
                body = _read_at_most(file, expected + 1)  # one byte too many, to detect excess data
            else:
                body = np.memmap(path, np.uint8, "r", offset=header_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: expected a whole IDX file, found a broken one ({error}); fetch it again"
            ) from error
    if len(body) != expected:
        found = f"only {len(body)}" if len(body) < expected else "more"
        raise DataError(
            f"{path}: expected {expected} bytes after the header, from its dimensions {shape}, found {found}; "
            "fetch it again"
        )
    digest = hashlib.sha256(header)
    digest.update(body)
    checksum = digest.hexdigest()
    if sha256 and checksum not in sha256:
        raise DataError(
            f"{path}: expected its decompressed bytes to have sha256 {' or '.join(sha256)}, found {checksum}; "
            "fetch it again"
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape), checksum


def _read_at_most(file: BinaryIO | gzip.GzipFile, n_bytes: int) -> bytearray:
    """Read up to `n_bytes` in chunks, so that a wrong header allocates no more memory than the file has bytes."""
    content = bytearray()
    while chunk := file.read(min(CHUNK_BYTES, n_bytes - len(content))):
        content += chunk
    return content


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
        return gzip.open(path) if zipped else path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found: {error.strerror}") from error


def _check_header(path: Path, header: bytes, n_dims: int) -> tuple[int, ...]:
    """Check a header, and return its dimensions, each at least 1."""
    if len(header) < 4 or header[:2] != b"\0\0":
        raise DataError(f"{path}: expected an IDX file, which begins with 0x0000, found 0x{header[:2].hex()}")
    if header[2] != UINT8:
        raise DataError(f"{path}: expected IDX type 0x08 (unsigned byte), found 0x{header[2]:02x}")
    if header[3] != n_dims:
        raise DataError(f"{path}: expected {n_dims} IDX dimension(s), found {header[3]}")
    if len(header) < 4 + 4 * n_dims:
        raise DataError(
            f"{path}: expected a header of {4 + 4 * n_dims} bytes, found only {len(header)}; fetch it again"
        )
    shape = struct.unpack(f">{n_dims}I", header[4:])
    if 0 in shape:
        raise DataError(f"{path}: expected dimensions of at least 1, found {shape}")
    return shape
