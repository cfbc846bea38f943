"""Names of training labels for people, by selection and propagation.

A selection or propagation without an entry is shown by its own name, so a new one needs none.
"""

from gpussl.records import Result

SELECTED = {
    "none": "none: the most frequent class",
    "nearest_to_centroid": "bought labels alone",
    "random": "random labels",
    "first": "first labels",
    "all": "all labels",
    "stratified": "as many of each class (classes known)",  # it needs all classes in advance, so every row says so
    "typical": "the clusters' most typical",
    "herding": "points chosen by herding",
    "coverage": "labels that cover most",
    "cluster_budget": "more labels for mixed clusters",
}
PROPAGATED = {"cluster": "whole cluster", "label_spreading": "along the graph", "poisson": "along the graph, Poisson"}
JUDGED = {  # by the labels that choose the best allocation
    "training_labels": "best one-to-one, by all training labels",
    "test_labels": "best one-to-one, by test labels: upper bound",
}


def title(select: str, propagation: str, percentile: float | None) -> str:
    """Return a name for training labels, by selection and propagation.

    Examples
    --------
    >>> title("random", "none", None), title("random", "nearest", 25.0)
    ('random labels', 'nearest 25 %')
    """
    if propagation == "none":
        return SELECTED.get(select, select)
    if select == "stratified":
        return f"{SELECTED[select]}, {title('', propagation, percentile)}"
    if propagation == "nearest" and percentile is not None:
        return f"nearest {percentile:g} %"
    if propagation == "best_allocation":
        return JUDGED.get(select, propagation)
    return PROPAGATED.get(propagation, propagation)


def result_title(result: Result) -> str:
    """Return a name for the training labels of a result.

    Examples
    --------
    >>> result = Result("random", "cluster", "knn", 10, 50, 900, 100.0, 0, 0.9, 0.88, 0.1, 0.1, "cpu")
    >>> result_title(result)
    'whole cluster'
    """
    return title(result.select, result.propagation, result.percentile)
