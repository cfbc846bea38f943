"""Find data files in folders, or download them from a mirror."""

import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

from gpussl.errors import DataError
from gpussl.runtime import console
from gpussl.runtime.names import expanded
from gpussl.runtime.store import atomic_path

TIMEOUT_SECONDS = 20
CHUNK_BYTES = 2**16
MAX_DOWNLOAD_BYTES = 2**30  # larger than any known file, so a mirror that sends more is not trustworthy


def find_folder(name: str, files: list[str], folder: str | None, sources: list[str]) -> Path | None:
    """The first folder that holds all of `files`, each with or without .gz; None if there is none.

    Parameters
    ----------
    name : str
        Name of the data set, for messages.
    files : list of str
        File names without .gz.
    folder : str, optional
        The user's folder; if given, no other is searched.
    sources : list of str
        Folders and URLs, in the order to try; URLs are skipped.

    Raises
    ------
    DataError
        `folder` does not exist or lacks a file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     _ = Path(name, "points.gz").write_bytes(b"")
    ...     find_folder("demo", ["points"], None, ["https://mirror", name]) == Path(name)
    True
    """
    if folder is not None:
        if not expanded(folder).is_dir():
            raise DataError(f"data.folder: expected a folder with the files of {name}, found no folder {folder}")
        missing = _missing(expanded(folder), files)
        if missing:
            raise DataError(
                f"data.folder: expected {', '.join(files)} of {name} (each with or without .gz) in {folder}, "
                f"found no {', '.join(missing)}"
            )
        return expanded(folder)
    folders = [expanded(source) for source in sources if not is_url(source)]
    return next((place for place in folders if not _missing(place, files)), None)


def locate(folder: Path, file: str) -> Path:
    """The path of `file` in `folder` if that exists, else the path of `file`.gz.

    Examples
    --------
    >>> locate(Path("missing"), "points").name
    'points.gz'
    """
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"


def is_url(source: str) -> bool:
    """Whether a source is a URL rather than a folder.

    Examples
    --------
    >>> is_url("https://mirror/mnist"), is_url("/data/mnist")
    (True, False)
    """
    return source.startswith(("http://", "https://"))


def fetch(url: str, file: str, folder: Path, check: Callable[[Path], None]) -> None:
    """Download `file`.gz from a mirror into `folder`, where it appears only after it has passed `check`.

    Parameters
    ----------
    url : str
        The folder of the file on the mirror.
    file : str
        File name without .gz.
    folder : Path
        Created if missing.
    check : callable
        Takes the path of the downloaded file and raises DataError if the contents are wrong.

    Raises
    ------
    DataError
        The mirror does not answer, or the file fails `check`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     mirror, folder = Path(name, "mirror"), Path(name, "cache")
    ...     mirror.mkdir()
    ...     _ = (mirror / "points.gz").write_bytes(b"123")
    ...     fetch(mirror.as_uri(), "points", folder, lambda path: None)
    ...     (folder / "points.gz").read_bytes()
    b'123'
    """
    address = f"{url.rstrip('/')}/{file}.gz"
    try:
        with (
            urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response,  # noqa: S310 - the caller checked is_url
            atomic_path(folder / f"{file}.gz") as part,
        ):
            _copy(response, part, file)
            check(part)
    except DataError as error:
        raise DataError(f"{address}: the download failed its check: {error}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: not a URL
        raise DataError(
            f"{address}: expected to fetch it into {folder}, found: {getattr(error, 'reason', error)}"
        ) from error


def _missing(folder: Path, files: list[str]) -> list[str]:
    return [file for file in files if not locate(folder, file).is_file()]


def _copy(response: Any, part: Path, file: str) -> None:
    """Write a response to a file, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    length = response.headers.get("Content-Length")
    received = 0
    with console.progress(*columns) as progress, part.open("wb") as out:
        task = progress.add_task(f"downloading {file}", total=int(length) if length else None)
        while chunk := response.read(CHUNK_BYTES):
            received += len(chunk)
            if received > MAX_DOWNLOAD_BYTES:
                raise DataError(f"{response.url}: expected at most {MAX_DOWNLOAD_BYTES} bytes, found more")
            out.write(chunk)
            progress.update(task, advance=len(chunk))
