"""Report: what a run leaves for people and programs. Only its figures import matplotlib."""

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from gpussl.errors import ConfigError
from gpussl.numeric.allocations import Allocations
from gpussl.records import Calibration, Dataset, Diagnostics, Result
from gpussl.report import budget, figures, manifest, page, tables
from gpussl.runtime import console, environment, store
from gpussl.runtime.config import Job
from gpussl.tasks.advise import Outcome
from gpussl.tasks.monitor import Monitor, Stage

MANIFEST = "manifest.json"
CONFIG = "config.yaml"
MARK = ".running"
FAILED = "failed.txt"  # in the folder of a sweep's job that failed: why
# what a run leaves, the manifest first: without it nothing else counts
LEFT_BY_RUNS = (
    MANIFEST, CONFIG, "results.csv", "report.html", "allocations.json", "calibration.json", "clustering.safetensors",
    "budget.json", "budget.csv",
    "labels/*.safetensors", "models/*.safetensors", "figures/*.png",
)  # fmt: skip


def is_finished(folder: Path, job: Job) -> bool:
    """Does a folder hold this very job, run to its end by this very code and these libraries? Data are not compared."""
    try:
        described = json.loads((folder / MANIFEST).read_text())
        made_with = (described["code"], described["versions"], (folder / CONFIG).read_text())
        return made_with == (environment.source_digest(), environment.versions(), job.resolved)
    except (OSError, KeyError, ValueError):
        return False


def discard(folder: Path) -> None:
    """Remove what a run has left in its folder, and nothing else."""
    for pattern in LEFT_BY_RUNS:
        for path in folder.glob(pattern):
            path.unlink()


@contextlib.contextmanager
def claim(folder: Path, *, replace: bool = False) -> Iterator[None]:
    """Have a run folder to oneself for the block. If it fails, nothing of the run is left.

    Parameters
    ----------
    replace : bool
        Whether a finished run may be removed. What a killed one has left is removed in any case.

    Raises
    ------
    ConfigError
        The folder holds a finished run, or another process is at work in it.
    """
    expected = "hydra.run.dir: expected a folder without a run in it"
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / MARK) as mark:
        if mark is None:
            raise ConfigError(f"{expected}, found one at work in {folder}; name another folder")
        was_killed, is_finished = bool(mark.read()), (folder / MANIFEST).exists()
        if is_finished and not replace:
            raise ConfigError(f"{expected}, found a finished one in {folder}; name another folder")
        if (folder / "multirun.yaml").exists():
            raise ConfigError(f"{expected}, found a sweep in {folder}; name another folder")
        if was_killed or is_finished:
            discard(folder)
        mark.write("at work, or killed\n")
        mark.flush()
        try:
            yield
        except BaseException:
            discard(folder)
            raise


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[IO[str] | None]:
    """A file that only one process has at a time and that is gone after the block; None if another has it.

    The lock is the system's: a process that dies lets go of it, and leaves the file behind.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            is_ours = False
        if not is_ours:  # another process has it, or had it and has just removed it
            yield None
            return
        file.seek(0)
        try:
            yield file
        finally:
            path.unlink()


def write(
    folder: Path,
    job: Job,
    dataset: Dataset,
    results: list[Result],
    diagnostics: Diagnostics,
    allocations: Allocations | None,
    calibrations: Sequence[Calibration],
) -> None:
    """Write the configuration, the results and the figures of a run."""
    store.write_text(folder / CONFIG, job.resolved)
    store.write_text(folder / "results.csv", tables.to_csv([dataclasses.asdict(result) for result in results]))
    drawn = {
        "accuracy": figures.accuracy(results, job, dataset),
        "bought": figures.bought(dataset, diagnostics),
    }
    if diagnostics.shown:
        drawn["clusters"] = figures.clusters(dataset, diagnostics)
    if len(diagnostics.correct):
        drawn["label_accuracy"] = figures.label_accuracy(diagnostics)
    if allocations is not None:
        store.write_text(folder / "allocations.json", tables.allocations_json(allocations, dataset.class_names))
        if allocations.counts is not None:
            drawn["allocations"] = figures.allocations(allocations, results)
    if any(calibration.is_weighted for calibration in calibrations):  # else all is said by the label accuracy
        store.write_text(folder / "calibration.json", tables.calibration_json(calibrations))
        drawn["calibration"] = figures.calibration(calibrations)
    for name, figure in drawn.items():
        figures.save(figure, folder / "figures" / f"{name}.png")


def finish(folder: Path, job: Job, dataset: Dataset, monitor: Monitor, results: list[Result], reason: str) -> None:
    """Write the page, and last the manifest, which says that all the rest is there."""
    described = manifest.describe(job, dataset, monitor, reason)
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    store.write_text(folder / "report.html", page.render(job, dataset, results, drawn, described))
    store.write_text(folder / MANIFEST, manifest.to_json(described))
    (folder / FAILED).unlink(missing_ok=True)  # of another process that wanted this folder meanwhile


def show(folder: Path, job: Job, dataset: Dataset, results: list[Result], stages: list[Stage], reason: str) -> None:
    """Print the results and what each stage cost."""
    console.stdout.print(tables.result_table(results, job, dataset))
    console.stdout.print(tables.stage_table(stages, reason))
    console.stdout.print(f"Run folder: {folder}", markup=False, soft_wrap=True)


def write_budget(folder: Path, job: Job, outcome: Outcome) -> None:
    """Write the configuration of a run that asked how many labels are needed, and what it found."""
    store.write_text(folder / CONFIG, job.resolved)
    store.write_text(folder / "budget.json", budget.to_json(outcome))
    store.write_text(folder / "budget.csv", tables.to_csv(budget.rows(outcome.advices)))
    figures.save(figures.budget(outcome), folder / "figures" / "budget.png")


def finish_budget(folder: Path, job: Job, dataset: Dataset, monitor: Monitor, outcome: Outcome, reason: str) -> None:
    """Write that run's page, and last its manifest."""
    described = manifest.describe(job, dataset, monitor, reason)
    words, cells = budget.in_words(outcome), budget.cells(outcome.advices)
    store.write_text(folder / "report.html", page.render_budget(job, words, budget.HEADER, cells, described))
    store.write_text(folder / MANIFEST, manifest.to_json(described))
    (folder / FAILED).unlink(missing_ok=True)


def show_budget(folder: Path, job: Job, outcome: Outcome, stages: list[Stage], reason: str) -> None:
    """Print what that run measured and forecasts, what each stage cost, and the answer."""
    console.stdout.print(budget.table(outcome, job.name))
    console.stdout.print(tables.stage_table(stages, reason))
    for sentence in budget.in_words(outcome):
        console.stdout.print(sentence, markup=False, soft_wrap=True)
    console.stdout.print(f"Run folder: {folder}", markup=False, soft_wrap=True)
