"""Names from users: are they safe as file names, and which one was meant?"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpussl.errors import ConfigError

MAX_BYTES = 100  # two names and a suffix stay below the 255 that file systems allow


def check_file_name(name: str, path: str) -> str:
    """Return a name unchanged if it is safe as part of a path.

    Parameters
    ----------
    path : str
        The setting that has this value, for the message.

    Raises
    ------
    ConfigError
        The name is empty, too long, `.` or `..`, or has a separator or an unprintable character.

    Examples
    --------
    >>> check_file_name("nearest 25 %", "propagate")
    'nearest 25 %'
    >>> check_file_name("../x", "name")
    Traceback (most recent call last):
    ...
    gpussl.errors.ConfigError: name: expected a file name of at most 100 bytes without /, found '../x'; choose another
    """
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name.encode()) > MAX_BYTES:
        raise ConfigError(
            f"{path}: expected a file name of at most {MAX_BYTES} bytes without /, found {name!r}; choose another"
        )
    return name


def expanded(path: str) -> Path:
    """Return a path with the home folder for `~`. ConfigError if there is no home.

    >>> expanded("/data/mnist").as_posix()
    '/data/mnist'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{path}: expected a home folder for ~, found none; set the environment variable HOME, or name a folder "
            "without ~, such as cache=/tmp/gpussl"
        ) from None


def readable(name: str) -> str:
    """Return the name of a file as text; bytes that are no UTF-8 are replaced.

    >>> readable("caf\\udce9")
    'caf\ufffd'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` with the spelling most like `name`; None if none is similar.

    >>> nearest("logistik", ["knn", "logistic", "mlp"])
    'logistic'
    >>> nearest("tree", ["knn", "logistic", "mlp"]) is None
    True
    """
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)


def did_you_mean(name: str | None) -> str:
    """Return the end of a message that suggests a name, or nothing.

    >>> did_you_mean("logistic")
    '; did you mean logistic?'
    """
    return f"; did you mean {name}?" if name else ""


def unknown_setting(settings: Mapping[str, Any], path: str, value: str = "") -> str | None:
    """Return the error message for a path without a setting; None if there is a setting.

    Parameters
    ----------
    settings : Mapping
        All settings, nested.
    path : str
        Keys joined by dots.
    value : str
        Suffix of the suggestion, such as "=10".

    Examples
    --------
    >>> settings = {"seed": 0, "cluster": {"n_clusters": 50, "tol": 1e-4}}
    >>> unknown_setting(settings, "cluster.tol") is None
    True
    >>> unknown_setting(settings, "n_clusters", "=10")
    'n_clusters: expected one of cluster, seed, found a setting of another name; did you mean cluster.n_clusters=10?'
    """
    keys = path.split(".")
    node: Any = settings
    for depth, key in enumerate(keys):
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Mapping) and key in node:
            node = node[key]
        else:
            where, above = ".".join(keys[: depth + 1]), ".".join(keys[:depth])
            beside = sorted(key for key in map(str, node) if key[0] != "_") if isinstance(node, Mapping) else []
            expected = f"one of {', '.join(beside)}" if beside else f"no settings in {above}"
            meant = _meant(settings, above, beside, keys[depth:])
            return f"{where}: expected {expected}, found a setting of another name" + did_you_mean(
                meant and f"{meant}{value}"
            )
    return None


def _meant(settings: Mapping[str, Any], above: str, beside: list[str], keys: list[str]) -> str | None:
    """The setting that was meant: the only one of the same name elsewhere, or a similar name at the same level."""
    of_that_name = [path for path in _paths(settings) if path.rpartition(".")[2] == keys[-1]]
    if len(of_that_name) == 1:
        return of_that_name[0]
    like = nearest(keys[0], beside)
    return like and ".".join([*filter(None, [above]), like, *keys[1:]])


def _paths(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")
