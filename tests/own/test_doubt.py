"""Labels that may be wrong: those of a project, and those that data come with."""

import csv

import numpy as np
import pytest

from gpussl.errors import ConfigError
from gpussl.evaluate.confident_learning import doubt, n_wrong, order
from gpussl.runtime import config
from gpussl.tasks.run import run_on_project

CLASSES = ("apple", "melon", "plum")


def noisy(seed=0, n=600, n_classes=3, share=0.08):
    """Probabilities, labels, and which of these are wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    proba = rng.dirichlet(np.full(n_classes, 0.6), n)
    proba[np.arange(n), true] += 1.5
    proba /= proba.sum(axis=1, keepdims=True)
    labels = true.copy()
    wrong = rng.permutation(n)[: round(share * n)]
    labels[wrong] = (true[wrong] + rng.integers(1, n_classes, len(wrong))) % n_classes
    return proba, labels, labels != true


class TestOrder:
    def test_what_is_not_known_is_in_no_doubt(self):
        proba = np.array([[np.nan, np.nan], [0.3, 0.7], [0.5, 0.5]])
        assert order(proba, np.array([0, 0, 0])).tolist() == [1]

    def test_it_is_no_worse_than_cleanlabs(self):
        cleanlab = pytest.importorskip("cleanlab.rank", reason="cleanlab is not installed: pip install gpussl[dev]")
        from sklearn.metrics import average_precision_score

        ours, theirs = [], []
        for seed in range(20):
            proba, labels, wrong = noisy(seed)
            ours.append(average_precision_score(wrong, doubt(proba, labels)))
            theirs.append(average_precision_score(wrong, -cleanlab.get_label_quality_scores(labels, proba)))
        assert np.mean(ours) >= np.mean(theirs) - 0.002

    def test_a_class_that_cannot_be_is_no_error(self):
        assert np.isfinite(doubt(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))).all()


class TestNumber:
    def test_it_is_cleanlabs(self):
        count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed: pip install gpussl[dev]")
        for seed in range(5):
            proba, labels, _ = noisy(seed)
            joint = count.compute_confident_joint(labels, proba, calibrate=True)
            assert n_wrong(proba, labels) == pytest.approx(joint.sum() - np.trace(joint), abs=2)

    def test_it_is_about_right(self):
        proba, labels, wrong = noisy(share=0.1)
        assert n_wrong(proba, labels) == pytest.approx(wrong.sum(), rel=0.35)

    def test_without_labels_there_is_none(self):
        assert n_wrong(np.full((2, 2), np.nan), np.array([0, 1])) == 0


@pytest.fixture
def fruit(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"r{n}", *(3.0 * np.eye(3)[n % 3] + rng.normal(0, 0.4, 3)).round(3), CLASSES[n % 3]) for n in range(90)]
    rows[7] = (*rows[7][:4], "<img src=x onerror=alert(1)>")
    for wrong in (10, 20, 30):
        rows[wrong] = (*rows[wrong][:4], CLASSES[(wrong + 1) % 3])
    with (tmp_path / "fruit.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "a", "b", "c", "kind"), *rows])
    return tmp_path


def run(place, *settings):
    here = f"data.path={place}/fruit.csv", "data.id=id", "data.label=kind", f"output={place}/out"
    basis = "+experiment=own_data", "task=doubt", "data=table", "classifier=[knn]", "cache=null", "device=cpu"
    run_on_project(config.job(*basis, *here, *settings))


class TestTask:
    def test_the_wrong_ones_come_first_with_their_cells(self, fruit, capsys):
        run(fruit)
        with (fruit / "out" / "doubts.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["id"] for row in rows[:4]} == {"r7", "r10", "r20", "r30"}
        assert {row["id"]: row["predicted"] for row in rows}["r10"] == CLASSES[1]
        assert list(rows[0]) == ["id", "label", "predicted", "probability", "a", "b", "c"]
        assert "Of 90 labels" in capsys.readouterr().out.replace("\n", " ")

    def test_the_page_escapes_what_it_shows(self, fruit):
        run(fruit)
        page = (fruit / "out" / "report.html").read_text()
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page

    def test_results_are_not_overwritten(self, fruit):
        run(fruit)
        before = (fruit / "out" / "doubts.csv").read_bytes()
        with pytest.raises(ConfigError, match="expected no folder or an empty one, found files"):
            run(fruit)
        assert (fruit / "out" / "doubts.csv").read_bytes() == before

    def test_data_without_labels_are_said(self, fruit):
        with pytest.raises(ConfigError, match=r"expected 20 labels or more, of two classes, with the data, found none"):
            run(fruit, "data.label=null")
        assert not (fruit / "out").exists()

    def test_a_project_has_a_list_of_its_own(self, fruit):
        with pytest.raises(ConfigError, match=r"gpussl learn lists the doubtful labels"):
            run(fruit, f"project={fruit}/p.gpussl")

    def test_a_class_that_only_an_outvoted_copy_has(self, fruit):
        with (fruit / "fruit.csv").open("a", newline="") as file:
            csv.writer(file).writerows([("c1", 9, 9, 9, "apple"), ("c2", 9, 9, 9, "apple"), ("c3", 9, 9, 9, "a date")])
        run(fruit)
        with (fruit / "out" / "doubts.csv").open(newline="") as file:
            found = {row["id"]: row["predicted"] for row in csv.DictReader(file)}
        assert "c3" in found
