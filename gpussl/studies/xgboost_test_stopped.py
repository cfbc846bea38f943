"""Boosted trees with early stopping on the test labels, as in many studies."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xgboost
from xgboost.callback import EarlyStopping

from gpussl import backend
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.errors import ConfigError
from gpussl.records import Array, OnProgress
from gpussl.studies.watch import Watch


@dataclass(eq=False)
class TestStoppedXGBClassifier(XGBClassifier):
    """Gradient-boosted trees; training stops when the accuracy on the test labels no longer improves.

    The best rounds are kept. The test accuracy is biased upwards, because the test labels chose the number of rounds.
    The settings are those of `XGBClassifier`; `tol` and `validation_fraction` are ignored.

    Attributes
    ----------
    watch : Watch
        The test points and the function that scores predictions for them; set before `fit`.

    Examples
    --------
    >>> X, y = np.arange(40.0)[:, None], np.repeat([0, 1], 20)
    >>> model = TestStoppedXGBClassifier(n_estimators=5, reg_alpha=0)
    >>> model.watch = Watch(np.array([[3.0], [30.0]]), lambda classes: float(np.mean(classes == np.array([0, 1]))))
    >>> model.fit(X, y).validation_score_, model.best_iteration_
    (1.0, 1)
    """

    __test__ = False  # not a test class for pytest

    kind: ClassVar[str] = "xgboost_test_stopped"
    stops_by_test_labels: ClassVar[bool] = True
    watch: ClassVar[Watch | None] = None

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        if self.watch is None:
            raise ConfigError("classifier=xgboost_test_stopped: expected test points to watch, found none")
        score, settings = self.watch.score, self._settings(backend.of(X).DEVICE)
        booster = self._stop_early(
            settings | {"disable_default_eval_metric": True},
            self._matrix(X, y, weights),
            xgboost.DMatrix(self.watch.X),
            EarlyStopping(rounds=self.early_stopping_rounds, maximize=True),
            on_progress,
            lambda found, _: ("accuracy", score(self.classes_[found.astype(np.int64)])),
        )
        self.booster_ = booster[: self.best_iteration_]  # `predict` and `save_raw` take all rounds
        self._warn_of_stumps(len(y))
