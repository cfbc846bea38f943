"""Where data come from, with a small data set in folders and on a mirror on this machine."""

import functools
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

from gpussl.data.digits import Digits
from gpussl.data.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, IdxImages
from gpussl.errors import DataError

RNG = np.random.default_rng(0)
PARTS = {
    TRAIN_IMAGES: RNG.integers(0, 256, (6, 4, 5), dtype=np.uint8),
    TRAIN_LABELS: np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
    TEST_IMAGES: RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8),
    TEST_LABELS: np.array([2, 1, 0], dtype=np.uint8),
}


def idx_bytes(values):
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


SHA256 = {name: [hashlib.sha256(idx_bytes(values)).hexdigest()] for name, values in PARTS.items()}


def fill(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {**PARTS, **changed}.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values), mtime=0))
    return folder


def images(tmp_path, *sources, **settings):
    settings = {"cache": str(tmp_path / "cache"), "sha256": SHA256, **settings}
    return IdxImages(name="small", class_names=["a", "b", "c"], sources=[str(s) for s in sources], **settings)


@pytest.fixture
def mirror(tmp_path):
    """A mirror's folder and its address."""
    folder = fill(tmp_path / "mirror")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


def test_the_first_folder_that_has_all_files_is_read(tmp_path):
    incomplete = fill(tmp_path / "incomplete")
    (incomplete / f"{TEST_LABELS}.gz").unlink()
    dataset = images(tmp_path, tmp_path / "missing", incomplete, fill(tmp_path / "whole")).load()
    np.testing.assert_array_equal(dataset.X_train, PARTS[TRAIN_IMAGES].reshape(6, 20))
    np.testing.assert_array_equal(dataset.y_test, PARTS[TEST_LABELS])
    assert dataset.image_shape == (4, 5)
    assert dataset.checksums[TRAIN_LABELS] == SHA256[TRAIN_LABELS][0]


def test_a_folder_of_the_users_is_the_only_place_looked_at(tmp_path):
    whole = fill(tmp_path / "whole")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=rf"data\.folder: expected .* in {empty}, found no {TRAIN_IMAGES}"):
        images(tmp_path, whole, folder=str(empty)).load()
    assert images(tmp_path, folder=str(whole)).load().name == "small"


def test_a_mirror_is_fetched_once_into_the_cache(tmp_path, mirror):
    folder, url = mirror
    first = images(tmp_path, tmp_path / "cache", url).load()
    for path in folder.iterdir():
        path.unlink()
    second = images(tmp_path, tmp_path / "cache", url).load()
    np.testing.assert_array_equal(first.X_train, second.X_train)


def test_what_a_mirror_sends_must_have_the_right_sum(tmp_path, mirror):
    folder, url = mirror
    fill(folder, **{TEST_IMAGES: PARTS[TEST_IMAGES] ^ 1})
    with pytest.raises(DataError, match=rf"{TEST_IMAGES}.*expected its decompressed bytes to have sha256"):
        images(tmp_path, url).load()
    kept = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert kept == [f"{TRAIN_IMAGES}.gz", f"{TRAIN_LABELS}.gz"]  # whole and right, and no part of the wrong one


def test_no_source_at_all_is_one_line_that_names_them(tmp_path):
    with pytest.raises(DataError) as error:
        images(tmp_path, tmp_path / "a", "http://127.0.0.1:1/").load()
    assert str(tmp_path / "a") in str(error.value)
    assert "http://127.0.0.1:1" in str(error.value)
    assert "data.folder=" in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_shorter_than_images_are_refused(tmp_path):
    folder = fill(tmp_path / "short", **{TRAIN_LABELS: PARTS[TRAIN_LABELS][:-1]})
    with pytest.raises(DataError, match=rf"{TRAIN_LABELS}\.gz: expected 6 labels, .* found 5"):
        images(tmp_path, folder, sha256={}).load()


def test_a_class_without_a_name_is_refused(tmp_path):
    folder = fill(tmp_path / "wrong", **{TEST_LABELS: np.array([0, 1, 3], dtype=np.uint8)})
    with pytest.raises(DataError, match=rf"{TEST_LABELS}\.gz: expected class numbers below 3, found 3"):
        images(tmp_path, folder, sha256={}).load()


def test_images_of_two_sizes_are_refused(tmp_path):
    folder = fill(tmp_path / "sizes", **{TEST_IMAGES: PARTS[TEST_IMAGES][:, :, :4]})
    with pytest.raises(DataError, match="images of one size"):
        images(tmp_path, folder, sha256={}).load()


def test_the_digits_need_nothing():
    dataset = Digits().load()
    assert dataset.X_train.shape == (1297, 64)
    assert dataset.X_test.shape == (500, 64)
    assert dataset.X_train.max() == dataset.max_value
