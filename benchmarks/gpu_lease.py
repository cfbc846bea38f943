"""Checks for a few minutes on a GPU: each stage against its CPU twin, the tests that need a GPU, and the times.

    python benchmarks/gpu_lease.py 1 --seconds 200    scikit-learn's digits only
    python benchmarks/gpu_lease.py 2 --seconds 280    Fashion-MNIST and MNIST

Steps run one after another, the most important first, each with a time limit. If a step fails, that is recorded and the
next one starts; if it hangs or leaves CUDA broken, its process ends, and a new process runs the remaining steps. In
$OUT, results-PART.jsonl has a line for each step and log-PART.txt the tracebacks. LEASE_DEVICE=cpu runs everything on a
CPU, with small data. LEASE_ONLY names the steps to run instead of all steps of the part, LEASE_TESTS the tests, as -k
of pytest.
"""

import argparse
import contextlib
import csv
import faulthandler
import functools
import importlib
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

OUT = Path(os.environ.get("OUT", "outputs/gpu_lease"))
SCRATCH = Path(os.environ.get("LEASE_TMP", tempfile.gettempdir())) / "lease-runs"
DEVICE = os.environ.get("LEASE_DEVICE", "cuda")
IS_SMALL = DEVICE == "cpu"  # a dry run of the steps
N_CLUSTERS, N_SYNTHETIC = (20, 600) if IS_SMALL else (2000, 20000)
LIBRARIES = (
    "numpy", "scipy", "scikit-learn", "pandas", "torch", "cupy-cuda13x", "cuml-cu13", "xgboost", "numba", "numba-cuda",
    "cuda-bindings",
)  # fmt: skip
BROKEN = ("cudaError", "CUDA error", "illegal memory", "misaligned")
STEPS = {}  # name -> (part, seconds it may take, seconds it takes, function)
RUNNING = {}  # until: deadline of all steps; seconds: time limit of a subprocess of the current step


def step(part, limit, expected):
    """Register a function as a step. Its return value is recorded, with `ok` true unless it sets it."""

    def register(function):
        STEPS[function.__name__] = part, limit, expected, function
        return function

    return register


@functools.cache
def twins():
    """The GPU's twin, and the CPU's."""
    from gpussl import backend
    from gpussl.backend import cpu

    return backend.select(DEVICE)[0], cpu


@functools.cache
def digits():
    """1,297 training and 500 test points with their classes, on the host."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(np.int64)
    return X[:1297], y[:1297], X[1297:], y[1297:]


@functools.cache
def fashion():
    """Training and test images of Fashion-MNIST with their classes, on the device."""
    return tuple(map(twins()[0].asarray, digits() if IS_SMALL else peers().fashion_mnist()))


@functools.cache
def peers():
    folder = Path.cwd() / "benchmarks"
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module("peers")


def blobs(n, d, n_groups):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(n_groups, d))
    return (centers[rng.integers(n_groups, size=n)] + 0.7 * rng.normal(size=(n, d))).astype(np.float32)


def timed(function, repeats=3):
    """Median seconds of a function on the device, after a first call."""
    twin, seconds = twins()[0], []
    for _ in range(2 if IS_SMALL else repeats + 1):
        twin.synchronize()
        start = time.perf_counter()
        function()
        twin.synchronize()
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds[1:]), 5)


def on_both(function, *arrays):
    """The results of a function on the GPU and on the CPU, as lists of NumPy arrays, and its seconds on each."""
    found, seconds = [], {}
    for name, twin in zip(("gpu", "cpu"), twins(), strict=True):
        there = [twin.asarray(X) for X in arrays]
        if not IS_SMALL:
            function(*there)  # compiles the kernels
        twin.synchronize()
        start = time.perf_counter()
        made = function(*there)
        twin.synchronize()
        seconds[f"{name}_seconds"] = round(time.perf_counter() - start, 4)
        found.append([twin.to_numpy(X) for X in (made if isinstance(made, tuple) else (made,))])
    return *found, seconds


def share(a, b):
    return round(float(np.mean(np.asarray(a) == np.asarray(b))), 5)


def require(holds, found):
    """Return `found` if the check holds, else raise RuntimeError."""
    if not holds:
        raise RuntimeError(f"not as on the CPU: {found}")
    return found


def each(**parts):
    """The result of each part, or its error: the others are tried even if one fails."""
    found, is_ok = {}, True
    for name, function in parts.items():
        try:
            found[name] = function()
        except Exception as error:
            traceback.print_exc()
            is_ok, found[name] = False, f"FAILED {type(error).__name__}: {str(error)[:300]}"
        with (OUT / "parts.jsonl").open("a") as file:  # now, in case the next part kills the process
            file.write(json.dumps({name: found[name]}, default=str) + "\n")
    return found | {"ok": is_ok}


# Part 1: the digits only


@step(1, 90, 10)
def versions():
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    gpu = twins()[0]
    cuml = sys.modules.get("cuml")
    return found | {"twin": gpu.device_name(), "cuml": getattr(cuml, "__version__", None), "memory": gpu.memory()}


@step(1, 190, 90)
def tests():
    """The project's tests that need a GPU; warnings from libraries newer than the pinned ones are not errors."""
    chosen = ["tests/test_allocations.py"] if IS_SMALL else ["-m", "gpu", "-n", "14", "--dist", "worksteal"]
    chosen += ["-k", os.environ["LEASE_TESTS"]] if "LEASE_TESTS" in os.environ else []
    options = ["-v", "-p", "no:cacheprovider", "-o", "filterwarnings=", "--junitxml", str(OUT / "pytest.xml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with (OUT / "pytest.txt").open("w") as log, contextlib.suppress(subprocess.TimeoutExpired):
        command = [sys.executable, "-m", "pytest", *chosen, *options]
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=RUNNING["seconds"], env=environment)
    lines = (OUT / "pytest.txt").read_text().splitlines()
    failed = sorted({word for line in lines if "FAILED" in line for word in line.split() if "::" in word})
    return {
        "said": lines[-1] if lines else "",
        "passed": sum("PASSED" in line for line in lines),
        "failed": failed,
        "ok": bool(lines) and " passed" in lines[-1] and "failed" not in lines[-1] and "error" not in lines[-1],
    }


@step(1, 90, 25)
def cold_start():
    """How the first seconds of a process are spent."""
    script = """
import json, time
marks, start = {}, time.perf_counter()
def mark(name):
    global start
    marks[name], start = round(time.perf_counter() - start, 2), time.perf_counter()
import numpy as np, torch; mark("import torch")
import torch._dynamo; mark("import what PyTorch's first optimizer imports")
from gpussl import backend; twin = backend.select(DEVICE)[0]; mark("import the twin")
X = twin.asarray(np.random.default_rng(0).random((4096, 64), dtype=np.float32)); twin.synchronize(); mark("first array")
X @ X.T; twin.synchronize(); mark("first product")
from gpussl.cluster.kmeans import KMeans
from gpussl.cluster.start import kmeans_parallel; mark("import gpussl.cluster")
points = kmeans_parallel(X, 200, np.random.default_rng(0)); twin.synchronize(); mark("first start of k-means")
twin.kmeans(X, points[None, ...], 10, 1e-4); twin.synchronize(); mark("first k-means")
KMeans(200).fit(X, 0); twin.synchronize(); mark("second k-means")
from gpussl.classifier.mlp import MLPClassifier; mark("import gpussl.classifier")
y = twin.asarray(np.arange(4096) % 10)
for name in ("first", "second"):
    MLPClassifier(max_epochs=1).fit(X, y); twin.synchronize(); mark(f"{name} MLP")
print(json.dumps(marks))
"""
    command = [sys.executable, "-c", script.replace("DEVICE", repr(DEVICE))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUNNING["seconds"])
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return json.loads(done.stdout.splitlines()[-1])


@step(1, 45, 6)
def allocations():
    """All 10!, 11! and 12! allocations, from a table on the device; the same results on both devices."""
    from gpussl.numeric.allocations import contingency, score_allocations

    gpu, cpu = twins()
    rng, found = np.random.default_rng(0), {}
    for shape in ((8, 10), (10, 8), (10, 10)):
        table = rng.integers(0, 99, shape)
        made = [score_allocations(twin.asarray(table), twin) for twin in (gpu, cpu)]
        found[f"{shape} agree"] = made[0].ranking == made[1].ranking and bool((made[0].counts == made[1].counts).all())
    for k in (7,) if IS_SMALL else (10, 11, 12):
        classes = rng.integers(0, k, 10_000)
        clusters = np.where(rng.random(10_000) < 0.5, classes, rng.integers(0, k, 10_000))
        table = contingency(gpu.asarray(clusters), gpu.asarray(classes), k, k, gpu)
        found[f"{k}!"] = timed(functools.partial(score_allocations, table, gpu), 9)
    return found | {"ok": all(value for name, value in found.items() if "agree" in name)}


@step(1, 90, 45)
def classifiers():
    from gpussl.classifier.convnet import ConvNetClassifier
    from gpussl.classifier.knn import KNeighborsClassifier
    from gpussl.classifier.logistic import LogisticRegression
    from gpussl.classifier.mlp import MLPClassifier
    from gpussl.classifier.self_training import SelfTrainingMLPClassifier
    from gpussl.classifier.xgboost import XGBClassifier

    X, y, X_test, y_test = digits()
    few = np.where(np.arange(len(y)) < 300, y, -1)
    epochs = {"max_epochs": 1, "hidden_layer_sizes": [16] * 6} if IS_SMALL else {"max_epochs": 20}
    steps = 4 if IS_SMALL else 60

    def accuracies(model, y=y):
        of_gpu, of_cpu, seconds = on_both(lambda X, y, Q: model.fit(X, y).predict(Q), X, y, X_test)
        found = [share(of[0], y_test) for of in (of_gpu, of_cpu)]
        return require(abs(found[0] - found[1]) < 0.03, {"accuracy": found} | seconds)

    def weighted():
        """Points of weight 2 count as duplicated points."""
        X, y = (twins()[0].asarray(part[:200]) for part in digits()[:2])
        weights = twins()[0].asarray(np.where(np.arange(200) < 100, 2.0, 1.0).astype(np.float32))
        twice = twins()[0].asarray(np.r_[np.arange(200), np.arange(100)])
        fits = [LogisticRegression(tol=1e-6, max_iter=1000).fit(X, y, sample_weight=weights)]
        fits += [LogisticRegression(tol=1e-6, max_iter=1000).fit(X[twice], y[twice])]
        largest_difference = float(abs(fits[0].coef_ - fits[1].coef_).max())
        return require(largest_difference < 0.01, largest_difference)

    return each(
        logistic=lambda: accuracies(LogisticRegression()),
        logistic_weighted=weighted,
        knn=lambda: accuracies(KNeighborsClassifier()),
        xgboost=lambda: accuracies(XGBClassifier(n_estimators=30)),
        mlp=lambda: accuracies(MLPClassifier(**epochs)),
        self_training=lambda: accuracies(SelfTrainingMLPClassifier(**epochs), few),
        convnet=lambda: accuracies(ConvNetClassifier(n_steps=steps, channels=[16, 16], hidden=32), few),
    )


@step(1, 60, 12)
def clusterings():
    """k-means from one start on both devices, twice on the GPU."""
    from gpussl.cluster.kmeans import KMeans
    from gpussl.cluster.start import kmeans_parallel

    X, k = blobs(N_SYNTHETIC, 100, 60), max(20, N_SYNTHETIC // 100)
    starts = on_both(lambda X: kmeans_parallel(X, k, np.random.default_rng(0)), X)
    made = [KMeans(k).fit(twin.asarray(X), 0) for twin in (*twins(), twins()[0])]
    labels = [twin.to_numpy(fitted.labels) for twin, fitted in zip((*twins(), twins()[0]), made, strict=True)]
    return {
        "same_start": bool(np.array_equal(starts[0][0], starts[1][0])),
        "inertia_over_the_cpus": made[0].inertia / made[1].inertia,
        "iterations": [fitted.n_iter for fitted in made],
        "labels_that_agree": share(labels[0], labels[1]),
        "labels_of_two_runs": share(labels[0], labels[2]),
        "ok": abs(made[0].inertia / made[1].inertia - 1) < 0.005,
    }


@step(1, 60, 5)
def neighbors():
    """Neighbours by both twins; clumps have small distances between large coordinates."""
    found, X = {}, blobs(N_SYNTHETIC // 4, 50, 60)
    for name, points in {"blobs": X, "clumps": (X[:, :12] * 1e-3 + 50).astype(np.float32)}.items():
        indices = []
        for twin in twins():
            made = twin.nearest_neighbors(twin.asarray(points), twin.asarray(points[:500]), 11)
            indices.append(twin.to_numpy(made[0]))
        same = [len(set(a) & set(b)) for a, b in zip(indices[0].tolist(), indices[1].tolist(), strict=True)]
        found[name] = sum(same) / indices[0].size
    return found | {"ok": min(found.values()) > 0.999}


@step(1, 60, 20)
def stages():
    """Selections, mixtures, representations and the graph."""
    from sklearn.metrics import adjusted_rand_score

    from gpussl.cluster.gaussian_mixture import GaussianMixture
    from gpussl.cluster.hdbscan import HDBSCAN
    from gpussl.cluster.kmeans import KMeans
    from gpussl.label.rounds import ask_in_rounds
    from gpussl.propagate.neighbor_graph import label_spreading, neighbor_graph, neighbors, poisson_learning, shares
    from gpussl.represent.autoencoder import Autoencoder
    from gpussl.represent.deskew import Deskew
    from gpussl.represent.hog import HOG
    from gpussl.represent.pca import PCA
    from gpussl.select.cluster_budget import ClusterBudget
    from gpussl.select.coverage import Coverage
    from gpussl.select.nearest_to_centroid import NearestToCentroid
    from gpussl.select.typical import Typical

    X, y, X_test, _ = digits()
    start = KMeans(20).fit(X, 0)

    def chosen(selection):
        """Starts from the CPU's clusters on both devices."""

        def choose(X, y, *fields):
            clustering = type(start)(*fields[:3], start.inertia, start.n_iter)
            return ask_in_rounds(
                selection, X, clustering, 0, lambda points: y[points], lambda points: y[points]
            ).indices

        of_gpu, of_cpu, _ = on_both(choose, X, y, start.centroids, start.labels, start.distances)
        n_same, n = len(set(of_gpu[0].tolist()) & set(of_cpu[0].tolist())), len(of_cpu[0])
        return require(n_same > 0.9 * n, f"{n_same} of {n}")

    def made(representation, at_most=1e-4):
        def fit_transform(X, X_test):
            fitted = representation.fit(X, 0)
            return fitted.transform_fitted(X), fitted.transform(X_test)

        of_gpu, of_cpu, seconds = on_both(fit_transform, X, X_test)
        apart = [float(np.abs(np.abs(a) - np.abs(b)).max()) for a, b in zip(of_gpu, of_cpu, strict=True)]
        return require(max(apart) < at_most, {"largest_difference": max(apart)} | seconds)

    def agree(clusterer):
        of_gpu, of_cpu, seconds = on_both(lambda X: clusterer.fit(PCA(10).fit(X, 0).transform(X), 0).labels, X)
        found = round(adjusted_rand_score(of_gpu[0], of_cpu[0]), 4)
        return require(found > 0.9, {"adjusted_rand": found} | seconds)

    def spread(X, indices, targets):
        graph = neighbor_graph(neighbors(X, 10))
        return shares(label_spreading(graph, indices, targets, 0.99)), poisson_learning(graph, indices, targets)

    def graph():
        labelled = np.arange(0, 1000, 20)
        of_gpu, of_cpu, seconds = on_both(spread, X, labelled, np.eye(10)[y[labelled]])
        apart = [float(np.abs(a - b).max()) for a, b in zip(of_gpu, of_cpu, strict=True)]
        same = share(of_gpu[0].argmax(1), of_cpu[0].argmax(1))
        return require(max(apart) < 1e-4, {"largest_differences": apart, "classes": same} | seconds)

    return each(
        graph=graph,
        nearest=lambda: chosen(NearestToCentroid()),
        typical=lambda: chosen(Typical()),
        coverage=lambda: chosen(Coverage(n_labels=30)),
        cluster_budget=lambda: chosen(ClusterBudget(n_labels=50)),
        mixture=lambda: agree(GaussianMixture(10)),
        hdbscan=lambda: agree(HDBSCAN(min_cluster_size=20)),
        pca=lambda: made(PCA(10)),
        deskew=lambda: made(Deskew()),
        hog=lambda: made(HOG(n_cells=4)),
        autoencoder=lambda: made(Autoencoder(hidden_layer_sizes=[32], max_epochs=2), at_most=0.1),
    )


@step(1, 45, 8)
def capture_while_sampled():
    """A CUDA graph is captured while another thread queries the memory in use, as in every stage."""
    from gpussl.classifier.mlp import MLPClassifier
    from gpussl.tasks import monitor

    gpu = twins()[0]
    X, y, X_test, y_test = map(gpu.asarray, digits())
    seconds, monitor.SAMPLE_SECONDS = monitor.SAMPLE_SECONDS, 0.0002
    with monitor._peak_memory(gpu.memory) as peak:
        for seed in range(1 if IS_SMALL else 8):
            model = MLPClassifier(max_epochs=4, hidden_layer_sizes=[64] * 6, random_state=seed).fit(X, y)
    monitor.SAMPLE_SECONDS = seconds
    return {"accuracy": float((model.predict(X_test) == y_test).mean()), "peak": peak()}


# Part 2: Fashion-MNIST and MNIST


def job(name, *overrides):
    """A whole process of gpussl: seconds, accuracies and stages."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "gpussl", *overrides, f"device={DEVICE}", "cache=null", f"hydra.run.dir={folder}"]
    if IS_SMALL:
        command += ["data=digits", "cluster.n_clusters=20"]
        if name == "main":
            command += [
                "classifier.mlp_study.max_epochs=1",
                "classifier.mlp_study.hidden_layer_sizes=[16,16,16,16,16,16]",
            ]
        command += ["classifier.convnet.n_steps=4", "classifier.convnet.channels=[8]"] if "labels" in name else []
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUNNING["seconds"])
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-1500:]}")
    manifest = json.loads((folder / "manifest.json").read_text())
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stages = {stage["name"]: [round(stage["seconds"], 2), stage["peak_memory_bytes"]] for stage in manifest["stages"]}
    names = [f"{row['select']} {row['propagation']} {row['classifier']}" for row in rows]
    return {
        "seconds": round(seconds, 1),
        "seconds_after_load": round(sum(item[0] for name, item in stages.items() if name != "load"), 2),
        "accuracy": dict(zip(names, (float(row["test_accuracy"]) for row in rows), strict=True)),
        "stages": stages,
    }


@step(2, 100, 40)
def few_labels():
    return job("few_labels", "+experiment=fashion_few_labels")


@step(2, 100, 40)
def without_labels():
    return job(
        "without_labels",
        "+experiment=mnist_without_labels",
        *(["represent=[pca]", "cluster.n_init=1"] if IS_SMALL else []),
    )


@step(2, 60, 15)
def capped():
    """The main job's clusters and linear models under a memory limit."""
    return job("capped", "+experiment=fashion_propagation", "memory_limit=2GB", "classifier=[logistic_study]")


@step(2, 90, 30)
def label_curve():
    """Seconds of a fit of boosted trees, for each of the study's numbers of labels."""
    from gpussl.classifier.xgboost import XGBClassifier

    X, y, X_test, y_test = fashion() if IS_SMALL else map(twins()[0].asarray, peers().mnist())

    def fit(n):
        start = time.perf_counter()
        model = XGBClassifier(n_estimators=20 if IS_SMALL else 10000).fit(X[:n], y[:n])
        twins()[0].synchronize()
        seconds = round(time.perf_counter() - start, 2)
        return [seconds, model.n_iter_, float((model.predict(X_test) == y_test).mean())]

    return each(**{f"labels_{n}": functools.partial(fit, n) for n in ((100,) if IS_SMALL else (600, 6000, 60000))})


@step(2, 120, 30)
def main_job():
    return job("main", "+experiment=fashion_propagation")


@step(2, 150, 50)
def rows():
    """The rows of `speed.py` in this process: seconds and quality of both sides, two calls after a warm-up call."""
    modules = peers(), importlib.import_module("peers" if IS_SMALL else "peers_cuda")
    names = ("kmeans-cuml", "knn-cuml", "logistic-2000-cuml", "logistic-60000-cuml", "permutations-cupy", "mlp-loop")
    gpu = twins()[0]

    def measure(name):
        comparison, answers = modules[1].COMPARISONS[name], {}
        data = fashion() if IS_SMALL else [gpu.asarray(part) for part in comparison.data()]
        for side in ("ours", "peer"):
            work, seconds = getattr(comparison, side), []
            if comparison.warm_up:
                work(*(part[: comparison.warm_up] for part in data))
            for _ in range(1 if name in ("mlp-loop", "permutations-cupy") else 2):
                gpu.synchronize()
                start = time.perf_counter()
                quality = work(*data)
                gpu.synchronize()
                seconds.append(time.perf_counter() - start)
            answers[side] = [round(min(seconds), 4), float(quality() if callable(quality) else quality)]
        return answers

    return each(**{name: functools.partial(measure, name) for name in (("knn-sklearn",) if IS_SMALL else names)})


@step(2, 300, 40)
def studies():
    """Both studies with one seed, sweep by sweep until the deadline: jobs finished, and their seconds."""
    peers()  # adds the folder to sys.path
    until, found = RUNNING["until"] - 5, {}
    sweeps = [sweep for sweep in importlib.import_module("studies").SWEEPS if not sweep.full]
    sweeps.sort(key=lambda sweep: sweep.table != "A4")  # boosted trees first: the least known
    for sweep in [sweep for sweep in sweeps if sweep.table == "A3"] if IS_SMALL else sweeps:
        if time.time() >= until:
            break
        folder = SCRATCH / sweep.name
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "gpussl", "-m", f"+experiment={sweep.experiment}", *sweep.overrides, "seed=0"]
        command += [f"device={DEVICE}", f"hydra.sweep.dir={folder}", *(["data=digits"] if IS_SMALL else [])]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=max(1, min(until - time.time(), RUNNING["seconds"])))
        manifests = [json.loads(path.read_text()) for path in folder.glob("*/manifest.json")]
        is_whole = (folder / "summary.csv").exists()
        found[sweep.name] = [is_whole, len(manifests), round(sum(item["seconds"] for item in manifests), 1)]
    return {"sweeps": found, "ok": any(is_whole for is_whole, *_ in found.values())}


@step(2, 60, 15)
def kmeans():
    """k-means to convergence, and its parts."""
    from gpussl.cluster import start
    from gpussl.cluster.kmeans import KMeans
    from gpussl.cluster.start import kmeans_parallel

    X, gpu = fashion()[0], twins()[0]
    fitted = KMeans(N_CLUSTERS).fit(X, 0)
    points = kmeans_parallel(X, N_CLUSTERS, np.random.default_rng(0))
    return {
        "inertia": fitted.inertia,
        "iterations": fitted.n_iter,
        "to_convergence": timed(lambda: KMeans(N_CLUSTERS).fit(X, 0)),
        "candidates": timed(lambda: start._draw_candidates(X, N_CLUSTERS, np.random.default_rng(0), 0.5, 5)),
        "start": timed(lambda: kmeans_parallel(X, N_CLUSTERS, np.random.default_rng(0))),
        "lloyd": timed(lambda: gpu.kmeans(X, points[None, ...], 300, 1e-4)),
        "labels_of_two_runs": share(*map(gpu.to_numpy, (fitted.labels, KMeans(N_CLUSTERS).fit(X, 0).labels))),
    }


@step(2, 60, 12)
def mlp_epochs():
    """Seconds of an epoch, from the difference between four epochs and one, which cancels the fixed cost of a fit."""
    from gpussl.classifier import mlp

    X, y, X_test, y_test = fashion()

    def epochs(n, **settings):
        settings |= {"hidden_layer_sizes": [16] * 6} if IS_SMALL else {}
        return mlp.MLPClassifier(max_epochs=n, patience=99, **settings).fit(X, y)

    def per_epoch(**settings):
        return round((timed(lambda: epochs(4, **settings)) - timed(lambda: epochs(1, **settings))) / 3, 4)

    found = {"auto": per_epoch(), "float32": per_epoch(precision="float32")}
    captured, mlp.Captured = mlp.Captured, lambda work, network: work
    found["without_a_graph"] = per_epoch()
    mlp.Captured = captured
    found["a_fit_of_one"] = timed(lambda: epochs(1))
    return found | {"accuracy_of_4": float((epochs(4).predict(X_test) == y_test).mean())}


@step(2, 90, 20)
def convnet():
    """Seconds of a training step."""
    from gpussl.classifier.convnet import ConvNetClassifier

    X, y, X_test, y_test = fashion()
    few = twins()[0].asarray(np.where(np.arange(len(y)) < 500, twins()[0].to_numpy(y), -1))
    n = 4 if IS_SMALL else 300
    settings = {"channels": [8], "hidden": 16} if IS_SMALL else {}

    def steps(n):
        return ConvNetClassifier(n_steps=n, **settings).fit(X, few)

    steps(n)
    start = time.perf_counter()
    model = steps(2 * n)
    return {
        "seconds_a_step": round((time.perf_counter() - start) / (2 * n), 5),
        "accuracy": float((model.predict(X_test) == y_test).mean()),
    }


@step(2, 60, 15)
def copies():
    """Bytes that gpussl copies between host and device in the main job, by stage; copies by cuML are not counted."""
    import torch
    from hydra import compose, initialize_config_dir

    from gpussl.runtime import config
    from gpussl.tasks import monitor
    from gpussl.tasks.run import run

    gpu = twins()[0]
    counted, stage = {}, ["before"]

    def count(owner, name, way):
        function = getattr(owner, name)

        def counting(X, *args, **kwargs):
            found = function(X, *args, **kwargs)
            moved = isinstance(X, np.ndarray) != isinstance(found, np.ndarray) or isinstance(X, torch.Tensor)
            if moved or IS_SMALL:
                key = f"{stage[0]}: {way}"
                counted[key] = counted.get(key, 0) + int(getattr(X, "nbytes", 0))
            return found

        setattr(owner, name, counting)
        return functools.partial(setattr, owner, name, function)

    undo = [count(gpu, "asarray", "there"), count(gpu, "to_numpy", "back"), count(torch.Tensor, "cpu", "back")]
    begin = monitor.Monitor.stage

    def named(self, group, twin, name=""):
        stage[0] = name or group
        return begin(self, group, twin, name)

    monitor.Monitor.stage = named
    try:
        config.register()
        overrides = ["+experiment=fashion_propagation", f"device={DEVICE}", "cache=null"]
        overrides += ["data=digits", "cluster.n_clusters=20", "classifier=[logistic]"] if IS_SMALL else []
        with initialize_config_dir(str(config.folder()), version_base="1.3"):
            wanted = config.build(compose("config", overrides))
        shutil.rmtree(SCRATCH / "copies", ignore_errors=True)
        run(wanted, SCRATCH / "copies")
    finally:
        monitor.Monitor.stage = begin
        for restore in undo:
            restore()
    return {"bytes": counted}


# The process that runs the steps, and its supervisor


def run_steps(part, names, deadline):
    RUNNING["until"] = deadline
    for name in names:
        _, limit, expected, function = STEPS[name]
        left = deadline - time.time()
        if left < expected:
            write(part, {"step": name, "ok": None, "skipped": f"{left:.0f} s left, {expected} expected"})
            continue
        RUNNING["seconds"] = max(1, min(limit, left + 5) - 5)  # a subprocess must not outlive its step and keep the GPU
        write(part, {"step": name, "begun": True})
        faulthandler.dump_traceback_later(min(limit, left + 5), exit=True)
        start = time.perf_counter()
        try:
            found = {"ok": True} | function()
        except Exception as error:
            traceback.print_exc()
            found = {"ok": False, "error": f"{type(error).__name__}: {str(error)[:1500]}"}
        faulthandler.cancel_dump_traceback_later()
        write(part, {"step": name, "seconds": round(time.perf_counter() - start, 1)} | found)
        if not found["ok"] and any(sign in str(found) for sign in BROKEN):
            os._exit(3)  # CUDA is unusable in this process from here on


def write(part, line):
    text = json.dumps(line, default=str)
    with (OUT / f"results-{part}.jsonl").open("a") as file:
        file.write(text + "\n")
    if "begun" not in line:
        print("LEASE", text[:1500], file=sys.__stdout__, flush=True)


def unfinished(part, names):
    """The steps that have not ended yet; a step that was interrupted is recorded as failed."""
    path = OUT / f"results-{part}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    ended = {line["step"] for line in lines if "begun" not in line}
    for name in {line["step"] for line in lines} - ended:
        write(part, {"step": name, "ok": False, "error": "the process ended: see the log"})
        ended.add(name)
    return [name for name in names if name not in ended]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", type=int, choices=(1, 2))
    parser.add_argument("--seconds", type=float, default=300, help="no step starts later than this")
    parser.add_argument("--only", nargs="*", default=os.environ.get("LEASE_ONLY", "").split())
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)  # set in the process that runs the steps
    given = parser.parse_args(arguments)
    OUT.mkdir(parents=True, exist_ok=True)
    names = given.only or [name for name, (part, *_) in STEPS.items() if part == given.part]
    if unknown := set(names) - set(STEPS):
        parser.error(f"--only: expected some of {', '.join(STEPS)}, found {', '.join(sorted(unknown))}")
    if given.until is not None:
        with (OUT / f"log-{given.part}.txt").open("a") as log:
            os.dup2(log.fileno(), 2)
            with contextlib.redirect_stdout(log):
                run_steps(given.part, names, given.until)
        return
    until = time.time() + given.seconds
    (OUT / f"results-{given.part}.jsonl").unlink(missing_ok=True)  # from an earlier call
    while names:
        command = [sys.executable, __file__, str(given.part), "--until", str(until), "--only", *names]
        code = subprocess.run(command).returncode
        left = unfinished(given.part, names)
        if left == names:  # the process ended before its first step
            write(given.part, {"step": names[0], "ok": False, "error": f"exit code {code}: see the log"})
            left = names[1:]
        names = left


if __name__ == "__main__":
    main()
