"""Embeddings: what a network that was trained on other pictures says of each image."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gpussl.nets.pretrained import Pretrained, load, resized
from gpussl.nets.tensors import map_images
from gpussl.numeric.images import image_shape_of
from gpussl.numeric.rows import in_memory
from gpussl.protocols import Representation, Transform
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param

LUMINANCE = (0.299, 0.587, 0.114)
BATCH = 64  # images in a forward pass: a large network makes 10 million values of each


@dataclass(frozen=True)
class Embedding(Representation):
    """The output of a trained network: an ONNX file, or a model of timm without its classifier.

    Images are scaled to the network's input, so read them large enough, with data.size.

    Parameters
    ----------
    model : str
        Path of an ONNX file, or the name of a model of timm such as "resnet18.a1_in1k".
    weights : str, optional
        safetensors file of a timm model's parameters. By default they come from the Hugging Face hub and its cache.
    size : int, optional
        Height and width of the network's input, if it takes several.
    normalize : bool
        Whether each embedding is divided by its length, so that distances compare directions.
    image_shape : list of int
        Height, width and, if there is more than one, channels.

    Examples
    --------
    >>> Embedding(image_shape=[8, 8]).fit(np.zeros((1, 64)), seed=0)
    Traceback (most recent call last):
    gpussl.errors.ConfigError: represent.embedding.model: expected the path of an ONNX file or the name of a model of
        timm, found none; set it with represent.embedding.model=...
    """

    needs_images: ClassVar[bool] = True
    model: str = ""
    weights: str | None = None
    size: int | None = param(None, ge=1)
    normalize: bool = True
    image_shape: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> "FittedEmbedding":
        """Load the network. Raise ConfigError if there is none, or the points are not images."""
        shape = list(image_shape_of(X.shape[1], self.image_shape))
        loaded = load(self.model, self.weights, self.size)
        return FittedEmbedding(loaded, shape, self.normalize)


@dataclass(frozen=True, eq=False)
class FittedEmbedding(Transform):
    """A trained network, and the form of its images.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> means = SimpleNamespace(  # stands in for a network: the mean of each channel
    ...     network=lambda images: images.mean(dim=(2, 3)), size=[2, 2], channels=1, mean=[0.5], std=[0.5]
    ... )
    >>> FittedEmbedding(means, [8, 8, 1], normalize=False).transform(np.ones((2, 64))).tolist()
    [[1.0], [1.0]]
    """

    kind: ClassVar[str] = "embedding"
    slow_on: ClassVar[frozenset[str]] = frozenset({"cpu", "cuda"})
    rows_at_once: ClassVar[int | None] = 256
    pretrained: Pretrained
    image_shape: list[int]
    normalize: bool

    def transform(self, X: Array) -> Array:
        """Map (n, d) pixels from 0 to 1 to (n, k) features."""
        form = self.pretrained

        def embed(images: Tensor) -> Tensor:
            mean, std = (images.new_tensor(values)[:, None, None] for values in (form.mean, form.std))
            made = form.network((resized(_in_channels(images, form.channels), form.size) - mean) / std)
            return torch.nn.functional.normalize(made) if self.normalize else made

        points = in_memory(X, "represent=embedding", "leave it out")
        return map_images(points, self.image_shape, embed, BATCH)

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays and the other values from which `unpack` restores the step."""
        form = self.pretrained
        names = ("architecture", "size", "channels", "mean", "std")
        values = {name: getattr(form, name) for name in names}
        return dict(form.arrays), {"network": values, "image_shape": self.image_shape, "normalize": self.normalize}

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "FittedEmbedding":
        """The inverse of `pack`."""
        return cls(Pretrained(arrays, **values["network"]), values["image_shape"], values["normalize"])


def _in_channels(images: Tensor, channels: int) -> Tensor:
    """Grey images in three equal channels, or the luminance of coloured ones."""
    if images.shape[1] == channels:
        return images
    if channels == 1:
        return (images * images.new_tensor(LUMINANCE)[:, None, None]).sum(dim=1, keepdim=True)
    return images.expand(-1, channels, -1, -1)
