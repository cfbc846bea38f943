import errno
import json
import os
import pickle
import random
import resource
import stat
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import gpussl
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.cluster.gaussian_mixture import GaussianMixture
from gpussl.errors import ConfigError, StoreError
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
    with pytest.raises(StoreError, match="expected a checksum, found none; an earlier version"):
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


def forge(path, kind, values, arrays=None):
    """Write a file whose checksum is right, whatever it says."""
    arrays, described = arrays or {}, {"kind": kind, "values": values}
    described["sha256"] = store._checksum(described, arrays)
    save_file(arrays or {}, path, {"gpussl": json.dumps(described)})


@pytest.mark.parametrize(
    "kind",
    ["os", "os:system", "subprocess:Popen", "network", "__init__", "../mlp", "classifier.mlp", "", None, ["mlp"], 1],
)
def test_a_file_cannot_name_a_module_to_import(tmp_path, kind):
    path = tmp_path / "a.safetensors"
    forge(path, kind, {"args": "true"})
    with pytest.raises(
        StoreError, match=r"a\.safetensors: expected a (kind of this version|class of gpussl)"
    ) as caught:
        gpussl.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "values"), [("clustering", {}), ("mlp", {}), ("mlp", []), ("knn", {"n_neighbors": 0})]
)
def test_the_parts_of_another_version_are_refused(tmp_path, kind, values):
    forge(tmp_path / "a.safetensors", kind, values)
    with pytest.raises(StoreError, match=f"expected what this version of gpussl saves as '{kind}'"):
        gpussl.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["clustering", "xgboost"])
def test_a_flipped_bit_is_found_before_anything_is_made_of_the_file(tmp_path, monkeypatch, name):
    path, made = tmp_path / "a.safetensors", []
    unpack = store.unpack
    monkeypatch.setattr(store, "unpack", lambda *parts: made.append(parts) or unpack(*parts))
    store.save(path, artifacts()[name])
    kept = path.read_bytes()
    gpussl.load(path)
    (original,) = made
    rng, end_of_header = random.Random(0), 8 + int.from_bytes(kept[:8], "little")
    for position in [*range(end_of_header), *rng.sample(range(end_of_header, len(kept)), 200)]:
        damaged = bytearray(kept)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        made.clear()
        try:
            gpussl.load(path)
            refused = None
        except StoreError as error:
            refused = str(error)
        if refused is None:  # the bit says the same in another way, such as in the last digit of a long number
            np.testing.assert_equal(made, [original])
        else:
            assert "\n" not in refused
            assert not made


def test_what_cannot_be_stored_is_refused_in_one_line(tmp_path):
    refused = {
        "arrays of numbers": Clustering(np.array(["a"]), np.zeros(1), np.zeros(1), 0.0, 1),
        "values that JSON can hold": Clustering(X, np.zeros(60), np.zeros(60), 1j, 1),
    }
    for expected, artifact in refused.items():
        with pytest.raises(StoreError, match=expected) as caught:
            store.save(tmp_path / "a.safetensors", artifact)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_big_endian_arrays_come_back_equal(tmp_path):
    store.save(tmp_path / "a", PseudoLabels(Y.astype(">i8"), np.arange(60)))
    np.testing.assert_array_equal(gpussl.load(tmp_path / "a").labels, Y)


def test_a_path_that_cannot_be_used_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / ("a" * 300), tmp_path / "file" / "a"):
        for attempt in (
            lambda path: store.save(path, artifacts()["clustering"]),
            lambda path: store.write_text(path, "text"),
            gpussl.load,
        ):
            with pytest.raises(StoreError) as caught:
                attempt(path)
            assert "\n" not in str(caught.value)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_parts_can_be_packed_into_another_artifact():
    kind, arrays, values = store.pack(artifacts()["xgboost"])
    before = dict(arrays)
    again = store.unpack(kind, arrays, json.loads(json.dumps(values)))
    np.testing.assert_array_equal(again.predict(X), artifacts()["xgboost"].predict(X))
    assert arrays == before


def test_a_subclass_does_not_inherit_the_kind():
    class Mine(MLPClassifier):
        pass

    store.check_savable(MLPClassifier)
    with pytest.raises(ConfigError, match=r"Mine: expected a class that `load` can find, found the kind 'tests"):
        store.check_savable(Mine)


def test_what_killed_processes_left_is_removed_by_the_next_write(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from gpussl.runtime import store
with store.atomic_path(Path({str(tmp_path)!r}) / "a") as part:
    part.write_text("half of the n")
    print("writing", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        (part,) = tmp_path.iterdir()
        (tmp_path / ".not-ours.part").touch()
        store.write_text(tmp_path / "b", "whole")
        assert part.read_text() == "half of the n"  # it is being written
        process.kill()
    assert part.exists()
    store.write_text(tmp_path / "b", "whole")
    assert {item.name for item in tmp_path.iterdir()} == {"b", ".not-ours.part"}


def test_a_part_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    calls = []
    flock = store.fcntl.flock

    def remove_first(handle, operation):
        if not calls:
            (part,) = tmp_path.iterdir()
            part.unlink()
        calls.append(operation)
        flock(handle, operation)

    monkeypatch.setattr(store.fcntl, "flock", remove_first)
    store.write_text(tmp_path / "a", "text")
    assert len(calls) == 2
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("a", "text")]


def test_importing_gpussl_imports_no_library():
    program = "import gpussl, sys; print({'numpy', 'sklearn', 'safetensors', 'torch'} & set(sys.modules), dir(gpussl))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("set() ")
    assert all(repr(name) in shown for name in gpussl.__all__)
    assert gpussl.load is store.load
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        gpussl.lode  # noqa: B018


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

    @pytest.fixture
    def said(self, monkeypatch):
        """What is told to the user."""
        told = []
        monkeypatch.setattr(console, "say", told.append)
        return told

    def test_a_file_in_the_place_of_another_is_not_taken(self, tmp_path, said):
        calls = []
        cache = store.Cache(tmp_path, {})
        for stage, seed, name in (("cluster", 0, "clustering"), ("cluster", 1, "mixture"), ("train", 0, "knn")):
            cache.fetch(stage, {"seed": seed}, lambda name=name: artifacts()[name])
        first, second = sorted((tmp_path / "cluster").glob("*.safetensors"))
        (model,) = (tmp_path / "train").glob("*.safetensors")
        saved = tmp_path / "saved"
        store.save(saved, artifacts()["clustering"])
        for other in (second.read_bytes(), model.read_bytes(), saved.read_bytes()):
            first.write_bytes(other)
            said.clear()
            for seed in (0, 1):
                expected = artifacts()["mixture" if seed else "clustering"]
                found = cache.fetch("cluster", {"seed": seed}, lambda e=expected: calls.append(e) or e)
                np.testing.assert_array_equal(found.value.centroids, expected.centroids)
            cache = store.Cache(tmp_path, {})
            assert len(said) == 1
            assert "found another file in its place; computing it again" in said[0]
        assert len(calls) == 3

    @pytest.mark.parametrize("note", ['{"seconds": []}', "null", "rubbish", None])
    def test_the_note_is_for_people_alone(self, tmp_path, said, note):
        calls = []
        first = self.fetch(tmp_path, calls)
        (path,) = tmp_path.rglob("*.json")
        assert json.loads(path.read_text())["seconds"] == first.seconds
        path.unlink() if note is None else path.write_text(note)
        second = self.fetch(tmp_path, calls)
        assert (second.cached, second.seconds, said) == (True, first.seconds, [])

    def test_a_folder_that_may_not_be_read_is_passed_over(self, tmp_path, said):
        calls = []
        self.fetch(tmp_path, calls)
        tmp_path.chmod(0o000)
        uid = os.geteuid()
        try:
            if uid == 0:
                os.seteuid(65534)  # the superuser may read everything
            found = self.fetch(tmp_path, calls)
        finally:
            os.seteuid(uid)
            tmp_path.chmod(0o700)
        assert (found.cached, calls) == (False, [1, 1])
        assert said == [f"cache: {tmp_path} could not be read (Permission denied); going on without"]

    def test_a_file_in_the_place_of_the_folder_is_passed_over(self, tmp_path, said):
        calls = []
        (tmp_path / "cache").write_text("")
        assert not self.fetch(tmp_path / "cache", calls).cached
        assert said == [f"cache: {tmp_path / 'cache'} could not be written (Not a directory); going on without"]

    def test_a_disk_that_fills_is_passed_over_and_told_once(self, tmp_path, said):
        cache, limits = store.Cache(tmp_path, {}), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        try:
            found = [cache.fetch("cluster", {"seed": seed}, lambda: artifacts()["clustering"]) for seed in range(2)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [item.value.n_iter for item in found] == [7, 7]
        assert said == [f"cache: {tmp_path} could not be written ({os.strerror(errno.EFBIG)}); going on without"]
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_without_a_folder_keeps_nothing(self):
        calls = []
        self.fetch(None, calls)
        assert not self.fetch(None, calls).cached
        assert calls == [1, 1]


def test_the_digest_tells_values_types_and_shapes_apart():
    arrays = [X, X[:30], X.astype(np.float64), X.reshape(5, 60), X + 1]
    assert len({store.digest(array) for array in arrays}) == len(arrays)
    assert store.digest(X) == store.digest(np.asfortranarray(X))
