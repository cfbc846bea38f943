"""Gradient-boosted trees by XGBoost, where the data are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xgboost
from xgboost.callback import EarlyStopping

from gpussl import backend, seeds
from gpussl.classifier.base import BaseClassifier
from gpussl.classifier.holdout import split_groups
from gpussl.numeric.arrays import softmax
from gpussl.records import Array, OnProgress
from gpussl.runtime import console
from gpussl.runtime.params import check, param

FITTED = ("n_iter_", "best_iteration_", "validation_score_")


@dataclass(eq=False)
class XGBClassifier(BaseClassifier):
    """Trees added round by round until held-out labels gain no more.

    As many as did best are then grown anew from all labels.

    Parameters
    ----------
    n_estimators : int
        Rounds at most.
    learning_rate : float
    max_depth : int
    subsample, colsample_bytree : float
        Shares of the points and of the features that each tree sees.
    reg_alpha, reg_lambda : float
        L1 and L2 penalties of the leaves. A leaf must outweigh the first: with fewer than some twenty labels a class, 8
        leaves no split at all.
    max_bin : int
        Values that are told apart of each feature. XGBoost's own default is 256; with 64 trees of pixels grow in about
        half the time.
    tree_method : {"hist", "gpu_hist"}
        Two names of one method, the second from before XGBoost 2: trees are grown on the device the data are on.
    early_stopping_rounds : int
        Stop after so many rounds without gain.
    tol : float
        Log-loss that a gain must amount to, at the least. With none there are two to six times as many rounds, for a
        tenth of a point of accuracy.
    validation_fraction : float
        Share of the labels that is held out. Their log-loss says when to stop: the accuracy of a few dozen hardly tells
        one round from the next.
    random_state : int

    Attributes
    ----------
    booster_ : xgboost.Booster
    n_iter_ : int
        Rounds run until there was no more gain.
    best_iteration_ : int
        Rounds kept.
    validation_score_ : float
        The held-out log-loss then.

    References
    ----------
    Chen, Guestrin, "XGBoost: a scalable tree boosting system", KDD 2016.
    """

    kind: ClassVar[str] = "xgboost"

    n_estimators: int = param(10000, ge=1)
    learning_rate: float = param(0.08, gt=0)
    max_depth: int = param(10, ge=1)
    subsample: float = param(0.8, gt=0, le=1)
    colsample_bytree: float = param(0.8, gt=0, le=1)
    reg_alpha: float = param(8.0, ge=0)
    reg_lambda: float = param(2.0, ge=0)
    max_bin: int = param(64, ge=2)
    tree_method: str = param("hist", choices=("hist", "gpu_hist"))
    early_stopping_rounds: int = param(100, ge=1)
    tol: float = param(1e-3, ge=0)
    validation_fraction: float = param(0.1, gt=0, lt=1)
    random_state: int = 0

    allows_nan = True  # a missing value goes down a branch of its own

    def __post_init__(self) -> None:
        check(self)

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Find the number of rounds on held-out labels, then grow as many from all of them."""
        twin = backend.of(X)
        settings = self._settings(twin.DEVICE)
        rng = seeds.generator(self.random_state, "validation")
        train, held_out = split_groups(np.arange(len(y)) if groups is None else groups, self.validation_fraction, rng)
        self._stop_early(
            settings | {"eval_metric": "mlogloss"},
            self._matrix(X[twin.asarray(train), :], y[train], _at(weights, train)),
            xgboost.DMatrix(X[twin.asarray(held_out), :], label=y[held_out], weight=_at(weights, held_out)),
            EarlyStopping(rounds=self.early_stopping_rounds, min_delta=self.tol),
            on_progress,
        )
        progress = _Progress(self.best_iteration_, on_progress)
        matrix = self._matrix(X, y, weights)
        self.booster_ = xgboost.train(settings, matrix, self.best_iteration_, callbacks=[progress])
        self._warn_of_stumps(len(y))

    def _warn_of_stumps(self, n_labels: int) -> None:
        """Say so where no tree has a split."""
        if not self.booster_.get_score():
            console.say(
                f"xgboost: no tree has a split, so every point gets one class: {n_labels} labels are too few for "
                f"reg_alpha={self.reg_alpha:g}; lower it"
            )

    def _predict(self, X: Array) -> Array:
        twin = backend.of(X)
        self.booster_.set_param({"device": twin.DEVICE})
        return twin.asarray(self.booster_.inplace_predict(X)).astype(np.int64)

    def _predict_proba(self, X: Array) -> Array:
        twin = backend.of(X)
        self.booster_.set_param({"device": twin.DEVICE})
        return softmax(twin.asarray(self.booster_.inplace_predict(X, predict_type="margin")))

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The trees are bytes of UBJSON."""
        trees = np.frombuffer(self.booster_.save_raw("ubj"), dtype=np.uint8)
        return {"booster_": trees}, {name: getattr(self, name) for name in FITTED}

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        self.booster_ = xgboost.Booster()
        self.booster_.load_model(bytearray(arrays["booster_"].tobytes()))

    def _stop_early(
        self,
        settings: dict[str, Any],
        learnt: xgboost.QuantileDMatrix,
        watched: xgboost.DMatrix,
        stop: EarlyStopping,
        on_progress: OnProgress | None,
        custom_metric: Callable[[np.ndarray, xgboost.DMatrix], tuple[str, float]] | None = None,
    ) -> xgboost.Booster:
        """The trees of all rounds until `stop` says that there was no more gain, and which round was the best."""
        booster = xgboost.train(
            settings,
            learnt,
            self.n_estimators,
            evals=[(watched, "watched")],
            custom_metric=custom_metric,
            callbacks=[_Progress(self.n_estimators, on_progress), stop],
            verbose_eval=False,
        )
        self.n_iter_ = booster.num_boosted_rounds()
        self.best_iteration_ = booster.best_iteration + 1
        self.validation_score_ = float(booster.best_score)
        return booster

    def _matrix(self, X: Array, encoded: np.ndarray, weights: np.ndarray | None) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(X, label=encoded, weight=weights, max_bin=self.max_bin)

    def _settings(self, device: str) -> dict[str, Any]:
        """The parameters under XGBoost's names."""
        return {
            "objective": "multi:softmax",
            "num_class": len(self.classes_),
            "device": device,
            "tree_method": "hist",
            "seed": self.random_state,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_alpha": self.reg_alpha,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
        }


def _at(weights: np.ndarray | None, positions: np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[positions]


class _Progress(xgboost.callback.TrainingCallback):
    """Tells how many rounds are run, and the score of the last."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total, on_progress

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if self._on_progress is not None:
            self._on_progress(epoch + 1, self._total, self._note(evals_log))
        return False

    @staticmethod
    def _note(evals_log: Any) -> str:
        if not evals_log:
            return "once more, with all labels"
        ((metric, scores),) = evals_log["watched"].items()
        return f"{metric} {scores[-1]:.4f}"
