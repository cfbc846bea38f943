"""The command as a user has it: exit codes, messages, sweeps."""

import csv
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from gpussl.__main__ import _told
from gpussl.errors import DeviceError
from tests.conftest import FAST
from tests.test_config import EXPERIMENTS

SMALL = [item for item in FAST if "mlp" not in item] + ["classifier=[logistic]"]


@pytest.fixture
def start_gpussl(tmp_path):
    """A function (arguments) -> the process, at work in an empty folder."""

    def start(*arguments, **streams):
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "gpussl", *arguments]
        streams = streams or {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **streams)

    return start


@pytest.fixture
def gpussl_command(start_gpussl):
    """A function (arguments) -> the finished process, run in an empty folder."""

    def run(*arguments):
        with start_gpussl(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            stdout, stderr = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

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
    entry = "{source:x,row:B9,data:digits,select:[nearest_to_centroid],propagation:none,classifier:[logistic],"
    entry += "n_clusters:20,accuracy:51.5}"
    sweep = ("seed=0,1,2", "cluster.n_clusters=10,20", f"published=[{entry}]", "hydra.sweep.dir=sweep")
    swept = gpussl_command("-m", *SMALL, *sweep)
    assert swept.returncode == 0, swept.stderr
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "sweep" / "summary.csv").open(newline="") as file:
        summary = list(csv.DictReader(file))
    notes = [json.loads((tmp_path / f"sweep/{n}/manifest.json").read_text())["stages"][0]["note"] for n in range(6)]
    read = "digits: 1,297 training and 500 test images"
    assert notes == [read, *[f"{read}, of the job before"] * 5]
    assert len(rows) == 3 * 2 * 4
    assert len(summary) == 2 * 4
    for group in summary:
        members = [
            float(row["test_accuracy"])
            for row in rows
            if all(row[name] == group[name] for name in ("overrides", "select", "propagation"))
        ]
        assert len(members) == int(group["n_seeds"]) == 3
        assert float(group["test_accuracy"]) == pytest.approx(sum(members) / 3, abs=2e-6)
        assert float(group["half_width"]) > 0
    beside = [(group["propagation"], group["n_clusters"], group["row"], group["published"]) for group in summary]
    assert [group for group in beside if group[-1]] == [("none", "20", "B9", "51.50")]
    assert {group["overrides"] for group in summary} == {"cluster.n_clusters=10", "cluster.n_clusters=20"}
    assert "means over seeds" in swept.stdout
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert page.count("<tr>") == 1 + len(summary)
    assert page.count(": finished</li>") == 6
    assert (tmp_path / "sweep" / "figures" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_runs_and_sweeps_do_not_take_each_others_folders(gpussl_command, tmp_path):
    assert gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep").returncode == 0
    before = (tmp_path / "sweep" / "results.csv").read_bytes()
    refused = gpussl_command(*SMALL, "hydra.run.dir=sweep")
    assert refused.returncode == 2
    assert "expected a folder without a run in it, found a sweep in" in refused.stderr
    assert (tmp_path / "sweep" / "results.csv").read_bytes() == before
    refused = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep/0")
    assert refused.returncode == 2
    assert "hydra.sweep.dir: expected a folder without a run in it, found a finished one in sweep/0" in refused.stderr


def test_a_failed_job_does_not_stop_the_others_and_is_named(gpussl_command, tmp_path):
    swept = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,5000,20", "hydra.sweep.dir=sweep")
    assert swept.returncode == 2
    assert "gpussl: error: 1 of the sweep's jobs failed: 1 in sweep" in swept.stderr
    assert "Traceback" not in swept.stderr
    (line,) = [line for line in swept.stderr.splitlines() if line.startswith("  cluster.n_clusters=5000 ")]
    assert "ConfigError: cluster.n_clusters: expected at most" in line
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


# what makes each quick; sweeps are cut to two jobs
ON_DIGITS = {
    "fashion_baseline": ["classifier=[logistic]"],
    "fashion_cluster_distances": ["cluster.n_clusters=10,20"],
    "fashion_percentile_sweep": [*SMALL, "propagate.nearest.percentile=20,50"],
    "fashion_propagation": FAST,
    "fashion_random_labels": ["classifier=[logistic]", "select.n_labels=50"],
    "fashion_representatives": ["classifier=[logistic]", "cluster.n_clusters=10,20"],
    "fashion_few_labels": ["cluster.n_clusters=30", "classifier.convnet.n_steps=20", "classifier.convnet.channels=[8]"],
    "label_budget": ["budget.n_labels=90"],
    "mnist_without_labels": ["represent=[deskew,hog,pca]", "represent.hog.n_cells=4", "represent.pca.n_components=5",
                             "cluster.n_init=2", "classifier.convnet.n_steps=20",
                             "classifier.convnet.channels=[8]"],  # UMAP has tests of its own, and takes a minute
    "mnist_clusterings": ["represent.pca.n_components=5"],
    "mnist_knn": [],
    "mnist_label_curve": ["select.n_labels=50,100", "classifier.xgboost.n_estimators=3",
                          "classifier.xgboost_test_stopped.n_estimators=3"],
    "mnist_permutations": ["cluster.n_init=3"],
}  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_on_the_digits(gpussl_command, experiment):
    done = gpussl_command(f"+experiment={experiment}", "data=digits", "device=cpu", *ON_DIGITS[experiment])
    assert done.returncode == 0, done.stderr
    no_test = experiment == "label_budget"  # which opens no test label
    assert ("labels" if no_test else "test accuracy on 500 images") in done.stdout


class TestResuming:
    SWEEP = ("-m", *SMALL, "cluster.n_clusters=10,15,20", "hydra.sweep.dir=sweep")

    def made(self, tmp_path):
        """When each finished job's manifest was written."""
        paths = (tmp_path / "sweep").glob("*/manifest.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in paths}

    def test_a_killed_sweep_does_only_what_is_missing(self, gpussl_command, start_gpussl, tmp_path):
        process = start_gpussl(*self.SWEEP)
        second = tmp_path / "sweep" / "1" / ".running"
        while not second.exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert second.exists()  # the mark of a job that was not let finish
        before = self.made(tmp_path)
        assert set(before) == {"0"}
        swept = gpussl_command(*self.SWEEP)
        assert swept.returncode == 0, swept.stderr
        after = self.made(tmp_path)
        assert set(after) == {"0", "1", "2"}
        assert after["0"] == before["0"]
        assert "sweep/0: finished before" in swept.stderr
        assert swept.stderr.count("finished before") == 1
        assert not list((tmp_path / "sweep").rglob(".running"))
        with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
            assert {row["job"] for row in csv.DictReader(file)} == {"0", "1", "2"}

    def test_a_changed_job_is_done_again_in_place_of_the_old_one(self, gpussl_command, tmp_path):
        gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15,20", "hydra.sweep.dir=sweep")
        before = self.made(tmp_path)
        swept = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,12", "hydra.sweep.dir=sweep")
        assert swept.returncode == 0
        after = self.made(tmp_path)
        assert after["0"] == before["0"]
        assert after["1"] > before["1"]
        with (tmp_path / "sweep" / "summary.csv").open(newline="") as file:  # the third job is no part of this sweep
            found = {row["overrides"] for row in csv.DictReader(file)}
        assert found == {"cluster.n_clusters=10", "cluster.n_clusters=12"}

    def test_a_failed_job_leaves_nothing_of_an_earlier_one_and_is_tried_again(self, gpussl_command, tmp_path):
        gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        failed = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,5000", "hydra.sweep.dir=sweep")
        assert failed.returncode == 2
        assert set(self.made(tmp_path)) == {"0"}
        assert "expected at most" in (tmp_path / "sweep" / "1" / "failed.txt").read_text()
        again = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        assert again.returncode == 0
        assert set(self.made(tmp_path)) == {"0", "1"}
        assert not list((tmp_path / "sweep").rglob("failed.txt"))

    def test_a_job_that_fails_before_it_begins_takes_nothing_away(self, gpussl_command, tmp_path):
        gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        before = self.made(tmp_path)
        failed = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,0", "hydra.sweep.dir=sweep")
        assert failed.returncode == 2
        assert "1 of the sweep's jobs failed: 1 in sweep" in failed.stderr
        assert self.made(tmp_path) == before
        with (tmp_path / "sweep" / "results.csv").open(newline="") as file:  # nor is it taken for the one that failed
            assert {row["job"] for row in csv.DictReader(file)} == {"0"}
        again = gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        assert again.returncode == 0
        assert again.stderr.count("finished before") == 2
        assert self.made(tmp_path) == before

    def test_files_of_others_are_left_alone(self, gpussl_command, tmp_path):
        gpussl_command("-m", *SMALL, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        mine = tmp_path / "sweep" / "0" / "models" / "mine.txt"
        mine.write_text("a note of mine")
        gpussl_command("-m", *SMALL, "cluster.n_clusters=11,15", "hydra.sweep.dir=sweep")
        assert mine.read_text() == "a note of mine"


def test_percentiles_share_the_clustering_of_their_seed(gpussl_command, tmp_path):
    sweep = ("+experiment=fashion_percentile_sweep", "data=digits", "device=cpu", "classifier=[logistic]")
    varied = ("propagate.nearest.percentile=20,50,100", "seed=0,1", "hydra.sweep.dir=sweep")
    swept = gpussl_command(*sweep, "cluster.n_clusters=20", *varied)
    assert swept.returncode == 0, swept.stderr
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/manifest.json")]
    made = [stage["cached"] for manifest in manifests for stage in manifest["stages"] if stage["name"] == "cluster"]
    assert len(made) == 6
    assert made.count(False) == 2


class OutOfMemoryError(RuntimeError):
    """As PyTorch calls its own."""


@pytest.mark.parametrize(
    "error", [MemoryError("no 5 GB\nmore"), MemoryError(), OutOfMemoryError("no 5 GB"), ValueError()]
)
def test_out_of_memory_is_told_wherever_it_happened(error):
    try:
        try:
            raise error
        finally:
            raise RuntimeError("capture failed")  # as PyTorch does while it clears away
    except RuntimeError as last:
        told = _told(last)
    if isinstance(error, ValueError):
        assert str(told) == "capture failed"
    else:
        said = "no 5 GB" if str(error) else "out of memory"
        assert str(told).startswith(f"memory: expected enough for this run, found no more ({said}); take fewer points")
        assert "\n" not in str(told)
        assert isinstance(told, DeviceError)
