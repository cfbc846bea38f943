"""Combinations that cannot work are refused before any work."""

import dataclasses
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.cluster.kmeans import KMeans
from gpussl.data.digits import Digits
from gpussl.errors import ConfigError, DataError
from gpussl.report import figures
from gpussl.select.first import First
from gpussl.tasks.run import run

WITHOUT_CLUSTERS = "cluster=none", "select=random", "propagate=[none]", "classifier=[logistic]"
IMAGES = "expected images, found data=digits, which has none"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cluster=none"], "select=nearest_to_centroid: expected clusters, found none; choose some with cluster=..."),
        (["cluster=none", "select=typical"], "select=typical: expected clusters, found none"),
        (["cluster=none", "select=cluster_budget"], "select=cluster_budget: expected clusters, found none"),
        (["cluster=none", "select=random"], "propagate=cluster: expected clusters to propagate labels in, found none"),
        ([*WITHOUT_CLUSTERS, "features=centroid_distances"], "features: expected clusters, found none"),
        ([*WITHOUT_CLUSTERS, "allocate=true"], "allocate=true: expected clusters, found none"),
        ([*WITHOUT_CLUSTERS, "views=2"], "views: expected clusters to agree on, found none"),
        (
            ["represent=[pca]", "classifier=[convnet]"],
            "classifier=convnet: expected images to learn from, found represent=pca; choose features=pixels",
        ),
        (
            ["represent=[deskew,hog]", "classifier=[study_convnet]"],
            "classifier=study_convnet: expected images to learn from, found represent=hog; choose features=pixels",
        ),
        (
            ["features=centroid_distances", "classifier=[convnet]"],
            "classifier=convnet: expected images to learn from, found distances to centroids",
        ),
        (
            ["represent=[pca,hog]"],
            "represent=hog: expected images, found the output of pca; put hog before pca",
        ),
    ],
)
def test_it_is_refused_before_the_data_are_read(job, tmp_path, monkeypatch, overrides, message):
    monkeypatch.setattr(Digits, "load", lambda data: pytest.fail("the data were read"))
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as error:
        run(job(*overrides), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_classifier_that_cannot_be_saved_is_refused_before_training(job, tmp_path, monkeypatch):
    @dataclass(eq=False)
    class Local(KNeighborsClassifier):
        kind: ClassVar[str] = "knn"

    monkeypatch.setattr(KMeans, "fit", lambda *_, **__: pytest.fail("it clustered"))
    with pytest.raises(ConfigError, match="Local: expected a class that `load` can find"):
        run(dataclasses.replace(job(), classifier={"local": Local()}), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["represent=[deskew]"], f"deskew: {IMAGES}"),
        (["represent=[hog]"], f"hog: {IMAGES}"),
        (["classifier=[convnet]"], f"convnet: {IMAGES}"),
        (["classifier=[study_convnet]"], f"study_convnet: {IMAGES}"),
    ],
)
def test_points_that_are_no_images_are_refused_where_images_are_needed(job, tmp_path, changed, overrides, message):
    changed(image_shape=None)
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        run(job(*overrides), tmp_path / "run")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"X_test": None, "y_test": None}, "data=digits: expected a test set with labels, found none"),
        ({"y_test": None}, "data=digits: expected a test set with labels, found none"),
        ({"y_train": None}, "data=digits: expected training labels to buy, found none"),
    ],
)
def test_a_study_needs_all_labels(job, tmp_path, changed, missing, message):
    changed(**missing)
    with pytest.raises(DataError, match=f"^{message}"):
        run(job("classifier=[logistic]"), tmp_path / "run")


def test_advice_needs_no_test_set(composed, tmp_path, changed):
    from gpussl.runtime import config

    changed(X_test=None, y_test=None)
    small = ("budget.n_labels=90", "budget.n_folds=5", "budget.n_repeats=2", "budget.n_sizes=3", "cache=null")
    run(config.build(composed("+experiment=label_budget", "device=cpu", "classifier=[knn]", *small)), tmp_path)
    assert (tmp_path / "budget.json").exists()


@pytest.fixture
def changed(monkeypatch):
    """A function (fields of the data set) that changes what the digits are from now on."""
    load = Digits.load

    def change(**fields):
        monkeypatch.setattr(Digits, "load", lambda data: dataclasses.replace(load(data), **fields))

    return change


def test_a_table_is_learnt_from_without_images(job, tmp_path, changed):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    X = (rng.normal(size=(120, 3)) + 5 * y[:, None]).astype(np.float32)
    changed(
        X_train=X, y_train=y, X_test=X[::3], y_test=y[::3], class_names=("no", "$\\frac$ [/]"), image_shape=None,
        max_value=None,
    )  # fmt: skip
    rows = run(job("cluster.n_clusters=4", "classifier=[logistic,knn]"), tmp_path)
    assert min(row.test_accuracy for row in rows) > 0.9
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"accuracy", "label_accuracy"}
    assert "40 test points" in (tmp_path / "report.html").read_text()


def test_images_may_have_colours(job, tmp_path, changed):
    """Red and blue squares, of one grey."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = np.zeros((200, 8, 8, 3), dtype=np.uint8)
    X[np.arange(200), :, :, 2 * y] = rng.integers(1, 250, (200, 8, 8))
    X = X.reshape(200, -1)
    changed(
        X_train=X, y_train=y, X_test=X[:50], y_test=y[:50], class_names=("red", "$\\frac$ [/]"), max_value=255.0,
        image_shape=(8, 8, 3),
    )  # fmt: skip
    small = ("classifier.convnet.n_steps=20", "classifier.convnet.channels=[8]", "classifier.convnet.batch_size=16")
    small += ("classifier.study_convnet.max_epochs=4", "classifier.study_convnet.channels=[8]", "baselines=none")
    chosen = ("represent=[deskew]", "classifier=[convnet,study_convnet,logistic]", "propagate=[cluster]")
    rows = run(job("cluster.n_clusters=6", *chosen, *small), tmp_path / "deskewed")
    assert min(row.test_accuracy for row in rows) > 0.9
    (row,) = run(job("cluster.n_clusters=6", "represent=[hog]", "classifier=[logistic]", *chosen[2:], "baselines=none"),
                 tmp_path / "hog")  # fmt: skip
    assert row.test_accuracy > 0.9
    figures = {path.stem for path in (tmp_path / "hog" / "figures").iterdir()}
    assert {"bought", "clusters", "accuracy"} <= figures


def test_names_that_would_make_two_models_one_file_are_refused(job, tmp_path):
    def renamed(stages, *names):
        return dict.fromkeys(names, next(iter(stages.values())))

    wanted = job("classifier=[knn]")
    wanted = dataclasses.replace(
        wanted, propagate=renamed(wanted.propagate, "z", "z-b"), classifier=renamed(wanted.classifier, "k", "b-k")
    )
    with pytest.raises(ConfigError, match="found two models for z-b-k; choose other names"):
        run(wanted, tmp_path / "run")


def test_labels_that_are_not_known_are_not_sold(job, tmp_path, changed):
    y = Digits().load().y_train.copy()
    y[:3] = -1
    changed(y_train=y)
    with pytest.raises(DataError, match="data=digits: expected all training labels known, found 3 unknown"):
        run(job("classifier=[knn]"), tmp_path / "run")


def test_a_budget_without_its_task_is_no_study(composed, tmp_path):
    from gpussl.runtime import config

    with pytest.raises(ConfigError, match="budget: expected none with task=study, found one; say task=advise"):
        run(config.build(composed("+experiment=label_budget", "task=study", "device=cpu")), tmp_path / "run")


def test_a_selection_that_asks_again_is_stopped(job, tmp_path):
    class Stubborn(First):
        def select(self, X, clustering, answers, n, seed):
            return np.arange(5)

    with pytest.raises(
        ConfigError, match="select=first: expected points that were not asked for before, found one again"
    ):
        run(dataclasses.replace(job("classifier=[knn]"), select=Stubborn(5)), tmp_path / "run")


def test_figures_cost_no_finished_run(job, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "bought", lambda *_: 1 / 0)
    run(job("classifier=[knn]", "baselines=none"), tmp_path)
    assert (tmp_path / "manifest.json").exists()
    assert 'id="bought"' not in (tmp_path / "report.html").read_text()
    assert 'id="clusters"' in (tmp_path / "report.html").read_text()
