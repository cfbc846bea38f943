"""Extremely randomised trees: grown by scikit-learn on the host, evaluated on the device of the data."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend
from gpussl.classifier.base import BaseClassifier
from gpussl.numeric.arrays import arange_like, row_blocks
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class ExtraTreesClassifier(BaseClassifier):
    """Trees whose splits are drawn at random, and whose leaves vote.

    They need no scaling and hardly any settings, and with few labels they are often the best classifier of tables.

    Parameters
    ----------
    n_estimators : int
    min_samples_leaf : int
        Smallest number of training points in a leaf.
    random_state : int

    Attributes
    ----------
    features_, lefts_, rights_ : (n_nodes,) int32 array
        The feature that each node of all trees tests, and its children: the left one where the value is at most the
        threshold. A leaf is its own child.
    thresholds_ : (n_nodes,) float64 array
    shares_ : (n_nodes, n_classes) float32 array
        Shares of the classes in each node.
    roots_ : (n_estimators,) int32 array
    depth_ : int

    References
    ----------
    Geurts, Ernst, Wehenkel, "Extremely randomized trees", Machine Learning, 2006.

    Examples
    --------
    >>> X, y = [[0.0], [1.0], [8.0], [9.0]], ["low", "low", "high", "high"]
    >>> ExtraTreesClassifier(n_estimators=10).fit(X, y).predict([[2.0], [9.5]]).tolist()
    ['low', 'high']
    """

    kind: ClassVar[str] = "extra_trees"
    learns_from_weights: ClassVar[bool] = False  # they would hardly matter: leaves are pure

    n_estimators: int = param(100, ge=1)
    min_samples_leaf: int = param(1, ge=1)
    random_state: int = 0

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
        """Grow the trees; weights and groups are ignored."""
        from sklearn import ensemble  # late: it takes a second

        forest = ensemble.ExtraTreesClassifier(
            self.n_estimators, min_samples_leaf=self.min_samples_leaf, random_state=self.random_state, n_jobs=-1
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # as many as labels
            forest.fit(backend.of(X).to_numpy(X), y)
        trees = [tree.tree_ for tree in forest.estimators_]
        starts = np.cumsum([0] + [tree.node_count for tree in trees])
        self.roots_ = starts[:-1].astype(np.int32)
        self.depth_ = max(tree.max_depth for tree in trees)
        own = np.arange(starts[-1], dtype=np.int32)
        is_leaf = np.concatenate([tree.children_left for tree in trees]) < 0
        self.lefts_, self.rights_ = (
            np.where(is_leaf, own, np.concatenate(children)).astype(np.int32)
            for children in (
                [tree.children_left + start for tree, start in zip(trees, self.roots_, strict=True)],
                [tree.children_right + start for tree, start in zip(trees, self.roots_, strict=True)],
            )
        )
        self.features_ = np.where(is_leaf, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int32)
        self.thresholds_ = np.concatenate([tree.threshold for tree in trees])
        counts = np.concatenate([tree.value[:, 0, :] for tree in trees])
        self.shares_ = (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)

    def _predict_proba(self, X: Array) -> Array:
        xp, twin, n_trees = array_namespace(X), backend.of(X), len(self.roots_)
        features, thresholds, lefts, rights, shares, roots = (
            twin.asarray(array)
            for array in (self.features_, self.thresholds_, self.lefts_, self.rights_, self.shares_, self.roots_)
        )
        found = []
        for rows in row_blocks(X.shape[0], 64 * n_trees):
            block = X[rows, :]
            n, d = block.shape
            values = xp.reshape(block, (-1,))
            first = xp.broadcast_to(d * arange_like(n, X)[:, None], (n, n_trees))
            first = xp.reshape(first, (-1,))
            nodes = xp.reshape(xp.broadcast_to(roots[None, :], (n, n_trees)), (-1,))
            for _ in range(self.depth_):
                tested = xp.take(values, first + xp.take(features, nodes))
                goes_left = tested <= xp.take(thresholds, nodes)
                nodes = xp.where(goes_left, xp.take(lefts, nodes), xp.take(rights, nodes))
            of_trees = xp.reshape(xp.take(shares, nodes, axis=0), (n, n_trees, shares.shape[1]))
            found.append(xp.mean(of_trees, axis=1))
        return xp.astype(xp.concat(found), X.dtype)

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        names = ("features_", "thresholds_", "lefts_", "rights_", "shares_", "roots_")
        return {name: getattr(self, name) for name in names}, {"depth_": self.depth_}
