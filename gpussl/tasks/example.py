"""A small project, for the examples of this package."""

import csv
from pathlib import Path

import numpy as np

from gpussl.backend import cpu
from gpussl.evaluate.advice import Advice, advise
from gpussl.evaluate.learning_curve import LabelBudget, Measured
from gpussl.label.answers import Answer
from gpussl.runtime import config
from gpussl.tasks import prepare, project
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.prepare import Context
from gpussl.tasks.project import Project, Round


def on_fruit(folder: str, task: str, *settings: str) -> Context:
    """Return the context of a task on a table of 30 fruits, which is written to a folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     on_fruit(folder, "choose").job.task
    'choose'
    """
    path = Path(folder, "fruit.csv")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "weight"), *((f"fruit {n}", 10 * n + 500 * (n % 2)) for n in range(30))])
    here = f"data.path={path}", f"project={folder}/fruit.gpussl"
    small = "+experiment=own_data", "data=table", "classifier=[knn]", "cache=null", "device=cpu"
    job = config.job(*small, f"task={task}", *here, *settings)
    return Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())


def answered(folder: str) -> Project:
    """Create a project of the fruits in which ten are labelled by a round.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(answered(folder).labels())
    10
    """
    made = project.create(Path(folder, "fruit.gpussl"), {"choice": "table", "path": f"{folder}/fruit.csv"})
    names = [f"fruit {n}" for n in range(10)]
    with project.whole(made.folder / "rounds" / "1") as work:
        project.write_round(work, Round(1, dict.fromkeys(names, "random"), names))
    made.write_points([f"fruit {n}" for n in range(30)], {})
    made.log.append([Answer(name, "melon" if n % 2 else "apple") for n, name in enumerate(names)])
    return made


def advice() -> Advice:
    """Return advice from a learning curve of three sizes.

    >>> advice().forecasts[0].n_labels
    250
    """
    sizes = np.array([56, 112, 225])
    correct = np.random.default_rng(0).random((3, 3, 250)) < (1 - 2 * sizes**-0.5)[:, None]
    measured = Measured("random", sizes, correct, is_reused=True)
    return advise(measured, LabelBudget(n_labels=250), n_points=60_000, seed=0)
