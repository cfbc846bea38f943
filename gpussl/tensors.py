"""Tensors: from arrays to PyTorch's, where they are, and in what precision PyTorch is to multiply them."""

import torch
from array_api_compat import array_namespace
from torch import Tensor

from gpussl.errors import DeviceError
from gpussl.records import Array


def as_tensor(X: Array) -> Tensor:
    """An array as a float32 tensor on the device it is on: the same memory if it can be."""
    xp = array_namespace(X)
    X = xp.astype(X, xp.float32, copy=False)
    try:
        return torch.from_dlpack(X)
    except BufferError:  # memory that may not be written to, as of a memory-mapped file
        return torch.from_dlpack(xp.asarray(X, copy=True))
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"classifier: expected a PyTorch that works on {type(X).__module__} arrays, found {torch.__version__} "
            f"({str(error).splitlines()[0]}); install gpussl[gpu], or use device=cpu"
        ) from error


def multiplies_bfloat16(device: str) -> bool:
    """Whether a kind of device, "cpu" or "cuda", multiplies bfloat16 faster than float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
