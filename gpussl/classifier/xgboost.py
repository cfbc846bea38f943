"""Gradient-boosted trees by XGBoost, on the device of the data."""

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
    """Gradient-boosted trees; held-out labels determine the number of rounds.

    Rounds are added until the log-loss of the held-out labels no longer improves. The best number of rounds is then
    trained again on all labels. With too few labels for a hold-out, the number of rounds is fixed.

    Parameters
    ----------
    n_estimators : int
        Upper limit of the number of rounds.
    learning_rate : float
    max_depth : int
    subsample, colsample_bytree, colsample_bynode : float
        Shares of the points used for each tree, and of the features for each tree and split.
    min_child_weight : float
        Smallest sum of the second derivatives in a leaf: at most 0.5 for each point, and far less with many classes.
        XGBoost's default of 1 prevents every split of a few labels.
    reg_alpha, reg_lambda : float
        L1 and L2 penalties on leaf values. A leaf has the value 0 if the gradients of its points do not sum to more
        than `reg_alpha`: with fewer than about twenty labels per class, 8 prevents every split.
    max_bin : int
        Number of histogram bins for each feature. XGBoost's default is 256; with 64, trees over pixels take about half
        the time.
    tree_method : {"hist", "gpu_hist"}
        Two names for one method, the second from before XGBoost 2. The device of the data decides where it runs.
    early_stopping_rounds : int
        Number of rounds without improvement after which training stops.
    tol : float
        Smallest decrease in log-loss that counts as an improvement. With 0 there are two to six times as many rounds,
        for a tenth of a point of accuracy.
    validation_fraction : float
        Share of the labels that is held out. Log-loss decides when to stop, because the accuracy on a few dozen labels
        hardly changes from round to round.
    few_rounds, min_held_out : int
        Number of rounds where fewer labels than `min_held_out` would be held out, and so none is.
    random_state : int

    Attributes
    ----------
    booster_ : xgboost.Booster
    n_iter_ : int
        Number of rounds run before training stopped.
    best_iteration_ : int
        Number of rounds kept.
    validation_score_ : float or None
        The held-out log-loss after the rounds kept; None without a hold-out.

    References
    ----------
    Chen, Guestrin, "XGBoost: a scalable tree boosting system", KDD 2016.

    Examples
    --------
    >>> X, y = np.arange(40.0)[:, None], ["low"] * 20 + ["high"] * 20
    >>> XGBClassifier(n_estimators=5, reg_alpha=0).fit(X, y).predict([[3.0], [30.0]]).tolist()
    ['low', 'high']
    """

    kind: ClassVar[str] = "xgboost"

    n_estimators: int = param(10000, ge=1)
    learning_rate: float = param(0.15, gt=0)
    max_depth: int = param(6, ge=1)
    subsample: float = param(0.7, gt=0, le=1)
    colsample_bytree: float = param(1.0, gt=0, le=1)
    colsample_bynode: float = param(0.3, gt=0, le=1)
    min_child_weight: float = param(0.01, ge=0)
    reg_alpha: float = param(0.0, ge=0)
    reg_lambda: float = param(1.0, ge=0)
    max_bin: int = param(64, ge=2)
    tree_method: str = param("hist", choices=("hist", "gpu_hist"))
    early_stopping_rounds: int = param(100, ge=1)
    tol: float = param(1e-3, ge=0)
    validation_fraction: float = param(0.1, gt=0, lt=1)
    few_rounds: int = param(200, ge=1)
    min_held_out: int = param(50, ge=0)
    random_state: int = 0

    allows_nan = True  # each split learns a branch for missing values

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
        """Find the number of rounds, then train as many on all labels."""
        twin = backend.of(X)
        settings = self._settings(twin.DEVICE)
        of_labels = np.arange(len(y)) if groups is None else groups
        if self.validation_fraction * len(np.unique(of_labels)) < self.min_held_out:
            self.n_iter_ = self.best_iteration_ = min(self.few_rounds, self.n_estimators)
            self.validation_score_: float | None = None
        else:
            self._find_rounds(X, y, weights, of_labels, settings, on_progress)
        progress = _Progress(self.best_iteration_, on_progress)
        matrix = self._matrix(X, y, weights)
        self.booster_ = xgboost.train(settings, matrix, self.best_iteration_, callbacks=[progress])
        self._warn_of_stumps(len(y))

    def _find_rounds(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray,
        settings: dict[str, Any],
        on_progress: OnProgress | None,
    ) -> None:
        """Train without some of the groups, until their log-loss no longer improves."""
        twin, rng = backend.of(X), seeds.generator(self.random_state, "validation")
        train, held_out = split_groups(y, groups, self.validation_fraction, rng)
        self._stop_early(
            settings | {"eval_metric": "mlogloss"},
            self._matrix(X[twin.asarray(train), :], y[train], _at(weights, train)),
            xgboost.DMatrix(X[twin.asarray(held_out), :], label=y[held_out], weight=_at(weights, held_out)),
            EarlyStopping(rounds=self.early_stopping_rounds, min_delta=self.tol),
            on_progress,
        )

    def _warn_of_stumps(self, n_labels: int) -> None:
        """Print a warning if no tree has a split."""
        if not self.booster_.get_score():
            console.say(
                f"xgboost: no tree has a split, so all points get the same class: {n_labels} labels are too few for "
                f"reg_alpha={self.reg_alpha:g}; lower it"
            )

    def _predict(self, X: Array) -> Array:
        twin = backend.of(X)
        self.booster_.set_param({"device": twin.DEVICE})
        return twin.asarray(self.booster_.inplace_predict(X)).astype(np.int64)

    def _predict_proba(self, X: Array) -> Array:
        twin = backend.of(X)
        self.booster_.set_param({"device": twin.DEVICE})
        margins = twin.asarray(self.booster_.inplace_predict(X, predict_type="margin"))
        return softmax(margins.reshape(-1, len(self.classes_)))

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Pack the trees as bytes of UBJSON."""
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
        """Train until `stop` ends it, record the number of rounds and the best one, and return all rounds."""
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
        """The parameters by XGBoost's names."""
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
            "colsample_bynode": self.colsample_bynode,
            "min_child_weight": self.min_child_weight,
            "reg_alpha": self.reg_alpha,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
        }


def _at(weights: np.ndarray | None, positions: np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[positions]


class _Progress(xgboost.callback.TrainingCallback):
    """Reports the number of rounds run and the latest score."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total, on_progress

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if self._on_progress is not None:
            self._on_progress(epoch + 1, self._total, self._note(evals_log))
        return False

    @staticmethod
    def _note(evals_log: Any) -> str:
        if not evals_log:
            return "final training on all labels"
        ((metric, scores),) = evals_log["watched"].items()
        return f"accuracy {scores[-1]:.1%}" if metric == "accuracy" else f"held-out log-loss {scores[-1]:.4f}"
