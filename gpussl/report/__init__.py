"""Report: what a run leaves for people and programs. Only its figures import matplotlib."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpussl import console, store
from gpussl.config import Job
from gpussl.errors import ConfigError
from gpussl.monitor import Monitor, Stage
from gpussl.records import Dataset, Diagnostics, Result
from gpussl.report import figures, manifest, page, tables

MANIFEST = "manifest.json"


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Have a run folder to oneself for the block.

    Raises
    ------
    ConfigError
        The folder holds a run, or one that was killed, or another process is at work in it.
    """
    mark, expected = folder / ".running", "hydra.run.dir: expected a folder without a run in it"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MANIFEST).exists():
        raise ConfigError(f"{expected}, found a finished one in {folder}; name another folder")
    try:
        mark.open("x").close()
    except FileExistsError as error:
        raise ConfigError(f"{expected}, found one at work, or killed, in {folder}; name another folder") from error
    try:
        yield
    finally:
        mark.unlink()


def write(folder: Path, job: Job, dataset: Dataset, results: list[Result], diagnostics: Diagnostics) -> None:
    """Write the configuration, the results and the figures of a run."""
    store.write_text(folder / "config.yaml", job.resolved)
    store.write_text(folder / "results.csv", tables.to_csv(results))
    drawn = {
        "accuracy": figures.accuracy(results, job, dataset),
        "representatives": figures.representatives(dataset, diagnostics),
        "label_accuracy": figures.label_accuracy(diagnostics),
    }
    for name, figure in drawn.items():
        figures.save(figure, folder / "figures" / f"{name}.png")


def finish(folder: Path, job: Job, dataset: Dataset, monitor: Monitor, results: list[Result], reason: str) -> None:
    """Write the page, and last the manifest, which says that all the rest is there."""
    described = manifest.describe(job, dataset, monitor, results, reason)
    store.write_text(folder / "report.html", page.render(job, dataset, results, described))
    store.write_text(folder / MANIFEST, manifest.to_json(described))


def show(folder: Path, job: Job, dataset: Dataset, results: list[Result], stages: list[Stage], reason: str) -> None:
    """Print the results and what each stage cost."""
    console.stdout.print(tables.result_table(results, job, dataset))
    console.stdout.print(tables.stage_table(stages, reason))
    console.stdout.print(f"Run folder: {folder}", markup=False, soft_wrap=True)
