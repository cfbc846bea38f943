"""The classifier that suits the labels: several are compared by cross-validation."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from sklearn.base import clone

from gpussl import backend, seeds
from gpussl.classifier.base import BaseClassifier
from gpussl.classifier.extra_trees import ExtraTreesClassifier
from gpussl.classifier.holdout import stratified_folds
from gpussl.classifier.kernel_logistic import KernelLogisticRegression
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.records import Array, OnProgress
from gpussl.runtime import store
from gpussl.runtime.params import check, param

ENOUGH_TO_COMPARE, ENOUGH_FOR_A_NETWORK = 20, 1000  # labels
MOST_FOR_BOOSTING = 200  # features; with more, boosted trees take longer than all others
TEMPERATURES = np.geomspace(0.1, 10, 41)
FLOOR = 1e-3  # a probability of 0 would make one surprise infinitely bad

Candidates = dict[str, BaseClassifier]


@dataclass(eq=False)
class AutoClassifier(BaseClassifier):
    """The mean of the classifiers that the labels cannot tell from the best one.

    Candidates of different kinds are compared by cross-validation on the labels: logistic regression, extremely
    randomised trees, nearest neighbours, logistic regression of a kernel, for at most 200 features boosted trees, for
    features that are never negative logistic regression of their square roots, and with at least 1,000 labels a
    multilayer perceptron. The probabilities of each
    are calibrated on the held-out labels. The candidates whose log-loss is within `n_errors` standard errors of the
    lowest one are fitted to all labels; the prediction is the mean of their probabilities, calibrated again. With few
    labels many candidates are averaged, which is safer than choosing one; with many labels the best one is left. Fewer
    than 20 labels are too few to choose by: the first two candidates are averaged.

    Parameters
    ----------
    n_folds : int
    n_errors : float
        Standard errors of the difference, over labels.
    max_compared : int
        Number of labels, at most, that candidates are compared on; the models are fitted to all.
    random_state : int

    Attributes
    ----------
    members_ : list of BaseClassifier
        The fitted models that are averaged.
    compared_ : list of dict
        The comparison: `name`, `accuracy` and `log_loss` of each candidate in cross-validation, the `standard_error` of
        its difference to the lowest log-loss, and whether it `is_used`.
    temperatures_, temperature_ : list of float, float
        The powers to which probabilities are raised are the inverses: of each member, and of their mean.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, "Classification and regression trees", 1984 (the one-standard-error rule).
    Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> model = AutoClassifier().fit(X, np.where(X[:, 0] < 0, "low", "high"))
    >>> model.predict([[-0.9], [0.9]]).tolist()
    ['low', 'high']
    >>> [row["name"] for row in model.compared_]
    ['logistic', 'extra_trees', 'knn', 'kernel_logistic', 'xgboost']
    """

    kind: ClassVar[str] = "auto"

    n_folds: int = param(5, ge=2)
    n_errors: float = param(1.0, ge=0)
    max_compared: int = param(2000, ge=10)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def candidates(self, X: Array, n_labels: int) -> Candidates:
        """The unfitted candidates for (n, d) points and a number of labels, by name."""
        seed = self.random_state
        found: Candidates = {
            "logistic": LogisticRegression(),
            "extra_trees": ExtraTreesClassifier(random_state=seed),
        }
        if n_labels < ENOUGH_TO_COMPARE:
            return found
        found["knn"] = KNeighborsClassifier(random_state=seed)
        found["kernel_logistic"] = KernelLogisticRegression(random_state=seed)
        if X.shape[1] <= MOST_FOR_BOOSTING:
            from gpussl.classifier.xgboost import XGBClassifier  # late: it takes a second

            found["xgboost"] = XGBClassifier(random_state=seed)
        if float(array_namespace(X).min(X)) >= 0:  # amounts, such as pixels or counts
            found["logistic_of_roots"] = LogisticRegression(power=0.5)
        if n_labels >= ENOUGH_FOR_A_NETWORK:
            from gpussl.classifier.mlp import MLPClassifier  # late: PyTorch takes seconds

            found["mlp"] = MLPClassifier(random_state=seed)
        return found

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Compare the candidates on held-out groups, and fit those that are used."""
        of_labels = np.arange(len(y)) if groups is None else groups
        n_labels = len(np.unique(of_labels))
        candidates = self.candidates(X, n_labels)
        progress = _Progress(len(candidates) * (self.n_folds + 1), on_progress)
        compared = self._compared(of_labels)
        chosen = array_namespace(X).take(X, backend.of(X).asarray(compared), axis=0)
        counted = None if weights is None else weights[compared]
        used, held_out = self._compare(chosen, y[compared], counted, of_labels[compared], candidates, progress)
        self.held_out_ = np.full((len(y), len(self.classes_)), np.nan)
        self.held_out_[compared] = held_out
        self.members_ = []
        for name in used:
            self.members_.append(candidates[name].fit(X, y, weights, groups=of_labels))
            progress.step(f"fitting {name}")

    def _compared(self, groups: np.ndarray) -> np.ndarray:
        """The points (m,) that candidates are compared on: those of at most `max_compared` groups."""
        names, group_of = np.unique(groups, return_inverse=True)
        taken = np.zeros(len(names), dtype=bool)
        taken[seeds.generator(self.random_state, "compared").permutation(len(names))[: self.max_compared]] = True
        return np.flatnonzero(taken[group_of])

    def _compare(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray,
        candidates: Candidates,
        progress: "_Progress",
    ) -> tuple[list[str], np.ndarray]:
        """Compare the candidates on (m, d) points, and set `compared_` and `temperature_`.

        Return the names of those to use, and the held-out probabilities (m, c) of their mean.
        """
        xp, twin, n_classes = array_namespace(X), backend.of(X), len(self.classes_)
        n_folds = min(self.n_folds, len(np.unique(groups)))
        folds = stratified_folds(y, groups, n_folds, seeds.generator(self.random_state, "folds"))
        held_out = {name: np.full((len(y), n_classes), 1 / n_classes) for name in candidates}
        for fold in range(n_folds):
            known, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            present = np.unique(y[known])
            if len(present) < 2:
                continue  # nothing can be learnt from one class
            of_known, of_asked = (xp.take(X, twin.asarray(places), axis=0) for places in (known, asked))
            counted = None if weights is None else weights[known]
            for name, candidate in candidates.items():
                model = clone(candidate).fit(of_known, y[known], counted, groups=groups[known])
                said = np.zeros((len(asked), n_classes))
                said[:, present] = twin.to_numpy(model.predict_proba(of_asked))
                held_out[name][asked] = said
                progress.step(f"{name}, fold {fold + 1} of {n_folds}")
        score = _Score(y, groups, weights)
        temperatures = {name: score.best_temperature(said) for name, said in held_out.items()}
        held_out = {name: _tempered(said, temperatures[name]) for name, said in held_out.items()}
        losses = {name: score.log_loss(said) for name, said in held_out.items()}
        best = min(losses, key=lambda name: score.mean(losses[name]))
        more = {name: loss - losses[best] for name, loss in losses.items()}
        errors = {name: score.standard_error(gap) for name, gap in more.items()}
        used = [name for name, gap in more.items() if score.mean(gap) <= self.n_errors * errors[name]]
        if len(score.weights) < ENOUGH_TO_COMPARE:
            used = list(candidates)
        self.compared_ = [
            {
                "name": name,
                "accuracy": score.mean(score.correct(said)),
                "log_loss": score.mean(losses[name]),
                "standard_error": errors[name],
                "is_used": name in used,
            }
            for name, said in held_out.items()
        ]
        self.temperatures_ = [temperatures[name] for name in used]
        mean = np.mean([held_out[name] for name in used], axis=0)
        self.temperature_ = score.best_temperature(mean)
        return used, _tempered(mean, self.temperature_)

    def _predict_proba(self, X: Array) -> Array:
        xp = array_namespace(X)
        found = zip(self.members_, self.temperatures_, strict=True)
        said = [_tempered(xp.astype(model.predict_proba(X), xp.float64), own) for model, own in found]
        mean = sum(said) / len(said)
        return xp.astype(_tempered(mean, self.temperature_), X.dtype)

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays, members = store.pack_parts(self.members_)
        return arrays, {
            "members_": members,
            "compared_": self.compared_,
            "temperatures_": self.temperatures_,
            "temperature_": self.temperature_,
        }

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        packed: Any = self.members_  # as they were saved
        self.members_ = store.unpack_parts(arrays, packed)


class _Score:
    """Scores of held-out probabilities (n, c), one for each group of points, so that a copied label counts once.

    A group counts as much as its points do on average.
    """

    def __init__(self, y: np.ndarray, groups: np.ndarray, weights: np.ndarray | None) -> None:
        self.y, self.of_points = y, np.ones(len(y)) if weights is None else weights.astype(np.float64)
        _, self.group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self.totals = np.bincount(self.group_of, self.of_points)
        self.weights = self.totals / sizes

    def log_loss(self, said: np.ndarray) -> np.ndarray:
        return self._of_groups(-np.log(_floored(said)[np.arange(len(self.y)), self.y]))

    def best_temperature(self, said: np.ndarray) -> float:
        return min(TEMPERATURES.tolist(), key=lambda power: self.mean(self.log_loss(_tempered(said, power))))

    def correct(self, said: np.ndarray) -> np.ndarray:
        return self._of_groups(said.argmax(axis=1) == self.y)

    def mean(self, scores: np.ndarray) -> float:
        return float(np.average(scores, weights=self.weights))

    def standard_error(self, scores: np.ndarray) -> float:
        """That of the weighted mean; with equal weights, the deviation over the root of the number of groups."""
        deviations = self.weights * (scores - self.mean(scores))
        return float(np.sqrt(np.sum(deviations**2)) / np.sum(self.weights))

    def _of_groups(self, scores: np.ndarray) -> np.ndarray:
        return np.bincount(self.group_of, scores * self.of_points) / self.totals


class _Progress:
    """Counts fits."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def step(self, note: str) -> None:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._total, note)


def _floored(said: Array) -> Array:
    """(n, c) probabilities -> (n, c): none is 0."""
    return (1 - FLOOR) * said + FLOOR / said.shape[1]


def _tempered(said: Array, temperature: float) -> Array:
    """(n, c) probabilities -> (n, c): their powers, scaled to sum to 1."""
    powers = _floored(said) ** (1 / temperature)
    return powers / array_namespace(said).sum(powers, axis=1)[:, None]
