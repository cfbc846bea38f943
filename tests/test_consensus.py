"""What several clusterings agree on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpussl
from gpussl.cluster.consensus import consensus
from gpussl.data.digits import Digits
from gpussl.errors import ConfigError
from gpussl.tasks.run import run


def test_names_do_not_matter_and_what_is_not_agreed_on_is_in_no_cluster(xp, host, make_clustering):
    first = make_clustering(xp, [0, 0, 0, 1, 1, 1, 2, 2, -1], [1.0] * 9, 3)
    other = make_clustering(xp, [2, 2, 1, 0, 0, 0, 1, 1, 1], [3.0] * 9, 3)
    found = consensus([first, other])
    assert host(found.labels).tolist() == [0, 0, -1, 1, 1, 1, 2, 2, -1]
    assert host(found.distances).tolist() == [2.0] * 9
    assert found.inertia == 7 * 4.0


@given(labels=st.lists(st.integers(-1, 3), min_size=4, max_size=30), seed=st.integers(0, 9))
def test_a_clustering_agrees_with_itself_however_its_clusters_are_called(make_clustering, labels, seed):
    import array_api_compat.numpy as xp

    labels = np.array(labels)
    names = np.append(np.random.default_rng(seed).permutation(4), -1)
    first, other = (make_clustering(xp, of, np.ones(len(of)), 4) for of in (labels, names[labels]))
    found = consensus([first, other, first])
    np.testing.assert_array_equal(found.labels, labels)


def test_views_have_seeds_of_their_own_and_must_agree(job, tmp_path):
    small = ("represent=[autoencoder]", "represent.autoencoder.hidden_layer_sizes=[64]", "cluster=gaussian_mixture")
    small += ("represent.autoencoder.n_components=8", "represent.autoencoder.max_epochs=30", "cluster.n_clusters=10")
    small += ("represent.autoencoder.batch_size=64",)
    small += ("classifier=[logistic]", "propagate=[cluster]", "baselines=none")
    (alone,) = run(job(*small), tmp_path / "one")
    (both,) = run(job(*small, "views=2"), tmp_path / "two")
    manifest = json.loads((tmp_path / "two" / "manifest.json").read_text())
    names = [stage["name"] for stage in manifest["stages"]]
    assert names[1:6] == ["represent autoencoder", "cluster", "represent autoencoder 1", "cluster 1", "consensus"]
    assert manifest["seeds"]["represent/autoencoder"] != manifest["seeds"]["represent/autoencoder/1"]
    first, agreed = (gpussl.load(tmp_path / name / "clustering.safetensors").labels for name in ("one", "two"))
    kept = agreed >= 0
    assert 0.5 < kept.mean() < 1
    np.testing.assert_array_equal(agreed[kept], first[kept])
    assert both.n_train < alone.n_train
    digits = Digits().load().y_train
    names = np.array([np.bincount(digits[first == cluster], minlength=10).argmax() for cluster in range(10)])
    is_right = names[first] == digits  # by each cluster's commonest digit
    assert is_right[kept].mean() > is_right[~kept].mean()


def test_views_without_clusters_are_refused(job, tmp_path):
    with pytest.raises(ConfigError, match="views: expected clusters to agree on, found none"):
        run(job("cluster=none", "select=random", "propagate=[none]", "views=2"), tmp_path / "run")
