"""What cannot be shown costs no run: what was made is safe before it is shown."""

import subprocess
import sys

import pytest

from gpussl import report
from gpussl.report import figures, manifest
from tests.faults.conftest import QUICK

RUN = (*QUICK, "hydra.run.dir=run")


@pytest.fixture
def start(tmp_path):
    """A function (shell redirections, variables) -> the command, run in a shell."""

    def run(redirections, **variables):
        command = f'"$0" -m gpussl "$@" {redirections}'
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **variables}
        arguments = ["bash", "-c", command, sys.executable, *RUN]
        return subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, timeout=120)

    return run


@pytest.mark.parametrize(
    ("redirections", "variables"),
    [
        (">/dev/full", {}),
        (">&- 2>&-", {}),
        pytest.param("2>/dev/full", {}, marks=pytest.mark.slow),
        pytest.param("| head -c 1", {}, marks=pytest.mark.slow),
        ("", {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}),
    ],
)
def test_a_run_is_finished_though_it_cannot_be_printed(start, tmp_path, redirections, variables):
    done = start(redirections, **variables)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert manifest.of_whole_run(tmp_path / "run") is not None
    if redirections == ">/dev/full":
        assert b"gpussl: warning: stdout: expected to print, found: No space left on device" in done.stderr


@pytest.mark.parametrize("part", ["write_page", "show"])
def test_an_error_in_what_is_shown_is_a_warning(gpussl, tmp_path, monkeypatch, part):
    monkeypatch.setattr(report, part, lambda *_: 1 / 0)
    ended = gpussl(*RUN)
    assert ended.code == 0
    assert "gpussl: warning: " in ended.err
    assert "ZeroDivisionError" in ended.err
    assert manifest.of_whole_run(tmp_path / "run") is not None


def test_a_figure_that_cannot_be_drawn_is_left_out(gpussl, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "save", lambda *_: 1 / 0)
    ended = gpussl(*RUN)
    assert ended.code == 0
    assert "going on without it" in ended.err
    assert "<img" not in (tmp_path / "run" / "report.html").read_text()
    assert manifest.of_whole_run(tmp_path / "run") is not None


def test_an_interrupted_report_costs_no_results(gpussl, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_page", interrupt)
    ended = gpussl(*RUN)
    assert ended.code == 130
    assert ended.err.endswith("/run holds a finished run\n")
    assert manifest.of_whole_run(tmp_path / "run") is not None
    assert (tmp_path / "run" / "models" / "cluster-knn.safetensors").exists()
    assert not (tmp_path / "run" / ".running").exists()
