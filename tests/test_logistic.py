"""Logistic regression, against scikit-learn's."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.neighbors
from threadpoolctl import threadpool_limits

from gpussl.backend import cpu, logistic
from gpussl.classifier.logistic import LogisticRegression
from tests.digits import IMAGES as DIGITS
from tests.digits import NAMES


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("classes", [range(10), [3, 8]])
def test_logistic_regression_predicts_as_scikit_learns(classes, power):
    of_these = np.isin(NAMES, list(classes))
    X, y = DIGITS[of_these], NAMES[of_these]
    ours = LogisticRegression(power, "none", C=0.2).fit(X - 0.5, y)
    features = np.sign(X - 0.5) * np.abs(X - 0.5) ** power
    theirs = sklearn.linear_model.LogisticRegression(C=0.2, max_iter=100, tol=1e-3).fit(features, y)
    np.testing.assert_array_equal(ours.predict(X - 0.5), theirs.predict(features))
    np.testing.assert_allclose(
        ours.decision_function(X - 0.5), theirs.decision_function(features), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("classes", [range(10), [3, 8]])
def test_logistic_regression_converges_to_scikit_learns(classes):
    of_these = np.isin(NAMES, list(classes))
    X, y = DIGITS[of_these].astype(np.float64), NAMES[of_these]
    ours = cpu.LogisticRegression(C=0.5, max_iter=5000, tol=1e-7).fit(X, y)
    theirs = sklearn.linear_model.LogisticRegression(C=0.5, max_iter=5000, tol=1e-7).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-3)


def test_logistic_regression_is_the_same_in_any_number_of_blocks_and_threads(monkeypatch):
    found = []
    for rows, n_threads in ((100, 1), (100, 3), (10_000, 1)):
        monkeypatch.setattr(logistic, "BLOCK_ROWS", rows)
        monkeypatch.setattr(logistic, "N_PARTS", 4)
        with threadpool_limits(n_threads, user_api="blas"):
            found.append(LogisticRegression(max_iter=30).fit(DIGITS, NAMES).coef_)
    assert found[0].tobytes() == found[1].tobytes()
    np.testing.assert_allclose(found[2], found[0], atol=0.02)


def test_logistic_regression_refuses_what_it_cannot_learn():
    broken = DIGITS.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="X: expected finite numbers, found NaN or infinity"):
        LogisticRegression().fit(broken, NAMES)
    with pytest.raises(ValueError, match=r"y: expected a label for each of the 1,797 points, found shape \(1797, 1\)"):
        LogisticRegression().fit(DIGITS, NAMES[:, None])
    with pytest.raises(ValueError, match="y: expected labels of at least two classes, found 0"):
        LogisticRegression().fit(DIGITS, np.zeros(len(DIGITS)))


@pytest.mark.parametrize("classes", [range(10), [3, 8]])
def test_to_logistic_regression_a_point_of_weight_two_is_two_points(classes):
    of_these = np.isin(NAMES, list(classes))
    X, y = DIGITS[of_these][:400].astype(np.float64), NAMES[of_these][:400]
    times = np.random.default_rng(0).integers(1, 4, len(X))
    settings = {"C": 0.5, "max_iter": 3000, "tol": 1e-8}
    weighed = LogisticRegression(**settings).fit(X, y, sample_weight=times.astype(np.float64))
    copied = LogisticRegression(**settings).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighed.coef_, copied.coef_, atol=1e-4)
    theirs = sklearn.linear_model.LogisticRegression(**settings).fit(X, y, sample_weight=times)
    weighed = LogisticRegression(**settings, scale="none").fit(X, y, sample_weight=times.astype(np.float64))
    np.testing.assert_allclose(weighed.coef_, theirs.coef_, atol=1e-4)
