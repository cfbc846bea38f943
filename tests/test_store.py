import json
import pickle
import stat

import numpy as np
import pytest
from safetensors.numpy import save_file

import gpussl
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.cluster.gaussian_mixture import GaussianMixture
from gpussl.errors import StoreError
from gpussl.records import Clustering, PseudoLabels
from gpussl.runtime import console, store
from gpussl.studies.study_convnet import StudyConvNet

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
SMALL = {"hidden_layer_sizes": [4, 3], "max_epochs": 2, "min_epoch_steps": 2}


def artifacts():
    clustering = Clustering(np.asfortranarray(X[:3]), np.arange(60) % 3, np.ones(60), 0.1 + 0.2, 7)
    return {
        "clustering": clustering,
        "pseudo_labels": PseudoLabels(Y, np.arange(60)),
        "logistic": LogisticRegression().fit(X, Y),
        "binary logistic": LogisticRegression().fit(X, Y > 0),
        "mlp": MLPClassifier(**SMALL).fit(X, Y),
        "study_convnet": StudyConvNet(channels=[2], hidden=3, max_epochs=1).fit(X[:, :4], Y),
        "knn": KNeighborsClassifier().fit(X, Y),
        "xgboost": XGBClassifier(n_estimators=3, reg_alpha=0).fit(X, Y),
        "mixture": GaussianMixture(2).fit(X, 0),
    }


@pytest.mark.parametrize("name", ["clustering", "pseudo_labels", "mixture"])
def test_a_record_comes_back_equal(tmp_path, name):
    record = artifacts()[name]
    store.save(tmp_path / "a.safetensors", record)
    loaded = gpussl.load(tmp_path / "a.safetensors")
    assert type(loaded) is type(record)
    for key, value in vars(record).items():
        np.testing.assert_array_equal(getattr(loaded, key), value)


@pytest.mark.parametrize("name", ["logistic", "binary logistic", "mlp", "study_convnet", "knn", "xgboost"])
def test_a_model_comes_back_and_predicts_the_same(tmp_path, name):
    model = artifacts()[name]
    store.save(tmp_path / "a.safetensors", model)
    loaded = gpussl.load(tmp_path / "a.safetensors")
    features = X[:, :4] if name == "study_convnet" else X
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))
    assert loaded.get_params() == model.get_params()
    assert loaded.score(features, model.predict(features)) == 1
    fitted = [set(vars(each)) for each in (model, loaded)]
    assert fitted[0] == fitted[1]


@pytest.mark.parametrize("name", ["clustering", "logistic", "mlp", "study_convnet", "knn", "xgboost", "mixture"])
def test_the_same_artifact_gives_the_same_bytes(tmp_path, name):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        store.save(path, artifacts()[name])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_no_pickle_is_ever_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(StoreError, match="expected an artifact that gpussl saved"):
        gpussl.load(path)


def test_foreign_and_broken_files_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(StoreError, match=r"a\.safetensors: expected a readable artifact"):
        gpussl.load(path)
    save_file({"x": X}, path)
    with pytest.raises(StoreError, match="expected an artifact that gpussl saved"):
        gpussl.load(path)
    save_file({"x": X}, path, {"gpussl": json.dumps({"kind": "os:system", "values": {}})})
    with pytest.raises(StoreError, match="expected an artifact that gpussl saved"):
        gpussl.load(path)
    store.save(path, artifacts()["mlp"])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(StoreError, match="expected an artifact that gpussl saved"):
        gpussl.load(path)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "results.csv"
    store.write_text(path, "old")

    def fail():
        with store.atomic_path(path) as part:
            part.write_text("half of the n")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["results.csv"]


def test_written_files_can_be_read_by_others_as_usual(tmp_path):
    store.write_text(tmp_path / "ours", "x")
    (tmp_path / "usual").write_text("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual")]
    assert modes[0] == modes[1]


class TestCache:
    def fetch(self, folder, calls, settings=1, common="v1"):
        def compute():
            calls.append(settings)
            return artifacts()["clustering"]

        return store.Cache(folder, {"versions": common}).fetch("cluster", {"settings": settings}, compute)

    def test_computes_once_for_the_same_dependencies(self, tmp_path):
        calls = []
        first, second = self.fetch(tmp_path, calls), self.fetch(tmp_path, calls)
        assert calls == [1]
        assert (first.cached, second.cached) == (False, True)
        assert first.seconds == second.seconds
        np.testing.assert_array_equal(first.value.centroids, second.value.centroids)
        assert first.value.inertia == second.value.inertia

    def test_computes_again_when_a_dependency_changes(self, tmp_path):
        calls = []
        self.fetch(tmp_path, calls)
        self.fetch(tmp_path, calls, settings=2)
        self.fetch(tmp_path, calls, common="v2")
        assert calls == [1, 2, 1]

    def test_computes_again_and_says_so_when_a_file_is_broken(self, tmp_path, monkeypatch):
        calls, said = [], []
        monkeypatch.setattr(console, "say", said.append)
        self.fetch(tmp_path, calls)
        (kept,) = tmp_path.rglob("*.safetensors")
        kept.write_bytes(b"rubbish")
        assert not self.fetch(tmp_path, calls).cached
        assert calls == [1, 1]
        assert len(said) == 1
        assert "computing it again" in said[0]
        assert self.fetch(tmp_path, calls).cached

    def test_without_a_folder_keeps_nothing(self):
        calls = []
        self.fetch(None, calls)
        assert not self.fetch(None, calls).cached
        assert calls == [1, 1]


def test_the_digest_tells_values_types_and_shapes_apart():
    arrays = [X, X[:30], X.astype(np.float64), X.reshape(5, 60), X + 1]
    assert len({store.digest(array) for array in arrays}) == len(arrays)
    assert store.digest(X) == store.digest(np.asfortranarray(X))
