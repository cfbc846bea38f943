"""Odd input is refused in one line, at once."""

import bz2
import gzip
import lzma
import os
import pwd

import numpy as np
import pytest
import safetensors.numpy

from gpussl import load
from gpussl.backend import cpu
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.cluster.gaussian_mixture import GaussianMixture
from gpussl.data.image_csv import CsvImages
from gpussl.errors import ConfigError, DataError, StoreError
from gpussl.records import Answers, Clustering
from gpussl.runtime import environment, store
from gpussl.runtime.config import job as composed_job
from gpussl.runtime.config import memory_limit
from gpussl.select import typical
from gpussl.tasks import prepare
from tests.faults.conftest import QUICK


@pytest.fixture
def homeless(monkeypatch):
    """Neither HOME nor an entry for the user."""

    def nobody(*_):
        raise KeyError("no entry")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


def test_without_a_home_the_cache_needs_a_folder(gpussl, homeless):
    quick = QUICK[:-1]  # with the default cache
    ended = gpussl(*quick)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert (
        "~/.cache/gpussl/stages: expected a home folder for ~, found none; set the environment variable HOME"
        in ended.err
    )
    assert gpussl(*quick, "cache=null").code == 0
    assert gpussl(*quick, "cache=here").code == 0
    ended = gpussl("data=mnist", "device=cpu", "cache=null", "classifier=[knn]")
    assert (ended.code, ended.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("text", ["9" * 400 + "GB", "1e9GB", "-1GB", "infGB", "4" * 16 + "GB", "nanGB", " 4GB"])
def test_a_memory_limit_is_a_size(text):
    with pytest.raises(ConfigError, match="memory_limit: expected a size of at least 2GB"):
        memory_limit(text)


class TestCsv:
    def read(self, path):
        return CsvImages("x", str(path), str(path), [str(number) for number in range(10)]).load()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("1,2\n\n\n3,x\n", "'x' to uint8 in line 4;"),
            ("\n\n1,2\n3,4,5\n", "the number of columns changed from 2 to 3 in line 4;"),
            ("1,2\n\n\r\n30,4\n", "expected class numbers below 10 first in each line, found 30 in line 4"),
            ("1,2\n1,300\n", "'300' to uint8 in line 2;"),
        ],
    )
    def test_a_line_is_counted_as_an_editor_does(self, tmp_path, text, words):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(DataError) as refused:
            self.read(tmp_path / "a.csv")
        assert words in str(refused.value)

    @pytest.mark.parametrize(("suffix", "opened"), [("gz", gzip.open), ("bz2", bz2.open), ("xz", lzma.open)])
    def test_a_compressed_file_is_read_or_refused(self, tmp_path, suffix, opened):
        path = tmp_path / f"a.csv.{suffix}"
        with opened(path, "wt") as file:
            file.write("1,2\n0,3\n" * 500)
        assert self.read(path).X_train.shape == (1000, 1)
        whole = path.read_bytes()
        for broken in (whole[: len(whole) // 2], b"junk", whole[:-3]):
            path.write_bytes(broken)
            with pytest.raises(DataError, match=r"a\.csv\.\w+: expected a (whole compressed|readable CSV) file, found"):
                self.read(path)

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_a_pipe_or_folder_is_refused(self, tmp_path, make):
        make(tmp_path / "a.csv")
        with pytest.raises(DataError, match="expected a file, found a folder, pipe or device"):
            self.read(tmp_path / "a.csv")


@pytest.mark.parametrize("source", ["http://[::1", "http://", "https://a b/", "http://localhost:99999", "http://\x00/"])
def test_an_address_that_is_none_is_named(gpussl, source):
    ended = gpussl("data=mnist", "device=cpu", "classifier=[knn]", f'data.sources=["{source}"]', "cache=null")
    assert ended.code == 2
    assert "train-images-idx3-ubyte" in ended.err


def test_a_mixture_says_that_its_covariances_are_singular():
    X = np.random.default_rng(0).normal(size=(30, 1)) @ np.array([[1.0, 2.0, 3.0]])  # of rank 1
    with pytest.raises(ConfigError, match=r"cluster\.regularization: expected a number that makes .* found 1e-300"):
        GaussianMixture(n_clusters=2, regularization=1e-300).fit(X, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(surplus=1),
        lambda values: values.pop("n_iter"),
        lambda values: values.update(centroids=None),
        lambda values: values.clear(),
    ],
)
def test_a_file_with_other_attributes_is_refused(tmp_path, change):
    """As another version, or another program, might write it: with the right checksum."""
    kind, arrays, values = store.pack(Clustering(np.zeros((1, 2)), np.zeros(3, dtype=int), np.zeros(3), 0.0, 5))
    change(values)
    described = {"kind": kind, "values": values}
    described["sha256"] = store._checksum(described, arrays)
    metadata = {store.METADATA_KEY: store.json.dumps(described, sort_keys=True)}
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors", metadata)
    with pytest.raises(StoreError, match="expected what this version of gpussl saves as 'clustering'"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("seconds", [None, [], "1", {}])
def test_a_cached_artifact_without_its_seconds_is_made_again(tmp_path, seconds, capsys):
    cache = store.Cache(tmp_path, {})
    made = KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0]], [0, 1])
    cache.fetch("train", {}, lambda: made)
    (path,) = tmp_path.rglob("*.safetensors")
    kind, arrays, values = store.pack(made)
    described = {"kind": kind, "values": values, "key": path.stem, "seconds": seconds}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    described["sha256"] = store._checksum(store.json.loads(store.json.dumps(described)), arrays)
    safetensors.numpy.save_file(arrays, path, {store.METADATA_KEY: store.json.dumps(described, sort_keys=True)})
    assert not cache.fetch("train", {}, lambda: made).cached
    assert "computing it again" in capsys.readouterr().err
    assert cache.fetch("train", {}, lambda: made).cached


class TestThreads:
    def test_the_cache_tells_their_number_apart(self, tmp_path, monkeypatch):
        checked = composed_job("classifier=[knn]", f"cache={tmp_path}")
        cached = []
        for number in ("1", "2", "1"):
            monkeypatch.setenv("OMP_NUM_THREADS", number)
            cache = prepare.open_cache(checked, cpu)
            made = Clustering(np.zeros((1, 2)), np.zeros(3, dtype=int), np.zeros(3), 0.0, 5)
            cached.append(cache.fetch("cluster", {}, lambda made=made: made).cached)
        assert cached == [False, False, True]

    def test_the_manifest_has_them(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        monkeypatch.setenv("OTHER_NUM_THREADS", "5")
        found = environment.machine()["threads"]
        assert found["OMP_NUM_THREADS"] == "3"
        assert found["OTHER_NUM_THREADS"] == "5"
        assert found["cpus"] == len(os.sched_getaffinity(0))


class TestTypicalOfLargeClusters:
    def test_partition_and_sort_agree(self):
        rng = np.random.default_rng(0)
        X = rng.integers(0, 20, size=(50, 30))
        for k in (1, 7, 29, 30, 40):
            assert (typical.smallest(X, k) == np.sort(X, axis=1)[:, :k]).all()

    def test_a_large_cluster_is_represented_by_a_sample_of_it(self, monkeypatch):
        rng = np.random.default_rng(1)
        X = np.concatenate([rng.normal(size=(300, 2)), 0.01 * rng.normal(size=(100, 2))])
        clusters = Clustering(np.zeros((1, 2)), np.zeros(400, dtype=int), np.zeros(400), 0.0, 1)
        nothing = Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
        (exact,) = typical.Typical().select(X, clusters, nothing, n=None, seed=0)
        monkeypatch.setattr(typical, "MAX_MEMBERS", 200)
        chosen = {int(typical.Typical().select(X, clusters, nothing, n=None, seed=seed)[0]) for seed in range(5)}
        assert exact >= 300
        assert min(chosen) >= 300  # all in the dense part
        assert len(chosen) > 1  # as samples differ
        again = [int(typical.Typical().select(X, clusters, nothing, n=None, seed=3)[0]) for _ in range(2)]
        assert again[0] == again[1]
