"""A sweep loses no job silently: it ends with 0 only if the results of all are in its table."""

import csv
import itertools
import json
import os

import pytest

from gpussl.errors import ConfigError
from gpussl.report import jobs, manifest, sweep
from gpussl.runtime import store
from tests.faults.conftest import QUICK, files


def slow(value):
    """A case of the same kind as another: by scripts/soak alone."""
    return pytest.param(value, marks=pytest.mark.slow)


SWEEP = ("-m", *QUICK, "seed=0,1", "hydra.sweep.dir=s")


def rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return [(row["job"], row["seed"]) for row in csv.DictReader(file) if row["n_labels"] != "0"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda job: (job / "results.csv").write_text((job / "results.csv").read_text()[:-40]),
        lambda job: (job / "models" / "cluster-knn.safetensors").unlink(),
        slow(lambda job: (job / "results.csv").unlink()),
        slow(lambda job: (job / "results.csv").write_text("")),
        slow(lambda job: (job / "labels" / "cluster.safetensors").write_bytes(b"")),
        slow(lambda job: (job / "report.html").unlink()),
    ],
)
def test_a_job_with_missing_or_changed_files_is_done_again(gpussl, tmp_path, damage):
    assert gpussl(*SWEEP).code == 0
    whole = files(tmp_path / "s" / "1")
    before = set(files(tmp_path / "s" / "0"))
    damage(tmp_path / "s" / "0")
    existed = set(files(tmp_path / "s" / "0")) == before
    again = gpussl(*SWEEP)
    assert again.code == 0
    assert again.err.count("already finished") == 1
    assert files(tmp_path / "s" / "1") == whole
    kept = [path.name for path in (tmp_path / "s" / "0").rglob("*.changed1")]
    assert len(kept) == existed  # it may have been somebody's edit
    assert rows(tmp_path / "s") == [("0", "0"), ("1", "1")]
    assert manifest.of_whole_run(tmp_path / "s" / "0") is not None


def test_a_job_damaged_before_the_end_is_named(gpussl, tmp_path, monkeypatch):
    finish = sweep.finish

    def damaging(folder):
        (tmp_path / "s" / "0" / "results.csv").write_text("cut")
        finish(folder)

    monkeypatch.setattr(sweep, "finish", damaging)
    ended = gpussl(*SWEEP)
    assert ended.code == 2
    assert "1 of the sweep's jobs failed: 0 in s" in ended.err
    assert "expected all files of the run in" in ended.err
    assert rows(tmp_path / "s") == [("1", "1")]


def test_jobs_are_known_whatever_the_clock_says(gpussl, tmp_path, monkeypatch):
    register = jobs.register

    def aged(folder, job):
        register(folder, job)
        os.utime(folder / jobs.REGISTER / f"{job.number}.json", (0, 0))

    monkeypatch.setattr(jobs, "register", aged)
    assert gpussl(*SWEEP).code == 0
    assert rows(tmp_path / "s") == [("0", "0"), ("1", "1")]


def test_jobs_are_known_at_any_depth(gpussl, tmp_path):
    assert gpussl(*SWEEP, "hydra.sweep.subdir=a/${hydra.job.num}/b").code == 0
    assert rows(tmp_path / "s") == [("a/0/b", "0"), ("a/1/b", "1")]


def test_two_jobs_in_one_folder_are_refused(gpussl, tmp_path):
    ended = gpussl(*SWEEP, "hydra.sweep.subdir=same")
    assert ended.code == 2
    assert "hydra.sweep.subdir: expected a folder for each job, found jobs 0 and 1" in ended.err
    assert manifest.of_whole_run(tmp_path / "s" / "same") is not None


def test_a_job_that_never_started_is_named(tmp_path):
    for number in (0, 2):
        jobs.register(tmp_path, jobs.SweepJob(number, tmp_path / str(number), str(number), ()))
    with pytest.raises(Exception, match="jobs 1 of the sweep have not started"):
        sweep.finish(tmp_path)


def test_two_jobs_registered_at_once_in_one_folder_are_found(tmp_path):
    for number in (0, 1):
        jobs.register(tmp_path / str(number), jobs.SweepJob(number, tmp_path / "same", "same", ()))
    (tmp_path / "1" / ".sweep" / "1.json").replace(tmp_path / "0" / ".sweep" / "1.json")
    with pytest.raises(ConfigError, match="found jobs 0 and 1 in"):
        sweep.finish(tmp_path / "0")


def test_a_sweep_may_change_the_working_directory(gpussl, tmp_path):
    assert gpussl(*SWEEP, "hydra.job.chdir=true").code == 0
    assert rows(tmp_path / "s") == [("0", "0"), ("1", "1")]


def test_an_earlier_page_does_not_stay_beside_new_tables(gpussl, tmp_path, monkeypatch):
    assert gpussl(*SWEEP).code == 0
    monkeypatch.setattr(sweep, "_write_page", lambda *_: 1 / 0)
    assert gpussl("-m", *QUICK, "seed=2,3", "hydra.sweep.dir=s").code == 0
    assert not (tmp_path / "s" / "report.html").exists()


@pytest.mark.parametrize("name", ["summary.csv", slow("report.html"), slow("figures/curve.png")])
def test_a_table_or_page_that_was_changed_since_is_kept(gpussl, tmp_path, name):
    sweep_over_labels = ("-m", *QUICK, "cluster.n_clusters=20,21", "hydra.sweep.dir=s")
    assert gpussl(*sweep_over_labels).code == 0
    (tmp_path / "s" / name).write_text("mine")
    again = gpussl(*sweep_over_labels)
    assert again.code == 0
    assert f"{name}: changed since it was made; kept as " in again.err
    assert (tmp_path / "s" / f"{name}.changed1").read_text() == "mine"
    assert (tmp_path / "s" / name).read_text(errors="replace") != "mine"


def test_a_job_without_a_manifest_says_what_to_do(gpussl, tmp_path):
    assert gpussl(*SWEEP).code == 0
    (tmp_path / "s" / "0" / "manifest.json").write_text("{")
    before = files(tmp_path / "s" / "0")
    again = gpussl(*SWEEP)
    assert again.code == 2
    assert "s/0: expected a manifest that tells the files of this job from yours" in again.err
    assert files(tmp_path / "s" / "0") == before


@pytest.mark.parametrize("name", ["results.csv", "summary.csv", "report.html", "multirun.yaml", ".sweep/0.json"])
def test_a_sweep_that_would_overwrite_a_file_is_refused_before_the_work(gpussl, tmp_path, name):
    (tmp_path / "s" / name).parent.mkdir(parents=True)
    (tmp_path / "s" / name).write_text("mine")
    ended = gpussl(*SWEEP)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "hydra.sweep.dir: expected " in ended.err
    assert name.partition("/")[0] in ended.err
    assert files(tmp_path / "s") == {name: b"mine"}


def test_a_sweep_replaces_the_tables_of_an_earlier_one(gpussl, tmp_path):
    assert gpussl(*SWEEP).code == 0
    assert gpussl("-m", *QUICK, "seed=2,1", "hydra.sweep.dir=s").code == 0
    assert rows(tmp_path / "s") == [("0", "2"), ("1", "1")]
    failed = gpussl("-m", *QUICK, "cluster.n_clusters=5000,5001", "hydra.sweep.dir=s")
    assert failed.code == 2
    assert not (tmp_path / "s" / "results.csv").exists()  # it has no rows
    assert manifest.of_whole_run(tmp_path / "s" / "0") is not None  # the earlier jobs are as they were


def test_two_sweeps_never_work_in_one_folder(tmp_path):
    lock = jobs.begin(tmp_path, [])
    with pytest.raises(ConfigError, match="found one in"):
        jobs.begin(tmp_path, [])
    os.close(lock)
    os.close(jobs.begin(tmp_path, []))


@pytest.mark.parametrize("text", ["[]", *map(slow, ("{}", "", '{"number": 0}', '{"number": "x"}'))])
def test_a_register_that_cannot_be_read_is_an_error(gpussl, tmp_path, monkeypatch, text):
    finish = sweep.finish

    def damaged(folder):
        (folder / jobs.REGISTER / "0.json").write_text(text)
        finish(folder)

    monkeypatch.setattr(sweep, "finish", damaged)
    ended = gpussl("-m", *QUICK, "hydra.sweep.dir=s")
    assert ended.code == 2
    assert "0.json: expected the entry of a job" in ended.err


@pytest.mark.parametrize("left", [2, 14, 32, *map(slow, (8, 20, 26, 38))])
def test_a_disk_that_fills_up_ends_with_2(gpussl, tmp_path, monkeypatch, left):
    """At the first writes, in the jobs, and while the results are gathered."""
    write, count = store.atomic_path, itertools.count()

    def filling(path):
        if next(count) >= left:
            raise OSError(28, "No space left on device")
        return write(path)

    monkeypatch.setattr(store, "atomic_path", filling)
    ended = gpussl(*SWEEP)
    monkeypatch.undo()
    assert ended.code == 2 or rows(tmp_path / "s") == [("0", "0"), ("1", "1")]
    assert ended.code in (0, 2)
    for job in (tmp_path / "s").glob("[01]"):
        made = {path.name for path in job.iterdir()}
        assert made <= {".running"} or manifest.of_whole_run(job) is not None


def test_a_failed_table_is_an_error_and_a_failed_picture_is_not(gpussl, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "_write_page", lambda *_: 1 / 0)
    ended = gpussl(*SWEEP)
    assert ended.code == 0
    assert "gpussl: warning: could not finish the page (ZeroDivisionError" in ended.err
    monkeypatch.setattr(sweep, "summarize", lambda rows: json.loads("x"))
    ended = gpussl(*SWEEP)
    assert ended.code == 2
    assert "expected results of all jobs that make one table" in ended.err


def test_runs_and_sweeps_do_not_take_each_others_folders(gpussl, tmp_path):
    assert gpussl("-m", *QUICK, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep").code == 0
    before = (tmp_path / "sweep" / "results.csv").read_bytes()
    refused = gpussl(*QUICK, "hydra.run.dir=sweep")
    assert refused.code == 2
    assert "expected a folder without a run in it, found a sweep in" in refused.err
    assert (tmp_path / "sweep" / "results.csv").read_bytes() == before
    refused = gpussl("-m", *QUICK, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep/0")
    assert refused.code == 2
    assert "hydra.sweep.dir: expected a folder without a run in it, found a finished one in sweep/0" in refused.err


def test_a_failed_job_does_not_stop_the_others_and_is_named(gpussl, tmp_path):
    swept = gpussl("-m", *QUICK, "cluster.n_clusters=10,5000,20", "hydra.sweep.dir=sweep")
    assert swept.code == 2
    assert "gpussl: error: 1 of the sweep's jobs failed: 1 in sweep" in swept.err
    (line,) = [line for line in swept.err.splitlines() if line.startswith("  ") and "=5000" in line]
    assert "ConfigError: cluster.n_clusters: expected at most" in line
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        assert {row["job"] for row in csv.DictReader(file)} == {"0", "2"}


class TestRepeating:
    def made(self, tmp_path):
        """When each finished job's manifest was written."""
        paths = (tmp_path / "sweep").glob("*/manifest.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in paths}

    def test_a_changed_job_is_done_again_in_place_of_the_old_one(self, gpussl, tmp_path):
        gpussl("-m", *QUICK, "cluster.n_clusters=10,15,20", "hydra.sweep.dir=sweep")
        before = self.made(tmp_path)
        swept = gpussl("-m", *QUICK, "cluster.n_clusters=10,12", "hydra.sweep.dir=sweep")
        assert swept.code == 0
        after = self.made(tmp_path)
        assert after["0"] == before["0"]
        assert after["1"] > before["1"]
        with (tmp_path / "sweep" / "summary.csv").open(newline="") as file:  # the third job is no part of this sweep
            found = {row["overrides"] for row in csv.DictReader(file) if row["n_labels"] != "0"}
        assert found == {"cluster.n_clusters=10", "cluster.n_clusters=12"}

    def test_a_failed_job_leaves_an_earlier_one_alone_and_is_not_taken_for_it(self, gpussl, tmp_path):
        gpussl("-m", *QUICK, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        before = self.made(tmp_path)
        failed = gpussl("-m", *QUICK, "cluster.n_clusters=10,5000", "hydra.sweep.dir=sweep")
        assert failed.code == 2
        assert self.made(tmp_path) == before
        with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
            assert {row["job"] for row in csv.DictReader(file)} == {"0"}

    def test_a_job_that_fails_before_it_begins_takes_nothing_away(self, gpussl, tmp_path):
        gpussl("-m", *QUICK, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        before = self.made(tmp_path)
        failed = gpussl("-m", *QUICK, "cluster.n_clusters=10,0", "hydra.sweep.dir=sweep")
        assert failed.code == 2
        assert "1 of the sweep's jobs failed: 1 in sweep" in failed.err
        assert self.made(tmp_path) == before
        with (tmp_path / "sweep" / "results.csv").open(newline="") as file:  # nor is it taken for the one that failed
            assert {row["job"] for row in csv.DictReader(file)} == {"0"}
        again = gpussl("-m", *QUICK, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        assert again.code == 0
        assert again.err.count("already finished") == 2
        assert self.made(tmp_path) == before

    def test_files_of_others_are_left_alone(self, gpussl, tmp_path):
        gpussl("-m", *QUICK, "cluster.n_clusters=10,15", "hydra.sweep.dir=sweep")
        mine = tmp_path / "sweep" / "0" / "models" / "mine.txt"
        mine.write_text("a note of mine")
        gpussl("-m", *QUICK, "cluster.n_clusters=11,15", "hydra.sweep.dir=sweep")
        assert mine.read_text() == "a note of mine"
