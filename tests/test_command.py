"""The command as a user has it: exit codes, messages, sweeps."""

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import FAST
from tests.test_config import EXPERIMENTS

SMALL = [item for item in FAST if "mlp" not in item] + ["classifier=[logistic]"]


@pytest.fixture
def gpussl_command(tmp_path):
    """A function (arguments) -> the finished process, run in an empty folder."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "gpussl", *arguments],
            cwd=tmp_path,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_help_names_groups_and_examples(gpussl_command):
    shown = gpussl_command("--help")
    assert shown.returncode == 0
    for text in ("fashion_propagation", "data: digits, fashion_mnist, mnist", "gpussl -m", "n_clusters: 50"):
        assert text in shown.stdout


def test_the_configuration_can_be_shown_without_running(gpussl_command, tmp_path):
    shown = gpussl_command("+experiment=fashion_propagation", "--cfg", "job")
    assert shown.returncode == 0
    assert "n_clusters: 2000" in shown.stdout
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cluster.n_clusters=0"], "gpussl: error: cluster.n_clusters: expected a whole number of at least 1, found 0"),
        (["device=cuda"], "gpussl: error: device=cuda: expected a CUDA GPU with CuPy and cuML, found none"),
        (
            ["data=fashion_mnist", "data.folder=nowhere"],
            "gpussl: error: data.folder: expected a folder with the files of fashion_mnist, found no folder nowhere",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(gpussl_command, tmp_path, arguments, line):
    if "device=cuda" in arguments:
        from tests.conftest import GPU

        if GPU is not None:
            pytest.skip("this machine has a GPU")
    failed = gpussl_command(*arguments)
    assert failed.returncode == 2
    assert failed.stderr.startswith(line)
    assert failed.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("results.csv"))


@pytest.mark.parametrize("argument", ["cluster.n_cluster=5", "seed=x", "device=tpu", "data=nothing"])
def test_what_hydra_refuses_shows_no_traceback(gpussl_command, argument):
    failed = gpussl_command(argument)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr + failed.stdout


def test_a_sweep_is_gathered_over_its_jobs(gpussl_command, tmp_path):
    entry = "{source:x,data:digits,propagation:none,classifier:logistic,n_clusters:20,accuracy:51.5}"
    sweep = ("seed=0,1,2", "cluster.n_clusters=10,20", f"published=[{entry}]", "hydra.sweep.dir=sweep")
    swept = gpussl_command("-m", *SMALL, *sweep)
    assert swept.returncode == 0, swept.stderr
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "sweep" / "summary.csv").open(newline="") as file:
        summary = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 4
    assert len(summary) == 2 * 4
    for group in summary:
        members = [
            float(row["test_accuracy"])
            for row in rows
            if (row["overrides"], row["propagation"]) == (group["overrides"], group["propagation"])
        ]
        assert len(members) == int(group["n_seeds"]) == 3
        assert float(group["test_accuracy"]) == pytest.approx(sum(members) / 3, abs=2e-6)
        assert float(group["half_width"]) > 0
    beside = {(group["propagation"], group["n_clusters"]): group["published"] for group in summary}
    assert {row: figure for row, figure in beside.items() if figure} == {("none", "20"): "51.50"}
    assert {group["overrides"] for group in summary} == {"cluster.n_clusters=10", "cluster.n_clusters=20"}
    assert "mean over seeds" in swept.stdout


def test_a_failed_job_does_not_stop_the_others_and_is_named(gpussl_command, tmp_path):
    swept = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,5000,20", "hydra.sweep.dir=sweep")
    assert swept.returncode == 2
    assert "gpussl: error: 1 of the sweep's jobs failed: 1 in sweep" in swept.stderr
    assert "Traceback" not in swept.stderr
    assert "expected at most" in (tmp_path / "sweep" / "1" / "failed.txt").read_text()
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        assert {row["job"] for row in csv.DictReader(file)} == {"0", "2"}


def test_the_wheel_runs_from_another_folder(tmp_path):
    root = Path(__file__).parent.parent
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert (tmp_path / "site" / "gpussl" / "conf" / "experiment" / "fashion_propagation.yaml").is_file()
    shown = subprocess.run(
        [sys.executable, "-m", "gpussl", "+experiment=fashion_propagation", "--cfg", "job"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr
    assert "n_clusters: 2000" in shown.stdout


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_on_the_digits(gpussl_command, experiment):
    done = gpussl_command(f"+experiment={experiment}", "data=digits", *FAST)
    assert done.returncode == 0, done.stderr
    assert "test accuracy on 500 images" in done.stdout
