"""The command in this process, in an empty folder: what it prints, writes and ends with."""

import sys
from dataclasses import dataclass

import pytest

from gpussl import __main__
from gpussl.report import figures
from gpussl.runtime import command, signals, store

# a second of work
QUICK = ("data=digits", "device=cpu", "cluster.n_clusters=20", "classifier=[knn]", "propagate=[cluster]")
QUICK += ("baselines=none", "cache=null")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def gpussl(monkeypatch, capsys, tmp_path):
    """A function (arguments) -> how the command ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(command.FULL_ERROR, "0")
    monkeypatch.setattr(signals, "received", [])
    monkeypatch.setattr(figures, "save", lambda _, path: store.write_text(path, "a figure"))  # drawing takes seconds

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpussl", *arguments])
        code = 0
        try:
            __main__.main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Ended(code, said.out, said.err)

    return run


def files(folder):
    """The content of every file of a folder, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
