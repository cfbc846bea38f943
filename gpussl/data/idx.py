"""The IDX format of MNIST, read strictly.

Two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a big-endian uint32, then the
values. Format: http://yann.lecun.com/exdb/mnist/
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpussl.errors import DataError

UINT8 = 0x08  # the only type that image data sets use
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 2**20
MAPPED_BYTES = 2**28  # a plain file of so many is mapped into memory, not read into it


def read_idx(path: Path, n_dims: int, sha256: list[str] | None = None) -> tuple[np.ndarray, str]:
    """Read one IDX file of unsigned bytes, gzipped or not.

    Parameters
    ----------
    path : Path
    n_dims : int
        Dimensions it must have: 3 for images, 1 for labels.
    sha256 : list of str, optional
        The sums of the decompressed bytes, one of which must match.

    Returns
    -------
    values : uint8 array of `n_dims` dimensions
        Of a large file that is not gzipped, a memory-mapped one.
    checksum : str
        sha256 of the decompressed bytes.

    Raises
    ------
    DataError
        The file cannot be read, or its magic, type, dimensions, length or sum is not what it must be.
    """
    header_bytes = 4 + 4 * n_dims
    with _open(path) as file:
        try:
            header = file.read(header_bytes)
            shape = _check_header(path, header, n_dims)
            expected = math.prod(shape)
            body: Any
            if expected < MAPPED_BYTES or isinstance(file, gzip.GzipFile) or path.stat().st_size == header_bytes:
                body = _read_at_most(file, expected + 1)  # one more than there may be, to see that there is no more
            else:
                body = np.memmap(path, np.uint8, "r", offset=header_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: expected a whole IDX file, found a broken one ({error}); fetch it again"
            ) from error
    if len(body) != expected:
        found = f"only {len(body)}" if len(body) < expected else "more"
        raise DataError(
            f"{path}: expected {expected} bytes after the header, as its dimensions {shape} say, found {found}; "
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
    """What is there, up to `n_bytes`, in chunks: a header that lies allocates no more than the file holds."""
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
    """The dimensions that a header states, each at least 1."""
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
