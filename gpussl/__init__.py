"""How few labels do I need, and which? gpussl chooses them, spreads them and says how good the result is."""

from typing import TYPE_CHECKING, Any

from gpussl.errors import GpusslError

if TYPE_CHECKING:
    from gpussl.runtime.store import load

    __version__: str

__all__ = ["GpusslError", "load"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first asked for: the command starts sooner."""
    if name == "load":
        from gpussl.runtime.store import load

        return load
    if name == "__version__":
        from importlib.metadata import version

        return version("gpussl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
