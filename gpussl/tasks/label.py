"""Label: ask a person on a page, take answers from a file into a project, or give them back."""

from pathlib import Path

from gpussl.errors import ConfigError
from gpussl.label import folders, label_studio, labels_file
from gpussl.label.answers import SKIPPED, Answer
from gpussl.label.label_studio import Export
from gpussl.runtime import console
from gpussl.runtime.config import Job
from gpussl.tasks import export, label_page, project
from gpussl.tasks.prepare import Context


def check(job: Job) -> None:
    """Raise ConfigError if a job does not suit the task.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check(config.job("task=label", "classifier=[knn]"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: project: expected the folder of a project, found none; write gpussl label PROJECT
    """
    project_of(job)


def work(run_on: Context) -> None:
    """Open the labelling page; or take the labels of a file, or write the answers so far to a file.

    If the process is killed, the first labels of the file may be taken; the same file again adds the others.

    Raises
    ------
    GpusslError
        Lines are wrong: the message names each. No label is then taken.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = answered(folder)
    ...     path = Path(folder, "labels.csv")
    ...     _ = path.write_text("id,label\\nfruit 29,melon\\n")
    ...     work(on_fruit(folder, "label", f"source={path}"))  # doctest: +ELLIPSIS
    ...     len(made.labels())
    1 new labels. 11 points are labelled: melon 6, apple 5.
    Go on with
      gpussl learn ...
    11
    """
    job = run_on.job
    made = project.opened(project_of(job))
    if job.source is None and job.output is None:
        label_page.show(job, made)
    if job.source is not None:
        _take(job, made, job.source)
    if job.output is not None:
        export.write(job, made, job.output)


def project_of(job: Job) -> Path:
    """Return the folder of the project. ConfigError if none is named.

    >>> from gpussl.runtime import config
    >>> project_of(config.job("task=label", "project=mine.gpussl", "classifier=[knn]"))
    PosixPath('mine.gpussl')
    """
    if job.project is None:
        raise ConfigError(f"project: expected the folder of a project, found none; write gpussl {job.task} PROJECT")
    return job.project


def _take(job: Job, made: project.Project, path: Path) -> None:
    ids = set(made.ids())
    found = _read(job, made, path, ids)
    current = made.log.current()
    n_new = made.answer(found.labels, by=path.name)
    skipped = [item for item in found.skipped if item not in current]
    made.log.append([Answer(item, state=SKIPPED, by=path.name, round=len(made.rounds())) for item in skipped])
    known = made.labels()
    if not known:
        console.stdout.print(f"{path} has no label, and no point is labelled yet.", soft_wrap=True)
        return
    same = f", {len(found.labels) - n_new:,} known already" if n_new < len(found.labels) else ""
    same += f", {len(skipped):,} skipped" if skipped else ""
    console.stdout.print(
        f"{n_new:,} new labels{same}. {len(known):,} points are labelled: {_counts(known)}.", soft_wrap=True
    )
    for tie in found.ties:
        console.say(f"{path}: {tie}; no label was taken")
    for complaint in labels_file.similar_classes(list(known.values())):
        console.say(f"{path}: {complaint}")
    console.stdout.print(made.what_next(), soft_wrap=True)


def _read(job: Job, made: project.Project, path: Path, ids: set[str]) -> Export:
    """What a file says, or a folder for each class."""
    if path.is_dir():
        return Export(folders.read(path, made.source, ids, job.classes))
    text = labels_file.read(path, job.data_settings.get("encoding"), ids)
    column = job.label_column or ""
    if label_studio.is_export(path, text):
        return label_studio.parse(path, text, ids, job.classes, column)
    return Export(labels_file.parse(path, text, ids, job.classes, job.id_column or "", column))


def _counts(labels: dict[str, str]) -> str:
    counts: dict[str, int] = {}
    for label in labels.values():
        counts[label] = counts.get(label, 0) + 1
    shown = [f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1])]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20:,} more classes" if len(shown) > 20 else "")
