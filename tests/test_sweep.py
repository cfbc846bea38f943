"""What a sweep's rows are made into."""

import itertools

import pytest

from gpussl.report import figures
from gpussl.report.sweep import curve_lines, half_width, summarize, summary_table


def row(**changed):
    """A row of a sweep's results."""
    made = {"overrides": "", "select": "nearest_to_centroid", "propagation": "cluster", "classifier": "logistic"}
    made |= {"n_clusters": "20", "percentile": "", "seed": "0", "n_labels": "20", "n_train": "100", "row": ""}
    made |= {"label_accuracy": "0.9", "test_accuracy": "0.8", "published": "", "fit_seconds": "1", "device": "cpu"}
    return made | {"predict_seconds": "0.1", "train_accuracy": ""} | changed


def test_the_interval_is_students():
    # of 1, 2, 3: t(0.975, 2) = 4.3027, standard deviation 1
    assert half_width([1, 2, 3]) == pytest.approx(4.302653 / 3**0.5)
    assert half_width([1]) is None


def test_seeds_are_what_is_averaged():
    (made,) = summarize([row(seed="0", test_accuracy="0.8"), row(seed="1", test_accuracy="0.9")])
    assert (made["n_seeds"], float(made["test_accuracy"])) == ("2", pytest.approx(0.85))
    assert made["train_accuracy"] == ""
    (made,) = summarize([row(seed=str(seed), train_accuracy=f"0.{8 + seed}") for seed in range(2)])
    assert float(made["train_accuracy"]) == pytest.approx(0.85)
    assert len(summarize([row(overrides="a=1"), row(overrides="a=2")])) == 2


@pytest.mark.parametrize(("seeds", "words"), [(1, "of one seed"), (2, "means over seeds")])
def test_the_table_says_whether_there_are_intervals(seeds, words):
    made = summarize([row(seed=str(seed), test_accuracy=f"0.{8 + seed}") for seed in range(seeds)])
    assert words in summary_table(made).title


def test_a_curve_has_a_line_for_each_other_setting():
    rows = [
        row(n_labels=str(n), n_clusters=str(n), overrides=f"cluster.n_clusters={n} features={features}")
        for n in (10, 20, 40)
        for features in ("represented", "centroid_distances")
    ]
    x, lines = curve_lines(summarize(rows))
    assert x == "labels bought"
    assert set(lines) == {f"whole cluster, logistic, features={name}" for name in ("represented", "centroid_distances")}
    assert [[point.x for point in points] for points in lines.values()] == [[10, 20, 40]] * 2


def test_test_labels_are_no_point_of_a_curve():
    rows = [row(n_labels=str(n), overrides=f"cluster.n_clusters={n}") for n in (10, 20)]
    bound = row(select="test_labels", propagation="best_allocation", n_labels="500")
    _, lines = curve_lines(summarize([*rows, bound]))
    assert {point.x for points in lines.values() for point in points} == {10, 20}
    assert curve_lines(summarize([rows[0], bound])) is None


def test_percentiles_are_a_curve_where_nothing_else_varies():
    rows = [row(propagation="nearest", percentile=str(p), overrides=f"x.percentile={p}") for p in (20.0, 50.0)]
    x, lines = curve_lines(summarize(rows))
    assert (x, list(lines)) == ("percentile", ["nearest, logistic"])


@pytest.mark.parametrize("values", [[20, 50, 75, 90, 100], [100, 600, 1000, 6000, 10000], [8, 9, 10, 500]])
def test_the_numbers_under_a_curve_are_apart(values):
    points = [figures.CurvePoint(x, 0.5, None, None) for x in values]
    axes = figures.curve({"a": points}, "x").axes[0]
    places = axes.transAxes.inverted().transform(axes.transData.transform([(x, 0.5) for x in axes.get_xticks()]))[:, 0]
    assert all(b - a > 0.05 for a, b in itertools.pairwise(places))
    assert axes.get_xticks()[0] == values[0]
