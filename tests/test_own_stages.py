"""Stages of one's own, outside the package: two files each, one of Python and one of YAML, and nothing else."""

import os
import subprocess
import sys

import numpy as np
import pytest

import gpussl
from gpussl.errors import StoreError
from gpussl.runtime import plugins
from tests.digits import DIGITS

STAGES = {
    "data": ("Backwards", "name: backwards", '''
@dataclass(frozen=True)
class Backwards(Source):
    """The digits from the last to the first."""

    name: str = "backwards"

    def load(self):
        digits = Digits().load()
        parts = {name: getattr(digits, name)[::-1].copy() for name in ("X_train", "y_train", "X_test", "y_test")}
        return replace(digits, name=self.name, **parts)
'''),
    "represent": ("Halved", "", '''
@dataclass(frozen=True)
class Halved(Representation, Transform):
    """Every other pixel."""

    def fit(self, X, seed, on_progress=None):
        return self

    def transform(self, X):
        return X[:, ::2]
'''),
    "cluster": ("Brightness", "n_clusters: 30", '''
@dataclass(frozen=True)
class Brightness(Clusterer):
    """Points of about the same mean are one cluster."""

    has_n_clusters: ClassVar[bool] = True
    n_clusters: int = param(10, ge=1)

    def fit(self, X, seed, on_progress=None):
        ranks = np.argsort(np.argsort(X.mean(axis=1), kind="stable"))
        labels = ranks * self.n_clusters // len(X)
        centroids = np.stack([X[labels == name].mean(axis=0) for name in range(self.n_clusters)])
        distances = np.linalg.norm(X - centroids[labels], axis=1)
        return Clustering(centroids, labels, distances, float((distances**2).sum()), 1)
'''),
    "features": ("Signs", "", '''
@dataclass(frozen=True)
class Signs(Features, Transform):
    """Whether there is ink."""

    def fit(self, X, clustering, seed):
        return self

    def transform(self, X):
        return (X > 0).astype(np.float32)
'''),
    "select": ("Last", "n_labels: 40", '''
@dataclass(frozen=True)
class Last(Selection):
    """The last points, in two rounds."""

    name: ClassVar[str] = "last"
    n_labels: int = param(10, ge=1)

    def select(self, X, clustering, answers, n, seed):
        wanted = self.n_labels - len(answers) if n is None else n
        end = len(X) - len(answers)
        return np.arange(end - min(wanted, self.n_labels // 2), end)
'''),
    "propagate": ("Everywhere", "", '''
@dataclass(frozen=True)
class Everywhere(Propagation):
    """The nearest label to every point."""

    def propagate(self, X, clustering, indices, labels):
        nearest = np.argmin(((X[:, None] - X[indices][None]) ** 2).sum(axis=2), axis=1)
        return PseudoLabels(labels[nearest], indices[nearest])
'''),
    "classifier": ("Means", "", '''
@dataclass(eq=False)
class Means(BaseClassifier):
    """The class with the nearest mean."""

    def _fit(self, X, y, weights, groups, on_progress):
        self.means_ = np.stack([X[y == number].mean(axis=0) for number in range(len(self.classes_))])

    def _predict_proba(self, X):
        return softmax(-((X[:, None] - self.means_[None]) ** 2).sum(axis=2))

    def _pack(self):
        return {"means_": self.means_}, {}
'''),
}  # fmt: skip
IMPORTS = """
from dataclasses import dataclass, replace
from typing import ClassVar
import numpy as np
from gpussl.classifier.base import BaseClassifier
from gpussl.data.digits import Digits
from gpussl.numeric.arrays import softmax
from gpussl.protocols import Clusterer, Features, Propagation, Representation, Selection, Source, Transform
from gpussl.records import Clustering, PseudoLabels
from gpussl.runtime.params import param
"""
LISTS = ("represent", "propagate", "classifier")
NAMES = {group: f"own_{group}" for group in STAGES}  # of the module, the choice and the YAML file


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """The folder of the files, and what the command said that ran one of each on the digits."""
    folder = tmp_path_factory.mktemp("mine")
    for group, (cls, settings, source) in STAGES.items():
        (folder / f"{NAMES[group]}.py").write_text(IMPORTS + source)
        lines = [f"_target_: {NAMES[group]}.{cls}", *([settings] if settings else [])]
        if group in LISTS:
            lines = [f"{NAMES[group]}:", *(f"  {line}" for line in lines)]
        (folder / "conf" / group).mkdir(parents=True)
        (folder / "conf" / group / f"{NAMES[group]}.yaml").write_text("\n".join(lines))
    choices = [f"{group}=[{name}]" if group in LISTS else f"{group}={name}" for group, name in NAMES.items()]
    command = [
        sys.executable,
        "-m",
        "gpussl",
        "--config-dir",
        "conf",
        f"plugins=[{','.join(NAMES.values())}]",
        *choices,
    ]
    command += ["device=cpu", "cache=cache", "allocate=true", "hydra.run.dir=run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    return folder, subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_one_of_each_runs_on_the_digits(own_run):
    folder, said = own_run
    assert said.returncode == 0, said.stderr
    rows = (folder / "run" / "results.csv").read_text().splitlines()
    assert rows[-3].startswith("last,own_propagate,own_classifier,30,40,1297")
    assert "backwards: 1,297 training and 500 test images" in said.stderr
    assert "own_represent" in said.stderr


def test_what_it_saved_is_read_where_the_modules_are_named(own_run, monkeypatch):
    folder, _ = own_run
    path = folder / "run" / "models" / "own_propagate-own_classifier.safetensors"
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(plugins, "_allowed", set())
    with pytest.raises(StoreError, match=r"plugins=\["):
        gpussl.load(path)
    model = gpussl.load(path, plugins=list(NAMES.values()))
    said = model.predict(DIGITS.X_test)
    assert np.mean(said == np.array(DIGITS.class_names)[DIGITS.y_test]) > 0.5
    for name in NAMES.values():
        sys.modules.pop(name, None)


def test_a_module_that_was_not_named_is_not_imported(own_run):
    folder, _ = own_run
    command = [sys.executable, "-m", "gpussl", "--config-dir", "conf", "cluster=own_cluster", "device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    refused = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert (
        "cluster._target_: expected a class of gpussl or of a module in plugins=[...], found own_cluster."
        in refused.stderr
    )
