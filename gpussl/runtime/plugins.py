"""Plugins: the user's own modules. gpussl imports those that the user names, and no others."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from gpussl.errors import ConfigError

_allowed: set[str] = set()


def allow(names: Sequence[str]) -> None:
    """Import modules, and allow their classes in configurations and saved files until the process ends.

    Importing a module runs its code, so name only modules that you trust.

    Parameters
    ----------
    names : sequence of str
        Dotted names, as in an `import` statement. gpussl does not change `sys.path`.

    Raises
    ------
    ConfigError
        A module cannot be imported.

    Examples
    --------
    >>> allow(["colorsys"])
    >>> is_allowed("colorsys"), is_allowed("subprocess")
    (True, False)
    """
    if isinstance(names, str):
        raise ConfigError(f"plugins: expected a list of modules, found {names!r}; write [{names}]")
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # the module's own code may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(
                f"plugins: expected a module that can be imported, found {name!r} ({reason}); "
                "make it importable, for example by adding its folder to PYTHONPATH"
            ) from error
        _allowed.add(name)


def files() -> list[Path]:
    """Return the source files of the allowed modules. A package counts with all its submodules.

    Examples
    --------
    >>> allow(["colorsys"])
    >>> "colorsys.py" in [path.name for path in files()]
    True
    """
    folders = {Path(origin).parent for name in _allowed if (origin := getattr(sys.modules[name], "__file__", None))}
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    found = {Path(origin) for origin in loaded if origin and _is_beside(Path(origin), folders)}
    return sorted(found)


def _is_beside(path: Path, folders: set[Path]) -> bool:
    """Whether a file is in one of the folders or below, and in no folder of installed packages there."""
    for folder in folders:
        if folder in path.parents:
            return "site-packages" not in path.relative_to(folder).parts
    return False


def is_allowed(module: str) -> bool:
    """Whether `allow` has imported the module of this name. A submodule must be allowed by its own name.

    Examples
    --------
    >>> allow(["xml.dom"])
    >>> is_allowed("xml.dom"), is_allowed("xml.dom.minidom")
    (True, False)
    """
    return module in _allowed
