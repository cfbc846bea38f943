"""Modules of the user's that may be imported: those named in `plugins`, and nothing else."""

import importlib
from collections.abc import Sequence

from gpussl.errors import ConfigError

_allowed: set[str] = set()


def allow(names: Sequence[str]) -> None:
    """Import modules, and remember them. ConfigError if one cannot be imported."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"plugins: expected a module that can be imported, found {name} ({error})") from error
        _allowed.add(name)


def is_allowed(module: str) -> bool:
    """Whether a module was named."""
    return module in _allowed
