"""What all classifiers take, refuse and answer, as those who know scikit-learn expect it."""

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import NotFittedError

from gpussl.errors import ConfigError, InputError
from gpussl.studies.watch import Watch
from tests.digits import DIGITS, TRAIN, some_labels
from tests.test_model import CLASSIFIERS

LABELS = some_labels(60)
IS_LABELLED = LABELS != -1


@pytest.fixture(params=CLASSIFIERS)
def make(request):
    """A function that makes an untrained classifier."""

    def classifier():
        model = CLASSIFIERS[request.param]()
        if model.stops_by_test_labels:
            model.watch = Watch(TRAIN[:20], lambda predicted: 0.5)
        return model

    return classifier


def test_probabilities_have_a_column_for_each_class_and_sum_to_one(make):
    model = make().fit(TRAIN, LABELS)
    probabilities = model.predict_proba(TRAIN)
    assert probabilities.shape == (len(TRAIN), len(model.classes_))
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    likeliest = probabilities.max(axis=1)
    said = probabilities[np.arange(len(TRAIN)), np.searchsorted(model.classes_, model.predict(TRAIN))]
    np.testing.assert_allclose(said, likeliest, atol=1e-6)
    assert model.n_features_in_ == 64


def test_minus_one_is_no_class(make):
    model = make().fit(TRAIN, LABELS)
    assert set(model.classes_) == set(LABELS[IS_LABELLED])
    assert set(model.predict(TRAIN)) <= set(model.classes_)
    if not model.learns_from_unlabelled:
        alone = make().fit(TRAIN[IS_LABELLED], LABELS[IS_LABELLED])
        np.testing.assert_array_equal(model.predict(TRAIN), alone.predict(TRAIN))


def test_classes_may_be_texts_even_one_that_reads_minus_one(make):
    names = np.array(["-1", "cat", "dog"])[DIGITS.y_train % 3]
    model = make().fit(TRAIN, names)
    assert model.classes_.tolist() == ["-1", "cat", "dog"]
    assert set(model.predict(TRAIN[:50])) <= {"-1", "cat", "dog"}
    numbers = make().fit(TRAIN, DIGITS.y_train % 3).predict(TRAIN[:50])
    assert model.predict(TRAIN[:50]).tolist() == [["-1", "cat", "dog"][number] for number in numbers]


def test_texts_may_stand_beside_minus_one_for_what_is_not_known(make):
    names = np.array([str(label) if label >= 0 else -1 for label in LABELS], dtype=object)
    assert -1 not in make().fit(TRAIN, names).classes_.tolist()


def test_lists_are_taken(make):
    model = make().fit(TRAIN[:40].tolist(), DIGITS.y_train[:40].tolist())
    np.testing.assert_array_equal(model.predict(TRAIN[:5].tolist()), model.predict(TRAIN[:5]))


class Frame:
    """As a DataFrame: not an array, but NumPy makes one of it."""

    def __array__(self, dtype=None, copy=None):
        return TRAIN[:40].astype(dtype or np.float64)


def test_what_numpy_makes_an_array_of_is_taken(make):
    assert make().fit(Frame(), DIGITS.y_train[:40]).predict(Frame()).shape == (40,)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "pack"])
def test_an_unfitted_model_says_so(make, method):
    arguments = () if method == "pack" else (TRAIN,)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(make(), method)(*arguments)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TRAIN[:40, 0], DIGITS.y_train[:40], r"X: expected shape \(n, d\), found \(40,\)"),
        (TRAIN[:40], DIGITS.y_train[:30], r"y: expected a label for each of the 40 points, found shape \(30,\)"),
        (TRAIN[:40], np.full(40, -1), "y: expected labels of at least two classes, found no labels"),
        (TRAIN[:40], np.full(40, 3), "y: expected labels of at least two classes, found 3"),
    ],
)
def test_what_does_not_fit_together_is_refused(make, X, y, message):
    with pytest.raises(InputError, match=message):
        make().fit(X, y)


def test_another_width_is_refused(make):
    model = make().fit(TRAIN[:40], DIGITS.y_train[:40])
    with pytest.raises(ValueError, match=r"X: expected shape \(n, 64\), found \(3, 10\)"):
        model.predict(TRAIN[:3, :10])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused_or_missing(make, value):
    broken = TRAIN[:40].copy()
    broken[7, 3] = value
    if make().allows_nan:
        if np.isnan(value):
            assert make().fit(broken, DIGITS.y_train[:40]).predict(broken).shape == (40,)
        return
    with pytest.raises(InputError, match=r"X: expected finite numbers, found NaN or infinity, first in row 7"):
        make().fit(broken, DIGITS.y_train[:40])
    with pytest.raises(InputError, match=r"X: expected finite numbers, found NaN or infinity, first in row 7"):
        make().fit(TRAIN[:40], DIGITS.y_train[:40]).predict(broken)


def test_settings_are_checked_when_they_are_used(make):
    model = make()
    for name in ("C", "n_neighbors", "batch_size", "n_estimators"):
        if name in model.get_params():
            with pytest.raises(ConfigError, match=f"{name}: expected"):
                model.set_params(**{name: -1}).fit(TRAIN, LABELS)


def test_a_clone_is_unfitted_and_has_the_same_settings(make):
    model = make().fit(TRAIN[:40], DIGITS.y_train[:40])
    clone = sklearn.clone(model)
    assert clone.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        clone.predict(TRAIN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"y": np.where(IS_LABELLED, LABELS, np.nan)},
            "y: expected numbers or strings, and -1 where a label is unknown",
        ),
        ({"y": np.array([None, *LABELS[1:]], dtype=object)}, "y: expected numbers or strings"),
        ({"y": np.array([b"a", b"b"] * 648 + [b"a"])}, "y: expected numbers or strings"),
        ({"groups": np.zeros(3)}, r"groups: expected shape \(1297,\), found \(3,\)"),
        ({"sample_weight": np.full(1297, np.inf)}, "sample_weight: expected numbers of at least 0"),
        ({"X": np.full((1297, 64), "ink")}, "X: expected numbers, found others"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_in_one_line(make, arguments, message):
    given = {"X": TRAIN, "y": LABELS, **arguments}
    model = make()
    with pytest.raises(InputError, match=message):
        model.fit(given.pop("X"), given.pop("y"), **given)
    with pytest.raises(NotFittedError):
        model.predict(TRAIN)


def test_a_setting_of_another_type_is_refused(make):
    model = make()
    for name in ("C", "n_neighbors", "batch_size", "n_estimators"):
        if name in model.get_params():
            for value in ("1", None) if model.get_params()[name] is not None else ("1",):
                with pytest.raises(ConfigError, match=f"{name}: expected a"):
                    model.set_params(**{name: value}).fit(TRAIN, LABELS)


def test_numbers_among_objects_stay_numbers(make):
    names = np.array(DIGITS.y_train % 2, dtype=object)
    model = make().fit(TRAIN, names)
    again = type(model).unpack(*model.pack())
    assert model.classes_.tolist() == again.classes_.tolist() == [0, 1]


def test_of_no_points_there_is_nothing_to_say(make):
    model = make().fit(TRAIN, LABELS)
    assert model.predict(TRAIN[:0]).shape == (0,)
    assert model.predict_proba(TRAIN[:0]).shape == (0, len(model.classes_))
