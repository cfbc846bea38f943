"""The files of a folder."""

import os
from collections.abc import Callable
from pathlib import Path

from gpussl.errors import DataError

PROJECT = ".gpussl"  # suffix of a project's folder, which may lie in the folder of its data
SYSTEM = {"thumbs.db", "desktop.ini"}


def files_in(folder: Path, is_wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """List the files of a folder, at any depth, in order, as paths relative to it.

    Hidden and system files are left out, and so are the folders of projects.

    Raises
    ------
    DataError
        The folder is missing or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", ".DS_Store", "a/1.png"):
    ...         Path(folder, name).parent.mkdir(exist_ok=True)
    ...         Path(folder, name).touch()
    ...     files_in(Path(folder))
    ['a/1.png', 'b.png']
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: expected a folder that can be read, found: {error.strerror}") from error

    found = []
    been: set[tuple[int, int]] = set()  # a link may lead to a folder above it
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        status = os.stat(place)  # noqa: PTH116 - as fast as the walk
        if (status.st_dev, status.st_ino) in been:
            folders.clear()
            continue
        been.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not is_hidden(name) and not name.endswith(PROJECT)]
        above = os.path.relpath(place, folder)
        before = "" if above == os.curdir else above + "/"
        found += [before + name for name in files if not is_hidden(name) and is_wanted(name)]
    return sorted(found)


def suffix_of(name: str) -> str:
    """Return the suffix of a file in lower case, with its dot; empty if it has none.

    >>> suffix_of("a/b.PNG")
    '.png'
    """
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path takes ten times as long, for each of many files


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is not the user's own but the system's or a program's.

    >>> [name for name in (".git", "__MACOSX", "Thumbs.db", "a.png") if is_hidden(name)]
    ['.git', '__MACOSX', 'Thumbs.db']
    """
    return name.startswith(".") or name == "__MACOSX" or name.lower() in SYSTEM
