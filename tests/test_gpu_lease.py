"""Each step of what is to be proven on a GPU, tried on a CPU with small data."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "benchmarks" / "gpu_lease.py"


@pytest.fixture
def lease(monkeypatch, tmp_path):
    """The module as it is with LEASE_DEVICE=cpu, its results in a folder of their own."""
    for name, value in {"LEASE_DEVICE": "cpu", "OUT": tmp_path / "out", "LEASE_TMP": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LEASE_TESTS", "closed_forms")
    monkeypatch.chdir(PATH.parent.parent)
    spec = importlib.util.spec_from_file_location("gpu_lease", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.OUT.mkdir()
    return module


STEPS = (
    "versions", "tests", "cold_start", "allocations", "classifiers", "clusterings", "neighbors", "stages",
    "capture_while_sampled", "few_labels", "without_labels", "capped", "label_curve", "main_job", "rows", "studies",
    "kmeans", "mlp_epochs", "convnet", "copies",
)  # fmt: skip


def test_all_steps_are_tried_here(lease):
    assert tuple(lease.STEPS) == STEPS


@pytest.mark.parametrize("name", STEPS)
def test_a_step_runs_and_finds_both_twins_alike(lease, name):
    part, *_ = lease.STEPS[name]
    lease.run_steps(part, [name], float("inf"))
    begun, found = map(json.loads, (lease.OUT / f"results-{part}.jsonl").read_text().splitlines())
    assert begun == {"step": name, "begun": True}
    assert found["ok"], found
    if name == "copies":
        assert found["bytes"]["load: there"] == 1797 * 64  # the points as they were read, once
    alike = {"adjusted_rand": 1, "largest_difference": 0, "labels_that_agree": 1, "same_start": True}
    for answer in (found, *(value for value in found.values() if isinstance(value, dict))):
        assert {key: answer[key] for key in alike if key in answer}.items() <= alike.items()
        if isinstance(answer.get("accuracy"), list):
            assert answer["accuracy"][0] == answer["accuracy"][1]


def run(folder, *arguments, **environment):
    everything = {"LEASE_DEVICE": "cpu", "OUT": str(folder), "PATH": "", **environment}
    command = [sys.executable, str(PATH), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=everything, cwd=PATH.parent.parent)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / f"results-{arguments[0]}.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "begun" not in line}


def test_a_step_that_fails_or_ends_its_process_keeps_no_other_from_being_run(tmp_path):
    """A package that ends the process when it is imported stands for a crash."""
    (tmp_path / "xgboost.py").write_text("import os; os._exit(139)")
    path = f"{tmp_path}:{PATH.parent.parent}"
    found = run(tmp_path / "out", "1", "--only", "classifiers", "neighbors", PYTHONPATH=path)
    assert [found[name]["ok"] for name in ("classifiers", "neighbors")] == [False, True]
    assert "the process ended" in found["classifiers"]["error"]


def test_steps_for_which_no_time_is_left_are_said_to_be_skipped(tmp_path):
    found = run(tmp_path / "out", "2", "--seconds", "0", "--only", "kmeans", "capped")
    assert {line["ok"] for line in found.values()} == {None}
    assert found["kmeans"]["skipped"].endswith("expected")


def test_a_step_that_is_none_is_refused(lease, capsys):
    with pytest.raises(SystemExit, match="2"):
        lease.main(["1", "--only", "neighbours"])
    assert "--only: expected some of versions, " in capsys.readouterr().err
