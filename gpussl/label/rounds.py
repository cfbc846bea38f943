"""Rounds of asking for labels until a selection has nothing left to ask."""

import array_api_compat
import numpy as np
from array_api_compat import array_namespace

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import arange_like
from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Buy, Clustering


def ask_in_rounds(selection: Selection, X: Array, clustering: Clustering, seed: int, buy: Buy, reveal: Buy) -> Answers:
    """Ask for labels in rounds until the selection has nothing left to ask, and return all answers.

    Parameters
    ----------
    selection : Selection
    X : (n, d) array
    clustering : Clustering
        The clusters of the points.
    seed : int
    buy : callable
        Takes indices (m,) and returns the labels (m,), which are paid for.
    reveal : callable
        The same without paying, for a selection that simulates someone who knows all classes.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.cluster.none import NoClustering
    >>> from gpussl.label.oracle import Oracle
    >>> from gpussl.select.first import First
    >>> X, oracle = np.zeros((5, 2)), Oracle(np.array([7, 8, 9, 9, 9]))
    >>> answers = ask_in_rounds(First(3), X, NoClustering().fit(X, seed=0), 0, oracle.buy, oracle.reveal)
    >>> answers.labels.tolist(), oracle.n_bought
    ([7, 8, 9], 3)
    """
    answers = no_answers(clustering)
    if selection.knows_classes:
        everywhere = arange_like(clustering.labels.shape[0], clustering.labels)
        asked = selection.select(X, clustering, Answers(everywhere, reveal(everywhere)), None, seed)
        return Answers(asked, buy(asked))
    while True:
        asked = selection.select(X, clustering, answers, None, seed)
        if not array_api_compat.is_array_api_obj(asked) or asked.ndim == 0:
            raise ConfigError(f"select={selection.name}: expected an array of indices, found {type(asked).__name__}")
        if asked.shape[0] == 0:
            return answers
        _check_asked(selection, asked, answers, clustering.labels.shape[0])
        answers = merged(answers, Answers(asked, buy(asked)))


def _check_asked(selection: Selection, asked: Array, answers: Answers, n_points: int) -> None:
    """Raise ConfigError if a selection asks for a point twice, which would never end, or for none of the points."""
    known, new = (backend.of(indices).to_numpy(indices) for indices in (answers.indices, asked))
    if new.dtype.kind not in "iu" or new.ndim != 1 or new.min() < 0 or new.max() >= n_points:
        raise ConfigError(
            f"select={selection.name}: expected whole numbers from 0 to {n_points - 1}, found others, such as "
            f"{new.ravel()[:1].tolist()} of shape {new.shape}; mend the selection, or choose another with select=..."
        )
    if len(np.unique(new)) < len(new) or np.isin(new, known).any():
        raise ConfigError(
            f"select={selection.name}: expected points that were not asked for before, found one again; mend the "
            "selection, or choose another with select=..."
        )


def no_answers(clustering: Clustering) -> Answers:
    """Create an empty set of answers, on the device of the clusters.

    Examples
    --------
    >>> import numpy as np
    >>> len(no_answers(Clustering(np.zeros((1, 1)), np.array([0, 0]), np.zeros(2), inertia=0.0, n_iter=1)))
    0
    """
    none = arange_like(0, clustering.labels)
    return Answers(none, none)


def merged(one: Answers, other: Answers) -> Answers:
    """Merge answers for distinct points, in ascending order of the points.

    Examples
    --------
    >>> import numpy as np
    >>> both = merged(Answers(np.array([2, 5]), np.array([0, 1])), Answers(np.array([3]), np.array([1])))
    >>> both.indices.tolist(), both.labels.tolist()
    ([2, 3, 5], [0, 1, 1])
    """
    xp = array_namespace(one.indices)
    indices, labels = xp.concat([one.indices, other.indices]), xp.concat([one.labels, other.labels])
    order = xp.argsort(indices, stable=True)
    return Answers(xp.take(indices, order), xp.take(labels, order))
