"""A run removes and replaces only files of its own, whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gpussl.errors import ConfigError
from gpussl.report import manifest
from gpussl.runtime import config, signals
from gpussl.tasks import prepare, study
from gpussl.tasks.run_folder import claim
from tests.faults.conftest import QUICK, files

FAILS = "cluster.n_clusters=5000"


@pytest.fixture
def folder(tmp_path):
    """The folder of a run with a user's files, some of them named as a run's are."""
    folder = tmp_path / "p"
    for name in ("models/mine.safetensors", "labels/cluster.txt", "figures/photo.png", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


def test_a_failing_run_leaves_the_files_of_others(gpussl, folder):
    before = files(folder)
    assert gpussl(*QUICK, FAILS, "hydra.run.dir=p").code == 2
    assert files(folder) == before
    assert gpussl(*QUICK, FAILS, "hydra.run.dir=.").code == 2
    assert files(folder) == before
    assert gpussl(*QUICK, "data=mnist", "data.folder=p", "hydra.run.dir=p").code == 2
    assert files(folder) == before


def test_an_interrupted_run_leaves_the_files_of_others(gpussl, folder, monkeypatch):
    def interrupt(*_):
        assert (folder / ".running" / "clustering.safetensors").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_featurize", interrupt)
    before = files(folder)
    assert gpussl(*QUICK, "hydra.run.dir=p").code == 130
    assert files(folder) == before


@pytest.mark.parametrize("name", ["config.yaml", "results.csv", "report.html", "manifest.json"])
def test_a_run_that_would_overwrite_a_file_is_refused_before_the_work(gpussl, folder, monkeypatch, name):
    (folder / name).write_text("mine")
    before = files(folder)
    monkeypatch.setattr(prepare, "load", lambda *_: pytest.fail("work"))
    refused = gpussl(*QUICK, "hydra.run.dir=p")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"expected a folder where no other {name} is" in refused.err
    assert files(folder) == before


def test_a_conflict_found_at_the_end_costs_neither_file(gpussl, folder):
    mine = folder / "models" / "cluster-knn.safetensors"
    mine.write_text("mine")
    refused = gpussl(*QUICK, "hydra.run.dir=p")
    assert refused.code == 2
    assert "Its files are safe in" in refused.err
    assert mine.read_text() == "mine"
    mine.rename(folder / "models" / "moved")
    again = gpussl(*QUICK, "hydra.run.dir=p")  # goes on where the first was refused
    assert "found a finished one" in again.err
    assert manifest.of_whole_run(folder) is not None
    assert not (folder / ".running").exists()


def test_a_finished_run_keeps_everything_when_another_is_refused(gpussl, folder):
    assert gpussl(*QUICK, "seed=3", "hydra.run.dir=p").code == 0
    before = files(folder)
    refused = gpussl(*QUICK, "seed=99", "hydra.run.dir=p")
    assert refused.code == 2
    assert "found a finished one in" in refused.err
    assert files(folder) == before
    assert "seed=3" in before[".hydra/overrides.yaml"].decode()
    assert "seed: 3" in before["config.yaml"].decode()


def test_the_manifest_lists_every_file_and_no_other(gpussl, folder):
    mine = set(files(folder))
    assert gpussl(*QUICK, "hydra.run.dir=p").code == 0
    described = json.loads((folder / "manifest.json").read_text())
    assert set(described["files"]) == set(files(folder)) - mine - {"manifest.json"}
    assert {"report.html", "figures/accuracy.png", ".hydra/config.yaml"} <= set(described["files"])


@pytest.mark.parametrize(
    "text", ["[]", "null", "{", '{"files": []}', '{"files": {"notes.txt": "/static/notes.txt"}}', ""]
)
def test_a_manifest_of_another_program_makes_no_file_ours(folder, text):
    (folder / "config.yaml").write_text("mine")
    (folder / "manifest.json").write_text(text)
    before = files(folder.parent)
    with pytest.raises(ConfigError), claim(folder, replace=True):
        pass
    assert files(folder.parent) == before
    assert manifest.of_whole_run(folder) is None


def test_a_manifest_cannot_point_outside_its_folder(tmp_path):
    outside = tmp_path / "mine.txt"
    outside.write_text("mine")
    folder = tmp_path / "run"
    with claim(folder) as claimed:
        (claimed.work / "results.csv").write_text("old")
        claimed.publish({})
    for path in ("../mine.txt", str(outside)):
        described = json.loads((folder / "manifest.json").read_text())
        described["files"][path] = 64 * "0"
        (folder / "manifest.json").write_text(json.dumps(described))
        before = files(tmp_path)
        with pytest.raises(ConfigError, match=r"where no other manifest\.json is"), claim(folder, replace=True):
            pass
        assert files(tmp_path) == before


# At each file operation in turn, a process that replaces a run is killed, and another one claims the folder.
KILLS = """
import json, os, signal
from pathlib import Path
from gpussl.tasks.run_folder import claim

def write(folder, published, words):
    with claim(folder, replace=True) as claimed:
        for names in published:
            for name in names:
                (claimed.work / name).parent.mkdir(exist_ok=True)
                (claimed.work / name).write_text(words)
            claimed.publish({"name": words})

def die_at(moment):
    left = [moment]
    def dying(operation):
        def call(*arguments, **keywords):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **keywords)
        return call
    for name in ("replace", "unlink", "mkdir"):
        setattr(Path, name, dying(getattr(Path, name)))

for moment in range(200):
    folder = Path(str(moment))
    write(folder, [["results.csv", "models/a", "models/b", "report.html"]], "old")
    (folder / "models" / "mine").write_text("mine")
    child = os.fork()
    if not child:
        die_at(moment)
        write(folder, [["results.csv", "models/b"], ["report.html"]], "new")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    with claim(folder, replace=True):
        pass  # which goes on with what was begun
    print(json.dumps(str(folder)))
    if status == 0:
        break
"""


def test_a_kill_at_any_file_operation_leaves_the_old_run_or_the_new(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLS], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folders = [tmp_path / json.loads(line) for line in done.stdout.splitlines()]
    seen = []
    for folder in folders:
        described = manifest.of_whole_run(folder)
        assert described is not None
        found = {name: content.decode() for name, content in files(folder).items() if name != "manifest.json"}
        assert found.pop("models/mine") == "mine"
        assert set(found) == set(described["files"])
        assert set(found.values()) == {described["name"]}
        seen.append((described["name"], len(found)))
    assert len(folders) > 15
    assert seen == sorted(seen, key=[("old", 4), ("new", 2), ("new", 3)].index)
    assert set(seen) == {("old", 4), ("new", 2), ("new", 3)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_run_leaves_nothing(tmp_path, number):
    code = "import time; from gpussl.tasks import study; study._featurize = lambda *_: time.sleep(60)\n"
    code += "from gpussl.__main__ import main; import sys; sys.argv = ['gpussl', *sys.argv[1:]]; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *QUICK, "hydra.run.dir=run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not (tmp_path / "run" / ".running" / "clustering.safetensors").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number
    assert err.splitlines()[-1].startswith("gpussl: interrupted; ")
    assert not files(tmp_path)


@pytest.mark.parametrize("name", ["models", "labels", "figures", ".running"])
def test_a_file_or_link_where_a_folder_will_be_is_refused_before_the_work(tmp_path, name):
    place = tmp_path / "run" / name
    place.parent.mkdir()
    for make in (place.touch, lambda: place.symlink_to(tmp_path), lambda: place.symlink_to("nowhere")):
        make()
        with pytest.raises(ConfigError, match=f"{name}: expected "), claim(tmp_path / "run"):
            pass
        assert os.path.lexists(place)
        place.unlink()


@pytest.mark.parametrize("name", ["results.csv", ".hydra/config.yaml", ".running/mine.txt"])
def test_a_link_to_nowhere_or_a_hidden_file_is_a_file(tmp_path, name):
    place = tmp_path / "run" / name
    place.parent.mkdir(parents=True)
    place.symlink_to("nowhere")
    with pytest.raises(ConfigError), claim(tmp_path / "run"):
        pass
    assert place.is_symlink()


def publish(folder, **texts):
    with claim(folder, replace=True) as claimed:
        for name, text in texts.items():
            (claimed.work / name).write_text(text)
        claimed.publish({})


def test_a_file_that_was_changed_since_is_kept(tmp_path):
    publish(tmp_path, a="old", b="old", c="old")
    for name in "ab":
        (tmp_path / name).write_text("edited")
    publish(tmp_path, a="new")
    described = {name: content.decode() for name, content in files(tmp_path).items() if name != "manifest.json"}
    assert described == {"a": "new", "a.changed1": "edited", "b.changed1": "edited"}


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_broken_manifest_in_the_work_costs_no_finished_run(tmp_path, text):
    publish(tmp_path, a="old")
    before = files(tmp_path)
    (tmp_path / ".running").mkdir()
    for name in ("lock", "manifest.json"):
        (tmp_path / ".running" / name).write_text(text)
    with pytest.raises(ConfigError, match="found a finished one"), claim(tmp_path):
        pass
    assert files(tmp_path) == before


def test_a_replacement_that_is_refused_leaves_the_old_run_whole(tmp_path):
    publish(tmp_path, a="old")
    (tmp_path / "b").write_text("mine")
    with pytest.raises(ConfigError, match="Its files are safe in"):
        publish(tmp_path, a="new", b="new")
    assert manifest.of_whole_run(tmp_path) is not None
    assert (tmp_path / "a").read_text() == "old"
    (tmp_path / "b").unlink()
    with claim(tmp_path, replace=True):
        pass
    assert [(tmp_path / name).read_text() for name in "ab"] == ["new", "new"]


RACE = """
import sys, time
from pathlib import Path
from gpussl.errors import ConfigError
from gpussl.tasks.run_folder import claim

until, worked = time.monotonic() + 3, 0
while time.monotonic() < until or not worked:
    try:
        with claim(Path("run"), replace=True) as claimed:
            for number in range(5):
                (claimed.work / f"m{number}").mkdir()
                (claimed.work / f"m{number}" / "x").write_text(sys.argv[1])
            assert {path.read_text() for path in claimed.work.glob("*/x")} == {sys.argv[1]}
            worked += 1
    except ConfigError:
        pass
print(worked)
"""


def test_processes_that_race_for_one_folder_take_turns(tmp_path):
    started = [
        subprocess.Popen([sys.executable, "-c", RACE, name], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    worked = [int(process.communicate(timeout=60)[0] or 0) for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert min(worked) > 0
    assert not files(tmp_path)


def test_outputs_may_be_a_link_to_nowhere(gpussl, tmp_path):
    (tmp_path / "outputs").symlink_to("/nowhere/x")
    ended = gpussl(*QUICK)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert (tmp_path / "outputs").is_symlink()


def test_a_refused_run_removes_the_folders_that_it_made_alone(gpussl, tmp_path):
    assert gpussl(*QUICK, FAILS).code == 2
    assert not (tmp_path / "outputs").exists()
    (tmp_path / "outputs").mkdir()
    assert gpussl(*QUICK, FAILS).code == 2
    assert (tmp_path / "outputs").exists()


@pytest.mark.parametrize("arguments", [(), ("-m", "seed=0,1")])
def test_an_interrupt_that_a_library_turns_into_an_error_ends_everything(gpussl, tmp_path, monkeypatch, arguments):
    def build(*_):
        signals.received.append(signal.SIGTERM)
        raise AttributeError("half made")

    monkeypatch.setattr(config, "build", build)
    ended = gpussl(*arguments, *QUICK)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.err.startswith("gpussl: interrupted; ")
    assert ended.err.count("\n") == 1


def test_two_claims_never_share_a_folder(tmp_path):
    with claim(tmp_path), pytest.raises(ConfigError, match="found one at work in"), claim(tmp_path):
        pass
    assert not os.listdir(tmp_path)  # noqa: PTH208
