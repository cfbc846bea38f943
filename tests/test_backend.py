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
from gpussl.cluster.hdbscan import HDBSCAN
from gpussl.errors import DeviceError

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
    return set(names), {name: arguments for name, arguments in functions.items() if not name.startswith("_")}


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
    monkeypatch.setattr(cpu, "HDBSCAN", spy("HDBSCAN", calls))
    HDBSCAN(min_cluster_size=5).fit(X, seed=0)
    assert calls == ["HDBSCAN"]


@pytest.mark.parametrize("name", list(FITTED))
def test_scikit_learn_has_the_fitted_attributes_that_are_read(name):
    X = np.random.default_rng(0).normal(size=(60, 4))
    fitted = SKLEARN[name](**({"copy": True} if name == "HDBSCAN" else {})).fit(X, X[:, 0] > 0)  # else it warns
    assert all(hasattr(fitted, attribute) for attribute in FITTED[name])


class FakeCupy(types.ModuleType):
    """NumPy under CuPy's name, with what only CuPy has."""

    def __init__(self):
        super().__init__("cupy")
        self.full = False
        self.synchronized, self.released, self.allocators, self.limits = [], [], [], []
        device = types.SimpleNamespace(id=0, synchronize=lambda: self.synchronized.append(True))
        pool = types.SimpleNamespace(
            malloc=self._malloc,
            free_all_blocks=self._free_all_blocks,
            free_bytes=lambda: 5,
            used_bytes=lambda: 2,
            set_limit=lambda size: self.limits.append(size),
            get_limit=lambda: self.limits[-1] if self.limits else 0,
        )
        self.is_available, self.asnumpy = (lambda: True), np.asarray
        self.get_default_memory_pool = lambda: pool
        self.ElementwiseKernel = lambda *_: lambda x, counts: np.add.at(counts, x, 1)
        self.RawKernel = lambda *_: greedy_seeds
        self.cuda = types.SimpleNamespace(
            Device=lambda: device,
            set_allocator=self.allocators.append,
            runtime=types.SimpleNamespace(
                memGetInfo=lambda: (30, 100), getDeviceProperties=lambda index: {"name": b"A GPU"}
            ),
        )

    def _malloc(self, size):
        if self.full:
            raise MemoryError
        return f"{size} bytes"

    def _free_all_blocks(self):
        self.full = False
        self.released.append(True)

    def __getattr__(self, name):
        return getattr(np, name)


def greedy_seeds(grid, block, arguments):
    """What the CUDA kernel of that name is to do, a point after another."""
    table, weights, draws, chosen, m, n_clusters, n_trials = arguments
    assert (grid, block, table.shape, draws.shape) == ((1,), (1024,), (m, m), (n_clusters, n_trials))
    nearest = np.ones(m, dtype=np.float32)
    for step in range(n_clusters):
        mass = np.cumsum((nearest * weights).astype(np.float64))
        trials = [int(np.argmax(mass >= draw * mass[-1])) for draw in draws[step]]
        left = [table[trial] if step == 0 else np.minimum(table[trial], nearest) for trial in trials]
        best = int(np.argmin([(row * weights).sum(dtype=np.float64) for row in left]))
        chosen[step], nearest = trials[best], left[best]


@pytest.fixture
def fake_gpu(monkeypatch):
    """The GPU twin itself, on NumPy: what it does with CuPy's and cuML's names, without either."""
    cupy = FakeCupy()
    modules = {name: types.ModuleType(name) for name in ("cuml", "cupyx", "cupyx.scipy", "rmm")} | {"cupy": cupy}
    modules["cupyx.scipy"].sparse = scipy.sparse
    modules["rmm"].mr = types.SimpleNamespace(
        CudaAsyncMemoryResource=lambda: "CUDA's pool", set_current_device_resource=cupy.allocators.append
    )
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
    gpu.release()
    assert fake_gpu.released == [True]
    assert fake_gpu.allocators[0] == "CUDA's pool"
    allocate = fake_gpu.allocators[1]
    assert allocate(3) == "3 bytes"
    fake_gpu.full = True  # of blocks that are kept for later
    released = len(fake_gpu.released)
    assert allocate(3) == "3 bytes"
    assert len(fake_gpu.released) == released + 1
    assert [gpu.room(None), gpu.room(20), gpu.room(90)] == [35, 18, 35]
    assert fake_gpu.limits == [0, 20, 90]
    np.testing.assert_array_equal(gpu.to_numpy(gpu.asarray([1, 2])), [1, 2])
    np.testing.assert_array_equal(gpu.bincount(np.array([0, 2, 2]), 4), [1, 0, 2, 0])
    assert gpu.DEVICE == "cuda"
    assert all(hasattr(gpu, name) for name in public("gpu")[0])


def test_the_gpu_twins_kmeans_is_the_best_of_the_starts(fake_gpu):
    class Absolute(sklearn.cluster.KMeans):
        """cuML's k-means, whose `tol` is what the squared shifts are compared with."""

        def fit(self, X):
            self.tol = self.tol / X.var(axis=0).mean()
            return super().fit(X)

    calls, said = [], []
    construct = spy("KMeans", calls)
    sys.modules["cuml.cluster"].KMeans = lambda **given: construct(**given) and Absolute(**given)
    gpu = importlib.import_module("gpussl.backend.gpu")
    X = 50 + 0.1 * np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    starts = np.stack([X[3 * i : 3 * i + 8] for i in range(5)])
    for tol in (1e-4, 1e-2):
        of_gpu = gpu.kmeans(X, starts, 100, tol, lambda *step: said.append(step))
        of_cpu = cpu.kmeans(X, starts, 100, tol)
        np.testing.assert_allclose(of_gpu[0], of_cpu[0], atol=1e-5)
        np.testing.assert_array_equal(of_gpu[1], of_cpu[1])
        assert of_gpu[2] == of_cpu[2]
    assert calls == ["KMeans"] * 10
    assert [step[:2] for step in said] == [(number, 5) for number in range(1, 6)] * 2


class NearestInSinglePrecision:
    """Neighbours as cuML finds them: by norms and products, which lose the digits of small distances."""

    def __init__(self, **given):
        assert set(given) <= set(CUML["NearestNeighbors"])
        self.n_neighbors = given["n_neighbors"]

    def fit(self, X):
        self._X = X.astype(np.float32)
        return self

    def kneighbors(self, queries):
        queries = queries.astype(np.float32)
        squared = (queries**2).sum(axis=1)[:, None] - 2 * queries @ self._X.T + (self._X**2).sum(axis=1)
        found = np.argsort(squared, axis=1)[:, : self.n_neighbors]
        return np.sqrt(np.maximum(np.take_along_axis(squared, found, axis=1), 0)), found


def clumps(n, d, far, spread, seed=0):
    """Points whose distances are small beside their coordinates, some of them more than once."""
    rng = np.random.default_rng(seed)
    X = far + spread * rng.normal(size=(n, d)).astype(np.float32)
    X[n // 2 :] += 10
    X[: n // 20] = X[0]
    return X


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "far", "spread"), [(30, 0, 1), (30, 50, 1e-3), (3, 50, 1e-3)])
def test_the_gpu_twins_neighbours_are_those_of_double_precision(fake_gpu, monkeypatch, d, far, spread, dtype):
    sys.modules["cuml.neighbors"].NearestNeighbors = NearestInSinglePrecision
    gpu = importlib.import_module("gpussl.backend.gpu")
    blocks, ranked = [], gpu.rank

    def counted(X, queries, candidates, k, block_bytes=None):
        blocks.append(block_bytes)
        return ranked(X, queries, candidates, k, block_bytes)

    monkeypatch.setattr(gpu, "rank", counted)
    X = clumps(400, d, far, spread).astype(dtype)
    squared = ((X[:90, None].astype(np.float64) - X[None].astype(np.float64)) ** 2).sum(axis=2)
    expected = np.sort(squared, axis=1)[:, :5]
    for points, queries in ((X, X[:90]), (X[:7], X[:90])):
        indices, distances = gpu.nearest_neighbors(points, queries, 5)
        found = np.take_along_axis(squared, indices, axis=1)
        wanted = expected if len(points) == 400 else np.sort(squared[:, :7], axis=1)[:, :5]
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        np.testing.assert_allclose(distances**2, wanted, rtol=1e-12)
    assert blocks == [2, 2]  # a sixteenth of the 35 bytes that are free


def test_the_gpu_twins_seeds_are_those_of_the_loop(fake_gpu):
    gpu = importlib.import_module("gpussl.backend.gpu")
    rng = np.random.default_rng(0)
    points = rng.integers(0, 9, (300, 5)).astype(np.float32)  # so that sums are exact
    weights, draws = rng.integers(1, 5, 300).astype(np.float32), rng.random((60, 6))
    for dtype in (np.float32, np.float64):  # the second is not for the kernel
        found, expected = (
            twin.greedy_kmeans_plusplus(points.astype(dtype), weights.astype(dtype), draws) for twin in (gpu, cpu)
        )
        np.testing.assert_array_equal(found, expected)


def test_the_gpu_twins_logistic_regression_minimises_what_the_cpus_does(fake_gpu):
    gpu = importlib.import_module("gpussl.backend.gpu")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = 3 + (X[:, 0] + 0.5 * rng.normal(size=200) > 0) + (X[:, 1] > 1)
    weights = rng.random(200) + 0.1
    for given in (None, weights, 100 * weights):
        expected = sklearn.linear_model.LogisticRegression(C=0.2, max_iter=1000, tol=1e-8).fit(X, y, given)
        for twin in (gpu, cpu):
            model = twin.LogisticRegression(C=0.2, max_iter=1000, tol=1e-8).fit(X, y, sample_weight=given)
            np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-4)
            np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-4)
            np.testing.assert_array_equal(model.classes_, [3, 4, 5])


def test_the_gpu_twins_umap_is_cumls(fake_gpu):
    class Fake:
        def fit_transform(self, X):
            return X[:, : self.n_components]

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
    np.testing.assert_array_equal(gpu.umap(X, n_components=2, n_neighbors=7, min_dist=0.1, seed=3), X[:, :2])
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
    of_the_cpu = {BACKEND / f"{name}.py" for name in ("blocks", "cpu", "lloyd", "neighbors", "projection")}
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
    for name, parameters in CUML.items():
        estimator = getattr(importlib.import_module(f"cuml.{HOMES[name]}"), name)
        assert set(inspect.signature(estimator.__init__).parameters) - {"self"} == set(parameters)


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
