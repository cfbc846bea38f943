import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from gpussl.data import idx
from gpussl.data.idx import read_idx
from gpussl.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)


def idx_bytes(values, *, magic=b"\0\0", kind=0x08, dims=None):
    dims = values.ndim if dims is None else dims
    return magic + bytes([kind, dims]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture(params=["plain", "gzip", "mapped"])
def write(request, tmp_path, monkeypatch):
    """A function (content) -> the path of a file with it: gzipped, or so large that it is mapped."""
    if request.param == "mapped":
        monkeypatch.setattr(idx, "MAPPED_BYTES", 0)

    def write(content):
        zipped = request.param == "gzip"
        path = tmp_path / ("images.gz" if zipped else "images")
        path.write_bytes(gzip.compress(content) if zipped else content)
        return path

    return write


def test_large_plain_files_are_mapped(tmp_path, monkeypatch):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(IMAGES))
    for limit, mapped in ((IMAGES.size, True), (IMAGES.size + 1, False)):
        monkeypatch.setattr(idx, "MAPPED_BYTES", limit)
        values, _ = read_idx(path, 3)
        assert not values.flags.writeable or not mapped
        assert (str(path) in Path("/proc/self/maps").read_text()) == mapped
        del values


def test_values_and_sum_come_back(write):
    content = idx_bytes(IMAGES)
    values, checksum = read_idx(write(content), 3)
    np.testing.assert_array_equal(values, IMAGES)
    import hashlib

    assert checksum == hashlib.sha256(content).hexdigest()
    assert read_idx(write(content), 3, sha256=["0" * 64, checksum])[1] == checksum


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx_bytes(IMAGES, magic=b"PK"), "expected an IDX file, which begins with 0x0000, found 0x504b"),
        (b"", "expected an IDX file, which begins with 0x0000, found 0x"),
        (idx_bytes(IMAGES, kind=0x0D), "expected IDX type 0x08 (unsigned byte), found 0x0d"),
        (idx_bytes(IMAGES[0]), "expected 3 IDX dimension(s), found 2"),
        (idx_bytes(IMAGES)[:10], "expected a header of 16 bytes, found only 10"),
        (idx_bytes(IMAGES)[:-1], "expected 24 bytes after the header, from its dimensions (4, 2, 3), found only 23"),
        (idx_bytes(IMAGES) + b"x", "expected 24 bytes after the header, from its dimensions (4, 2, 3), found more"),
        (idx_bytes(IMAGES[:0]), "expected dimensions of at least 1, found (0, 2, 3)"),
    ],
)
def test_a_broken_file_is_refused_with_what_was_expected_and_found(write, content, message):
    path = write(content)
    with pytest.raises(DataError) as error:
        read_idx(path, 3)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_flipped_byte_changes_the_sum(write):
    content = bytearray(idx_bytes(IMAGES))
    _, checksum = read_idx(write(bytes(content)), 3)
    content[-1] ^= 1
    path = write(bytes(content))
    with pytest.raises(DataError, match=rf"{path}: expected .* sha256 {checksum}, found [0-9a-f]{{64}}"):
        read_idx(path, 3, sha256=[checksum])


@pytest.mark.parametrize("cut", [1, 12, 30])
def test_a_truncated_gzip_is_refused(tmp_path, cut):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:-cut])
    with pytest.raises(DataError, match="expected a whole IDX file, found a broken one"):
        read_idx(path, 3)


def test_a_flipped_byte_in_a_gzip_is_refused(tmp_path):
    content = bytearray(gzip.compress(idx_bytes(IMAGES)))
    content[-6] ^= 0xFF  # in its CRC
    path = tmp_path / "images.gz"
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="broken one"):
        read_idx(path, 3)


def test_a_huge_header_allocates_nothing(write):
    header = b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**10, 2**10)
    with pytest.raises(DataError, match="found only 5"):
        read_idx(write(header + b"12345"), 3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.gz: expected a readable file"):
        read_idx(tmp_path / "nothing.gz", 3)
