"""Features that stay on disk: the same as those in memory, a block at a time and never too many at once."""

import tracemalloc

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gpussl import backend
from gpussl.cluster.assign import assign
from gpussl.cluster.gaussian_mixture import GaussianMixture
from gpussl.cluster.hdbscan import HDBSCAN
from gpussl.cluster.kmeans import KMeans
from gpussl.errors import ConfigError
from gpussl.features.centroid_distances import CentroidDistances
from gpussl.numeric import arrays, rows
from gpussl.numeric.rows import ScaledRows, is_mapped
from gpussl.represent.pca import PCA
from gpussl.runtime.config import memory_limit
from gpussl.tasks import limits
from gpussl.tasks.run import run
from tests.digits import fit_transform, scaled
from tests.test_study import artifacts

RAW = load_digits().data.astype(np.uint8)
FEATURES = RAW.astype(np.float32) / 16
GB = 10**9
LIMIT = 2 * GB


@pytest.fixture
def on_disk(tmp_path):
    """The digits as a memory-mapped file, with room for all of them."""
    RAW.tofile(tmp_path / "digits")
    return ScaledRows(np.memmap(tmp_path / "digits", np.uint8, "r", shape=RAW.shape), 16.0, GB)


def limit(n, d):
    """The smallest memory limit that lets so many features be made at once."""
    return rows.SHARE * 4 * n * d


def test_rows_are_the_features(on_disk):
    assert (on_disk.shape, on_disk.ndim, on_disk.dtype, len(on_disk)) == ((1797, 64), 2, np.float32, 1797)
    for key in (slice(3, 9), (slice(3, 9), slice(None)), np.array([5, 1, 5])):
        np.testing.assert_array_equal(on_disk[key], FEATURES[key])
    np.testing.assert_array_equal(np.take(on_disk, np.array([7, 2]), axis=0), FEATURES[[7, 2]])
    np.testing.assert_array_equal(np.asarray(on_disk), FEATURES)


@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("n_clusters", [10, 100])
def test_k_means_of_rows_on_disk_is_that_of_features_in_memory(on_disk, n_clusters, n_init, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 2**14)  # blocks of some fifty rows
    estimator = KMeans(n_clusters, n_init=n_init)
    found, expected = estimator.fit(on_disk, 0), estimator.fit(FEATURES, 0)
    for name in ("centroids", "labels", "distances"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(assign(found, on_disk), assign(expected, FEATURES))


def test_principal_components_of_rows_on_disk(monkeypatch):
    expected, _ = fit_transform(PCA(5), *scaled(RAW, RAW[:9], 16.0), 0)
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 2**14)
    found, test = fit_transform(PCA(5), *scaled(RAW, RAW[:9], 16.0, limit(1797, 5)), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(test, expected[:9], atol=1e-5)
    with pytest.raises(ConfigError, match=r"memory_limit: expected at least .* 1,797 points of 5 features"):
        fit_transform(PCA(5), *scaled(RAW, RAW[:9], 16.0, limit(1797, 5) - 1), 0)


def test_pixels_stay_on_disk_where_they_are_too_many():
    train, test = scaled(RAW, RAW[:9], 16.0, limit(1797, 64))
    assert isinstance(train, np.ndarray)
    train, test = scaled(RAW, RAW[:9], 16.0, limit(1797, 64) - 1)
    assert isinstance(train, ScaledRows)
    assert isinstance(test, np.ndarray)


@pytest.mark.parametrize(
    "use",
    [
        lambda X: np.take(X, np.arange(901), axis=0),
        lambda X: X[:901],
        np.asarray,
        lambda X: HDBSCAN(20).fit(X, 0),
        lambda X: GaussianMixture(3).fit(X, 0),
        lambda X: CentroidDistances().fit(X, KMeans(40).fit(X, 0), 0),
    ],
)
def test_more_rows_at_once_than_the_limit_allows_are_refused(use):
    few = ScaledRows(RAW, 16.0, limit(900, 64))
    with pytest.raises(
        ConfigError, match=r"^memory_limit: expected at least 0.1GB for .*; raise it, or (choose|lower)"
    ):
        use(few)
    assert len(np.take(few, np.arange(900), axis=0)) == 900


def test_nothing_has_all_rows_and_all_clusters_at_once(monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 2**20)
    n, k = 20_000, 500
    raw = np.random.default_rng(0).integers(0, 256, (n, 32), dtype=np.uint8)
    tracemalloc.start()
    KMeans(k, max_iter=3).fit(ScaledRows(raw, 255.0, GB), 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * n * k / 2


def only_1100(monkeypatch):
    """A limit of 2 GB lets 1,100 of the digits' 1,297 points be in memory at once."""
    monkeypatch.setattr(rows, "SHARE", LIMIT // (4 * 64 * 1100))
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 2**14)


def test_a_run_from_disk_leaves_what_a_run_from_memory_leaves(job, tmp_path, monkeypatch):
    overrides = ("propagate=[none,nearest]",)
    run(job(*overrides), tmp_path / "memory")
    only_1100(monkeypatch)
    made = []
    monkeypatch.setattr(ScaledRows, "take", lambda self, *args, take=ScaledRows.take, **kwargs: (
        made.append(len(args[0])) or take(self, *args, **kwargs)
    ))  # fmt: skip
    run(job(*overrides, "memory_limit=2GB"), tmp_path / "disk")
    assert made
    found, expected = (artifacts(tmp_path / name) for name in ("disk", "memory"))
    assert {name: found[name] == expected[name] for name in expected if name.endswith("safetensors")} == {
        name: True for name in expected if name.endswith("safetensors")
    }


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ((), "cluster"),
        (("propagate=[none]", "baselines=all"), "all"),
        (("features=pixels", "represent=[pca]", "represent.pca.n_components=9"), "cluster"),
    ],
)
def test_training_on_too_many_points_is_refused_before_clustering(job, tmp_path, monkeypatch, overrides, name):
    only_1100(monkeypatch)
    monkeypatch.setattr(KMeans, "fit", None)
    with pytest.raises(
        ConfigError, match=rf"memory_limit: expected at least 2.4GB for training on {name}, which takes 1,297"
    ):
        run(job("memory_limit=2GB", *overrides), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "what_for"),
    [
        (("represent=[umap]",), "represent=umap"),
        (("represent=[deskew]",), "represent=deskew"),
        (("represent=[hog]",), "represent=hog"),
        (("represent=[autoencoder]",), "represent=autoencoder"),
        (("propagate=[label_spreading]",), "propagate=label_spreading"),
        (("propagate=[none]", "classifier=[convnet]", "baselines=none"), "training on all points with convnet"),
    ],
)
def test_what_needs_all_points_at_once_is_refused(job, tmp_path, monkeypatch, overrides, what_for):
    only_1100(monkeypatch)
    with pytest.raises(ConfigError, match=f"memory_limit: expected at least 2.4GB for {what_for}, which takes 1,297"):
        run(job("memory_limit=2GB", *overrides), tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_is_known_only_after_clustering_is_refused_before_training(job, tmp_path, monkeypatch):
    only_1100(monkeypatch)
    chosen = job("memory_limit=2GB", "propagate=[none]", "select=all", "classifier=[logistic]")
    with pytest.raises(ConfigError, match="for training on none, which takes 1,297"):
        run(chosen, tmp_path)
    assert not list(tmp_path.glob("models/*"))


def test_few_features_of_many_points_are_learnt_from(job, tmp_path, monkeypatch):
    only_1100(monkeypatch)
    run(job("memory_limit=2GB", "features=centroid_distances", "classifier=[logistic]"), tmp_path / "distances")
    run(job("memory_limit=2GB", "represent=pca", "represent.pca.n_components=9"), tmp_path / "pca")
    assert (tmp_path / "pca" / "manifest.json").exists()
    assert (tmp_path / "distances" / "manifest.json").exists()


def test_data_that_are_not_mapped_and_too_large_are_refused(job, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SHARE", LIMIT // 1000)
    with pytest.raises(
        ConfigError, match=r"memory_limit: expected at least .*GB for data that are read into memory, fou"
    ):
        run(job("memory_limit=2GB"), tmp_path)


def test_what_looks_into_a_mapped_file_is_mapped(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(100))
    mapped = np.memmap(tmp_path / "raw", np.uint8, "r")
    assert is_mapped(np.frombuffer(mapped, np.uint8).reshape(10, 10)[2:])
    assert not is_mapped(np.zeros(3))


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * GB), ("2GiB", 2**31), ("2500 MB", 2500 * 10**6), ("1.5TB", 1500 * GB)]
)
def test_sizes(text, size):
    assert memory_limit(text) == size


@pytest.mark.parametrize("text", ["4", "4G", "GB", "-4GB", "1999MB", "4 GB of it", ""])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError, match="memory_limit: expected a size of at least 2GB, such as 4GB"):
        memory_limit(text)


@pytest.mark.parametrize("limit", ["memory_limit=2GB", "memory_limit=null"])
def test_data_that_a_gpu_has_no_room_for_are_refused_before_they_are_put_there(limit, job, tmp_path, monkeypatch):
    asked = []

    def room(memory_limit):
        asked.append(memory_limit)
        return 2_000_000

    monkeypatch.setattr(backend.cpu, "room", room)
    monkeypatch.setattr(backend.cpu, "asarray", pytest.fail)
    with pytest.raises(
        ConfigError,
        match=r"^data: expected room for at least 0\.1GB on the GPU, for 1,797 points of 64 features, found 0\.0GB; ",
    ):
        run(job(limit), tmp_path)
    assert asked == [2 * 10**9 if "2GB" in limit else None]


def test_a_limit_on_a_gpu_that_the_data_keep_leaves_them_in_memory(job, tmp_path, monkeypatch):
    monkeypatch.setattr(backend.cpu, "room", lambda memory_limit: memory_limit)
    monkeypatch.setattr(rows, "SHARE", 10**6)  # so that on the CPU they would be on disk
    assert run(job("memory_limit=2GB", "classifier=[logistic]", "baselines=none"), tmp_path)
