"""Rounds: a selection says what to ask next, whoever knows the labels answers, until nothing is left to ask."""

from array_api_compat import array_namespace

from gpussl.numeric.arrays import arange_like
from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Buy, Clustering


def ask_in_rounds(selection: Selection, X: Array, clustering: Clustering, seed: int, buy: Buy, reveal: Buy) -> Answers:
    """All answers to what a selection asks for.

    Parameters
    ----------
    selection : Selection
    X : (n, d) array
    clustering : Clustering
        Of the points.
    seed : int
    buy : callable
        Takes indices (m,) and answers the labels (m,), which are paid for.
    reveal : callable
        The same, unpaid: for a selection that stands for someone who knows the classes.
    """
    answers = no_answers(clustering)
    if selection.knows_classes:
        everywhere = arange_like(clustering.labels.shape[0], clustering.labels)
        asked = selection.select(X, clustering, Answers(everywhere, reveal(everywhere)), None, seed)
        return Answers(asked, buy(asked))
    while True:
        asked = selection.select(X, clustering, answers, None, seed)
        if asked.shape[0] == 0:
            return answers
        answers = merged(answers, Answers(asked, buy(asked)))


def no_answers(clustering: Clustering) -> Answers:
    """No answers, where the clusters are."""
    none = arange_like(0, clustering.labels)
    return Answers(none, none)


def merged(one: Answers, other: Answers) -> Answers:
    """The answers of both, of which no point is in the other."""
    xp = array_namespace(one.indices)
    indices, labels = xp.concat([one.indices, other.indices]), xp.concat([one.labels, other.labels])
    order = xp.argsort(indices, stable=True)
    return Answers(xp.take(indices, order), xp.take(labels, order))
