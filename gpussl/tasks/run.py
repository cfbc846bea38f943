"""Run: a checked job in a folder of its own, from the device to the report."""

from pathlib import Path
from typing import Protocol

from gpussl import backend, report
from gpussl.backend import cpu
from gpussl.records import Result
from gpussl.report import manifest
from gpussl.report.results import stage_table
from gpussl.runtime import console, environment, store
from gpussl.runtime.config import Job
from gpussl.tasks import advise, prepare, run_folder, study
from gpussl.tasks.check import check_job
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.outcome import Outcome
from gpussl.tasks.prepare import Context


class Task(Protocol):
    """What a file of this folder must have to be a task."""

    def check(self, job: Job) -> None:
        """Raise ConfigError if the task cannot be done with a job."""
        ...

    def work(self, run_on: Context, folder: Path) -> Outcome:
        """Do it, and save in `folder` what is worth it."""
        ...


TASKS: dict[str, Task] = {"study": study, "advise": advise}


def run(job: Job, folder: Path, *, replace: bool = False, loader: prepare.Loader | None = None) -> list[Result]:
    """Run a checked job and leave its artifacts in `folder`, in place of another run's there if `replace`.

    Jobs that are given one `loader` find the data of the job before where they are.

    Raises
    ------
    GpusslError
        The data, the device or a setting is not what it must be. The manifest, written last, is not there then.
    """
    task = TASKS[job.task]
    task.check(job)
    check_job(job)
    twin, reason = backend.select(job.device)
    monitor = Monitor()
    run_on = Context(job, twin, monitor, prepare.open_cache(job, twin), loader or prepare.Loader())
    with run_folder.claim(folder, replace=replace), monitor.live():
        outcome = task.work(run_on, folder)
        with monitor.stage("report", cpu):
            store.write_text(folder / manifest.CONFIG, job.resolved)
            report.write_files(folder, outcome.parts)
        _finish(run_on, folder, outcome, reason)
    report.show([*outcome.parts, stage_table(monitor.stages, reason)])
    console.stdout.print(f"Run folder: {folder}", soft_wrap=True)
    return outcome.results


def _finish(run_on: Context, folder: Path, outcome: Outcome, reason: str) -> None:
    """Write the page, and last the manifest, which says that all the rest is there."""
    job, monitor = run_on.job, run_on.monitor
    with monitor.stage("report", cpu, "figures"):
        footer = (
            f"gpussl {environment.versions()['gpussl']}, commit {environment.git_commit() or 'no repository'}, "
            f"{outcome.dataset.name}, {', '.join(job.classifier)}, seed {job.seed}, {run_on.twin.device_name()}, "
            f"{monitor.seconds():.0f} s. {outcome.saved}"
        )
        report.write_page(folder, job.name, outcome.parts, footer)
    described = manifest.describe(
        job.name, job.device, reason, outcome.dataset, {"run": job.seed, **run_on.seeds}, monitor.stages,
        monitor.seconds(), monitor.peak_memory(),
    )  # fmt: skip
    store.write_text(folder / manifest.MANIFEST, manifest.to_json(described))
    (folder / manifest.FAILED).unlink(missing_ok=True)  # of another process that wanted this folder meanwhile
