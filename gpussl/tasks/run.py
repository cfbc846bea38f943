"""Run a checked job in its own folder, from the choice of the device to the report."""

import contextlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from gpussl import backend, report
from gpussl.backend import cpu
from gpussl.records import Result
from gpussl.report import manifest
from gpussl.report.results import stage_table
from gpussl.runtime import console, environment, store
from gpussl.runtime.config import Job
from gpussl.tasks import prepare, run_folder
from gpussl.tasks.check import check_job
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.outcome import Outcome
from gpussl.tasks.prepare import Context


class Task(Protocol):
    """The functions that make a module of this package a task.

    Examples
    --------
    >>> task: Task = _module("study")
    >>> callable(task.check)
    True
    """

    def check(self, job: Job) -> None:
        """Raise ConfigError if a job does not suit the task."""
        ...

    def work(self, run_on: Context, folder: Path) -> Outcome:
        """Do the task, and save its artifacts in `folder`."""
        ...


class ProjectTask(Protocol):
    """The functions that make a module of this package a task on a project.

    Examples
    --------
    >>> task: ProjectTask = _module("label")
    >>> callable(task.work)
    True
    """

    def check(self, job: Job) -> None:
        """Raise ConfigError if a job does not suit the task."""
        ...

    def work(self, run_on: Context) -> None:
        """Do the task, and save what it makes in the project."""
        ...


PROJECT_TASKS = ("choose", "label", "learn", "predict", "doubt")
WITHOUT_STAGES = ("label",)


def _module(name: str) -> Any:
    """A task. Imported when it is needed: the labelling page does not wait for what learning needs."""
    return importlib.import_module(f"gpussl.tasks.{name}")


def run_on_project(job: Job) -> None:
    """Run a checked job on a project.

    Raises
    ------
    GpusslError
        The data, an answer, the device or a setting is wrong. The project is then as it was.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> run_on_project(config.job("+experiment=own_data", "task=learn", "project=nowhere"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: nowhere: expected a project, found none; make one with gpussl choose PATH
    """
    task: ProjectTask = _module(job.task)
    task.check(job)
    for model in job.classifier.values():
        store.check_savable(type(model))
    twin, _ = backend.select(job.device)
    monitor = Monitor()
    run_on = Context(job, twin, monitor, prepare.open_cache(job, twin), prepare.Loader())
    with contextlib.nullcontext() if job.task in WITHOUT_STAGES else monitor.live():
        task.work(run_on)


def run(
    job: Job,
    folder: Path,
    *,
    replace: bool = False,
    loader: prepare.Loader | None = None,
    also: Mapping[str, str] | None = None,
) -> list[Result]:
    """Run a checked job and write its artifacts and report to a folder, where they appear once they are whole.

    Parameters
    ----------
    job : Job
    folder : Path
        A folder without a run in it.
    replace : bool
        Whether a finished run in the folder may be replaced. If it is of the same job, it stays, and nothing is done.
    loader : Loader, optional
        Jobs with the same loader share data on the device.
    also : dict of str to str, optional
        Further texts to write, by the path of their file.

    Returns
    -------
    list of Result
        A row for each trained model.

    Raises
    ------
    GpusslError
        The data, the device or a setting is wrong. The folder is then as it was.

    Examples
    --------
    >>> import contextlib, io, tempfile
    >>> from gpussl.runtime import config
    >>> few = ("classifier=[knn]", "cluster.n_clusters=10", "propagate=[cluster]", "baselines=none")
    >>> job = config.job(*few, "cache=null", "device=cpu")
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # hides the tables
    ...     (result,) = run(job, Path(folder))
    ...     files = {path.name for path in Path(folder).iterdir()}
    >>> result.n_labels, result.n_train
    (10, 1297)
    >>> sorted(files - {"config.yaml"})
    ['clustering.safetensors', 'figures', 'labels', 'manifest.json', 'models', 'report.html', 'results.csv']
    """
    task: Task = _module(job.task)
    task.check(job)
    check_job(job)
    twin, reason = backend.select(job.device)
    monitor = Monitor()
    run_on = Context(job, twin, monitor, prepare.open_cache(job, twin), loader or prepare.Loader())
    with run_folder.claim(folder, replace=replace) as claimed:
        if replace and claimed.holds(job):
            console.say(f"{folder}: already finished")
            return []
        with monitor.live():
            outcome = task.work(run_on, claimed.work)
            with monitor.stage("report", cpu):
                for name, text in {manifest.CONFIG: job.resolved, **(also or {})}.items():
                    store.write_text(claimed.work / name, text)
                report.write_files(claimed.work, outcome.parts)
        claimed.publish(_described(run_on, outcome, reason))
        # all that was made is safe: from here on, a failure costs no more than what is shown
        with console.warning("the page"):
            _write_page(run_on, claimed.work, outcome)
            claimed.publish(_described(run_on, outcome, reason))
    with console.warning("printing"):
        report.show([*outcome.parts, stage_table(monitor.stages, reason)])
        console.stdout.print(f"Run folder: {folder}", soft_wrap=True)
    return outcome.results


def _described(run_on: Context, outcome: Outcome, reason: str) -> dict[str, Any]:
    """The manifest of the run so far."""
    job, monitor = run_on.job, run_on.monitor
    return manifest.describe(
        job.name, job.device, reason, outcome.dataset, {"run": job.seed, **run_on.seeds}, monitor.stages,
        monitor.seconds(), monitor.peak_memory(),
    )  # fmt: skip


def _write_page(run_on: Context, folder: Path, outcome: Outcome) -> None:
    """Draw the figures and write the page."""
    job, monitor = run_on.job, run_on.monitor
    footer = (
        f"gpussl {environment.versions()['gpussl']}, commit {environment.git_commit() or 'no repository'}, "
        f"{outcome.dataset.name}, {', '.join(job.classifier)}, seed {job.seed}, {run_on.twin.device_name()}, "
        f"{monitor.seconds():.0f} s. {outcome.saved}"
    )
    with monitor.live(), monitor.stage("report", cpu, "figures"):
        report.write_page(folder, job.name, outcome.parts, footer)
