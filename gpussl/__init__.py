"""How few labels do I need, and which? gpussl chooses them, spreads them and says how good the result is."""

from importlib.metadata import version

from gpussl.errors import GpusslError
from gpussl.runtime.store import load

__all__ = ["GpusslError", "load"]
__version__ = version("gpussl")
