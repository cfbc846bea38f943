"""The speed benchmark without its work: its tables, its sums, and what it says where it cannot run."""

import ast
import csv
import dataclasses
import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks import speed
from gpussl import backend
from gpussl.backend import cpu
from tests.conftest import GPU
from tests.test_backend import HOMES, spy

BENCHMARKS = Path(speed.__file__).parent
TREES = {name: ast.parse((BENCHMARKS / f"{name}.py").read_text()) for name in speed.PEERS.values()}
TWIN = types.SimpleNamespace(DEVICE="cpu", device_name=lambda: "cpu (a processor)")


@pytest.fixture
def peers(monkeypatch):
    """The CPU's rows, as the program finds them beside itself."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("peers")


def functions(module):
    return {node.name for node in TREES[module].body if isinstance(node, ast.FunctionDef)}


def rows(module):
    """The names of a module's comparisons, and the calls that make them."""
    (table,) = (
        node.value
        for node in TREES[module].body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPARISONS"
    )
    return {ast.literal_eval(key): call for key, call in zip(table.keys, table.values, strict=True)}


@pytest.mark.skipif(GPU is not None, reason="this machine has a GPU")
def test_without_a_gpu_cuda_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        speed.main(["--device", "cuda"])
    said = capsys.readouterr()
    assert said.err.startswith("gpussl: error: device=cuda: expected a CUDA GPU with CuPy and cuML, found none")
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("arguments", [["nonsense"], ["--device", "tpu"], ["--devices"], ["knn-sklearn", "--device"]])
def test_wrong_arguments_are_one_line_and_exit_code_2(peers, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        speed.main(arguments)
    said = capsys.readouterr()
    assert said.err.startswith("gpussl: error: ")
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("module", list(TREES))
def test_every_function_that_a_comparison_names_exists(module):
    for name, call in rows(module).items():
        for named in (ast.unparse(call.args[index]) for index in (1, 2, 5)):
            home, _, function = named.rpartition(".")
            assert function in functions(home or module), name


@pytest.mark.parametrize("module", list(TREES))
def test_every_comparison_has_a_line_in_the_readme(module):
    table = [line.split("|")[1] for line in (BENCHMARKS / "README.md").read_text().splitlines() if line.startswith("|")]
    assert [name for name in rows(module) if not any(f"`{name}`" in names for names in table)] == []


def test_every_row_on_a_gpu_has_a_small_call_first_but_whole_processes():
    warmed = {name for name, call in rows("peers_cuda").items() if any(word.arg == "warm_up" for word in call.keywords)}
    assert set(rows("peers_cuda")) - warmed == {"main-plain", "sweep-no-cache"}


@pytest.mark.parametrize(
    ("ours", "peer", "times", "expected"),
    [  # seconds of each run; times as fast, seconds, the peer's, how often each was run
        ((10, 12, 11), (100, 50, 60), 1, (5.45, 11, 60, 3, 3)),
        ((1, 2, 3), (130,), 1, (65, 2, 130, 3, 1)),
        ((121,), (10, 20, 30), 1, (0.17, 121, 20, 1, 3)),
        ((200,), (300,), 1, (1.5, 200, 300, 1, 1)),
        ((1, 1, 1), (100, 100, 100), 1000, (100000, 1, 100000, 3, 3)),
    ],
)
def test_a_row_has_medians_of_what_was_run_in_turn(monkeypatch, peers, ours, peer, times, expected):
    left = {"ours": list(ours), "peer": list(peer)}
    monkeypatch.setattr(speed, "measure", lambda _, __, side: {"seconds": left[side].pop(0), "quality": 0.9})
    row = speed.compare(TWIN, "a", peers.Comparison("work", len, max, 2, "accuracy", peers.nothing, times=times))
    columns = ("times_as_fast", "seconds", "peer_seconds", "runs", "peer_runs")
    assert tuple(row[column] for column in columns) == expected
    assert (row["peer"], row["device"], left) == ("max", "cpu (a processor)", {"ours": [], "peer": []})


@pytest.mark.parametrize(
    ("quality", "ours", "peer", "no_worse"),
    [
        ("inertia", 1000.9, 1000, True),
        ("inertia", 1001.1, 1000, False),
        ("accuracy", 0.896, 0.9, True),
        ("accuracy", 0.894, 0.9, False),
        ("best score", 9, 10, False),
    ],
)
def test_no_worse_allows_what_chance_may_do(quality, ours, peer, no_worse):
    assert speed.is_no_worse(quality, ours, peer) == no_worse


def test_a_row_measured_anew_leaves_the_others_and_gives_them_the_new_columns(monkeypatch, tmp_path, peers):
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setattr(speed, "measure", lambda *_: {"seconds": 1, "quality": 0.9})
    shown = ("work", "peer", "times_as_fast", "at_least", "seconds", "peer_seconds", "found", "peer_found", "no_worse")
    with (tmp_path / "speed.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["row", *shown])
        writer.writeheader()
        writer.writerow({"row": "knn-sklearn", "work": "as it was"})
    speed.main(["kmeans-faiss", "--device", "cpu"])
    with (tmp_path / "speed.csv").open(newline="") as file:
        old, new = sorted(csv.DictReader(file), key=lambda row: row["row"], reverse=True)
    assert (old["row"], old["work"], old["runs"]) == ("knn-sklearn", "as it was", "")
    assert (new["row"], new["runs"], new["device"]) == ("kmeans-faiss", "3", cpu.device_name())


def test_each_gpu_has_a_table_of_its_own():
    gpu = types.SimpleNamespace(DEVICE="cuda", device_name=lambda: "cuda (NVIDIA H100 80GB HBM3)")
    assert speed.table_of(gpu).name == "speed-nvidia-h100-80gb-hbm3.csv"
    assert speed.table_of(cpu).name == "speed.csv"


@pytest.fixture
def stand_ins(monkeypatch, peers):
    """The GPU's rows with NumPy in CuPy's place and scikit-learn in cuML's, on digits and 20 clusters."""
    cupy = types.ModuleType("cupy")
    cupy.array, cupy.arange, cupy.ndarray = np.array, np.arange, type("ndarray", (), {})
    modules = {"cupy": cupy, "cuml": types.ModuleType("cuml")}
    for name, home in HOMES.items():
        setattr(modules.setdefault(f"cuml.{home}", types.ModuleType(home)), name, spy(name, []))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(backend, "select", lambda device: (cpu, device))
    monkeypatch.setattr(peers, "N_CLUSTERS", 20)
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(np.int64)
    rows_of = importlib.import_module("peers_cuda")
    small_table = rows_of.table()[0][:6, :6]
    for name, comparison in rows_of.COMPARISONS.items():
        data = (small_table,) if comparison.data is rows_of.table else (X[:600], y[:600], X[600:900], y[600:900])
        replaced = dataclasses.replace(comparison, data=lambda data=data: data)
        monkeypatch.setitem(rows_of.COMPARISONS, name, replaced)
    yield
    del sys.modules["peers_cuda"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "name",
    ["kmeans-cuml", "starts-cuml", "permutations-cupy", "knn-cuml", "logistic-2000-cuml", "logistic-60000-cuml"],
)
def test_rows_for_a_gpu_run_and_both_sides_do_the_same_work(stand_ins, capsys, name):
    found = []
    for side in ("ours", "peer"):
        speed.once("cuda", name, side)
        found.append(json.loads(capsys.readouterr().out)["quality"])
    assert found[0] == pytest.approx(found[1], rel=0.1)
