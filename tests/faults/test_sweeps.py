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

SWEEP = ("-m", *QUICK, "seed=0,1", "hydra.sweep.dir=s")


def rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return [(row["job"], row["seed"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda job: (job / "results.csv").unlink(),
        lambda job: (job / "results.csv").write_text(""),
        lambda job: (job / "results.csv").write_text((job / "results.csv").read_text()[:-40]),
        lambda job: (job / "models" / "cluster-knn.safetensors").unlink(),
        lambda job: (job / "labels" / "cluster.safetensors").write_bytes(b""),
        lambda job: (job / "report.html").unlink(),
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


@pytest.mark.parametrize("text", ["[]", "{}", "", '{"number": 0}', '{"number": "x"}'])
def test_a_register_that_cannot_be_read_is_an_error(gpussl, tmp_path, monkeypatch, text):
    finish = sweep.finish

    def damaged(folder):
        (folder / jobs.REGISTER / "0.json").write_text(text)
        finish(folder)

    monkeypatch.setattr(sweep, "finish", damaged)
    ended = gpussl("-m", *QUICK, "hydra.sweep.dir=s")
    assert ended.code == 2
    assert "0.json: expected the entry of a job" in ended.err


@pytest.mark.parametrize("left", range(0, 40, 4))
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
