"""How few labels do I need, and which? gpussl chooses them, spreads them and says how good the result is."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpussl.errors import GpusslError as GpusslError
    from gpussl.runtime.store import load as load
    from gpussl.tasks.python import Project as Project

    __version__: str

# imported when first asked for, so that `import gpussl` does not wait for scikit-learn, safetensors and PyTorch
_HOMES = {"GpusslError": "gpussl.errors", "Project": "gpussl.tasks.python", "load": "gpussl.runtime.store"}
__all__ = ["GpusslError", "Project", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version(__name__)
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
