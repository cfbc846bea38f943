import re

import pytest
from omegaconf import OmegaConf

from gpussl.errors import ConfigError
from gpussl.runtime import config

GROUPS = ("data", "represent", "cluster", "features", "select", "propagate", "classifier")
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((config.folder() / group).glob("*.yaml"))]
OWN = {"auto", "images", "table", "texts", "vectors"}  # kinds of a person's data, which have a path
LISTS = ("represent", "propagate", "classifier")  # groups of which a run may have several choices
EXPERIMENTS = [path.stem for path in sorted((config.folder() / "experiment").glob("*.yaml"))]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_builds(composed, group, choice):
    is_list = group in LISTS
    also = ["data.path=/mine"] if group == "data" and choice in OWN else []
    job = config.build(composed(f"{group}=[{choice}]" if is_list else f"{group}={choice}", *also))
    built = getattr(job, group)
    assert (built[choice] if is_list else built).__class__.__module__.startswith("gpussl.")


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_states_all_its_settings_and_the_defaults_of_its_class(composed, group, choice):
    """What --cfg job shows is all there is, and a class used from Python behaves like its configuration."""
    is_list = group in LISTS
    also = ["data.path=/mine"] if group == "data" and choice in OWN else []
    node = composed(f"{group}=[{choice}]" if is_list else f"{group}={choice}", *also)[group]
    node = node[choice] if is_list else node
    stage = config.instantiate(node, group, object)
    unstated = set(vars(stage)) - set(node) - {"random_state", "image_shape"}
    assert not unstated
    module = type(stage).__module__
    assert module.startswith((f"gpussl.{group}.", "gpussl.studies."))
    if module == f"gpussl.{group}.{choice}" and group != "data":  # others are the same class, set otherwise
        assert vars(type(stage)()) == vars(stage)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_builds(composed, experiment):
    job = config.build(composed(f"+experiment={experiment}"))
    assert job.name == experiment
    assert job.published or experiment in ("mnist_clusterings", "label_budget", "own_data")  # which no study has done


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cluster.n_clusters=0", "cluster.n_clusters: expected a whole number of at least 1, found 0"),
        ("cluster.n_clusters=many", "cluster.n_clusters: expected a whole number of at least 1, found 'many'"),
        ("cluster.n_clusters=2.5", "cluster.n_clusters: expected a whole number of at least 1, found 2.5"),
        (
            "cluster=none +cluster.n_clusters=5",
            "cluster.n_clusters: expected no settings, found a setting of another name; leave it out, or '~cluster",
        ),
        ("cluster.tol=nan", "cluster.tol: expected a number greater than 0, found nan"),
        (
            "propagate.nearest.percentile=140",
            "propagate.nearest.percentile: expected a number of at least 0 and at most",
        ),
        (
            "propagate.nearest.percentile=-1",
            "propagate.nearest.percentile: expected a number of at least 0 and at most",
        ),
        (
            "classifier.mlp.dropout=1",
            "classifier.mlp.dropout: expected a number of at least 0 and less than 1, found 1.0",
        ),
        (
            "classifier.mlp.hidden_layer_sizes=[8,0]",
            "classifier.mlp.hidden_layer_sizes: expected a list of whole numbers",
        ),
        (
            "classifier=[convnet] classifier.convnet.channels=[]",
            "classifier.convnet.channels: expected at least 1 item",
        ),
        ("classifier.mlp.hidden_layer_sizes=8", "classifier.mlp.hidden_layer_sizes: expected a list of whole numbers"),
        ("+cluster.n_cluster=5", "cluster.n_cluster: expected one of n_clusters, init, n_init, max_iter, tol,"),
        ("cluster.init=kmeans++", "cluster.init: expected one of kmeans_parallel, random, found 'kmeans++'"),
        (
            "classifier=[xgboost] classifier.xgboost._target_="
            "gpussl.studies.xgboost_test_stopped.TestStoppedXGBClassifier",
            "classifier.xgboost: expected a name that ends in test_stopped for a classifier that test labels stop",
        ),
        (
            "select._target_=gpussl.cluster.kmeans.KMeans",
            "select._target_: expected a dataclass with the base gpussl.protocols.Selection, found",
        ),
        (
            "select._target_=gpussl.select.checks.Budget",
            "select._target_: expected a class with select, found gpussl.select.checks.Budget, which has none; add it",
        ),
        (
            "+experiment=label_budget budget._target_=gpussl.cluster.none.NoClustering",
            "budget._target_: expected a dataclass with the base",
        ),
        ("data.n_test=null", "data.n_test: expected a whole number"),
        ("seed=-1", "seed: expected a whole number of at least 0, found -1"),
        ("classifier=[]", "classifier: expected at least one choice"),
        ("propagate=[]", "propagate: expected at least one choice"),
        ("~cluster", "cluster: expected settings with a _target_"),
        (
            "cluster._target_=os.system",
            "cluster._target_: expected a class of gpussl or of a module in plugins=[...], found os.system",
        ),
        (
            "cluster._target_=gpusslx.Evil",
            "cluster._target_: expected a class of gpussl or of a module in plugins=[...], found gpusslx.Evil",
        ),
        ("cluster._target_=gpussl.runtime.store.load", "cluster._target_: expected a dataclass with the base gpus"),
        ("cluster._target_=gpussl.cluster.Nothing", "cluster._target_: expected a class, found gpussl.cluster.Nothing"),
        ("data=mnist data.folder=${nothing}", "data.folder: Interpolation key 'nothing' not found"),
    ],
)
def test_a_users_mistake_is_one_line_that_says_what_was_expected(composed, override, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as error:
        config.build(composed(*override.split(" ")))
    assert "\n" not in str(error.value)


def test_the_data_folder_may_come_from_the_environment(composed, monkeypatch):
    monkeypatch.setenv("GPUSSL_DATA", "/somewhere")
    assert config.build(composed("data=mnist")).data.sources[0] == "/somewhere/mnist"


def test_caches_follow_the_environment(composed, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    job = config.build(composed("data=mnist"))
    assert job.data.cache == job.data.sources[1] == "/cache/gpussl/mnist"
    assert str(job.cache) == "/cache/gpussl/stages"


def test_the_composed_configuration_can_be_written_and_read_again(composed):
    cfg = composed("+experiment=fashion_propagation")
    again = OmegaConf.create(OmegaConf.to_yaml(cfg, resolve=True))
    assert again.cluster.n_clusters == 2000
