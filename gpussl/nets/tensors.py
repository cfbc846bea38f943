"""Tensors: conversion from arrays on their own device, and tools for all networks."""

import contextlib
import copy
import functools
import gc
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from array_api_compat import array_namespace
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.dlpack import from_dlpack

from gpussl import backend, seeds
from gpussl.errors import DeviceError
from gpussl.numeric.images import image_shape_of
from gpussl.records import Array

BLOCK_ROWS = 1024  # rows in a forward pass for prediction: a convolution makes 100,000 values of each
BLOCK_PIXELS = 2**19  # pixels of the images processed at once: eight orientations of each are 16 MiB
WARM_UPS = 3  # calls before a graph is captured, during which libraries allocate their workspaces


def as_tensor(X: Array) -> Tensor:
    """Convert an array to a float32 tensor on the same device, sharing memory if possible.

    Raises
    ------
    DeviceError
        PyTorch does not work on the device of the array.

    Examples
    --------
    >>> import numpy as np
    >>> as_tensor(np.array([[1, 2]]))
    tensor([[1., 2.]])
    """
    xp = array_namespace(X)
    X = xp.astype(X, xp.float32, copy=False)
    try:
        return from_dlpack(X)
    except BufferError:  # read-only memory, such as a memory-mapped file
        return from_dlpack(xp.asarray(X, copy=True))
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"classifier: expected a PyTorch that works on {type(X).__module__} arrays, found {torch.__version__} "
            f"({str(error).splitlines()[0]}); install gpussl[gpu], or use device=cpu"
        ) from error


def multiplies_bfloat16(device: str) -> bool:
    """Whether a kind of device, "cpu" or "cuda", multiplies bfloat16 faster than float32.

    Examples
    --------
    >>> multiplies_bfloat16("cpu") in (True, False)  # depends on the processor
    True
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def batch_multiple(device: str) -> int:
    """The number that variable batch sizes should be multiples of.

    On a GPU, cuDNN plans each new batch size, which takes longer than the training step.

    Examples
    --------
    >>> batch_multiple("cpu"), batch_multiple("cuda")
    (1, 32)
    """
    return 32 if device == "cuda" else 1


def fast_products(device: str) -> torch.autocast:
    """A context in which a kind of device multiplies in its faster precision; weights and sums are float32.

    Examples
    --------
    >>> with fast_products("cpu"):
    ...     product = torch.ones(1, 2) @ torch.ones(2, 1)
    >>> product.item(), product.dtype in (torch.float32, torch.bfloat16)
    (2.0, True)
    """
    return torch.autocast(device, torch.bfloat16, multiplies_bfloat16(device), cache_enabled=False)  # for `Captured`


@contextlib.contextmanager
def seeded(like: Tensor, seed: int) -> Iterator[None]:
    """A context that seeds PyTorch's random numbers on the device of a tensor, and restores their state afterwards.

    Examples
    --------
    >>> draws = []
    >>> for _ in range(2):
    ...     with seeded(torch.empty(0), seed=0):
    ...         draws.append(torch.rand(3))
    >>> bool((draws[0] == draws[1]).all())
    True
    """
    if like.is_cuda:
        _wake_backward(like.device)
    with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
        torch.manual_seed(seeds.derive(seed, "torch"))
        yield


@functools.cache
def _wake_backward(device: torch.device) -> None:
    """Give the thread of the backward pass a CUDA context: cuBLAS warns if it has to create one itself."""
    x = torch.ones(1, device=device, requires_grad=True)
    (x * x).sum().backward()


class Captured:
    """A function of tensors; on a GPU it is captured as a CUDA graph, one for each combination of shapes.

    Without graphs, launching the kernels of a small network takes longer than running them.

    Parameters
    ----------
    work : callable
        It must always run the same operations on the same memory. Arguments are copied to a fixed place; everything
        else that it reads or writes must stay in its place. If it computes gradients for arguments of several shapes,
        they must exist before the first call, and it must set them to 0; otherwise each graph would allocate its own.
        The next call with the same shapes overwrites the returned tensors.
    network : torch.nn.Module
        The module that `work` changes besides gradients; it is restored after capturing.

    Examples
    --------
    >>> double = Captured(lambda x: 2 * x, torch.nn.Identity())
    >>> double(torch.tensor([3.0]))  # a plain call on a CPU
    tensor([6.])
    """

    def __init__(self, work: Callable[..., Any], network: nn.Module) -> None:
        self.work, self.network = work, network
        self._replays: dict[tuple[torch.Size, ...], Callable[..., Any]] = {}

    def __call__(self, *arguments: Tensor) -> Any:
        if not arguments[0].is_cuda:
            return self.work(*arguments)
        shapes = tuple(argument.shape for argument in arguments)
        if shapes not in self._replays:
            self._replays[shapes] = self._capture(arguments)
        return self._replays[shapes](*arguments)

    def _capture(self, arguments: tuple[Tensor, ...]) -> Callable[..., Any]:
        before, static = copy.deepcopy(self.network.state_dict()), [argument.clone() for argument in arguments]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.work(*static)
        torch.cuda.current_stream().wait_stream(stream)
        self.network.load_state_dict(before)  # in place
        graph = torch.cuda.CUDAGraph()
        with _no_garbage_collected(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            answer = self.work(*static)

        def replay(*arguments: Tensor) -> Any:
            for place, argument in zip(static, arguments, strict=True):
                place.copy_(argument)
            graph.replay()
            return answer

        return replay


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """A context without garbage collection: memory must not be freed on the GPU while a graph is captured."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class RunningAverage:
    """The running average of a network's weights and buffers.

    It starts with the values after the first step. The decay grows to `decay`, so that the average spans about the last
    tenth of the steps so far.

    Parameters
    ----------
    network : torch.nn.Module
        Its weights and buffers must be updated in place. The attribute `module` is a copy with the averages.
    decay : float

    Examples
    --------
    >>> network = nn.Linear(1, 1, bias=False)
    >>> average = RunningAverage(network, decay=0.9)
    >>> for weight in (0.0, 1.0):
    ...     _ = nn.init.constant_(network.weight, weight)
    ...     average.update()
    >>> average.module.weight.item()  # 3/4 of the second value: the decay is still 1/4
    0.75
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module, self.decay, self.n_steps = copy.deepcopy(network), decay, 0
        self._averages, self._values = _floating(self.module), _floating(network)

    @torch.no_grad()
    def update(self) -> None:
        """Update the averages after a training step."""
        self.n_steps += 1
        if self.n_steps == 1:
            for average, value in zip(self._averages, self._values, strict=True):
                average.copy_(value)
        else:
            decay = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
            get_ema_multi_avg_fn(decay)(self._averages, self._values, None)


def _floating(network: nn.Module) -> list[Tensor]:
    """The weights and buffers of a network, except integer counters."""
    return [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]


def forward(network: nn.Module, features: Tensor) -> Tensor:
    """Apply a network in evaluation mode to (n, d) points, in blocks and without gradients: (n, ...).

    Examples
    --------
    >>> forward(nn.Flatten(), torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(block) for block in _blocks(features)])


class Images(nn.Module):
    """A layer that views (n, d) pixels, channels last, as (n, channels, height, width) images.

    Parameters
    ----------
    n_features : int
        Number of values d of an image.
    image_shape : list of int
        See `image_shape_of`.

    Raises
    ------
    ConfigError
        As in `image_shape_of`.

    Examples
    --------
    >>> Images(24, [2, 4, 3])(torch.zeros(5, 24)).shape
    torch.Size([5, 3, 2, 4])
    """

    def __init__(self, n_features: int, image_shape: list[int]) -> None:
        super().__init__()
        self.height, self.width, self.channels = image_shape_of(n_features, image_shape)

    def forward(self, points: Tensor) -> Tensor:
        """View (n, d) pixels as (n, channels, height, width) images."""
        return points.view(len(points), self.height, self.width, self.channels).movedim(3, 1)


def as_points(images: Tensor) -> Tensor:
    """Flatten (n, channels, height, width) images to (n, d) pixels, channels last: the inverse of `Images`.

    Examples
    --------
    >>> as_points(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))  # one image of 1x2 pixels in two channels
    tensor([[1., 3., 2., 4.]])
    """
    return images.movedim(1, 3).flatten(1)


def map_images(
    X: Array, image_shape: list[int], change: Callable[[Tensor], Tensor], at_most: int = BLOCK_ROWS
) -> Array:
    """Apply a function of (m, channels, height, width) images to (n, d) pixels, in blocks of `at_most` rows: (n, k).

    A module is moved to the device of the images.

    Raises
    ------
    ConfigError
        As in `image_shape_of`.

    Examples
    --------
    >>> import numpy as np
    >>> map_images(np.array([[1, 2, 3, 4]]), [2, 2], lambda images: images.flip(3)).tolist()  # mirror left to right
    [[2.0, 1.0, 4.0, 3.0]]
    """
    with torch.inference_mode():
        images = Images(X.shape[1], image_shape)(as_tensor(X))
        if isinstance(change, nn.Module):
            change.to(images.device)
        made = torch.cat([change(block).flatten(1) for block in _blocks(images, at_most)])
    return backend.of(X).asarray(made)


def _blocks(points: Tensor, at_most: int = BLOCK_ROWS) -> tuple[Tensor, ...]:
    """Split (n, ...) into blocks (m, ...), smaller if each point is large."""
    n_values = math.prod(points.shape[1:])
    return points.split(max(1, min(at_most, BLOCK_PIXELS // max(1, n_values))))
