"""Classifiers with scikit-learn's API that train where their data are and save without pickles."""

from typing import Any

import sklearn


def prepared(model: Any, seed: int, image_shape: tuple[int, int], device: str) -> Any:
    """A copy of a classifier that knows what its configuration cannot: the seed, the images' shape, the precision.

    Each is set where the classifier has it, so that what is saved and cached says what it was.
    """
    model = sklearn.clone(model)
    settings = model.get_params()
    if "random_state" in settings:
        model.random_state = seed
    if "image_shape" in settings:
        model.image_shape = list(image_shape)
    if hasattr(model, "settled_precision"):
        model.precision = model.settled_precision(device)
    return model
