"""The twins offer the same names and take the same arguments: shown without a GPU, from source and signatures.

`python -m tests.test_backend WHEEL` records the constructors in a wheel of cuML anew.
"""

import ast
import functools
import importlib
import inspect
import json
import re
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import sklearn.cluster
import sklearn.linear_model
import sklearn.neighbors

from gpussl import backend
from gpussl.backend import cpu
from gpussl.cluster import HDBSCAN
from gpussl.errors import DeviceError
from gpussl.models.knn import KNeighborsClassifier
from gpussl.models.logistic import LogisticRegression

BACKEND = Path(backend.__file__).parent
RECORDED = Path(__file__).parent / "cuml.json"
CUML = json.loads(RECORDED.read_text())["constructors"]  # the names of their arguments
HOMES = {
    "KMeans": "cluster",
    "HDBSCAN": "cluster",
    "LogisticRegression": "linear_model",
    "KNeighborsClassifier": "neighbors",
    "NearestNeighbors": "neighbors",
}
SKLEARN = {name: getattr(getattr(sklearn, home), name) for name, home in HOMES.items()}
HOMES["UMAP"] = "manifold"
FITTED = {
    "KMeans": ("cluster_centers_", "labels_", "inertia_", "n_iter_"),
    "HDBSCAN": ("labels_",),
    "LogisticRegression": ("coef_", "intercept_", "classes_"),
}


def public(module):
    """The names a twin's `__all__` states, and the parameters of the functions it defines."""
    tree = ast.parse((BACKEND / f"{module}.py").read_text())
    names = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    functions = {node.name: ast.unparse(node.args) for node in tree.body if isinstance(node, ast.FunctionDef)}
    return set(names), functions


def test_the_twins_offer_the_same_names_and_functions():
    assert public("cpu") == public("gpu")


def spy(name, calls):
    """scikit-learn's estimator, which cuML's would refuse if it were called otherwise."""
    parameters = [inspect.Parameter(p, inspect.Parameter.KEYWORD_ONLY, default=None) for p in CUML[name]]
    signature = inspect.Signature(parameters)

    def construct(*args, **kwargs):
        signature.bind(*args, **kwargs)  # TypeError where cuML would raise one
        calls.append(name)
        return SKLEARN[name](*args, **kwargs)

    return construct


def test_both_twins_take_the_arguments_gpussl_gives(monkeypatch):
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    calls = []
    estimators = ["LogisticRegression", "HDBSCAN", "KNeighborsClassifier"]
    assert set(estimators) == {name for name in CUML if hasattr(cpu, name)}
    for name in estimators:
        monkeypatch.setattr(cpu, name, spy(name, calls))
    y = (X[:, 0] > 0).astype(np.int64)
    LogisticRegression().fit(X, y)
    HDBSCAN(min_cluster_size=5).fit(X, seed=0)
    KNeighborsClassifier().fit(X, y).predict(X)
    assert calls == estimators


@pytest.mark.parametrize("name", list(FITTED))
def test_scikit_learn_has_the_fitted_attributes_that_are_read(name):
    X = np.random.default_rng(0).normal(size=(60, 4))
    fitted = SKLEARN[name](**({"copy": True} if name == "HDBSCAN" else {})).fit(X, X[:, 0] > 0)  # else it warns
    assert all(hasattr(fitted, attribute) for attribute in FITTED[name])


@pytest.fixture
def fake_gpu(monkeypatch):
    """The GPU twin itself, on NumPy: what it does with CuPy's and cuML's names, without either."""
    cupy = types.ModuleType("cupy")
    device = types.SimpleNamespace(id=0, synchronize=lambda: cupy.synchronized.append(True))
    cupy.synchronized = []
    cupy.is_available, cupy.asarray, cupy.asnumpy = (lambda: True), np.asarray, np.asarray
    cupy.cuda = types.SimpleNamespace(
        Device=lambda: device,
        runtime=types.SimpleNamespace(
            memGetInfo=lambda: (30, 100), getDeviceProperties=lambda index: {"name": b"A GPU"}
        ),
    )
    cupy.bincount, cupy.stack = np.bincount, np.stack
    modules = {name: types.ModuleType(name) for name in ("cuml", "cupyx", "cupyx.scipy")} | {"cupy": cupy}
    modules["cupyx.scipy"].sparse = scipy.sparse
    for name, home in HOMES.items():
        setattr(modules.setdefault(f"cuml.{home}", types.ModuleType(home)), name, SKLEARN.get(name))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "gpussl.backend.gpu", raising=False)
    monkeypatch.delattr(backend, "gpu", raising=False)
    yield cupy
    sys.modules.pop("gpussl.backend.gpu", None)
    if hasattr(backend, "gpu"):
        del backend.gpu


def test_the_gpu_twin_uses_cupys_names(fake_gpu):
    gpu = importlib.import_module("gpussl.backend.gpu")
    assert gpu.memory() == 70
    assert gpu.device_name() == "cuda (A GPU)"
    gpu.synchronize()
    assert fake_gpu.synchronized == [True]
    np.testing.assert_array_equal(gpu.to_numpy(gpu.asarray([1, 2])), [1, 2])
    np.testing.assert_array_equal(gpu.bincount(np.array([0, 2, 2]), 4), [1, 0, 2, 0])
    assert gpu.DEVICE == "cuda"
    assert all(hasattr(gpu, name) for name in public("gpu")[0])


def test_the_gpu_twins_kmeans_is_the_best_of_the_starts(fake_gpu):
    calls, said = [], []
    sys.modules["cuml.cluster"].KMeans = spy("KMeans", calls)
    gpu = importlib.import_module("gpussl.backend.gpu")
    X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    starts = np.stack([X[3 * i : 3 * i + 8] for i in range(5)])
    of_gpu = gpu.kmeans(X, starts, 100, 1e-4, lambda *step: said.append(step))
    of_cpu = cpu.kmeans(X, starts, 100, 1e-4)
    np.testing.assert_allclose(of_gpu[0], of_cpu[0], atol=1e-5)
    np.testing.assert_array_equal(of_gpu[1], of_cpu[1])
    assert of_gpu[2] == of_cpu[2]
    assert calls == ["KMeans"] * 5
    assert [step[:2] for step in said] == [(number, 5) for number in range(1, 6)]


def test_the_gpu_twins_neighbours_are_the_cpus_to_full_precision(fake_gpu):
    calls = []
    sys.modules["cuml.neighbors"].NearestNeighbors = spy("NearestNeighbors", calls)
    gpu = importlib.import_module("gpussl.backend.gpu")
    X = np.random.default_rng(0).normal(size=(90, 4))
    of_gpu, of_cpu = (twin.nearest_neighbors(X, X[:20], 5) for twin in (gpu, cpu))
    np.testing.assert_array_equal(of_gpu[0], of_cpu[0])
    np.testing.assert_allclose(of_gpu[1], of_cpu[1])
    assert calls == ["NearestNeighbors"]


def test_the_gpu_twins_umap_has_fitted_and_placed_points(fake_gpu):
    class Fake:
        def fit_transform(self, X):
            return X[:, : self.n_components]

        def transform(self, X):
            return -X[:, : self.n_components]

    def construct(**kwargs):
        assert set(kwargs) <= set(CUML["UMAP"])
        fake = Fake()
        vars(fake).update(kwargs)
        made.append(fake)
        return fake

    made = []
    sys.modules["cuml.manifold"].UMAP = construct
    gpu = importlib.import_module("gpussl.backend.gpu")
    X = np.random.default_rng(0).normal(size=(90, 4))
    train, test = gpu.umap(X[:60], X[60:], n_components=2, n_neighbors=7, min_dist=0.1, seed=3)
    np.testing.assert_array_equal(train, X[:60, :2])
    np.testing.assert_array_equal(test, -X[60:, :2])
    assert vars(made[0]) == {"n_components": 2, "n_neighbors": 7, "min_dist": 0.1, "random_state": 3}


def test_auto_takes_the_gpu_where_there_is_one(fake_gpu):
    assert backend.select("auto")[0].device_name() == "cuda (A GPU)"
    assert backend.select("cpu")[0] is cpu


def test_a_gpu_that_cannot_be_used_is_none(fake_gpu):
    fake_gpu.is_available = lambda: False
    twin, reason = backend.select("auto")
    assert twin is cpu
    assert reason == "device=auto found no usable GPU (CuPy sees no CUDA device)"
    with pytest.raises(DeviceError, match=r"device=cuda: expected a CUDA GPU .* found none"):
        backend.select("cuda")


def test_the_array_decides(xp, host):
    twin = backend.of(xp.asarray(np.zeros(3)))
    assert twin.__name__ == ("gpussl.backend.gpu" if xp.__name__.endswith("cupy") else "gpussl.backend.cpu")


def test_memory_is_this_process_resident_size():
    assert 2**24 < cpu.memory() < 2**36


def calls_of(tree, roots):
    """(root, names, arguments) of each use of a root's attribute: how many and the names of the others, of a call."""
    for node in ast.walk(tree):
        of, names = (node.func if isinstance(node, ast.Call) else node), []
        while isinstance(of, ast.Attribute):
            names.insert(0, of.attr)
            of = of.value
        if names and isinstance(of, ast.Name) and of.id in roots:
            is_plain = isinstance(node, ast.Call) and not any(isinstance(given, ast.Starred) for given in node.args)
            yield of.id, names, (len(node.args), [k.arg for k in node.keywords]) if is_plain else None


def test_cupy_has_what_is_asked_of_it():
    """Needs CuPy, but no GPU: pip install cupy-cuda13x."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    roots = {"xp": importlib.import_module("array_api_compat.cupy"), "cupy": cupy}
    of_the_cpu = {BACKEND / f"{name}.py" for name in ("blocks", "cpu", "lloyd", "logistic", "neighbors", "projection")}
    n_bound = 0
    for path in set(BACKEND.parent.rglob("*.py")) - of_the_cpu:
        for root, names, arguments in calls_of(ast.parse(path.read_text()), roots):
            found = functools.reduce(getattr, names, roots[root])  # AttributeError where it has no such name
            if arguments is not None and isinstance(found, types.FunctionType):
                inspect.signature(found).bind(*[None] * arguments[0], **dict.fromkeys(arguments[1]))
                n_bound += 1
    assert n_bound > 100


@pytest.mark.gpu
def test_cumls_signatures_are_the_ones_recorded_here():
    from gpussl.backend import gpu

    for name, parameters in CUML.items():
        assert set(inspect.signature(getattr(gpu, name).__init__).parameters) - {"self"} == set(parameters)


def constructors(wheel):
    """What the estimators in a wheel of cuML are constructed with, from its sources: they need a GPU to be imported."""
    found = {}
    with zipfile.ZipFile(wheel) as files:
        sources = {name: files.read(name).decode() for name in files.namelist() if name.endswith((".py", ".pyx"))}
    for name, home in HOMES.items():
        (body,) = (
            source.split(f"\nclass {name}(", 1)[1]
            for path, source in sources.items()
            if path.startswith(f"cuml/{home}/") and f"\nclass {name}(" in source
        )
        arguments, _ = body.split("def __init__(", 1)[1].split("\n    ):\n", 1)
        assert "self." not in arguments  # or it ends elsewhere
        found[name] = re.findall(r"^ +(\w+)=", arguments, re.MULTILINE)
    return found


if __name__ == "__main__":
    found = {"wheel": Path(sys.argv[1]).name, "constructors": constructors(sys.argv[1])}
    RECORDED.write_text(json.dumps(found, indent=2) + "\n")
