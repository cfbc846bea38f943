"""Selections against brute force on small cases, and what must hold of each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skactiveml.pool import ProbCover, TypiClust

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.label.oracle import Oracle
from gpussl.label.rounds import ask_in_rounds, merged, no_answers
from gpussl.numeric import arrays
from gpussl.numeric.rows import ScaledRows
from gpussl.records import Answers
from gpussl.report.titles import title
from gpussl.select.all import All
from gpussl.select.cluster_budget import ClusterBudget
from gpussl.select.coverage import Coverage, choose_radius, cover, distance_table, radii_to_try
from gpussl.select.first import First
from gpussl.select.herding import Herding, gaussian, herd, nearest, spread
from gpussl.select.nearest_to_centroid import NearestToCentroid
from gpussl.select.random import Random
from gpussl.select.stratified import Stratified
from gpussl.select.typical import Typical, mean_distances
from gpussl.tasks.run import run
from tests.digits import DIGITS

N_CLUSTERS = 6  # of which hypothesis leaves some empty
# whole distances, so that ties are common; -1 is in no cluster
points = st.lists(st.tuples(st.integers(-1, N_CLUSTERS - 1), st.integers(0, 4)), min_size=1, max_size=40)
seeds = st.integers(0, 1000)


@pytest.fixture
def small_blocks(monkeypatch):
    """Distances are computed a few rows at a time."""
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 1000)


def blobs(sizes, *, apart=100.0, seed=0):
    """Points (n, 2) in round blobs on a line, and the blob of each."""
    blob = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).normal(size=(len(blob), 2)) + apart * blob[:, None], blob


def select(selection, xp, X, clustering, y=None, seed=0):
    """What is selected, and the oracle that sold labels on the way."""
    oracle = Oracle(np.zeros(clustering.labels.shape[0], dtype=np.int64) if y is None else y)
    points = None if X is None else xp.asarray(X)
    chosen = ask_in_rounds(selection, points, clustering, seed, oracle.buy, oracle.reveal).indices
    assert chosen.dtype == xp.int64
    return backend.of(chosen).to_numpy(chosen), oracle


@given(pairs=points)
def test_the_representative_is_the_nearest_member(xp, host, make_clustering, pairs):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    members = [[(d, i) for i, (c, d) in enumerate(pairs) if c == cluster] for cluster in range(N_CLUSTERS)]
    expected = sorted(min(of_cluster)[1] for of_cluster in members if of_cluster)
    assert host(NearestToCentroid().select(None, clustering, no_answers(clustering), None, 0)).tolist() == expected


def test_random_selection_is_without_replacement_and_by_seed(xp, host, make_clustering):
    clustering = make_clustering(xp, [0] * 50, range(50), 1)
    first, again, other = (
        host(Random(20).select(None, clustering, no_answers(clustering), None, seed)) for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 20
    assert first.tolist() == sorted(first.tolist())


def test_the_first_and_all_are_what_they_say(xp, host, make_clustering):
    clustering = make_clustering(xp, [-1] * 9, range(9), 0)
    assert host(First(4).select(None, clustering, no_answers(clustering), None, 0)).tolist() == [0, 1, 2, 3]
    assert host(All().select(None, clustering, no_answers(clustering), None, 0)).tolist() == list(range(9))


def test_a_stratified_selection_has_as_many_of_each_class_and_goes_by_seed(xp, make_clustering):
    y = np.arange(90) % 3 + 4
    clustering = make_clustering(xp, [-1] * 90, range(90), 0)
    first, again, other = (select(Stratified(12), xp, None, clustering, y, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again == sorted(set(first)) != other
    assert np.bincount(y[first]).tolist() == [0, 0, 0, 0, 4, 4, 4]
    every, oracle = select(Stratified(90), xp, None, clustering, y)
    assert every.tolist() == list(range(90))
    assert oracle.n_bought == 90


@pytest.mark.parametrize("n_labels", [7, 12])
def test_a_stratified_selection_that_cannot_be_is_refused(xp, make_clustering, n_labels):
    clustering = make_clustering(xp, [-1] * 20, range(20), 0)
    with pytest.raises(ConfigError, match=f"a multiple .* classes, 3, and at most 3 for each, .* found {n_labels}"):
        select(Stratified(n_labels), xp, None, clustering, np.r_[[0] * 3, [1] * 9, [2] * 8])


def test_what_knows_the_classes_pays_for_what_it_chooses_alone(job, tmp_path):
    made = job("select=stratified", "select.n_labels=30", "propagate=[none]", "classifier=[logistic]")
    found = run(made, tmp_path / "run")
    assert [(r.select, r.n_labels, r.n_train) for r in found] == [("stratified", 30, 30), ("random", 30, 30)]


@pytest.mark.parametrize(
    ("propagation", "percentile", "more"),
    [("none", None, ""), ("label_spreading", None, ", along the graph"), ("nearest", 25.0, ", nearest 25 %")],
)
def test_every_row_says_that_the_classes_were_known(propagation, percentile, more):
    assert title("stratified", propagation, percentile) == f"as many of each class (classes known){more}"


@pytest.mark.parametrize("selection", [Random(4), First(4), Coverage(4), Stratified(4)])
def test_more_labels_than_points_are_refused(xp, make_clustering, selection):
    with pytest.raises(ConfigError, match=r"select\.n_labels: expected at most .* 3, found 4"):
        select(selection, xp, np.zeros((3, 2)), make_clustering(xp, [0] * 3, range(3), 1))


@pytest.mark.parametrize("selection", [NearestToCentroid(), Typical(), ClusterBudget(2)])
def test_without_clusters_what_needs_them_is_refused(xp, make_clustering, selection):
    clustering = make_clustering(xp, [-1] * 5, range(5), 0)
    with pytest.raises(ConfigError, match=f"select={selection.name}: expected clusters, found none"):
        selection.select(xp.zeros((5, 2)), clustering, no_answers(clustering), None, 0)


def brute_mean_distances(X, n_neighbors):
    result = []
    for i in range(len(X)):
        distances = sorted(float(np.sqrt(((X[i] - X[j]) ** 2).sum())) for j in range(len(X)) if j != i)
        result.append(np.mean(distances[:n_neighbors]))
    return np.array(result)


@given(seed=seeds, n=st.integers(2, 30), n_neighbors=st.integers(1, 40))
def test_typicality_is_that_of_plain_loops(xp, host, small_blocks, seed, n, n_neighbors):
    X = np.random.default_rng(seed).normal(size=(n, 3)) + 50
    found = host(mean_distances(xp.asarray(X), n_neighbors))
    np.testing.assert_allclose(found, brute_mean_distances(X, n_neighbors), rtol=1e-9)


@given(seed=seeds, labels=st.lists(st.integers(-1, N_CLUSTERS - 1), min_size=1, max_size=40), k=st.integers(1, 8))
def test_each_cluster_gives_its_most_typical_member(xp, make_clustering, seed, labels, k):
    labels = np.array(labels)
    X = np.random.default_rng(seed).normal(size=(len(labels), 3))
    expected = []
    for cluster in range(N_CLUSTERS):
        members = np.flatnonzero(labels == cluster)
        if len(members) == 1:
            expected.append(members[0])
        elif len(members) > 1:
            expected.append(members[np.argmin(brute_mean_distances(X[members], k))])
    found, oracle = select(Typical(k), xp, X, make_clustering(xp, labels, labels * 0, N_CLUSTERS))
    assert found.tolist() == sorted(expected)
    assert oracle.n_bought == len(found)


def test_the_typical_stands_where_the_cluster_is_dense_and_not_in_its_middle(xp, make_clustering):
    X, _ = blobs([30, 30])
    X = np.concatenate([X, X.mean(axis=0, keepdims=True)])  # one lone point in the middle
    distances = np.linalg.norm(X - X[-1], axis=1)
    clustering = make_clustering(xp, [0] * 61, distances, 1)
    assert select(NearestToCentroid(), xp, X, clustering)[0].tolist() == [60]
    assert select(Typical(), xp, X, clustering)[0][0] < 60


class Known:
    """A clustering as scikit-activeml wants one: the clusters it is given."""

    def __init__(self, labels, n_clusters):
        self.labels = labels

    def fit_predict(self, X):
        return self.labels


def test_the_typical_are_those_of_scikit_activeml(xp, make_clustering):
    X, labels = DIGITS.X_train / 16, DIGITS.y_train
    reference = TypiClust(cluster_algo=Known, cluster_algo_dict={"labels": labels}, k=20, random_state=0)
    expected = reference.query(X, np.full(len(X), np.nan), batch_size=10)
    found, _ = select(Typical(20), xp, X, make_clustering(xp, labels, labels * 0, 10))
    assert found.tolist() == sorted(expected)


def test_of_equal_points_the_first_is_typical(xp, make_clustering):
    X = np.full((7, 2), 0.25)
    assert select(Typical(), xp, X, make_clustering(xp, [0, 1] * 3 + [-1], [0] * 7, 3))[0].tolist() == [0, 1]


@given(seed=seeds, n=st.integers(1, 25))
def test_the_table_holds_squared_distances(xp, host, small_blocks, seed, n):
    X = np.random.default_rng(seed).normal(size=(n, 3)) + 50
    table = host(distance_table(xp.asarray(X)))
    np.testing.assert_allclose(table, ((X[:, None] - X[None]) ** 2).sum(axis=2), atol=1e-9)
    assert (np.diag(table) == 0).all()


@given(seed=seeds, n=st.integers(1, 25), radius=st.integers(0, 30), data=st.data())
def test_each_ball_covers_the_most_that_is_left(xp, small_blocks, seed, n, radius, data):
    X = np.random.default_rng(seed).integers(0, 9, size=(n, 2))  # whole numbers: no rounding, and many ties
    n_balls = data.draw(st.integers(1, n))
    table = ((X[:, None] - X[None]) ** 2).sum(axis=2).astype(np.float64)
    balls = [{j for j in range(n) if table[i, j] <= radius} for i in range(n)]

    expected, covered = [], set()
    for _ in range(n_balls):
        gains = {i: len(balls[i] - covered) for i in range(n) if i not in expected}
        best = max(gains, key=lambda i: (gains[i], -i))
        expected.append(best)
        covered |= balls[best]
    assert cover(xp.asarray(table), radius, n_balls) == (expected, len(covered))


@pytest.mark.filterwarnings("ignore:The maximum purity")  # it is asked for no radius
def test_each_ball_is_one_that_scikit_activeml_would_choose(xp):
    X, radius, y = DIGITS.X_train[:400] / 16, 1.5, np.full(400, np.nan)
    chosen, _ = cover(distance_table(xp.asarray(X)), radius**2, 20)
    reference = ProbCover(deltas=[radius], random_state=0)
    for place in chosen:
        _, utilities = reference.query(X, y, return_utilities=True)
        assert utilities[0, place] == np.nanmax(utilities)
        y[place] = 0


@given(seed=seeds, n=st.integers(2, 60), share=st.sampled_from([0.3, 0.5, 0.9, 1.0]), data=st.data())
def test_the_radius_covers_the_share_and_a_smaller_one_does_not(xp, seed, n, share, data):
    n_balls = data.draw(st.integers(1, n))
    X = np.random.default_rng(seed).normal(size=(n, 2))
    table = distance_table(xp.asarray(X))
    radii, radius = radii_to_try(table), choose_radius(table, n_balls, share)
    place = radii.index(radius)
    if place < len(radii) - 1:
        assert cover(table, radius, n_balls)[1] >= share * n
    if place > 0:
        assert cover(table, radii[place - 1], n_balls)[1] < share * n


def test_the_radii_are_quantiles_of_the_distances_between_points(xp, host):
    table = host(distance_table(xp.asarray(np.random.default_rng(0).normal(size=(600, 2)))))
    others = np.sort(table[:256, 256:], axis=None)
    radii = radii_to_try(xp.asarray(table))
    assert radii == sorted(set(radii))
    assert set(radii) <= set(others.tolist())
    assert (radii[0], radii[-1]) == (others[0], others[-1])
    assert radii_to_try(xp.zeros((1, 1))) == [0.0]


def test_balls_fall_on_separate_blobs(xp, make_clustering):
    X, blob = blobs([40, 20, 20, 10, 10])
    clustering = make_clustering(xp, [-1] * 100, [0] * 100, 0)
    found, oracle = select(Coverage(5, coverage=0.95), xp, X, clustering)
    assert sorted(blob[found]) == [0, 1, 2, 3, 4]
    assert oracle.n_bought == len(found)
    assert 0 in blob[select(Coverage(1, coverage=0.4), xp, X, clustering)[0]]


@given(seed=seeds, n=st.integers(1, 40), data=st.data())
def test_coverage_gives_the_budget_of_different_points(xp, make_clustering, seed, n, data):
    n_labels = data.draw(st.integers(1, n))
    max_candidates = data.draw(st.integers(n_labels, 50))
    X = np.random.default_rng(seed).integers(0, 3, size=(n, 2)).astype(np.float64)  # many agree
    clustering = make_clustering(xp, [-1] * n, [0] * n, 0)
    selection = Coverage(n_labels, max_candidates=max_candidates)
    found, again = (select(selection, xp, X, clustering, seed=seed)[0].tolist() for _ in range(2))
    assert found == again == sorted(set(found))
    assert len(found) == n_labels
    assert 0 <= found[0] <= found[-1] < n


def test_coverage_draws_other_candidates_by_another_seed(xp, make_clustering):
    X, _ = blobs([300])
    clustering = make_clustering(xp, [-1] * 300, [0] * 300, 0)
    one, other = (select(Coverage(5, max_candidates=50), xp, X, clustering, seed=seed)[0].tolist() for seed in (1, 2))
    assert one != other


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("select=typical select.n_neighbors=0", "n_neighbors: expected a whole number of at least 1, found 0"),
        ("select=coverage select.n_labels=9000", "max_candidates: expected at least n_labels, 9000, found 8000"),
        ("select=coverage select.coverage=1.5", "coverage: expected a number greater than 0 and at most 1, found 1.5"),
        ("select=cluster_budget select.prior=0", "prior: expected a number greater than 0, found 0"),
        ("select=cluster_budget select.first_share=0", "first_share: expected a number greater than 0 and at most 1"),
        ("select=cluster_budget select.n_labels=0", "n_labels: expected a whole number of at least 1, found 0"),
    ],
)
def test_settings_out_of_range_are_refused(job, overrides, message):
    with pytest.raises(ConfigError, match=rf"^select\.{message}"):
        job(*overrides.split())


@pytest.mark.parametrize("selection", [Typical(), Coverage(20, max_candidates=60), Herding(20, max_candidates=60)])
def test_rows_on_disk_are_selected_like_an_array(make_clustering, selection):
    raw = np.random.default_rng(0).integers(0, 256, size=(100, 5), dtype=np.uint8)
    clustering = make_clustering(np, np.arange(100) % 4, np.zeros(100), 4)
    rows = ScaledRows(raw, 255.0, memory_limit=10**6)
    found, expected = (selection.select(X, clustering, no_answers(clustering), None, 0) for X in (rows, rows[:]))
    assert found.tolist() == expected.tolist()


def greedily(X, weights, covered, n, kernel):
    """The same choice, each time from all gains."""
    table, chosen = kernel(((X[:, None] - X[None]) ** 2).sum(axis=2)), []
    for _ in range(n):
        gains = np.maximum(table - covered, 0) @ weights
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, table[chosen[-1]])
    return chosen


@given(seed=seeds, n=st.integers(1, 60), data=st.data())
def test_herding_takes_the_largest_gain_each_time(xp, host, small_blocks, seed, n, data):
    rng = np.random.default_rng(seed)
    X, weights, covered, kernel = rng.normal(size=(n, 2)), rng.random(n), rng.random(n) / 2, gaussian(0.7)
    n_chosen = data.draw(st.integers(1, n))
    found = herd(xp.asarray(X), xp.asarray(weights), xp.asarray(covered), n_chosen, kernel)
    assert found.tolist() == greedily(X, weights, covered, n_chosen, kernel)


@given(seed=seeds)
def test_herding_with_hard_balls_is_coverage(xp, seed):
    X = np.random.default_rng(seed).normal(size=(50, 2))

    def ball(squared):
        return xp.astype(squared <= 0.5, xp.float64)

    points = xp.asarray(X)
    found = herd(points, xp.ones(50), xp.zeros(50), 12, ball)
    assert found.tolist() == cover(distance_table(points), 0.5, 12)[0]


def test_herding_goes_where_the_doubts_are(xp, make_clustering):
    X, blob = blobs([40, 40, 40])
    clustering = make_clustering(xp, [-1] * 120, [0] * 120, 0)
    given, labels = xp.asarray([0, 40, 80]), xp.asarray([0, 1, 2])
    doubtful = Answers(given, labels, doubt=xp.asarray(np.where(blob == 1, 0.9, 0.01)))
    found = backend.of(given).to_numpy(Herding(12).select(xp.asarray(X), clustering, doubtful, 6, 0))
    assert np.count_nonzero(blob[found] == 1) >= 5
    plain = backend.of(given).to_numpy(Herding(12).select(xp.asarray(X), clustering, Answers(given, labels), 6, 0))
    assert {0, 1, 2} == set(blob[plain])


@given(seed=seeds, n=st.integers(1, 40), data=st.data())
def test_herding_gives_the_budget_of_different_points(xp, make_clustering, seed, n, data):
    n_labels = data.draw(st.integers(1, n))
    X = np.random.default_rng(seed).integers(0, 3, size=(n, 2)).astype(np.float64)  # many agree
    clustering = make_clustering(xp, [-1] * n, [0] * n, 0)
    selection = Herding(n_labels, max_candidates=data.draw(st.integers(1, 50)))
    found, again = (select(selection, xp, X, clustering, seed=seed)[0].tolist() for _ in range(2))
    assert found == again == sorted(set(found))
    assert len(found) == n_labels


def test_the_width_of_the_kernel_is_that_of_the_gaps_between_labels(xp, host):
    X = xp.asarray(np.random.default_rng(0).normal(size=(200, 3)))
    few, many = spread(X, 5), spread(X, 50)
    assert few > many > spread(X, 200)
    assert spread(X, 200) == pytest.approx(0, abs=1e-12)
    expected = ((host(X)[:, None] - host(X)[None, :7]) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(host(nearest(X, X[:7, :])), expected, atol=1e-12)


@pytest.mark.parametrize("choice", ["typical", "coverage", "herding", "cluster_budget"])
def test_a_run_buys_as_many_random_labels(job, tmp_path, choice):
    settings = [] if choice == "typical" else ["select.n_labels=40"]
    made = job(f"select={choice}", *settings, "propagate=[none]", "classifier=[logistic]")
    results = run(made, tmp_path / "run")
    assert [(r.select, r.n_labels, r.n_train) for r in results] == [
        (select, 40 if settings else 20, 40 if settings else 20) for select in (choice, "random")
    ]


ASKING = [Random(6), First(6), All(), NearestToCentroid(), Typical(3), Coverage(6, max_candidates=30), ClusterBudget(6)]
ASKING.append(Herding(6, max_candidates=30))


@pytest.mark.parametrize("selection", ASKING, ids=lambda selection: selection.name)
def test_what_was_answered_is_never_asked_again(xp, make_clustering, selection):
    """Somebody answers two labels at a time, and comes back until nothing is left to ask."""
    rng = np.random.default_rng(0)
    labels, X = rng.integers(-1, N_CLUSTERS, 40), rng.normal(size=(40, 3))
    clustering, oracle = make_clustering(xp, labels, rng.random(40), N_CLUSTERS), Oracle(rng.integers(0, 3, 40))
    answers, rounds = no_answers(clustering), []
    while True:
        asked = selection.select(xp.asarray(X), clustering, answers, 2, 0)
        if asked.shape[0] == 0 or len(rounds) == 25:
            break
        rounds.append(backend.of(asked).to_numpy(asked).tolist())
        answers = merged(answers, Answers(asked, oracle.buy(asked)))
    every = [index for found in rounds for index in found]
    assert all(1 <= len(found) <= 2 and found == sorted(found) for found in rounds)
    assert len(every) == len(set(every)) == len(answers)
    expected = N_CLUSTERS if selection.one_per_cluster else (labels >= 0).sum() if selection.needs_clusters else 40
    assert len(every) == expected


@pytest.mark.parametrize("selection", [NearestToCentroid(), Typical(3)], ids=lambda selection: selection.name)
def test_of_few_labels_the_largest_clusters_get_one_each(xp, make_clustering, selection):
    labels = np.repeat([0, 1, 2], [3, 9, 5])
    X = np.random.default_rng(0).normal(size=(17, 2))
    clustering = make_clustering(xp, labels, np.arange(17), 3)
    asked = selection.select(xp.asarray(X), clustering, no_answers(clustering), 2, 0)
    assert labels[backend.of(asked).to_numpy(asked)].tolist() == [1, 2]
