"""Predict: the classes of new data, by the latest model of a project."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gpussl.classifier.model import Model
from gpussl.errors import ConfigError
from gpussl.protocols import Twin
from gpussl.records import OnProgress, Reading
from gpussl.runtime import console, store
from gpussl.runtime.config import Job
from gpussl.tasks import label, project
from gpussl.tasks.prepare import Context


def check(job: Job) -> None:
    """Raise ConfigError if a job does not suit the task.

    >>> from gpussl.runtime import config
    >>> check(config.job("task=predict", "project=mine.gpussl", "classifier=[auto]"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: source: expected new data, found none; write gpussl predict PROJECT NEW
    """
    label.project_of(job)
    if job.source is None:
        raise ConfigError("source: expected new data, found none; write gpussl predict PROJECT NEW")


def work(run_on: Context) -> None:
    """Predict new data in parts of bounded size, in their order.

    Raises
    ------
    GpusslError
        There is no model, or the data are not of the form of the training data.

    Examples
    --------
    >>> import contextlib, io, tempfile
    >>> from gpussl.tasks import learn
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    ...     _ = answered(folder)
    ...     learn.work(on_fruit(folder, "learn"))
    ...     work(on_fruit(folder, "predict", f"source={folder}/fruit.csv", f"output={folder}/out.csv"))
    ...     lines = Path(folder, "out.csv").read_text().splitlines()
    >>> lines[0], len(lines)
    ('id,label,probability', 31)
    """
    job = run_on.job
    path = project.latest_model(label.project_of(job))
    model: Model = store.load(path)
    source: Any = job.source
    name = source.name if source.is_dir() else source.stem
    output = job.output or path.with_name(f"predictions-{name or 'new'}.csv")
    counts: Counter[str] = Counter()
    skipped: list[tuple[str, str]] = []
    n = 0
    with run_on.monitor.stage("predict", run_on.twin) as stage, store.atomic_path(output) as part:
        writer = _parquet if output.suffix.lower() in (".parquet", ".pq") else _csv
        n = writer(part, _tallied(predictions(model, source, run_on.twin, run_on.monitor.advance), counts, skipped))
        if not n and not skipped:
            raise ConfigError(f"{source}: expected new data of the form of the training data, found no points")
        stage.note = f"{n:,} points"
    for what, count in counts.items():
        console.say(f"{what}: {count:,}")
    for item, reason in skipped[:10]:
        console.say(f"skipped {item}: {reason}")
    if skipped:
        console.say(f"{len(skipped):,} points could not be read, and have no row")
    console.stdout.print(f"The classes of {n:,} points are in {output}", soft_wrap=True)


QUOTED = re.compile(r"""[,"\r]""")  # signs that CSV quotes, beside the line break

Rows = tuple[list[str], list[str], np.ndarray]


def predictions(
    model: Model, source: Any, twin: Twin, on_progress: OnProgress | None = None
) -> Iterator[tuple[Reading, Rows]]:
    """Predict new data in parts: what was read, and the ids, classes and probabilities of its points.

    Raises
    ------
    ConfigError
        The model is of a study and reads no data.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> from gpussl.tasks import learn, own
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     data = own.represent(run_on, own.read(run_on))
    ...     model = learn.model_of(data, KNeighborsClassifier(1).fit(data.X_train[:2], [0, 1]), ["apple", "melon"])
    ...     ((_, (ids, classes, _)),) = predictions(model, f"{folder}/fruit.csv", run_on.twin)
    >>> ids[:2], classes[:2]
    (['fruit 0', 'fruit 1'], ['apple', 'melon'])
    """
    if model.reader is None:
        raise ConfigError(
            "model: expected one that reads data, found one of a study; predict with gpussl.load in Python"
        )
    for part in _ahead(model.reader.read(source, on_progress)):
        proba = np.zeros((0, len(model.class_names)))
        if part.ids:
            proba = twin.to_numpy(model.predict_proba(twin.asarray(part.X)))
        yield part, (part.ids, model.classes_[proba.argmax(axis=1)].tolist(), proba.max(axis=1))


def _ahead(parts: Iterator[Reading]) -> Iterator[Reading]:
    """The same parts; the next one is read while this one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = thread.submit(next, parts, None)
            yield part


def _tallied(
    parts: Iterator[tuple[Reading, Rows]], counts: Counter[str], skipped: list[tuple[str, str]]
) -> Iterator[Rows]:
    """The rows of parts with points; adds to what was counted and skipped."""
    for part, rows in parts:
        counts.update(part.counts)
        skipped += part.skipped
        if part.ids:
            yield rows


def _csv(path: Path, rows: Iterator[Rows]) -> int:
    n = 0
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(("id", "label", "probability"))
        for ids, labels, certainty in rows:
            cells = map("{:.4f}".format, certainty.tolist())
            names = [*ids, *set(labels)]
            text = "\n".join(names)
            if QUOTED.search(text) or text.count("\n") >= len(names):
                lines = io.StringIO()
                csv.writer(lines, lineterminator="\n").writerows(zip(ids, labels, cells, strict=True))
                file.write(lines.getvalue())
            else:  # a third of the time
                file.writelines(map("{},{},{}\n".format, ids, labels, cells))
            n += len(ids)
    return n


def _parquet(path: Path, rows: Iterator[Rows]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("id", pa.string()), ("label", pa.string()), ("probability", pa.float32())])
    n = 0
    with parquet.ParquetWriter(path, schema) as file:
        for ids, labels, certainty in rows:
            _check_names(ids)
            file.write_table(pa.table([ids, labels, certainty.astype(np.float32)], schema=schema))
            n += len(ids)
    return n


def _check_names(ids: list[str]) -> None:
    """Raise ConfigError if a name of a file is no UTF-8, which Parquet demands."""
    for item in ids:
        try:
            item.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"output: expected names in UTF-8 for Parquet, found {os.fsencode(item)!r}; write output=...csv, which "
                "keeps names byte for byte"
            ) from None
