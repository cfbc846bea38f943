"""Boosted trees as studies often train them: the test labels say when to stop."""

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
    """Trees added round by round until the accuracy on test labels gains no more; the rounds up to the best are kept.

    That flatters: the accuracy it ends with is not one on unseen data. The settings are `XGBClassifier`'s; `tol` and
    `validation_fraction` play no part.

    Attributes
    ----------
    watch : Watch
        The test points, and the function that scores predictions for them: set before `fit`.
    """

    __test__ = False  # no test of pytest's

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
