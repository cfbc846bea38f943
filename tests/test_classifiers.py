"""What all classifiers have in common: inputs, weights, probabilities."""

import numpy as np
import pytest
from sklearn.base import clone

from gpussl.classifier.auto import AutoClassifier
from gpussl.classifier.convnet import ConvNetClassifier
from gpussl.classifier.extra_trees import ExtraTreesClassifier
from gpussl.classifier.kernel_logistic import KernelLogisticRegression
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.self_training import SelfTrainingMLPClassifier
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.studies.study_convnet import StudyConvNet
from tests.digits import IMAGES as DIGITS
from tests.digits import NAMES


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(C=3.0),
        MLPClassifier(dropout=0.5),
        KNeighborsClassifier(5),
        XGBClassifier(max_depth=3),
        StudyConvNet(hidden=8),
    ],
)
def test_models_clone_as_scikit_learns_do(model):
    assert clone(model).get_params() == model.get_params()


def test_another_number_of_features_is_refused():
    model = MLPClassifier(hidden_layer_sizes=[8], max_epochs=1).fit(DIGITS[:100], NAMES[:100])
    with pytest.raises(ValueError, match=r"X: expected shape \(n, 64\), found \(100, 10\)"):
        model.predict(DIGITS[:100, :10])


COUNTING = {  # those that heed weights
    "logistic": lambda: LogisticRegression(),
    "mlp": lambda: MLPClassifier(hidden_layer_sizes=[64, 32], max_epochs=6),
    "xgboost": lambda: XGBClassifier(n_estimators=20, reg_alpha=0.1, max_depth=4, learning_rate=0.3),
    "self_training": lambda: SelfTrainingMLPClassifier(hidden_layer_sizes=[64, 32], max_epochs=6),
    "convnet": lambda: ConvNetClassifier(channels=[4, 8], n_steps=12, batch_size=32, unlabelled_ratio=1),
}

COUNTING |= {
    "kernel_logistic": lambda: KernelLogisticRegression(),
    "auto": lambda: AutoClassifier(n_folds=2),
}
OTHERS = {
    "knn": lambda: KNeighborsClassifier(3),
    "extra_trees": lambda: ExtraTreesClassifier(10),
    "study_convnet": lambda: StudyConvNet(channels=[2], max_epochs=2),
}


def fitted(model):
    """All that a model has learnt, as bytes."""
    arrays, _ = model.pack()
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("name", [*COUNTING, *OTHERS])
def test_weights_of_one_change_nothing(name):
    make, n = (COUNTING | OTHERS)[name], 200
    weights = np.ones(n, dtype=np.float32)
    models = [make().fit(DIGITS[:n], NAMES[:n], each, groups=np.arange(n)) for each in (None, weights)]
    assert fitted(models[0]) == fitted(models[1])


@pytest.mark.parametrize("name", ["logistic", "mlp", "xgboost"])
def test_a_point_of_weight_nought_is_not_there(name):
    n, rng = 300, np.random.default_rng(0)
    weights = rng.choice([0, 0.5, 1], n).astype(np.float32)
    y, there = np.where(weights == 0, 77, NAMES[:n]), weights > 0
    whole = COUNTING[name]().fit(DIGITS[:n], y, weights, groups=np.arange(n))
    part = COUNTING[name]().fit(DIGITS[:n][there], y[there], weights[there], groups=np.arange(n)[there])
    assert fitted(whole) == fitted(part)
    assert 77 not in whole.classes_


@pytest.mark.parametrize("name", ["convnet", "self_training"])
def test_to_what_learns_from_all_points_one_of_weight_nought_is_an_unlabelled_one(name):
    make, n = COUNTING[name], 150
    weights = np.where(np.arange(n) < 60, np.where(np.arange(n) % 2, 1, 0.5), 0).astype(np.float32)
    y = np.where(weights == 0, -1, NAMES[:n])
    whole, part = (make().fit(DIGITS[:n], each, weights) for each in (NAMES[:n], y))
    assert fitted(whole) == fitted(part)
    assert fitted(whole) != fitted(make().fit(DIGITS[:n], y))


@pytest.mark.parametrize("name", list(COUNTING))
def test_wrong_labels_do_less_harm_with_less_weight(name):
    rng, n = np.random.default_rng(0), 400 if name == "auto" else 1000  # auto is many classifiers
    is_wrong = rng.random(n) < 0.5
    y = np.where(is_wrong, (NAMES[:n] + rng.integers(1, 4, n)) % 10, NAMES[:n])
    weights = np.where(is_wrong, 0.02, 1).astype(np.float32)
    make = COUNTING[name]
    if name == "convnet":
        make = lambda: ConvNetClassifier(channels=[8, 16], n_steps=150, unlabelled_ratio=0)  # noqa: E731
    plain, weighed = (make().fit(DIGITS[:n], y, sample_weight=each) for each in (None, weights))
    right = [np.mean(model.predict(DIGITS[1000:]) == NAMES[1000:]) for model in (plain, weighed)]
    assert right[1] > right[0] + 0.03


@pytest.mark.parametrize("name", list(COUNTING))
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(19), r"sample_weight: expected shape \(20,\), found \(19,\)"),
        (-np.ones(20), "sample_weight: expected numbers of at least 0"),
        (np.full(20, np.nan), "sample_weight: expected numbers of at least 0"),
    ],
)
def test_weights_that_are_none_are_refused(name, weights, message):
    with pytest.raises(ValueError, match=message):
        COUNTING[name]().fit(DIGITS[:20], NAMES[:20], sample_weight=weights)
