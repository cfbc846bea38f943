"""How few labels do I need, and which? gpussl chooses them, spreads them and says how good the result is."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from gpussl.errors import GpusslError

if TYPE_CHECKING:
    from gpussl.runtime.store import load

__all__ = ["GpusslError", "load"]
__version__ = version("gpussl")


def __getattr__(name: str) -> Any:
    """Import `load` when it is first asked for: the command answers --help sooner without it."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gpussl.runtime.store import load

    return load
