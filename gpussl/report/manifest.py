"""The manifest of a run: code, versions, data, seeds and cost."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from gpussl.errors import ConfigError
from gpussl.records import Dataset, Stage
from gpussl.runtime import environment, store

# files in the folder of a run; the manifest lists all others. It is written last: without it the run is not finished
MANIFEST = "manifest.json"
CONFIG = "config.yaml"
FORMAT = "gpussl run 1"


def describe(
    name: str,
    device: str,
    reason: str,
    dataset: Dataset,
    seeds: Mapping[str, int],
    stages: Sequence[Stage],
    seconds: float,
    peak_memory: int,
) -> dict[str, Any]:
    """Return the manifest, as a dict for JSON.

    Parameters
    ----------
    name : str
        Name of the run.
    device, reason : str
        Requested device, and why the actual one was chosen.
    seeds : dict of str to int
        Seeds by use.

    Examples
    --------
    >>> import numpy as np
    >>> dataset = Dataset("table", np.zeros((2, 3)))
    >>> described = describe("mine", "auto", "no GPU", dataset, {"run": 0}, [], seconds=1.5, peak_memory=10**8)
    >>> described["data"]
    {'name': 'table', 'n_train': 2, 'n_test': 0, 'sha256': {}}
    """
    return {
        "name": name,
        "git_commit": environment.git_commit(),
        "code": environment.source_digest(),
        "versions": environment.versions(),
        "machine": environment.machine(),
        "device": {"requested": device, "reason": reason},
        "data": {
            "name": dataset.name,
            "n_train": len(dataset.X_train),
            "n_test": dataset.n_test,
            "sha256": dataset.checksums,
        },
        "seeds": dict(seeds),
        "seconds": seconds,
        "peak_memory_bytes": peak_memory,
        "stages": [dataclasses.asdict(stage) for stage in stages],
    }


def with_files(described: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Return a manifest that lists files with their checksums.

    >>> with_files({"name": "mine"}, {})
    {'format': 'gpussl run 1', 'name': 'mine', 'files': {}}
    """
    return {"format": FORMAT, **described, "files": dict(files)}


def to_json(described: dict[str, Any]) -> str:
    """Return the manifest as JSON text.

    Examples
    --------
    >>> to_json({"seconds": 1.5}).splitlines()
    ['{', '  "seconds": 1.5', '}']
    """
    return json.dumps(described, indent=2) + "\n"


def listed(folder: Path, name: str = MANIFEST) -> dict[str, str]:
    """Return the files that a manifest lists, with their checksums; empty if there is no manifest of a run here.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = to_json(with_files({}, {"results.csv": 64 * "0"}))
    ...     store.write_text(Path(folder) / MANIFEST, text)
    ...     list(listed(Path(folder)))
    ['results.csv', 'manifest.json']
    """
    return _listed_in(_read(folder / name))


def _listed_in(described: Mapping[str, Any]) -> dict[str, str]:
    files = described.get("files")
    if described.get("format") != FORMAT or not isinstance(files, dict):
        return {}
    if not all(_is_inside(path) and re.fullmatch("[0-9a-f]{64}", str(checksum)) for path, checksum in files.items()):
        return {}
    return {**files, MANIFEST: ""}  # which cannot hold its own checksum


def of_whole_run(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a finished run; None if there is none, or a file that it lists is missing or changed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     of_whole_run(Path(folder)) is None
    True
    """
    described = _read(folder / MANIFEST)
    files = _listed_in(described)
    if not files:
        return None
    try:
        is_whole = all(store.has_digest(folder / name, checksum) for name, checksum in files.items() if checksum)
    except OSError:
        return None
    return described if is_whole else None


def _read(path: Path) -> dict[str, Any]:
    """A manifest; empty if it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_inside(path: str) -> bool:
    """Whether a relative path stays in its folder."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def check_folder(folder: Path) -> None:
    """Raise ConfigError if a folder contains a single run.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_folder(Path(folder))
    """
    if (folder / MANIFEST).exists():
        raise ConfigError(
            f"hydra.sweep.dir: expected a folder without a run in it, found a finished one in {folder}; name another"
        )
