"""What training labels are called for people, by how they were selected and propagated.

A selection or propagation that is not listed is shown by its name, so a new one needs no entry.
"""

from gpussl.records import Result

SELECTED = {
    "nearest_to_centroid": "bought labels alone",
    "random": "random labels",
    "first": "first labels",
    "all": "all labels",
    "stratified": "as many of each class (classes known)",  # nobody finds them otherwise, so every row says it
    "typical": "the clusters' most typical",
    "coverage": "labels that cover most",
    "cluster_budget": "more labels for mixed clusters",
}
PROPAGATED = {"cluster": "whole cluster", "label_spreading": "along the graph", "poisson": "along the graph, Poisson"}
JUDGED = {  # the labels by which the best allocation is chosen
    "training_labels": "best one-to-one, by all training labels",
    "test_labels": "best one-to-one, by test labels: upper bound",
}


def title(select: str, propagation: str, percentile: float | None) -> str:
    """How training labels came about, for people.

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
    """How a result's training labels came about, for people."""
    return title(result.select, result.propagation, result.percentile)
