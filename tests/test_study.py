"""The whole way of the data, on the digits."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from omegaconf import OmegaConf

import gpussl
from gpussl.cluster.kmeans import KMeans
from gpussl.data.digits import Digits
from gpussl.errors import ConfigError
from gpussl.label.oracle import Oracle
from gpussl.report import manifest
from gpussl.runtime import console
from gpussl.studies import published
from gpussl.studies.published import Published
from gpussl.tasks import prepare, run_folder, study
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.run import run

# what is left out depends on the clock, or on the test labels and must
TIMED = {"seconds", "peak_memory_bytes", "note"}
ROW_TIMES = ("fit_seconds", "predict_seconds")
OF_TEST_LABELS = {"figures/accuracy.png", "report.html"}


def artifacts(folder):
    """Every file of a run by name, but for what tells of time and memory."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rows = results(folder)
    for row in rows:
        for name in ROW_TIMES:
            del row[name]
    files["results.csv"] = rows
    manifest = json.loads(files["manifest.json"])
    for timed in (manifest, *manifest["stages"]):
        for name in TIMED & set(timed):
            del timed[name]
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    del manifest["files"]  # their checksums; the files are compared themselves
    files["manifest.json"] = manifest
    files["report.html"] = re.sub(r"<td>[\d.]+ s</td>|, \d+ s\.", "", files["report.html"].decode())
    return files


def results(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def name_of(row):
    """What a row's training set is called in its run."""
    return row["propagation"] if row["select"] == "nearest_to_centroid" else row["select"]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One run with all baselines, which several tests look at."""
    from hydra import compose, initialize_config_dir

    from gpussl.runtime import config
    from tests.conftest import FAST

    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        job = config.build(compose("config", [*FAST, "baselines=all"]))
    folder = tmp_path_factory.mktemp("run")
    return job, folder, run(job, folder)


def test_every_training_set_and_classifier_has_its_row(whole_run):
    _, folder, returned = whole_run
    rows = results(folder)
    header = "select,propagation,classifier,n_clusters,n_labels,n_train,percentile,seed,label_accuracy,test_accuracy"
    assert (
        ",".join(rows[0]) == header + ",fit_seconds,predict_seconds,device,train_accuracy,balanced_accuracy,only_class"
    )
    sets = [("nearest_to_centroid", p) for p in ("none", "cluster", "nearest")] + [("random", "none"), ("all", "none")]
    expected = [(*labels, classifier) for labels in sets for classifier in ("logistic", "mlp")]
    *made, guessing = rows
    assert [(row["select"], row["propagation"], row["classifier"]) for row in made] == expected
    assert len(returned) == len(made)
    y = Digits().load().y_test
    assert (guessing["classifier"], guessing["n_labels"], guessing["label_accuracy"]) == ("most_frequent", "0", "")
    assert float(guessing["test_accuracy"]) == np.bincount(y).max() / len(y)
    assert float(guessing["balanced_accuracy"]) == 0.1


def test_budgets_and_sizes_are_counted(whole_run):
    _, folder, _ = whole_run
    rows = {name_of(row): row for row in results(folder)[:-1]}
    assert [rows[name]["n_labels"] for name in ("none", "cluster", "nearest", "random", "all")] == [
        "20", "20", "20", "20", "1297",
    ]  # fmt: skip
    assert rows["none"]["n_train"] == rows["random"]["n_train"] == "20"
    assert rows["cluster"]["n_train"] == rows["all"]["n_train"] == "1297"
    assert 20 < int(rows["nearest"]["n_train"]) < 500
    assert [rows[name]["percentile"] for name in ("none", "cluster", "nearest", "random")] == ["", "100.0", "25.0", ""]
    assert [rows[name]["n_clusters"] for name in ("none", "random", "all")] == ["20", "", ""]
    assert all(float(rows[name]["label_accuracy"]) == 1 for name in ("none", "random", "all"))
    assert 0.7 < float(rows["cluster"]["label_accuracy"]) < float(rows["nearest"]["label_accuracy"]) <= 1


def test_saved_models_score_what_the_table_says(whole_run):
    _, folder, returned = whole_run
    dataset = Digits().load()
    for result in returned:
        name = name_of(dataclasses.asdict(result))
        model = gpussl.load(folder / "models" / f"{name}-{result.classifier}.safetensors")
        said = model.predict(dataset.X_test)
        assert np.mean(said == np.array(dataset.class_names)[dataset.y_test]) == pytest.approx(result.test_accuracy)


def test_saved_labels_and_clustering_agree(whole_run):
    _, folder, _ = whole_run
    clustering = gpussl.load(folder / "clustering.safetensors")
    labels = gpussl.load(folder / "labels" / "cluster.safetensors")
    y = Digits().load().y_train
    np.testing.assert_array_equal(labels.labels, y[labels.sources])
    np.testing.assert_array_equal(clustering.labels[labels.sources], clustering.labels)


def test_the_manifest_says_what_the_run_was_made_with(whole_run):
    _, folder, _ = whole_run
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["device"] == {"requested": "cpu", "reason": "device=cpu"}
    assert {"numpy", "scikit-learn", "torch", "gpussl", "python"} <= set(manifest["versions"])
    assert manifest["data"]["n_train"] == 1297
    assert manifest["seeds"]["run"] == 0
    names = [stage["group"] for stage in manifest["stages"]]
    assert list(dict.fromkeys(names)) == [
        "load", "represent", "cluster", "select", "label", "propagate", "features", "train", "evaluate", "report",
    ]  # fmt: skip
    for stage in manifest["stages"]:
        assert stage["seconds"] >= 0
        assert 0 < stage["peak_memory_bytes"] <= manifest["peak_memory_bytes"]
        assert stage["device"].startswith("cpu")


def test_the_page_shows_every_row_and_figure(whole_run):
    _, folder, returned = whole_run
    page = (folder / "report.html").read_text()
    assert page.count("<tr>") == len(returned) + 2  # the head, and the most frequent class
    for name in ("accuracy", "bought", "clusters", "label_accuracy"):
        assert f'id="{name}" src="data:image/png;base64,' in page
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_one_seed_gives_the_same_bytes(tmp_path, job):
    runs = []
    for name in "abc":
        run(job(), tmp_path / name)
        runs.append(artifacts(tmp_path / name))
    assert runs[0] == runs[1] == runs[2]
    run(job("seed=1"), tmp_path / "other")
    other = artifacts(tmp_path / "other")
    assert other["clustering.safetensors"] != runs[0]["clustering.safetensors"]
    assert other["models/none-mlp.safetensors"] != runs[0]["models/none-mlp.safetensors"]


def test_jobs_with_one_loader_read_the_same_data_once_and_leave_what_they_leave_alone(tmp_path, job, monkeypatch):
    reads, load, loader = [], Digits.load, prepare.Loader()
    monkeypatch.setattr(Digits, "load", lambda data: reads.append(data.n_test) or load(data))
    for number, settings in enumerate([["seed=0"], ["seed=1"], ["seed=1", "data.n_test=400"]]):
        run(job(*settings), tmp_path / f"job{number}", loader=loader)
    assert reads == [500, 400]
    run(job("seed=1"), tmp_path / "alone")
    shared, alone = artifacts(tmp_path / "job1"), artifacts(tmp_path / "alone")
    assert shared == alone


def test_shuffled_test_labels_change_nothing_but_test_metrics(tmp_path, job, monkeypatch):
    run(job("baselines=all"), tmp_path / "true")
    load = Digits.load

    def shuffled(self):
        dataset = load(self)
        return dataclasses.replace(dataset, y_test=np.random.default_rng(0).permutation(dataset.y_test))

    monkeypatch.setattr(Digits, "load", shuffled)
    run(job("baselines=all"), tmp_path / "shuffled")
    true, other = artifacts(tmp_path / "true"), artifacts(tmp_path / "shuffled")
    for name in ("test_accuracy", "balanced_accuracy"):
        assert [row.pop(name) for row in true["results.csv"]] != [row.pop(name) for row in other["results.csv"]]
    assert set(true) == set(other)
    assert {name for name in true if true[name] != other[name]} == OF_TEST_LABELS


def test_labels_that_were_not_bought_change_no_model(tmp_path, job, monkeypatch):
    """Training labels reach the models through the oracle alone."""
    run(job(), tmp_path / "true")
    bought = set(np.flatnonzero(gpussl.load(tmp_path / "true" / "labels" / "none.safetensors").labels != -1).tolist())
    bought |= set(
        np.flatnonzero(gpussl.load(tmp_path / "true" / "labels" / "random.safetensors").labels != -1).tolist()
    )
    load = Digits.load

    def spoiled(self):
        dataset = load(self)
        y = (dataset.y_train + 1) % 10
        y[list(bought)] = dataset.y_train[list(bought)]
        return dataclasses.replace(dataset, y_train=y)

    monkeypatch.setattr(Digits, "load", spoiled)
    run(job(), tmp_path / "spoiled")
    true, other = artifacts(tmp_path / "true"), artifacts(tmp_path / "spoiled")
    assert {name for name in true if true[name] != other[name]} == {
        "results.csv",
        "report.html",
        "figures/label_accuracy.png",
    }
    for row, spoilt in zip(true["results.csv"], other["results.csv"], strict=True):
        # the diagnostics see the truth: propagated labels are wrong now, and the report says so
        assert (spoilt.pop("label_accuracy") < row.pop("label_accuracy")) == (row["n_train"] != row["n_labels"])
    assert true["results.csv"] == other["results.csv"]


class TestStageCache:
    @pytest.fixture
    def fits(self, monkeypatch):
        """How often clusters were made."""
        calls = []
        fit = KMeans.fit

        def counted(self, X, seed, on_progress=None):
            calls.append(self.n_clusters)
            return fit(self, X, seed, on_progress)

        monkeypatch.setattr(KMeans, "fit", counted)
        return calls

    def run(self, job, tmp_path, name, *overrides):
        run(job(f"cache={tmp_path}/cache", *overrides), tmp_path / name)
        return [stage["cached"] for stage in json.loads((tmp_path / name / "manifest.json").read_text())["stages"]]

    def test_a_second_run_computes_nothing_again_and_leaves_the_same(self, job, tmp_path, fits):
        first = self.run(job, tmp_path, "a")
        second = self.run(job, tmp_path, "b")
        assert fits == [20]
        assert sum(first) == 0
        assert sum(second) == 1 + 8  # the clustering and the models
        made = [artifacts(tmp_path / name) for name in "ab"]
        for files in made:
            del files["manifest.json"]  # which says what came from the cache
        assert made[0] == made[1]
        made = [[row["fit_seconds"] for row in results(tmp_path / name)] for name in "ab"]
        assert made[0] == made[1]  # those that the fits took then

    def test_a_sweep_over_percentiles_shares_one_clustering(self, job, tmp_path, fits):
        for percentile in (10, 25, 50):
            self.run(job, tmp_path, str(percentile), f"propagate.nearest.percentile={percentile}")
        assert fits == [20]

    def test_another_seed_number_or_split_clusters_anew(self, job, tmp_path, fits):
        overrides = ["seed=0", "seed=1", "cluster.n_clusters=21", "data.n_test=400", "cluster.max_iter=3"]
        for index, override in enumerate(overrides):
            self.run(job, tmp_path, str(index), override, "classifier=[logistic]")
        assert fits == [20, 20, 21, 20, 20]


def test_what_a_stage_is_called_on_the_screen_changes_no_number(job, tmp_path, monkeypatch):
    overrides = ("represent=[pca,autoencoder]", "represent.pca.n_components=9", "views=2", "classifier=[mlp]")
    overrides += (
        "represent.autoencoder.max_epochs=1",
        "represent.autoencoder.hidden_layer_sizes=[8]",
        "cluster=kmeans",
    )
    run(job(*overrides), tmp_path / "as it is")
    begin = Monitor.stage
    monkeypatch.setattr(Monitor, "stage", lambda self, group, twin, name="": begin(self, f"the {group}", twin, "Oh!"))
    run(job(*overrides), tmp_path / "reworded")
    found, expected = (artifacts(tmp_path / name) for name in ("reworded", "as it is"))
    assert found["manifest.json"]["seeds"] == expected["manifest.json"]["seeds"]
    for files in (found, expected):
        del files["manifest.json"]
    assert found == expected


def test_a_used_run_folder_is_refused(whole_run):
    job, folder, _ = whole_run
    before = artifacts(folder)
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir: expected a folder .* found a finished one in"):
        run(job, folder)
    assert artifacts(folder) == before


def test_two_runs_never_share_a_folder(job, tmp_path):
    with run_folder.claim(tmp_path), pytest.raises(ConfigError, match="found one at work in"):
        run(job(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_killed_run_is_cleared_and_used(job, tmp_path):
    """A process that dies leaves its work, and its lock goes with it."""
    (tmp_path / ".running" / "models").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    for name in (".running/models/of-it.safetensors", ".running/lock", ".running/results.csv", "models/mine.txt"):
        (tmp_path / name).write_text("")
    run(job("classifier=[logistic]"), tmp_path)
    assert not list(tmp_path.rglob("of-it.safetensors"))
    assert (tmp_path / "models" / "mine.txt").exists()
    assert results(tmp_path)
    assert not (tmp_path / ".running").exists()


def test_a_run_that_fails_halfway_leaves_nothing(job, tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "describe", lambda *_: pytest.fail("no"))
    with pytest.raises(pytest.fail.Exception):
        run(job("classifier=[logistic]"), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cluster.n_clusters=1"], "none: expected training labels of at least two classes, found only"),
        (["cluster.n_clusters=1298"], "cluster.n_clusters: expected at most the number of training points, 1297"),
        (["select=random", "select.n_labels=1298"], "select.n_labels: expected at most the number of training points"),
    ],
)
def test_what_the_data_do_not_allow_is_refused_before_anything_is_written(
    job, tmp_path, monkeypatch, overrides, message
):
    said = []
    monkeypatch.setattr(console, "say", said.append)
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(job(*overrides), tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())
    if "n_clusters=1" not in overrides[0]:
        assert not said  # nor is any stage done


def test_the_configuration_is_kept_with_every_reference_resolved(whole_run):
    kept = (whole_run[1] / "config.yaml").read_text()
    assert "${" not in kept
    assert OmegaConf.create(kept).cluster.n_clusters == 20


def test_every_point_may_be_its_own_cluster(job, tmp_path):
    """Then every label is bought, and there is none left to propagate."""
    small = ("data.n_test=1000", "propagate=[cluster]", "classifier=[logistic]", "baselines=none")
    (row,) = run(job("cluster.n_clusters=797", *small), tmp_path / "run")
    assert row.n_labels == row.n_train == 797
    assert row.label_accuracy == 1


def test_random_selection_propagates_too(job, tmp_path):
    overrides = ("select=random", "select.n_labels=20", "propagate=[cluster]", "classifier=[logistic]")
    (row, *_) = run(job(*overrides), tmp_path / "run")
    assert row.n_labels == 20
    assert row.n_train < 1297  # clusters in which no label was bought stay unlabelled


@pytest.mark.parametrize(("select", "n_labels"), [("select=first", 60), ("select=random", 60), ("select=all", 1297)])
def test_labels_can_be_bought_without_clusters(job, tmp_path, select, n_labels):
    overrides = [select, "cluster=none", "propagate=[none]", "classifier=[logistic]", "baselines=none"]
    overrides += [f"select.n_labels={n_labels}"] if select != "select=all" else []
    (row,) = run(job(*overrides), tmp_path / "run")
    assert (row.n_labels, row.n_train, row.n_clusters, row.label_accuracy) == (n_labels, n_labels, None, 1)
    assert row.test_accuracy > 0.6
    assert not (tmp_path / "run" / "clustering.safetensors").exists()
    assert {path.stem for path in (tmp_path / "run" / "figures").iterdir()} == {"accuracy", "bought"}
    labels = gpussl.load(tmp_path / "run" / "labels" / "none.safetensors")
    if select == "select=first":
        assert np.flatnonzero(labels.labels != -1).tolist() == list(range(60))


def test_labels_bought_at_random_have_no_baseline_of_their_like(job, tmp_path):
    overrides = ("cluster=none", "select=random", "select.n_labels=60", "propagate=[none]", "classifier=[logistic]")
    rows = run(job(*overrides, "baselines=all"), tmp_path / "run")
    assert [row.select for row in rows] == ["random", "all"]


def test_noise_is_neither_bought_nor_reached(job, tmp_path):
    overrides = ("represent=pca", "represent.pca.n_components=5", "cluster=hdbscan", "cluster.min_cluster_size=15")
    (row,) = run(job(*overrides, "propagate=[cluster]", "classifier=[logistic]", "baselines=none"), tmp_path / "run")
    clustering = gpussl.load(tmp_path / "run" / "clustering.safetensors")
    labels = gpussl.load(tmp_path / "run" / "labels" / "cluster.safetensors")
    is_noise = clustering.labels == -1
    assert 0 < is_noise.sum() < 1297
    assert (labels.labels[is_noise] == -1).all()
    assert (labels.labels[~is_noise] != -1).all()
    assert row.n_labels == len(clustering.centroids)
    assert row.n_train == (~is_noise).sum()


def test_the_classifiers_may_learn_from_distances_to_centroids(job, tmp_path):
    overrides = ("features=centroid_distances", "select=all", "propagate=[none]", "classifier=[logistic]")
    (row,) = run(job(*overrides, "classifier.logistic.power=1", "baselines=none"), tmp_path / "run")
    assert gpussl.load(tmp_path / "run" / "models" / "none-logistic.safetensors").classifier.coef_.shape == (10, 20)
    assert row.test_accuracy > 0.85


SMALL_TREES = ("cluster=none", "select=first", "propagate=[none]", "baselines=none", "classifier.{}.n_estimators=5")


def test_only_trees_that_say_so_are_stopped_by_the_test_labels(job, tmp_path, monkeypatch):
    watched = []
    monkeypatch.setattr(study, "fingerprint", lambda *_: watched.append(1) or pytest.fail("test labels opened"))
    overrides = [item.format("xgboost") for item in SMALL_TREES]
    run(job(*overrides, "classifier=[xgboost]"), tmp_path / "honest")
    assert not watched
    overrides = [item.format("xgboost_test_stopped") for item in SMALL_TREES]
    with pytest.raises(pytest.fail.Exception):
        run(job(*overrides, "classifier=[xgboost_test_stopped]"), tmp_path / "as published")


def test_the_test_accuracy_stops_trees_as_published(job, tmp_path):
    overrides = [item.format("xgboost_test_stopped") for item in SMALL_TREES]
    (row,) = run(job(*overrides, "classifier=[xgboost_test_stopped]"), tmp_path / "run")
    model = gpussl.load(tmp_path / "run" / "models" / "none-xgboost_test_stopped.safetensors")
    assert model.classifier.validation_score_ == pytest.approx(row.test_accuracy)


def test_the_oracle_is_asked_for_no_more_than_the_budget(job, tmp_path, monkeypatch):
    oracles = []

    class Watched(Oracle):
        def __init__(self, y):
            super().__init__(y)
            oracles.append(self)

    monkeypatch.setattr(prepare, "Oracle", Watched)
    run(job("classifier=[logistic]"), tmp_path / "run")
    assert [oracle.n_bought for oracle in oracles] == [20, 20]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, 81.2),
        ({"classifier": "xgboost"}, 81.2),
        ({"n_clusters": 500}, None),
        ({"classifier": "mlp"}, None),
        ({"percentile": 30.0}, None),
        ({"select": "random"}, None),
    ],
)
def test_a_published_figure_stands_beside_its_own_row_alone(whole_run, changed, found):
    row = {"propagation": "nearest", "n_clusters": 2000, "percentile": 25.0, **changed}
    row = dataclasses.replace(whole_run[2][0], **row)
    of = {"select": ["nearest_to_centroid"], "propagation": "nearest", "classifier": ["logistic", "xgboost"]}
    entry = Published("a paper", "digits", **of, accuracy=81.2, n_clusters=2000, percentile=25)
    shown = published.find([entry], "digits", dataclasses.asdict(row))
    assert (shown.accuracy if shown else None) == found
    assert published.find([entry], "fashion_mnist", dataclasses.asdict(row)) is None
