"""A project in Python: DataFrames in and out, and the same as by the commands."""

import datetime

import numpy as np
import pandas as pd
import pytest

import gpussl
from gpussl.errors import ConfigError, DataError
from gpussl.tasks import project

SETTINGS = ("classifier=[knn]", "cache=null", "device=cpu")


@pytest.fixture
def frame():
    """Two heaps; the index names the rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    x = 6.0 * y + rng.normal(0, 0.5, 80)
    found = pd.DataFrame({"x": x, "at": [datetime.time(n % 24) for n in range(80)], "any": [1, "a"] * 40})
    found.index = [f"row {n}" for n in range(80)]
    return found, dict(zip(found.index, np.where(y == 1, "high", "low"), strict=True))


def test_from_a_frame_to_predictions_and_a_next_round(frame, tmp_path, capsys):
    data, truth = frame
    mine = gpussl.Project(tmp_path / "p.gpussl", data, *SETTINGS)
    first = mine.choose(n_labels=20)
    assert list(first.columns) == ["id", "label", "why", "x", "at", "any"]
    assert set(first["id"]) <= set(truth)
    mine.label(first.assign(label=first["id"].map(truth))[["id", "label"]])
    assert dict(mine.answers.to_numpy()) == {item: truth[item] for item in first["id"]}
    predictions = mine.learn()
    assert predictions["id"].tolist() == list(data.index)
    assert np.mean(predictions["label"] == predictions["id"].map(truth)) > 0.95
    assert mine.results["n_labels"].item() == 20
    assert mine.report.is_file()
    new = mine.predict(data)
    assert new["label"].tolist() == predictions["label"].tolist()
    again = gpussl.Project(tmp_path / "p.gpussl", None, *SETTINGS)  # in another process
    second = again.choose(n_labels=5)
    assert not set(second["id"]) & set(first["id"])
    again.label({item: truth[item] for item in second["id"]})
    assert len(again.answers) == 25


def test_a_path_stands_where_a_frame_does(frame, tmp_path, capsys):
    data, truth = frame
    data.drop(columns="any").to_csv(tmp_path / "a.csv", index_label="id")
    mine = gpussl.Project(tmp_path / "p.gpussl", tmp_path / "a.csv", *SETTINGS)
    first = mine.choose(n_labels=20)
    first.assign(label=first["id"].map(truth)).to_csv(tmp_path / "labels.csv", index=False)
    mine.label(tmp_path / "labels.csv")
    mine.learn()
    assert mine.predict(tmp_path / "a.csv")["id"].tolist() == list(data.index)


def test_mistakes_are_said_and_leave_nothing(frame, tmp_path, capsys):
    data, _ = frame
    with pytest.raises(ConfigError, match="expected a project, or data to make one of, found neither"):
        gpussl.Project(tmp_path / "p.gpussl")
    with pytest.raises(ConfigError, match="expected a path or a DataFrame, found a list"):
        gpussl.Project(tmp_path / "p.gpussl", [1, 2])
    with pytest.raises(DataError, match="expected at least one column that differs"):
        gpussl.Project(tmp_path / "p.gpussl", data[[]].assign(x=1), *SETTINGS).choose()
    assert list(tmp_path.iterdir()) == []
    mine = gpussl.Project(tmp_path / "p.gpussl", data, *SETTINGS)
    mine.choose(n_labels=10)
    with pytest.raises(ConfigError, match="expected a model, found none"):
        mine.predict(data)
    with pytest.raises(ConfigError, match="expected no project, for data are given, found one"):
        gpussl.Project(tmp_path / "p.gpussl", data)
    with pytest.raises(DataError, match="nobody"):
        mine.label({"nobody": "high"})
    assert project.opened(tmp_path / "p.gpussl").labels() == {}
