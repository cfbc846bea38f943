"""How many labels are needed: the curve, its uncertainty, the decision, and whole runs on the digits."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from scipy.stats import norm

from gpussl.backend import cpu
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.data.digits import Digits
from gpussl.errors import ConfigError
from gpussl.evaluate import learning_curve as budget
from gpussl.evaluate.advice import Findings, advise
from gpussl.evaluate.learning_curve import Curve, LabelBudget, Measured
from gpussl.label.oracle import Oracle
from gpussl.runtime import config
from gpussl.tasks import advise as advisor
from gpussl.tasks import advise_parts as words
from gpussl.tasks import prepare
from gpussl.tasks.run import run

SIZES = np.array([40, 60, 90, 140, 220])
FAST = (
    "budget.n_labels=90",
    "budget.n_folds=5",
    "budget.n_repeats=2",
    "budget.n_sizes=3",
    "classifier.logistic.tol=0.1",
)
ASKED = ("+experiment=label_budget", "device=cpu", "cache=null", *FAST)


def power_law(a, c, error, n):
    """The curve that ends at `a` with exponent `c` and has the error at n labels."""
    return Curve(np.asarray(a), np.asarray((error - (1 - a)) * n**c), np.asarray(c))


def simulated(curve, n, rng, agreement=0.8):
    """Hits of classifiers along a curve on n images, of which some are harder than others at every size."""
    plan = LabelBudget(n_labels=n)
    sizes = plan.sizes(is_random=True)
    accuracy = curve.at(sizes)[:, None]
    shape = (plan.n_repeats, len(sizes), n)
    hardness = np.sqrt(agreement) * rng.normal(size=n) + np.sqrt(1 - agreement) * rng.normal(size=shape)
    return Measured("random", sizes, hardness < norm.ppf(accuracy), is_reused=True)


@pytest.mark.parametrize(("a", "c"), [(0.9, 0.5), (0.95, 0.3), (1.0, 0.2), (0.85, 1.0), (0.97, 1.6)])
def test_a_curve_without_noise_is_found_again(a, c):
    true = power_law(a, c, 0.25, 250)
    found = budget.fit(SIZES, true.at(SIZES), np.eye(5) * 1e-14, 250)
    assert found.at(1000) == pytest.approx(float(true.at(1000)), abs=1e-3)
    assert [float(found.a), float(found.c)] == pytest.approx([a, c], abs=0.03)


def test_a_curve_with_noise_is_found_nearly():
    rng, true = np.random.default_rng(0), power_law(0.92, 0.5, 0.2, 250)
    noise = 0.002
    found = [
        float(budget.fit(SIZES, true.at(SIZES) + rng.normal(0, noise, 5), np.eye(5) * noise**2, 250).at(500))
        for _ in range(20)
    ]
    assert np.mean(found) == pytest.approx(float(true.at(500)), abs=0.003)
    assert np.std(found) < 0.01


def test_what_was_seen_at_once_is_weighted_once():
    """Accuracies that err together, for they are of the same images, tell the slope and not the level."""
    true = power_law(0.92, 0.5, 0.2, 250)
    together = np.full((5, 5), 0.03**2) + np.eye(5) * 1e-8
    draws = budget.draw_curves(SIZES, true.at(SIZES), together, 250, np.random.default_rng(0))
    assert np.std(draws.at(250)) == pytest.approx(0.03, rel=0.15)
    assert np.std(draws.at(220) - draws.at(140)) < 0.005


def test_curves_are_of_the_family():
    measured = simulated(power_law(0.9, 0.5, 0.2, 250), 250, np.random.default_rng(0))
    advice = advise(measured, LabelBudget(n_labels=250), 60_000, 0)
    for curve in (advice.curve, advice.draws):
        assert np.all(curve.a <= 1)
        assert np.all(curve.b >= 0)
        assert np.all((curve.c >= budget.C_MIN) & (curve.c <= budget.C_MAX))


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Binomial hold-outs of known curves: nine in ten, and not by being of any width."""
    rng, held, widths = np.random.default_rng(0), [], []
    for seed in range(80):
        n, a = int(rng.choice([250, 500])), rng.uniform(0.82, 0.97)
        true = power_law(a, rng.uniform(0.2, 0.9), 1 - a + rng.uniform(0.03, 0.12), n)
        advice = advise(simulated(true, n, rng), LabelBudget(n_labels=n), 60_000, seed)
        held.append([item.low <= true.at(item.n_labels) <= item.high for item in advice.forecasts])
        held[-1].append(advice.gain[1] <= true.at(2 * n) - true.at(n) <= advice.gain[2])
        held[-1].append(advice.needed[1] <= true.labels_for(0.85)[0] <= advice.needed[2])
        widths.append([item.high - item.low for item in advice.forecasts])
        assert all(item.low <= item.accuracy <= item.high for item in advice.forecasts)
    assert np.mean(held, axis=0).min() >= 0.85
    assert np.mean(widths) < 0.13


def test_a_perfect_score_is_not_a_certain_one():
    measured = Measured("random", SIZES, np.ones((3, 5, 100), dtype=bool), is_reused=True)
    advice = advise(measured, LabelBudget(n_labels=250), 1000, 0)
    assert advice.forecasts[0].low < 0.99
    assert advice.is_enough


def test_a_higher_target_takes_more_labels():
    measured = simulated(power_law(0.9, 0.5, 0.2, 250), 250, np.random.default_rng(0))
    needed = [
        advise(measured, LabelBudget(n_labels=250, target=target), 60_000, 0).needed
        for target in np.linspace(0.5, 0.99, 25)
    ]
    for of_all in np.array(needed).T:
        assert np.all(of_all[1:] >= of_all[:-1])
        assert of_all[-1] == np.inf or of_all[-1] > of_all[0]
    assert all(low <= labels <= high for labels, low, high in needed)


def test_labels_for_an_accuracy_are_those_that_give_it():
    curve = power_law(0.9, 0.5, 0.2, 250)
    assert curve.at(curve.labels_for(0.85)[0]) == pytest.approx(0.85)
    assert curve.labels_for(0.9)[0] == curve.labels_for(0.95)[0] == np.inf


class TestDecision:
    def advice(self, curve, n=2000, n_points=60_000, **settings):
        plan = LabelBudget(n_labels=n, **settings)
        return advise(simulated(curve, n, np.random.default_rng(0)), plan, n_points, 0), plan

    def said(self, curve, **settings):
        advice, plan = self.advice(curve, **settings)
        n_points = settings.get("n_points", 60_000)
        return advice, words.in_words(Findings(plan, plan.n_labels, n_points, [advice]))

    def test_a_flat_curve_ends_the_purchase(self):
        advice, (needed, decision) = self.said(power_law(0.85, 1.0, 0.153, 4000), n=4000, target=0.95)
        assert advice.is_enough
        assert advice.more == 0
        assert advice.p_small >= 0.9
        assert decision.startswith("Stop: twice the labels would add ")
        assert needed.startswith("An accuracy of 95 % is beyond the fitted curve: its limit with random labels is ")

    def test_a_steep_curve_goes_on(self):
        advice, (_, decision) = self.said(power_law(0.99, 0.6, 0.3, 2000), target=0.95)
        assert not advice.is_enough
        assert advice.more == 2000
        assert decision.startswith("Go on, buy 2,000 more: ")

    def test_no_more_is_bought_than_the_target_takes(self):
        advice, (needed, _) = self.said(power_law(0.99, 0.6, 0.3, 2000), target=0.73)
        assert not advice.is_enough
        assert 0 < advice.more < 2000
        assert advice.needed[0] == pytest.approx(2000 + advice.more, abs=1)
        assert needed.startswith("An accuracy of 73 % takes about ")

    def test_a_target_that_is_surely_reached_ends_the_purchase(self):
        advice, (_, decision) = self.said(power_law(0.99, 0.6, 0.3, 2000), target=0.5)
        assert advice.is_enough
        assert decision.startswith("Stop: the target is reached with probability 1.00")

    def test_no_more_is_bought_than_there_is(self):
        advice, _ = self.said(power_law(0.99, 0.6, 0.3, 2000), target=0.95, n_points=2100)
        assert (advice.more, advice.is_enough) == (0, True)  # the last hundred would add less than a point
        advice, _ = self.said(power_law(0.99, 0.6, 0.3, 2000), target=0.95, n_points=2100, min_gain=1e-4)
        assert advice.more == 100
        assert [forecast.n_labels for forecast in advice.forecasts] == [2000, 2100]
        advice, (_, decision) = self.said(power_law(0.99, 0.6, 0.3, 2000), target=0.95, n_points=2000)
        assert advice.is_enough
        assert decision == "Stop: all 2,000 labels are bought."


@pytest.fixture
def asked(composed):
    """A function (overrides) -> a checked job that spends a small budget on the digits."""
    return lambda *overrides: config.build(composed(*ASKED, *overrides))


def artifacts(folder):
    """What a run has left, but for what tells of time."""
    return {name: (folder / name).read_bytes() for name in ("budget.json", "budget.csv", "figures/budget.png")}


def watched_oracles(monkeypatch):
    oracles = []

    class Watched(Oracle):
        def __init__(self, y):
            super().__init__(y)
            self.sold = set()
            oracles.append(self)

        def buy(self, indices):
            self.sold |= set(indices.tolist())
            return super().buy(indices)

    monkeypatch.setattr(prepare, "Oracle", Watched)
    return oracles


def replaced_labels(monkeypatch, **changed):
    """Digits whose labels are made by functions of the true data set."""
    load = Digits.load

    def other(self):
        dataset = load(self)
        return dataclasses.replace(dataset, **{name: make(dataset) for name, make in changed.items()})

    monkeypatch.setattr(Digits, "load", other)


SELECTIONS = {
    "random": (),
    "coverage": ("select=coverage", "budget.n_labels=150"),
    "nearest_to_centroid": ("select=nearest_to_centroid", "cluster=kmeans", "budget.n_labels=150"),
    "cluster_budget": ("select=cluster_budget", "cluster=kmeans", "cluster.n_clusters=12", "budget.n_labels=150"),
}


@pytest.mark.parametrize("select", SELECTIONS)
def test_a_run_answers_from_no_more_labels_than_its_budget(asked, tmp_path, monkeypatch, capsys, select):
    oracles = watched_oracles(monkeypatch)
    job = asked(*SELECTIONS[select])
    assert run(job, tmp_path / "run") == []
    described = json.loads((tmp_path / "run" / "budget.json").read_text())
    (oracle,) = oracles
    assert described["labels"]["bought"] == oracle.n_bought == len(oracle.sold) <= job.budget.n_labels
    n_holdout = described["labels"]["hold-out"]
    assert n_holdout == (90 if select == "random" else 60)
    assert oracle.n_bought == 90 if select == "random" else oracle.n_bought > n_holdout
    with (tmp_path / "run" / "budget.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [item["select"] for item in described["selections"]]
    assert names == list(dict.fromkeys([select, "random"]))
    assert len(rows) == 2 * 3 + (3 if select != "random" else 0)
    sizes = [[int(row["n_labels"]) for row in rows if row["select"] == name] for name in names]
    assert sizes[0] == sizes[-1][: len(sizes[0])]
    for item in described["selections"]:
        mean = np.mean([float(row["accuracy"]) for row in rows if row["select"] == item["select"]])
        assert np.mean([point["accuracy"] for point in item["measured"]]) == pytest.approx(mean, abs=1e-5)
    page = (tmp_path / "run" / "report.html").read_text()
    shown = capsys.readouterr().out
    assert len(described["answer"]) == 2 + (select != "random")
    for sentence in described["answer"]:
        assert sentence in page
        assert sentence in shown
    assert (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.parametrize("select", ["random", "coverage"])
def test_one_seed_gives_the_same_and_labels_not_bought_change_nothing(asked, tmp_path, monkeypatch, select):
    oracles = watched_oracles(monkeypatch)
    job = asked(*SELECTIONS[select])
    run(job, tmp_path / "true")
    bought = list(oracles[0].sold)

    def spoiled(dataset):
        y = (dataset.y_train + 1) % 10
        y[bought] = dataset.y_train[bought]
        return y

    replaced_labels(monkeypatch, y_train=spoiled, y_test=lambda dataset: dataset.y_test[::-1])
    run(job, tmp_path / "spoiled")
    assert artifacts(tmp_path / "true") == artifacts(tmp_path / "spoiled")
    if select == "random":
        run(asked("seed=1"), tmp_path / "other")
        assert artifacts(tmp_path / "other")["budget.json"] != artifacts(tmp_path / "true")["budget.json"]


def test_the_hold_out_is_not_learnt_from(asked):
    """Neither the selection nor a fold sees the images that it is scored on."""
    job, X = asked(*SELECTIONS["coverage"]), np.random.default_rng(0).random((400, 3))
    y, learnt = np.arange(400) % 4, []
    clustering = lambda points, _: job.cluster.fit(X[points], 0)  # noqa: E731
    purchase = advisor.choose(job, X, cpu, Oracle(y), clustering)
    assert all(not set(purchase.holdout) & set(points) for points in purchase.chosen)

    def learn(points, labels, asked_of, name):
        assert not set(points) & set(asked_of)
        assert np.array_equal(labels, y[points])
        learnt.append(len(points))
        return y[asked_of]

    measured = advisor.measure(purchase, lambda points: y[points], job, learn, lambda *_: None)
    assert [item.correct.all() for item in measured] == [True, True]
    assert set(learnt) == set(job.budget.sizes(is_random=False).tolist())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["budget.target=1.5"], "budget.target: expected a number greater than 0 and less than 1, found 1.5"),
        (["budget.n_labels=0"], "budget.n_labels: expected a whole number of at least 1, found 0"),
        (
            ["budget.n_labels=20"],
            "budget.n_labels: expected a hold-out of at least 30 labels, found 20 of 20; raise it",
        ),
        (["budget.n_labels=40"], "budget.n_labels: expected a training set of at least 40 labels, found 32 of 40"),
        (["budget.holdout=0"], "budget.holdout: expected a number greater than 0 and less than 1, found 0.0"),
        (["+budget.n_label=9"], "budget.n_label: expected one of n_labels, holdout,"),
    ],
)
def test_a_wrong_budget_is_refused_when_it_is_read(composed, overrides, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as error:
        config.build(composed(*ASKED, *overrides))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["budget.n_labels=1298"], "budget.n_labels: expected at most the number of training points, 1297, found 1298"),
        (
            ["select=coverage", "budget.holdout=0.1"],
            "budget.holdout: expected a hold-out of at least 30 labels, found 9",
        ),
        (["select=coverage"], "budget.n_labels: expected a training set of at least 40 labels, found 28 of 90"),
        (
            ["classifier=[logistic,knn]"],
            "classifier: expected exactly one with task=advise, found logistic, knn; choose another with classifier=",
        ),
        (["propagate=[cluster]"], "propagate: expected none with task=advise, found cluster"),
        (["allocate=true"], "allocate: expected false with task=advise, found true"),
        (
            ["features=centroid_distances"],
            "features: expected represented or pixels with task=advise, found distances to clusters",
        ),
        (
            ["select=stratified"],
            "select: expected one that does not know the classes in advance with task=advise, found str",
        ),
        (["select=all"], "select: expected one that takes any number of labels with task=advise, found all"),
        (
            ["select=typical"],
            "cluster: expected one with n_clusters for select=typical with task=advise, found NoClust",
        ),
    ],
)
def test_what_a_budget_cannot_be_spent_on_is_refused(asked, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as error:
        run(asked(*overrides), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_test_stopped_trees_and_unlabelled_learners_are_refused(asked):
    job = asked()
    for attribute, expected in (
        ("stops_by_test_labels", "classifier: expected one that does not stop by the test labels"),
        ("learns_from_unlabelled", "classifier: expected one that learns from labelled points alone"),
    ):
        stage = type("Stage", (KNeighborsClassifier,), {attribute: True})()
        with pytest.raises(ConfigError, match=f"^{expected}"):
            advisor.check(dataclasses.replace(job, classifier={"stage": stage}))


def test_labels_of_one_class_are_refused(asked, tmp_path, monkeypatch):
    replaced_labels(monkeypatch, y_train=lambda dataset: np.full_like(dataset.y_train, 3))
    with pytest.raises(ConfigError, match=r"^budget\.n_labels: expected labels of at least two classes, found one"):
        run(asked(), tmp_path / "run")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_paired_difference_is_of_the_same_images():
    hits = np.random.default_rng(0).random((1, 3, 400)) < 0.7
    better = hits.copy()
    better[0, -1, np.flatnonzero(~better[0, -1])[:20]] = True
    one, other = (Measured("x", np.array([50, 100, 200]), array, False) for array in (better, hits))
    mean, low, high = budget.paired_difference(one, other)
    assert mean == pytest.approx(0.05)
    assert 0 < low < mean < high < 0.1
