"""A project in Python: the four commands as methods, with DataFrames in and out."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpussl.backend import cpu
from gpussl.classifier.model import is_source
from gpussl.errors import ConfigError
from gpussl.runtime import config, store
from gpussl.runtime.config import Job
from gpussl.runtime.names import expanded
from gpussl.tasks import predict, project, words
from gpussl.tasks.run import run_on_project

if TYPE_CHECKING:
    import pandas as pd


class Project:
    """A project of a person's data, in a folder. What it holds is the same as after the commands.

    Parameters
    ----------
    folder : str or Path
        A project that is there, or the place of a new one.
    data : str, Path or DataFrame, optional
        The data of a new project: a path, or a DataFrame, which is kept in the folder. Its rows are named by a column
        called id, by an index other than 0 to n - 1, or by their numbers from 1.
    settings : str
        Overrides such as "classifier=[knn]", which hold for all methods.

    Raises
    ------
    ConfigError
        There is a project and data are given, or neither.

    Examples
    --------
    >>> import contextlib, io, tempfile
    >>> import pandas as pd
    >>> weights = [10 * n + 500 * (n % 2) for n in range(30)]
    >>> fruit = pd.DataFrame({"weight": weights}, index=[f"f{n}" for n in range(30)])
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    ...     mine = Project(f"{folder}/fruit.gpussl", fruit, "classifier=[knn]", "cache=null", "device=cpu")
    ...     to_label = mine.choose(n_labels=12)
    ...     mine.label({item: "melon" if int(item[1:]) % 2 else "apple" for item in to_label["id"]})
    ...     predictions = mine.learn()
    ...     new = mine.predict(pd.DataFrame({"weight": [20.0, 700.0]}))
    >>> len(predictions), new["label"].tolist()
    (30, ['apple', 'melon'])
    """

    def __init__(self, folder: str | Path, data: "str | Path | pd.DataFrame | None" = None, *settings: str) -> None:
        self.folder = expanded(str(folder))
        self._settings = list(settings)
        self._data = data
        is_there = project.is_project(self.folder)
        if data is not None and is_there:
            raise ConfigError(
                f"{self.folder}: expected no project, for data are given, found one; open it without data, or name "
                "another folder"
            )
        if data is None and not is_there:
            raise ConfigError(f"{self.folder}: expected a project, or data to make one of, found neither")
        if data is not None and not is_source(data):
            raise ConfigError(f"data: expected a path or a DataFrame, found a {type(data).__name__}")

    def choose(self, n_labels: int | None = None, *settings: str) -> "pd.DataFrame":
        """Choose the points of the next round, and return what to label: id, label (empty), why, and what is known.

        Raises as the command does.
        """
        more = [*settings, *([] if n_labels is None else [f"n_labels={n_labels}"])]
        if project.is_project(self.folder):
            self._run("choose", str(self.folder), *more)
        elif isinstance(self._data, (str, Path)):
            self._run("choose", str(self._data), *more, f"project={words.quoted(self.folder)}")
        else:
            path = self._keep()
            try:
                self._run("choose", str(path), "data=table", *more, f"project={words.quoted(self.folder)}")
            except BaseException:
                if not project.is_project(self.folder):
                    path.unlink(missing_ok=True)
                    self.folder.rmdir()
                raise
        latest = project.opened(self.folder).latest("rounds")
        return _read(latest / "to_label.csv" if latest is not None else self.folder)

    def label(self, answers: "str | Path | pd.DataFrame | Mapping[str, str]") -> None:
        """Take answers: a file, a DataFrame with columns id and label, or classes by id. One wrong, none taken.

        Raises as the command does.
        """
        import pandas as pd

        if isinstance(answers, (str, Path)):
            self._run("label", str(self.folder), str(answers))
            return
        if isinstance(answers, Mapping):
            answers = pd.DataFrame({"id": list(answers), "label": list(answers.values())})
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "answers.csv")
            answers.to_csv(path, index=False)
            self._run("label", str(self.folder), str(path))

    def learn(self, *settings: str) -> "pd.DataFrame":
        """Train on the answers, and return the predictions of all points: id, label, probability and source.

        Raises as the command does.
        """
        self._run("learn", str(self.folder), *settings)
        return _read(self._learnt() / project.PREDICTIONS).astype({"probability": float})

    def predict(self, new: "str | Path | pd.DataFrame") -> "pd.DataFrame":
        """Predict new data: id, label and probability of each point that can be read, in order.

        Raises
        ------
        GpusslError
            There is no model, or the data are not of the form of the training data.
        """
        import pandas as pd

        model = store.load(project.latest_model(self.folder))
        source = expanded(str(new)) if isinstance(new, (str, Path)) else new
        found: dict[str, list[Any]] = {"id": [], "label": [], "probability": []}
        for _, (ids, classes, certainty) in predict.predictions(model, source, cpu):
            found["id"] += ids
            found["label"] += classes
            found["probability"] += certainty.tolist()
        return pd.DataFrame(found)

    @property
    def answers(self) -> "pd.DataFrame":
        """The labels so far: id and label."""
        import pandas as pd

        labels = project.opened(self.folder).labels()
        return pd.DataFrame({"id": list(labels), "label": list(labels.values())}, dtype=object)

    @property
    def results(self) -> "pd.DataFrame":
        """What the latest model is said to be worth: accuracy with its interval, and what it was measured on."""
        import pandas as pd

        return pd.read_csv(self._learnt() / "results.csv")

    @property
    def report(self) -> Path:
        """The page of the latest model."""
        return self._learnt() / "report.html"

    def _learnt(self) -> Path:
        return project.latest_model(self.folder).parent

    def _run(self, word: str, *arguments: str) -> None:
        run_on_project(self._job(word, *arguments))

    def _job(self, word: str, *arguments: str) -> Job:
        given = words.translated([word, *arguments, *self._settings])
        return config.job(*(text for text in given if not text.startswith("hydra.")))

    def _keep(self) -> Path:
        """Write the DataFrame into the folder of the new project."""
        import pandas as pd
        import pyarrow as pa
        from pyarrow import parquet

        from gpussl.data import frames

        frame: Any = self._data
        if not isinstance(frame.index, pd.RangeIndex):
            name = "id" if frame.index.name is None else str(frame.index.name)
            frame = frame.reset_index(names=name if name not in frame.columns else "index")
        path = self.folder / project.DATA
        with store.atomic_path(path) as part:
            parquet.write_table(pa.concat_tables(frames.read_parts(frame)), part)
        return path


def _read(path: Path) -> "pd.DataFrame":
    """A table of texts, as they are."""
    import pandas as pd

    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")
