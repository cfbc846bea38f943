"""The shape of images whose pixels are the features of points."""

import math

from gpussl.errors import ConfigError


def image_shape_of(n_features: int, image_shape: list[int]) -> tuple[int, int, int]:
    """Return height, width and channels of images with `n_features` values.

    Parameters
    ----------
    n_features : int
    image_shape : list of int
        Height, width and, if there is more than one, channels; empty for square images with one channel.

    Raises
    ------
    ConfigError
        The number of values does not match the shape, or is not a square.

    Examples
    --------
    >>> image_shape_of(64, []), image_shape_of(24, [2, 4, 3])
    ((8, 8, 1), (2, 4, 3))
    """
    side = math.isqrt(n_features)
    height, width, channels = [*image_shape, 1][:3] if image_shape else (side, side, 1)
    if height * width * channels != n_features:
        found = f"{' x '.join(map(str, image_shape))} pixels" if image_shape else "a square number"
        raise ConfigError(
            f"expected the pixels of images as features, found {n_features} features, not {found}; choose "
            "represent=[pixels] or features=pixels, put steps that need images first in represent, or use none of them"
        )
    return height, width, channels
