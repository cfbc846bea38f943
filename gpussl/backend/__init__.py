"""The one seam between CPU and GPU: the array decides.

`cpu` and `gpu` are twins: the same names with the same arguments, bound to NumPy and scikit-learn or to CuPy and cuML.
`select` chooses one twin before the data are copied to its device. From then on, `of` finds the twin of an array, and
no other file asks for a device.
"""

import array_api_compat

from gpussl.backend import cpu
from gpussl.errors import DeviceError
from gpussl.protocols import Twin
from gpussl.records import Array


def select(device: str) -> tuple[Twin, str]:
    """Return the twin for `device`, and the reason for the choice.

    Parameters
    ----------
    device : {"auto", "cuda", "cpu"}
        "auto" takes the GPU if a usable one exists; "cuda" never falls back.

    Raises
    ------
    DeviceError
        `device="cuda"` without a usable GPU.

    Examples
    --------
    >>> twin, reason = select("cpu")
    >>> twin.DEVICE, reason
    ('cpu', 'device=cpu')
    """
    if device == "cpu":
        return cpu, "device=cpu"
    try:
        from gpussl.backend import gpu
    except (ImportError, OSError, RuntimeError) as error:  # a library or driver is missing: CuPy, cuML, RMM
        reason = str(error).splitlines()[0]
        if device == "cuda":
            raise DeviceError(
                f"device=cuda: expected a CUDA GPU with CuPy and cuML, found none ({reason}); "
                "install gpussl[gpu] on a machine with one, or use device=cpu"
            ) from error
        return cpu, f"device=auto found no usable GPU ({reason})"
    return gpu, f"device={device}"


def of(X: Array) -> Twin:
    """Return the twin that works on arrays like `X`.

    >>> import numpy as np
    >>> of(np.zeros(3)).DEVICE
    'cpu'
    """
    if array_api_compat.is_cupy_array(X):
        from gpussl.backend import gpu

        return gpu
    return cpu
