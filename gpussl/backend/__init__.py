"""The one seam between CPU and GPU: the array decides.

`cpu` and `gpu` are twins: the same names with the same arguments, bound to NumPy and scikit-learn or to CuPy and cuML.
`select` chooses one, once, before the data are put on the device; from then on `of` answers the twin of the array at
hand, and no other file asks for a device.
"""

import array_api_compat

from gpussl.backend import cpu
from gpussl.errors import DeviceError
from gpussl.protocols import Twin
from gpussl.records import Array


def select(device: str) -> tuple[Twin, str]:
    """The twin for `device`, and why it was chosen.

    Parameters
    ----------
    device : {"auto", "cuda", "cpu"}
        "cuda" never falls back; "auto" takes the GPU where there is a usable one.

    Raises
    ------
    DeviceError
        `device="cuda"` and no usable GPU.
    """
    if device == "cpu":
        return cpu, "device=cpu"
    try:
        from gpussl.backend import gpu
    except (ImportError, OSError, RuntimeError) as error:  # as CuPy, cuML and RMM report a missing library or driver
        reason = str(error).splitlines()[0]
        if device == "cuda":
            raise DeviceError(
                f"device=cuda: expected a CUDA GPU with CuPy and cuML, found none ({reason}); "
                "install gpussl[gpu] on a machine with one, or use device=cpu"
            ) from error
        return cpu, f"device=auto found no usable GPU ({reason})"
    return gpu, f"device={device}"


def of(X: Array) -> Twin:
    """The twin that works on arrays like `X`."""
    if array_api_compat.is_cupy_array(X):
        from gpussl.backend import gpu

        return gpu
    return cpu
