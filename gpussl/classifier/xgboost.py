"""Gradient-boosted trees by XGBoost, where the data are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from xgboost.callback import EarlyStopping

from gpussl import backend, seeds
from gpussl.classifier.holdout import split_groups
from gpussl.classifier.weights import settle
from gpussl.records import Array, OnProgress, Watch
from gpussl.runtime import console
from gpussl.runtime.params import check, param

FITTED = ("n_iter_", "best_iteration_", "validation_score_")


@dataclass(eq=False)
class XGBClassifier(ClassifierMixin, BaseEstimator):
    """Trees added round by round until another set of labels gains no more; the rounds up to the best one are kept.

    Where that set is a share of the bought labels, the trees kept are as many, grown anew from all of them.

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
    stopping : {"bought", "test"}
        Which labels say so: a share of the bought ones, by their log-loss, for the accuracy of a few dozen hardly tells
        one round from the next; or those of the test set, by their accuracy. The second is how studies often do it, and
        flatters: the accuracy it ends with is not one on unseen data.
    validation_fraction : float
        Share of the bought labels that is held out, where they say so.
    random_state : int

    Attributes
    ----------
    booster_ : xgboost.Booster
    classes_ : (n_classes,) int array, on the host
    n_iter_ : int
        Rounds run until there was no more gain.
    best_iteration_ : int
        Rounds kept.
    validation_score_ : float
        Log-loss, or accuracy of the test labels, then.

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
    stopping: str = param("bought", choices=("bought", "test"))
    validation_fraction: float = param(0.1, gt=0, lt=1)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def fit(
        self,
        X: Array,
        y: Array,
        groups: Array | None = None,
        weights: Array | None = None,
        on_progress: OnProgress | None = None,
        watch: Watch | None = None,
    ) -> "XGBClassifier":
        """Fit to (n, d) points and their (n,) labels.

        Parameters
        ----------
        groups : (n,) int array, optional
            Points of one group are held out together.
        weights : (n,) float array, optional
            What each point's loss is multiplied by, where it is learnt from and where it is held out.
        on_progress : callable, optional
            Called after each round with the rounds run, the rounds there are at most, and the score.
        watch : Watch, optional
            The points and the score that say when to stop; a share of the bought labels, where there is none.
        """
        twin = backend.of(X)
        X, y, groups, weights = settle(X, y, groups, weights)
        counted = None if weights is None else twin.to_numpy(weights)
        self.classes_, encoded = np.unique(twin.to_numpy(y), return_inverse=True)
        settings = self._settings(twin.DEVICE)
        if watch is None:
            rng = seeds.generator(self.random_state, "validation")
            names = np.arange(len(encoded)) if groups is None else twin.to_numpy(groups)
            train, held_out = split_groups(names, self.validation_fraction, rng)
            self._stop_early(
                settings | {"eval_metric": "mlogloss"},
                self._matrix(X[twin.asarray(train), :], encoded[train], _at(counted, train)),
                xgboost.DMatrix(X[twin.asarray(held_out), :], label=encoded[held_out], weight=_at(counted, held_out)),
                EarlyStopping(rounds=self.early_stopping_rounds, min_delta=self.tol),
                on_progress,
            )
            progress = _Progress(self.best_iteration_, on_progress)
            self.booster_ = xgboost.train(
                settings, self._matrix(X, encoded, counted), self.best_iteration_, callbacks=[progress]
            )
        else:
            score = watch.score
            booster = self._stop_early(
                settings | {"disable_default_eval_metric": True},
                self._matrix(X, encoded, counted),
                xgboost.DMatrix(watch.X),
                EarlyStopping(rounds=self.early_stopping_rounds, maximize=True),
                on_progress,
                lambda found, _: ("accuracy", score(self.classes_[found.astype(np.int64)])),
            )
            self.booster_ = booster[: self.best_iteration_]  # `predict` and `save_raw` take all rounds
        if not self.booster_.get_score():
            console.say(
                f"xgboost: no tree has a split, so every point gets one class: {len(encoded)} labels are too few for "
                f"reg_alpha={self.reg_alpha:g}; lower it"
            )
        return self

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes, where `X` is."""
        twin = backend.of(X)
        self.booster_.set_param({"device": twin.DEVICE})
        found = twin.asarray(self.booster_.inplace_predict(X))
        return twin.asarray(self.classes_)[found.astype(np.int64)]

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of: the trees as bytes of UBJSON."""
        fitted = {name: getattr(self, name) for name in FITTED}
        trees = np.frombuffer(self.booster_.save_raw("ubj"), dtype=np.uint8)
        return {"booster_": trees, "classes_": self.classes_}, {"params": self.get_params(), "fitted": fitted}

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "XGBClassifier":
        """The inverse of `pack`. ValueError if the bytes are no trees."""
        model = cls(**values["params"])
        for name in FITTED:
            setattr(model, name, values["fitted"][name])
        model.classes_ = arrays["classes_"]
        model.booster_ = xgboost.Booster()
        model.booster_.load_model(bytearray(arrays["booster_"].tobytes()))
        return model

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
        return f"accuracy {scores[-1]:.1%}" if metric == "accuracy" else f"held-out log-loss {scores[-1]:.4f}"
