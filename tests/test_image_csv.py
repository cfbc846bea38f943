"""Images as CSV: label first, then pixels."""

import gzip
import hashlib
import re

import numpy as np
import pytest

from gpussl.data.digits import Digits
from gpussl.data.image_csv import CsvImages
from gpussl.errors import DataError
from gpussl.runtime import config


def lines(X, y):
    return "".join(",".join(map(str, [label, *image])) + "\n" for label, image in zip(y, X.tolist(), strict=True))


@pytest.fixture
def digits():
    return Digits(n_test=100).load()


@pytest.fixture
def files(tmp_path, digits):
    """A data source over two CSV files, of which the second is gzipped."""
    (tmp_path / "train.csv").write_text(lines(digits.X_train, digits.y_train))
    with gzip.open(tmp_path / "test.csv.gz", "wt") as file:
        file.write(lines(digits.X_test, digits.y_test))
    return CsvImages("mine", str(tmp_path / "train.csv"), str(tmp_path / "test.csv.gz"), list("0123456789"))


def test_the_same_images_come_out_as_went_in(files, digits):
    found = files.load()
    for name in ("X_train", "y_train", "X_test", "y_test"):
        np.testing.assert_array_equal(getattr(found, name), getattr(digits, name))
    assert (found.image_shape, found.max_value, found.name) == ((8, 8), 255.0, "mine")
    assert found.X_train.dtype == np.uint8
    text = lines(digits.X_test, digits.y_test).encode()
    assert found.checksums["test"] == hashlib.sha256(text).hexdigest()  # of what was compressed


def test_a_byte_order_mark_is_passed_over(files, tmp_path, digits):
    path = tmp_path / "train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(files.load().X_train, digits.X_train)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,a,b,c,d\n1,2,3,4,5\n", "without a header, found: could not convert string 'label' to uint8 in line 1;"),
        ("1,2,3,4,256\n", "from 0 to 255, without a header, found: could not convert string '256'"),
        ("1,2,3,4,-1\n", "found: could not convert string '-1' to uint8 in line 1;"),
        ("1,2,3,4,5\n1,2,3\n", "found: the number of columns changed from 5 to 3 in line 2;"),
        ("1,2,3,4,0.5\n", "found: could not convert string '0.5'"),
        ("1,2,3,4\n", "expected lines of a class number and a square number of pixels, found 1 lines of 4 numbers"),
        ("1;2;3;4;5\n", "found: could not convert string '1;2;3;4;5' to uint8 in line 1;"),
        ("", "expected lines of a class number and pixels, found an empty file"),
        ("1,2,3,4,5\n12,2,3,4,5\n", "expected class numbers below 10 first in each line, found 12 in line 2"),
        ("1,2,3,4,5\n", "expected 4 pixels an image, as in"),
    ],
)
def test_what_is_no_such_file_is_refused(files, tmp_path, text, message):
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        files.load()
    assert "\n" not in str(error.value)


def test_a_missing_and_a_broken_file_are_named(files, tmp_path):
    (tmp_path / "test.csv.gz").write_bytes((tmp_path / "test.csv.gz").read_bytes()[:100])
    with pytest.raises(DataError, match=r"test\.csv\.gz: expected"):
        files.load()
    broken = bytearray((tmp_path / "test.csv.gz").read_bytes())
    broken[60] ^= 255
    (tmp_path / "test.csv.gz").write_bytes(broken)
    with pytest.raises(DataError, match=r"test\.csv\.gz: expected"):
        files.load()
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match=r"train\.csv: expected a readable CSV file, found: No such file"):
        files.load()


def test_mnist_as_csv_is_a_choice(composed, monkeypatch):
    monkeypatch.setenv("GPUSSL_DATA", "/somewhere")
    job = config.build(composed("data=mnist_csv"))
    assert job.data.train == "/somewhere/mnist/mnist_train.csv"
    assert job.data.name == "mnist_csv"
