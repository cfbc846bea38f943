"""Export: the answers of a project in the forms of other tools."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from gpussl.errors import DataError
from gpussl.label import folders, label_studio
from gpussl.label.page.classes import Classes
from gpussl.runtime import console, store
from gpussl.runtime.config import Job
from gpussl.tasks import project
from gpussl.tasks.label_page import ProjectMaterial
from gpussl.tasks.project import Project


def write(job: Job, made: Project, output: Path) -> None:
    """Write the answers as `job.export` says: csv, label_studio, folders or coco.

    Raises
    ------
    DataError
        The data are not files, or the output cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     job = on_fruit(folder, "label", "export=label_studio").job
    ...     write(job, answered(folder), Path(folder, "tasks"))  # doctest: +ELLIPSIS
    10 tasks with predictions of 0 are in .../tasks/tasks.json, and the labelling configuration in .../tasks/config.xml
    """
    if job.export == "label_studio":
        _label_studio(made, output, job.classes)
        return
    labels = made.labels()
    if job.export == "folders":
        folders.write(output, labels, made.source, copies=job.copies)
    elif job.export == "coco":
        if not ProjectMaterial(made).has_pictures:
            raise DataError(f"export: expected pictures for coco, found other data in {made.source}; choose csv")
        store.write_text(output, folders.coco(labels, sorted(set(labels.values()))))
    else:
        store.write_csv(output, [("id", "label"), *labels.items()])
    console.stdout.print(f"{len(labels):,} labels are in {output}", soft_wrap=True)


def _label_studio(made: Project, output: Path, only: Sequence[str]) -> None:
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: expected a folder, found a file; write to another with output=...")
    material = ProjectMaterial(made)
    labels = made.labels()
    asked = list(dict.fromkeys([*material.asked(), *labels]))
    points = {item: dict(material.fields(item)) for item in asked}
    if any(points.values()):  # a row that nobody was asked about has nothing to show
        points = {item: fields for item, fields in points.items() if fields}
    learned = made.latest("learned")
    predictions = {} if learned is None else _predictions(learned / project.PREDICTIONS, set(asked))
    classes = Classes(made.folder / project.CLASSES, only)
    classes.know(sorted({*labels.values(), *(label for label, _ in predictions.values())}))
    kind = "image" if material.has_pictures else "text" if all(len(row) < 2 for row in points.values()) else "row"
    folder = made.source.name if material.has_pictures else None
    version = f"{material.name} {learned.name if learned else 0}"
    text = label_studio.tasks(points, predictions, labels, version, folder)
    store.write_text(output / "tasks.json", text)
    store.write_text(output / "config.xml", label_studio.labelling_config(classes.keys(), kind))
    console.stdout.print(
        f"{len(points):,} tasks with predictions of {len(predictions):,} are in {output / 'tasks.json'}, and the "
        f"labelling configuration in {output / 'config.xml'}",
        soft_wrap=True,
    )
    if folder is not None:
        console.say(
            f"Label Studio finds the pictures if LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is {made.source.parent}, "
            f"LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED is true, and {made.source} is a local storage of its project"
        )


def _predictions(path: Path, asked: set[str]) -> dict[str, tuple[str, float]]:
    """The class and the probability of the points that a model has predicted."""
    rows = project.read_rows(path, ("id", "label", "probability", "source"))
    found = {}
    for row, _ in rows:
        if row["id"] in asked and row["source"] != project.BOUGHT:
            with contextlib.suppress(ValueError):  # somebody has changed the file
                found[row["id"]] = row["label"], float(row["probability"])
    return found
