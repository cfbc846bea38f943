"""Saved models: what is loaded predicts as what was fitted, for every chain and every classifier, from raw values."""

import numpy as np
import pytest

import gpussl
from gpussl.classifier.auto import AutoClassifier
from gpussl.classifier.convnet import ConvNetClassifier
from gpussl.classifier.extra_trees import ExtraTreesClassifier
from gpussl.classifier.kernel_logistic import KernelLogisticRegression
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.model import Model
from gpussl.classifier.self_training import SelfTrainingMLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.cluster.kmeans import KMeans
from gpussl.errors import ConfigError, InputError, StoreError
from gpussl.features.centroid_distances import CentroidDistances
from gpussl.features.pixels import Pixels as PixelFeatures
from gpussl.features.represented import Represented
from gpussl.represent.autoencoder import Autoencoder
from gpussl.represent.deskew import Deskew
from gpussl.represent.hog import HOG
from gpussl.represent.pca import PCA
from gpussl.represent.pixels import Pixels
from gpussl.represent.umap import UMAP, FittedUMAP
from gpussl.runtime import store
from gpussl.studies.study_convnet import StudyConvNet
from gpussl.studies.watch import Watch
from gpussl.studies.xgboost_test_stopped import TestStoppedXGBClassifier
from gpussl.tasks.run import run
from tests.digits import DIGITS, TEST, TRAIN, some_labels

NETWORK = {"hidden_layer_sizes": [16, 8], "max_epochs": 2}
IMAGES = {"image_shape": [8, 8]}
CHAINS = {
    "pixels": [Pixels()],
    "deskew": [Deskew(**IMAGES)],
    "hog": [HOG(n_cells=3, **IMAGES)],
    "pca": [PCA(9)],
    "autoencoder": [Autoencoder(n_components=4, hidden_layer_sizes=[20], max_epochs=1)],
    "umap": [UMAP(n_components=3, n_neighbors=5)],
    "deskew, hog, pca": [Deskew(**IMAGES), HOG(n_cells=2, **IMAGES), PCA(5)],
}
FEATURES = {"represented": Represented(), "pixels": PixelFeatures(), "centroid_distances": CentroidDistances()}
CLASSIFIERS = {
    "convnet": lambda: ConvNetClassifier(channels=[4, 4], hidden=8, n_steps=3, batch_size=8, **IMAGES),
    "knn": lambda: KNeighborsClassifier(),
    "logistic": lambda: LogisticRegression(max_iter=5),
    "mlp": lambda: MLPClassifier(**NETWORK),
    "self_training": lambda: SelfTrainingMLPClassifier(**NETWORK),
    "study_convnet": lambda: StudyConvNet(channels=[2], hidden=4, max_epochs=1, **IMAGES),
    "xgboost": lambda: XGBClassifier(n_estimators=3, reg_alpha=0),
    "xgboost_test_stopped": lambda: TestStoppedXGBClassifier(n_estimators=3, reg_alpha=0),
    "extra_trees": lambda: ExtraTreesClassifier(10),
    "kernel_logistic": KernelLogisticRegression,
    "auto": lambda: AutoClassifier(n_folds=2, max_compared=200),
}


@pytest.fixture(autouse=True)
def quick_umap(monkeypatch):
    """UMAP itself takes half a minute to import: three of the pixels are its coordinates."""
    monkeypatch.setattr("gpussl.backend.cpu.umap", lambda X, n_components, *_: X[:, 20 : 20 + n_components])


def fit_chain(chain, features):
    """The fitted steps, and the training points as classifiers see them."""
    steps, X = [], TRAIN
    for step in [] if features.of_pixels else chain:
        steps.append(step.fit(X, seed=0))
        X = steps[-1].transform_fitted(X)
    clustering = KMeans(n_clusters=6).fit(X, seed=0)
    steps.append(features.fit(X, clustering, 0))
    return tuple(steps), steps[-1].transform(X)


def model_of(steps, classifier):
    return Model(steps, classifier, DIGITS.class_names, 64, DIGITS.image_shape, DIGITS.max_value)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("chain", CHAINS)
def test_a_loaded_model_predicts_the_same_bytes_as_the_one_in_memory(tmp_path, chain, features):
    steps, X = fit_chain(CHAINS[chain], FEATURES[features])
    is_image = X.shape[1] == 64 and features != "centroid_distances"
    for name, make in CLASSIFIERS.items():
        classifier = make()
        if classifier.needs_images and not is_image:
            continue
        if classifier.stops_by_test_labels:
            classifier.watch = Watch(X[:20], lambda predicted: 0.5)
        model = model_of(steps, classifier.fit(X, some_labels(60)))
        store.save(tmp_path / f"{name}.safetensors", model)
        loaded = gpussl.load(tmp_path / f"{name}.safetensors")
        raw = DIGITS.X_test
        assert loaded.predict(raw).tobytes() == model.predict(raw).tobytes(), name
        probabilities = loaded.predict_proba(raw)
        assert probabilities.tobytes() == model.predict_proba(raw).tobytes(), name
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert loaded.predict(raw.reshape(-1, 8, 8)).tobytes() == model.predict(raw).tobytes()
        store.save(tmp_path / "again.safetensors", loaded)
        assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / f"{name}.safetensors").read_bytes()


def test_the_models_of_a_run_predict_class_names_from_what_the_data_source_gives(job, tmp_path):
    overrides = (
        "represent=[deskew,pca]",
        "represent.pca.n_components=9",
        "classifier=[logistic]",
        "propagate=[cluster]",
    )
    (row,) = run(job(*overrides, "baselines=none"), tmp_path)
    model = gpussl.load(tmp_path / "models" / "cluster-logistic.safetensors")
    said = model.predict(DIGITS.X_test)
    assert set(said) <= set(DIGITS.class_names)
    assert np.mean(said == np.array(DIGITS.class_names)[DIGITS.y_test]) == row.test_accuracy
    assert model.predict_proba(DIGITS.X_test).shape == (500, 10)


def test_classes_without_labels_have_no_probability():
    labels = np.where(DIGITS.y_train < 4, DIGITS.y_train, -1)
    model = model_of((), LogisticRegression(max_iter=5).fit(TRAIN, labels))
    probabilities = model.predict_proba(DIGITS.X_test)
    assert not probabilities[:, 4:].any()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert model.classes_.tolist() == list(DIGITS.class_names)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((3, 63)), r"X: expected shape \(n, 64\) or \(n, 8, 8\), found \(3, 63\)"),
        (np.zeros((3, 8, 9)), r"X: expected shape \(n, 64\) or \(n, 8, 8\), found \(3, 8, 9\)"),
        (np.full((3, 64), 255), "X: expected raw values from 0 to 16, found 255 to 255"),
        (np.full((3, 64), np.nan), "X: expected raw values from 0 to 16, found nan"),
        ("no points", "X: expected"),
    ],
)
def test_other_inputs_are_refused(raw, message):
    model = model_of((), KNeighborsClassifier().fit(TRAIN, some_labels(30)))
    with pytest.raises(InputError, match=message):
        model.predict(raw)


def test_a_umap_gives_training_points_their_own_coordinates_and_others_those_of_their_neighbours():
    points = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    umap = FittedUMAP(points, np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]], dtype=np.float32), n_neighbors=2)
    np.testing.assert_allclose(umap.transform(points), umap.embedding)
    # a quarter of the way from the first to the second: weights 1 / 0.25 and 1 / 0.75
    np.testing.assert_allclose(umap.transform(np.array([[0.25]], dtype=np.float32)), [[1.0, 0.0]], rtol=1e-6)
    assert umap.transform_fitted(points) is umap.embedding


def test_a_model_with_a_part_of_an_unknown_kind_is_refused(tmp_path):
    class Strange:
        kind = "strange"

    model = model_of((Strange(),), KNeighborsClassifier().fit(TRAIN, some_labels(30)))
    with pytest.raises(ConfigError, match="Strange"):
        store.save(tmp_path / "a.safetensors", model)
    assert not list(tmp_path.iterdir())
    (tmp_path / "b.safetensors").write_bytes(b"not one of ours")
    with pytest.raises(StoreError):
        gpussl.load(tmp_path / "b.safetensors")


def test_the_autoencoder_of_a_model_is_exact():
    fitted = Autoencoder(n_components=4, hidden_layer_sizes=[20], max_epochs=1).fit(TRAIN, seed=0)
    kind, arrays, values = store.pack(fitted)
    again = store.unpack(kind, dict(reversed(arrays.items())), values)
    assert again.transform(TEST).tobytes() == fitted.transform(TEST).tobytes()
