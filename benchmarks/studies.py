"""Both studies, every row: runs the sweeps, loads every artifact, and writes docs/studies.md.

Arguments: seeds=0,1,2,3,4 full=false device=auto. The sweeps are written to outputs/reproduce/; a second call with the
same arguments resumes them.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import gpussl
from gpussl import backend
from gpussl.cluster.assign import assign
from gpussl.protocols import Source
from gpussl.records import Clustering
from gpussl.report.results import to_csv
from gpussl.report.titles import title
from gpussl.represent.pixels import scale
from gpussl.runtime import config, environment, store

ROOT = Path(__file__).parent.parent
OUTPUTS = ROOT / "outputs" / "reproduce"
PAGE = ROOT / "docs" / "studies.md"
RESULTS = ROOT / "benchmarks" / "results" / "studies.csv"
BUDGETS = (500, 1000, 2000)
CONVNET = "classifier=[study_convnet]"


@dataclass(frozen=True)
class Sweep:
    """One sweep of an experiment: the table of its rows, and the overrides of the experiment.

    `max_seeds` is 1 if nothing is random, and 2 if a seed takes long. `full` means that only `full=true` runs it.
    """

    table: str
    name: str
    experiment: str
    overrides: tuple[str, ...] = ()
    max_seeds: int | None = None
    full: bool = False


PROPAGATION = ("cluster.n_clusters=500,1000,2000", "propagate=[cluster,nearest]", "baselines=none")
SWEEPS = (  # in the order they are run: the slowest last
    Sweep("B4", "fashion_representatives", "fashion_representatives"),
    Sweep("B5 and B6", "fashion_propagation", "fashion_propagation", PROPAGATION),
    Sweep("B7", "fashion_percentile_sweep", "fashion_percentile_sweep"),
    Sweep("B3", "fashion_random_labels", "fashion_random_labels"),
    Sweep("B2", "fashion_cluster_distances", "fashion_cluster_distances"),
    Sweep("B1", "fashion_baseline", "fashion_baseline"),
    Sweep("A3", "mnist_knn", "mnist_knn", max_seeds=1),
    Sweep("A1", "mnist_permutations", "mnist_permutations"),
    Sweep("A1", "mnist_gaussian_mixture", "mnist_clusterings", ("cluster=gaussian_mixture",)),
    Sweep("A1", "mnist_hdbscan", "mnist_clusterings", ("cluster=hdbscan",), max_seeds=1),
    Sweep("A4", "mnist_label_curve", "mnist_label_curve"),
    Sweep("B3", "fashion_random_labels_convnet", "fashion_random_labels", (CONVNET, "select=first"), max_seeds=2),
    Sweep("B4", "fashion_representatives_convnet", "fashion_representatives", (CONVNET,), max_seeds=2),
    Sweep("A4", "mnist_label_curve_large", "mnist_label_curve", ("select.n_labels=30000,50000,60000",), 1, full=True),
    Sweep("B1", "fashion_baseline_convnet", "fashion_baseline", (CONVNET,), 1, full=True),
    Sweep("B5 and B6", "fashion_propagation_convnet", "fashion_propagation", (*PROPAGATION, CONVNET), 1, full=True),
    Sweep("B7", "fashion_percentile_sweep_convnet", "fashion_percentile_sweep", (CONVNET,), 1, full=True),
)

# the study's name of each artifact: the sweep, the settings of the job, and the file in the job's folder
ARTIFACTS = {
    "log_reg_orig": ("fashion_baseline", {}, "models/none-logistic_study"),
    **{f"log_reg_kmeans_{i}": ("fashion_cluster_distances", {"cluster.n_clusters": k}, "models/none-logistic_study")
       for i, k in enumerate((100, 200, 300))},
    **{f"kmeans_{k}": ("fashion_cluster_distances", {"cluster.n_clusters": k}, "clustering") for k in (100, 200, 300)},
    **{f"log_reg_few_label_{i}": ("fashion_random_labels", {"select.n_labels": n}, "models/none-logistic_study")
       for i, n in enumerate(BUDGETS)},
    "kmeans_2000": ("fashion_representatives", {"cluster.n_clusters": 2000}, "clustering"),
    "log_reg_centroids": ("fashion_representatives", {"cluster.n_clusters": 2000}, "models/none-logistic_study"),
    "log_reg_propagated": ("fashion_propagation", {"cluster.n_clusters": 2000}, "models/cluster-logistic_study"),
    "log_reg_partially_propagated": (
        "fashion_propagation", {"cluster.n_clusters": 2000}, "models/nearest-logistic_study"
    ),
    "nn_original": ("fashion_baseline", {}, "models/none-mlp_study"),
    **{f"nn_labelled_{n}": ("fashion_random_labels", {"select.n_labels": n}, "models/none-mlp_study") for n in BUDGETS},
    **{f"cluster_nn_{k}": ("fashion_representatives", {"cluster.n_clusters": k}, "clustering") for k in BUDGETS},
    **{f"nn_centroid_cluster_{k}": ("fashion_representatives", {"cluster.n_clusters": k}, "models/none-mlp_study")
       for k in BUDGETS},
    **{f"nn_full_propagated_{k}": ("fashion_propagation", {"cluster.n_clusters": k}, "models/cluster-mlp_study")
       for k in BUDGETS},
    **{f"nn_partially_propagated_{k}": ("fashion_propagation", {"cluster.n_clusters": k}, "models/nearest-mlp_study")
       for k in BUDGETS},
    **{f"nn_partially_propagated_2000-clusters_{p}-percentile":
       ("fashion_percentile_sweep", {"propagate.nearest.percentile": p}, "models/nearest-mlp_study")
       for p in (20, 25, 30, 50, 75)},
}  # fmt: skip

TITLES = {
    "A1": "Ten clusters of MNIST, named by the best of all 10! allocations",
    "A3": "Nearest neighbours on MNIST, all 60,000 labels",
    "A4": "Boosted trees on the first labels of MNIST",
    "B1": "Fashion-MNIST, all 60,000 labels",
    "B2": "Distances to centroids instead of pixels, all labels",
    "B3": "A few labels without clusters",
    "B4": "One label per cluster, for the image nearest its centroid",
    "B5 and B6": "The labels of B4, propagated to the whole cluster and to its nearest 25 %",
    "B7": "2,000 clusters, labels propagated to the nearest share",
}
NOTES = {
    "A1": """\
The best allocation is chosen by the labels it is scored on, so it is an upper bound for one-to-one names, not an
accuracy on unseen data; so is the study's figure. The honest row beside it names each cluster by one bought label, that
of the member nearest its centroid. Two clusters may then share a name, which the study did not allow, and that gains
more than the best allocation does. k-means has 64 random starts, as published; the start with the least inertia is
kept. For up to twelve clusters every allocation is scored, from the contingency table by meeting in the middle, not
from the predictions. The other clusterings, which the study proposed, are made on 20 principal components; a test image
belongs to its most probable component, or with HDBSCAN to the cluster with the nearest mean.

![Scores of all allocations](mnist_allocations.png)

Row A2 is this figure: the mean of each cluster, and nine members drawn at random.

![Clusters](mnist_clusters.png)""",
    "A3": "As published. Nothing is random, so there is one run.",
    "A4": """\
The study's parameters, except for 64 bins per pixel instead of 256: on held-out training images this was as accurate
with 6,000 labels and 0.2 points worse with 1,000, and faster ([NOTES.md](../NOTES.md)). `xgboost_test_stopped` stops
by the test labels, as published, so its accuracy is not one on unseen data. `xgboost_study` stops by the log-loss on a
tenth of the bought labels; the same number of trees is then grown from all of them. With 100 labels each class has
about ten, and an L1 penalty of 8 leaves hardly a leaf. The study's figures are lost; its text says "over 80 %" with
under 1 % of the images and "over 90 %" with 10 %.

![Accuracy by labels](mnist_label_curve.png)""",
    "B1": "Logistic regression is multinomial, on square roots of pixels ([NOTES.md](../NOTES.md)); "
    "the study's is one against the rest, on pixels.",
    "B2": "The distances are whitened: they are highly correlated, and the solver converges slowly on such features.",
    "B3": "The study's random labels are the first ones of the data set. Both selections are here.",
    "B4": "The clusterings are k-means from a k-means|| start.",
    "B5 and B6": "The MLP holds out whole clusters, so that copies of one label are never in both training set and "
    "hold-out.",
    "B7": """\
The study's 10 % at the 20th percentile comes from a network that did not learn, not from the percentile.

![Accuracy by percentile](fashion_percentiles.png)""",
}
FIGURES = {
    "mnist_allocations.png": "mnist_permutations/0/figures/allocations.png",
    "mnist_clusters.png": "mnist_permutations/0/figures/clusters.png",
    "mnist_label_curve.png": "mnist_label_curve/figures/curve.png",
    "fashion_percentiles.png": "fashion_percentile_sweep/figures/curve.png",
}


def main(arguments):
    options = {"seeds": "0,1,2,3,4", "full": "false", "device": "auto"}
    forms = {"seeds": r"\d+(,\d+)*", "full": "true|false", "device": "auto|cuda|cpu"}
    for argument in arguments:
        if argument in ("-h", "--help"):
            print(__doc__.strip())
            sys.exit(0)
        name, _, value = argument.partition("=")
        if name not in forms or not re.fullmatch(forms[name], value):
            expected = "seeds=0,1,..., full=true or device=auto, cuda or cpu"
            print(f"gpussl: error: expected {expected}, found {argument!r}; see --help", file=sys.stderr)
            sys.exit(2)
        options[name] = value
    chosen = [sweep for sweep in SWEEPS if options["full"] == "true" or not sweep.full]
    failed = [sweep.name for sweep in chosen if not run(sweep, options)]
    if failed:
        print(f"gpussl: error: {len(failed)} sweeps failed: {', '.join(failed)} in {OUTPUTS}", file=sys.stderr)
    # including sweeps that an earlier call with full=true has finished
    made = [sweep for sweep in SWEEPS if (OUTPUTS / sweep.name / "summary.csv").is_file()]
    if not made:
        sys.exit(2)
    artifacts = load_artifacts(backend.select(options["device"])[0])
    wrong = [name for name, row in artifacts.items() if not row["agrees"]]
    write(made, artifacts)
    for name in wrong:
        print(f"gpussl: error: {name}: {artifacts[name]['found']}", file=sys.stderr)
    sys.exit(2 if failed or wrong else 0)


def run(sweep, options):
    """Run one sweep, or the jobs of it that have not finished."""
    seeds = ",".join(options["seeds"].split(",")[: sweep.max_seeds])
    command = [sys.executable, "-m", "gpussl", "-m", f"+experiment={sweep.experiment}", *sweep.overrides]
    command += [f"seed={seeds}", f"device={options['device']}", f"hydra.sweep.dir={OUTPUTS / sweep.name}"]
    print(f"\n{sweep.table}: {sweep.name}", file=sys.stderr, flush=True)
    return subprocess.run(command, cwd=ROOT).returncode == 0


def jobs(sweep):
    """The folders and configurations of the jobs in a sweep's table."""
    with (OUTPUTS / sweep / "results.csv").open(newline="") as lines:
        names = dict.fromkeys(row["job"] for row in csv.DictReader(lines))
    for name in names:
        yield OUTPUTS / sweep / name, OmegaConf.load(OUTPUTS / sweep / name / "config.yaml")


def find_job(sweep, settings):
    """The job of a sweep with these settings and the lowest seed; None if there is none."""
    if not (OUTPUTS / sweep / "results.csv").is_file():
        return None
    for folder, cfg in sorted(jobs(sweep), key=lambda job: job[1].seed):
        if all(OmegaConf.select(cfg, name) == value for name, value in settings.items()):
            return folder, cfg
    return None


def load_artifacts(twin):
    """Copy each artifact to the study's name, load the copy, and score it on the device that made it."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", ["data=fashion_mnist"])
    dataset = config.instantiate(cfg.data, "data", Source).load()
    pixels = scale(twin.asarray(dataset.X_train), dataset.max_value)
    rows = {}
    for name, (sweep, settings, file) in ARTIFACTS.items():
        found = find_job(sweep, settings)
        if found is None:
            rows[name] = {"agrees": False, "kind": "", "found": f"expected a finished job of {sweep} with {settings}"}
            continue
        path = OUTPUTS / "artifacts" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(found[0] / f"{file}.safetensors", path)
        rows[name] = score_artifact(gpussl.load(path), found[0], file, dataset, pixels)
    return rows


def score_artifact(artifact, folder, file, dataset, pixels):
    """The kind of an artifact, its score, and whether that agrees with the score its run has written."""
    twin = backend.of(pixels)
    if isinstance(artifact, Clustering):
        same = float(np.mean(twin.to_numpy(assign(artifact, pixels)) == artifact.labels))
        kind = f"{len(artifact.centroids):,} clusters"
        return {
            "agrees": same > 0.9999,
            "kind": kind,
            "found": f"{same:.2%} of the training images in the same cluster",
        }
    propagation, _, classifier = file.removeprefix("models/").partition("-")
    said = artifact.predict(twin.asarray(dataset.X_test))
    accuracy = float(np.mean(said == np.array(dataset.class_names)[dataset.y_test]))
    with (folder / "results.csv").open(newline="") as lines:
        written = {
            (row["propagation"], row["classifier"]): float(row["test_accuracy"]) for row in csv.DictReader(lines)
        }
    agrees = abs(accuracy - written[propagation, classifier]) < 1e-6
    return {"agrees": agrees, "kind": type(artifact.classifier).__name__, "found": f"{accuracy:.2%} of the test images"}


def write(made, artifacts):
    """Write the page, its figures and the table as CSV."""
    for target, source in FIGURES.items():
        if (OUTPUTS / source).is_file():
            shutil.copyfile(OUTPUTS / source, PAGE.parent / target)
    tables, every = [], []
    for table in TITLES:
        rows = []
        for sweep in made:
            if sweep.table == table:
                with (OUTPUTS / sweep.name / "summary.csv").open(newline="") as lines:
                    rows += [{"table": table, "sweep": sweep.name, **row} for row in csv.DictReader(lines)]
        every += rows
        if rows:
            tables.append(render_table(table, rows))
    absent = [f"{sweep.name} (full=true)" if sweep.full else sweep.name for sweep in SWEEPS if sweep not in made]
    missing = [f"**Not made here: {', '.join(absent)}.**"] if absent else []
    store.write_text(RESULTS, to_csv(every))
    sections = [HEAD, *missing, *tables, render_artifacts(artifacts), render_cost(made)]
    store.write_text(PAGE, "\n\n".join(sections) + "\n")
    print(f"wrote {PAGE} and {RESULTS}", file=sys.stderr)


HEAD = """\
# Both studies, every row

Reproduced by one command, `scripts/reproduce`. Accuracies are in percent of the 10,000 test images: means over seeds
with the 95 % interval of the mean (Student's t), beside the one published run. "Above" means that the whole interval
lies above the published figure, "met" that the mean is no lower. "Labels" is the number of bought labels; "seconds" is
the time to fit and predict, without clustering. Rows that take hours on two cores are made only by `full=true`, once.

- Study A: "Can we do without labeled data?", dida, 2020.
- Study B: Das and Thada, "Semi-supervised learning on Fashion-MNIST by clustering", 2021. Its NN has three
  convolutions: `study_convnet` here. Beside it stands our MLP of seven layers."""


def render_table(table, rows):
    made = {row["sweep"] for row in rows}
    lines = [f"## {table}. {TITLES[table]}", "", "```sh"]
    for sweep in SWEEPS:
        if sweep.name in made:
            overrides = "".join(f" '{item}'" if "[" in item else f" {item}" for item in sweep.overrides)
            lines.append(f"gpussl -m +experiment={sweep.experiment}{overrides} seed=...")
    lines += ["```", ""]
    lines += ["| training labels | classifier | labels | published | ours | | seeds | seconds | device |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        mean, half = 100 * float(row["test_accuracy"]), 100 * float(row["half_width"]) if row["half_width"] else None
        published = float(row["published"]) if row["published"] else None
        lines.append(
            f"| {describe(row)} | {row['classifier']} | {int(row['n_labels']):,} "
            f"| {'' if published is None else f'{published:.2f}'} "
            f"| {mean:.2f}{'' if half is None else f' ± {half:.2f}'} "
            f"| {verdict(mean, half, published)} | {row['n_seeds']} "
            f"| {float(row['fit_seconds']) + float(row['predict_seconds']):.1f} | {row['device']} |"
        )
    return "\n".join([*lines, "", NOTES[table]]).rstrip()


def describe(row):
    """A row's training labels in words."""
    percentile = float(row["percentile"]) if row["percentile"] else None
    words = title(row["select"], row["propagation"], percentile)
    clusters = f", {int(row['n_clusters']):,} clusters" if row["n_clusters"] else ""
    kind = {"mnist_gaussian_mixture": ", Gaussian mixture", "mnist_hdbscan": ", HDBSCAN"}.get(row["sweep"], "")
    return f"{words}{clusters}{kind}"


def verdict(mean, half, published):
    """Our mean and half its interval, None if there is none, against one published run."""
    if published is None:
        return ""
    if round(mean, 2) >= published:
        return "above" if half is not None and mean - half > published else "met"
    return "**below**, within the interval" if half is not None and mean + half >= published else "**below**"


def render_artifacts(artifacts):
    lines = ["## B8. Every model and clustering, by the study's names", ""]
    lines += [
        "In `outputs/reproduce/artifacts/`, without pickles; each was loaded with `gpussl.load` and scored again."
    ]
    lines += [f"The study names 32; with the clusterings that `log_reg_kmeans` needs there are {len(artifacts)}.", ""]
    lines += ["| name | kind | after loading | same as in the run |", "|---|---|---|---|"]
    for name, row in artifacts.items():
        lines.append(f"| `{name}` | {row['kind']} | {row['found']} | {'yes' if row['agrees'] else '**no**'} |")
    return "\n".join(lines)


def render_cost(made):
    """The seconds of each sweep's first seed, all stages together."""
    lines = [
        "## What it costs",
        "",
        "Seconds of all stages of all jobs with the first seed, in the order they were run.",
    ]
    lines += ["Stages that an earlier sweep left in the cache, such as clusterings, are not run again and count 0.", ""]
    lines += ["| sweep | jobs | seconds | device |", "|---|---|---|---|"]
    total, commits = 0.0, set()
    for sweep in made:
        first = min(cfg.seed for _, cfg in jobs(sweep.name))
        manifests = [
            json.loads((folder / "manifest.json").read_text()) for folder, cfg in jobs(sweep.name) if cfg.seed == first
        ]
        seconds = sum(manifest["seconds"] for manifest in manifests)
        total += 0 if sweep.full else seconds
        commits |= {manifest["git_commit"] or "no repository" for manifest in manifests}
        device = manifests[0]["stages"][-2]["device"]
        name = f"{sweep.name} (full=true)" if sweep.full else sweep.name
        lines.append(f"| {name} | {len(manifests)} | {seconds:.0f} | {device} |")
    machine = environment.machine()
    lines += ["", f"Total, without `full=true`: {total / 60:.1f} minutes."]
    lines += [f"On {machine['cpu_count']} cores ({machine['platform']}), commit {', '.join(sorted(commits))}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
