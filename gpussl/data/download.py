"""Where data files come from: folders first, then a mirror, whose files are kept in the first cache folder."""

import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

from gpussl.errors import DataError
from gpussl.runtime import console
from gpussl.runtime.store import atomic_path

TIMEOUT_SECONDS = 20
CHUNK_BYTES = 2**16
MAX_DOWNLOAD_BYTES = 2**30  # a mirror that sends more than any file we know is not the mirror we know


def find_folder(name: str, files: list[str], folder: str | None, sources: list[str]) -> Path | None:
    """The first folder that holds all of `files`, each as it is or with .gz.

    Parameters
    ----------
    name : str
        The data set's, for messages.
    files : list of str
    folder : str, optional
        A folder the user named: nowhere else is looked at then.
    sources : list of str
        Folders and URLs in the order to try; URLs are passed over.

    Raises
    ------
    DataError
        `folder` was given and lacks a file.
    """
    if folder is not None:
        if not Path(folder).expanduser().is_dir():
            raise DataError(f"data.folder: expected a folder with the files of {name}, found no folder {folder}")
        missing = _missing(Path(folder).expanduser(), files)
        if missing:
            raise DataError(
                f"data.folder: expected {', '.join(files)} of {name} (each with or without .gz) in {folder}, "
                f"found no {', '.join(missing)}"
            )
        return Path(folder).expanduser()
    folders = [Path(source).expanduser() for source in sources if not is_url(source)]
    return next((place for place in folders if not _missing(place, files)), None)


def locate(folder: Path, file: str) -> Path:
    """The path of `file` in `folder`, gzipped or not."""
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"


def is_url(source: str) -> bool:
    """Is this source a mirror, not a folder?"""
    return source.startswith(("http://", "https://"))


def fetch(url: str, file: str, folder: Path, check: Callable[[Path], None]) -> None:
    """Fetch `file`.gz from a mirror into `folder`, where it appears only once `check` has found nothing wrong with it.

    Raises
    ------
    DataError
        The mirror does not answer, or sends something else.
    """
    address = f"{url.rstrip('/')}/{file}.gz"
    try:
        with (
            urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response,  # noqa: S310 - is_url was asked
            atomic_path(folder / f"{file}.gz") as part,
        ):
            _copy(response, part, file)
            check(part)
    except DataError as error:
        raise DataError(f"{address} is not what it should be: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{address}: expected to fetch it into {folder}, found: {getattr(error, 'reason', error)}"
        ) from error


def _missing(folder: Path, files: list[str]) -> list[str]:
    return [file for file in files if not locate(folder, file).is_file()]


def _copy(response: Any, part: Path, file: str) -> None:
    """Write a response to a file under a progress bar."""
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
