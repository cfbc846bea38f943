"""The loop of a person: choose, label, learn, predict, and again."""

import csv
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import gpussl
from gpussl.backend import cpu
from gpussl.errors import ConfigError, DataError
from gpussl.label.answers import SKIPPED, Answer
from gpussl.numeric.intervals import accuracy_interval
from gpussl.propagate.graph import GraphPropagation
from gpussl.propagate.neighbor_graph import neighbor_graph, neighbors
from gpussl.records import Answers
from gpussl.runtime import config, store
from gpussl.tasks import choose, estimate, learn, own, predict, prepare, project, spread, student
from gpussl.tasks.checked import Checked
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.prepare import Context
from gpussl.tasks.run import run_on_project

COMMON = ("+experiment=own_data", "cache=null", "device=cpu", "classifier=[knn]")


@pytest.fixture
def blobs(tmp_path):
    """A table of three blobs with a gap, a category and two copies, and the true classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    frame = pd.DataFrame({"id": [f"p{n:03}" for n in range(150)], "x": 4.0 * (y == 1), "z": 4.0 * (y == 2)})
    frame[["x", "z"]] += rng.normal(0, 0.3, (150, 2))
    frame["colour"] = np.where(y == 0, "red", "blue")
    frame.loc[7, "x"] = np.nan
    frame.loc[149, ["x", "z", "colour"]] = frame.loc[148, ["x", "z", "colour"]]
    y[149] = y[148]
    frame.to_csv(tmp_path / "blobs.csv", index=False)
    return frame, {item: f"class {number}" for item, number in zip(frame["id"], y, strict=True)}


def context(loop, task):
    job = config.job(*COMMON, *loop.data, f"task={task}", f"project={loop.place}")
    return Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())


class Loop:
    """Runs the tasks on one project."""

    def __init__(self, folder):
        self.folder = folder
        self.data = ("data=auto", f"data.path={folder}/blobs.csv")
        self.place = folder / "blobs.gpussl"

    def __call__(self, task, *more):
        run_on_project(config.job(*COMMON, *self.data, f"task={task}", f"project={self.place}", *more))

    @property
    def project(self):
        return project.opened(self.place)

    def answer(self, truth, number=-1):
        asked = self.project.rounds()[number].asked
        path = self.folder / "labels.csv"
        store.write_csv(path, [("id", "label"), *((item, truth[item]) for item in asked)])
        self("label", f"source={path}")


@pytest.fixture
def loop(tmp_path, blobs):
    return Loop(tmp_path)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestLoop:
    def test_from_no_labels_to_predictions_and_a_next_round(self, loop, blobs, capsys):
        frame, truth = blobs
        loop("choose", "n_labels=40")
        first = loop.project.rounds()[0]
        assert len(first.asked) == 40
        to_label = rows(loop.place / "rounds" / "1" / "to_label.csv")
        assert [row["id"] for row in to_label] == list(first.asked)
        assert set(to_label[0]) == {"id", "label", "why", "x", "z", "colour"}
        loop.answer(truth)
        loop("learn")
        found = rows(loop.place / "learned" / "1" / "predictions.csv")
        assert [row["id"] for row in found] == list(frame["id"])
        assert np.mean([row["label"] == truth[row["id"]] for row in found]) > 0.97
        assert {row["source"] for row in found} == {"bought", "predicted"}
        loop("choose", "n_labels=10")
        second = loop.project.rounds()[1]
        assert len(second.asked) == 10
        assert not set(second.asked) & set(first.asked)
        assert "doubtful" in second.asked.values()
        assert "Accuracy" in capsys.readouterr().out

    def test_the_model_reads_files_and_frames(self, loop, blobs):
        frame, truth = blobs
        loop("choose", "n_labels=20")
        loop.answer(truth)
        loop("learn")
        model = gpussl.load(loop.place)
        expected = [row["label"] for row in rows(loop.place / "learned" / "1" / "predictions.csv")]
        assert model.predict(frame[["colour", "z", "x", "id"]]).tolist() == expected
        assert model.predict(loop.folder / "blobs.csv").tolist() == expected
        loop("predict", f"source={loop.folder}/blobs.csv", f"output={loop.folder}/out.parquet")
        assert pd.read_parquet(loop.folder / "out.parquet")["label"].tolist() == expected
        loop("predict", f"source={loop.folder}/blobs.csv", f"output={loop.folder}/out.csv")
        assert [row["label"] for row in rows(loop.folder / "out.csv")] == expected

    def test_copies_are_asked_once_and_labelled_together(self, loop, blobs):
        _, truth = blobs
        loop("choose", "n_labels=149")
        asked = loop.project.rounds()[0].asked
        assert len({"p148", "p149"} & set(asked)) == 1
        loop.answer(truth)
        loop("learn")
        found = {row["id"]: row for row in rows(loop.place / "learned" / "1" / "predictions.csv")}
        assert found["p148"]["source"] == found["p149"]["source"] == "bought"
        with pytest.raises(ConfigError, match="expected points that were not asked for yet, found none"):
            loop("choose")

    def test_copies_with_different_labels_keep_their_own(self, loop):
        loop("choose", "n_labels=20")
        loop.project.log.append([Answer("p148", "a"), Answer("p149", "b"), Answer("p001", "a"), Answer("p002", "b")])
        loop("learn")
        found = {row["id"]: row["label"] for row in rows(loop.place / "learned" / "1" / "predictions.csv")}
        assert (found["p148"], found["p149"]) == ("a", "b")

    def test_the_random_sample_ends_where_the_labels_do(self, loop):
        loop("choose", "n_labels=60", "audit=0")
        loop("choose", "n_labels=10", "audit=1")
        first, second = loop.project.rounds()
        asked = {*first.asked, *second.asked}
        assert set(second.asked.values()) == {"random"}
        assert set(second.audit) <= asked

    def test_the_random_part_is_random_and_the_same_when_points_come_and_go(self, loop):
        loop("choose", "n_labels=40")
        first = loop.project.rounds()[0]
        assert sum(why == "random" for why in first.asked.values()) == 12
        assert len(first.audit) == 12

    def test_skipped_points_are_not_asked_again(self, loop):
        loop("choose", "n_labels=20")
        asked = list(loop.project.rounds()[0].asked)
        loop.project.log.append([Answer(asked[0], state=SKIPPED)])
        loop("choose", "n_labels=100")
        assert asked[0] not in loop.project.rounds()[1].asked
        states = {row["id"]: row["state"] for row in rows(loop.place / "points.csv")}
        assert states[asked[0]] == "skipped"
        assert states[asked[1]] == "asked"


class TestLabels:
    def test_the_same_file_twice_changes_nothing(self, loop, blobs, capsys):
        _, truth = blobs
        loop("choose", "n_labels=20")
        loop.answer(truth)
        before = (loop.place / "answers.jsonl").read_bytes()
        loop.answer(truth)
        assert (loop.place / "answers.jsonl").read_bytes() == before
        assert "0 new labels, 20 known already" in capsys.readouterr().out

    def test_they_come_back_byte_for_byte(self, loop, blobs):
        _, truth = blobs
        loop("choose", "n_labels=20")
        loop.answer(truth)
        loop("label", f"output={loop.folder}/out.csv")
        assert (loop.folder / "out.csv").read_bytes() == (loop.folder / "labels.csv").read_bytes()

    def test_a_wrong_file_takes_nothing(self, loop):
        loop("choose", "n_labels=20")
        (loop.folder / "labels.csv").write_text("id,label\np001,a\nnobody,b\n")
        with pytest.raises(DataError, match="line 3: no point is called 'nobody'"):
            loop("label", f"source={loop.folder}/labels.csv")
        assert loop.project.labels() == {}

    def test_labels_in_the_data_count(self, tmp_path, blobs):
        frame, truth = blobs
        frame["class"] = [truth[item] if n < 30 else "" for n, item in enumerate(frame["id"])]
        frame.to_csv(tmp_path / "blobs.csv", index=False)
        loop = Loop(tmp_path)
        loop.data = (*loop.data, "data.label=class")
        loop("choose", "n_labels=10")
        assert len(loop.project.labels()) == 30
        assert not set(loop.project.labels()) & set(loop.project.rounds()[0].asked)


class TestFewLabels:
    @pytest.mark.parametrize("n", [0, 1])
    def test_one_class_is_too_few_and_nothing_is_lost(self, loop, blobs, n):
        loop("choose", "n_labels=20")
        loop.project.log.append([Answer(item, "a") for item in list(loop.project.rounds()[0].asked)[: 5 * n]])
        with pytest.raises(ConfigError, match=r"expected labels of at least two classes, found .*; label more"):
            loop("learn")
        assert len(loop.project.labels()) == 5 * n

    @pytest.mark.parametrize("classifier", ["auto", "knn"])
    def test_classes_of_one_label_are_learnt(self, loop, classifier):
        loop("choose", "n_labels=20")
        asked = list(loop.project.rounds()[0].asked)
        loop.project.log.append([Answer(item, name) for item, name in zip(asked[:4], "aabc", strict=True)])
        loop("learn", f"classifier=[{classifier}]")
        assert {row["label"] for row in rows(loop.place / "learned" / "1" / "predictions.csv")} <= set("abc")

    def test_without_random_labels_the_accuracy_is_not_known(self, loop, blobs, capsys):
        _, truth = blobs
        loop("choose", "n_labels=20", "audit=0")
        loop.answer(truth)
        loop("learn")
        assert "The accuracy is not known" in capsys.readouterr().out


class TestFolder:
    def test_a_project_is_not_made_of_data_that_cannot_be_read(self, loop):
        (loop.folder / "blobs.csv").write_text("")
        with pytest.raises(DataError):
            loop("choose")
        assert not loop.place.exists()

    def test_learning_makes_no_folder(self, loop):
        with pytest.raises(ConfigError, match="expected a project, found none"):
            loop("learn")
        assert not loop.place.exists()

    def test_a_project_that_was_refused_is_not_there(self, loop):
        with pytest.raises(ConfigError, match="cluster: expected one with n_clusters"):
            loop("choose", "cluster=none")
        assert not loop.place.exists()

    def test_what_is_there_is_not_touched(self, loop):
        loop.place.mkdir()
        (loop.place / "mine.txt").write_text("mine")
        with pytest.raises(ConfigError, match="expected no file or folder of this name"):
            loop("choose")
        assert [path.name for path in loop.place.iterdir() if path.name != ".lock"] == ["mine.txt"]

    def test_one_process_at_a_time_chooses_or_learns_and_answers_are_taken(self, loop, blobs):
        _, truth = blobs
        loop("choose", "n_labels=20")
        with project.locked(loop.place):
            with pytest.raises(ConfigError, match="expected no other gpussl at work in the project"):
                loop("choose")
            loop.answer(truth)
        assert len(loop.project.labels()) == 20

    def test_points_that_come_and_go_keep_their_answers(self, loop, blobs):
        frame, truth = blobs
        loop("choose", "n_labels=40")
        loop.answer(truth)
        frame.iloc[20:].sample(frac=1, random_state=0).to_csv(loop.folder / "blobs.csv", index=False)
        loop("learn")
        found = {row["id"]: row for row in rows(loop.place / "learned" / "1" / "predictions.csv")}
        assert len(found) == 130
        for item, label in loop.project.labels().items():
            if item in found:
                assert (found[item]["label"], found[item]["source"]) == (label, "bought")

    def test_a_damaged_round_is_named(self, loop):
        loop("choose", "n_labels=20")
        (loop.place / "rounds" / "1" / "round.json").write_text("{")
        with pytest.raises(DataError, match=r"round\.json: expected what was asked in a round, found a damaged file"):
            loop("choose")

    def test_an_interrupted_round_or_model_is_not_there(self, loop, blobs, monkeypatch):
        from gpussl.tasks import choose

        _, truth = blobs

        def interrupted(*_args, **_settings):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(choose, "write_page", interrupted)
            with pytest.raises(KeyboardInterrupt):
                loop("choose", "n_labels=20")
        assert not loop.place.exists()
        loop("choose", "n_labels=20")
        loop.answer(truth)
        with monkeypatch.context() as patch:
            patch.setattr(learn, "write_page", interrupted)
            with pytest.raises(KeyboardInterrupt):
                loop("learn")
        assert loop.project.latest("learned") is None
        loop("learn")


def test_names_of_files_and_classes_are_escaped_on_pages(tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    frame = pd.DataFrame({"id": [f"{evil}{n}" for n in range(30)], "x": range(30), "note": [evil] * 15 + ["b"] * 15})
    frame.to_csv(tmp_path / "blobs.csv", index=False)
    loop = Loop(tmp_path)
    loop("choose", "n_labels=10")
    loop.answer({item: evil if n < 15 else "<b>" for n, item in enumerate(frame["id"])})
    loop("learn")
    for page in loop.place.rglob("report.html"):
        assert evil not in page.read_text()
        assert "&lt;img" in page.read_text()


def test_pictures_go_round(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos, 50% = new"
    (folder / "ü").mkdir(parents=True)
    truth = {}
    for n in range(60):
        pixels = rng.integers(0, 60, (16, 16), dtype=np.uint8)
        side = "left" if n % 2 else "right"
        pixels[:, 2 if n % 2 else 12] = 255
        name = f"{'ü/' if n % 3 else ''}{n}.png"
        Image.fromarray(pixels).save(folder / name)
        truth[name] = side
    from gpussl.tasks import words

    loop = Loop(tmp_path)
    loop.data = ("data=auto", f"data.path={words.quoted(folder)}", "data.cache=null")
    loop("choose", "n_labels=16")
    assert (loop.place / "rounds" / "1" / "report.html").read_text().count('<img src="data:image/png;base64,') == 16
    loop.answer(truth)
    loop("learn")
    found = rows(loop.place / "learned" / "1" / "predictions.csv")
    assert np.mean([row["label"] == truth[row["id"]] for row in found]) > 0.9
    assert json.loads((loop.place / "rounds" / "1" / "round.json").read_text())["number"] == 1


class TestRandomSample:
    def test_of_data_that_have_grown_it_has_its_share_of_new_points(self, loop, blobs):
        """A third of the points are there at first; all are in the second round."""
        frame, truth = blobs
        frame[:50].to_csv(loop.folder / "blobs.csv", index=False)
        loop("choose", "n_labels=20", "audit=0.5")
        loop.answer(truth)
        frame.to_csv(loop.folder / "blobs.csv", index=False)
        loop("choose", "n_labels=40", "audit=0.5")
        loop.answer(truth)
        run_on = context(loop, "learn")
        points = own.read(run_on)
        sample = estimate.random_sample(loop.project, points)
        first = [points.place_of[row] for row in choose.random_order(points.ids, run_on.seed("audit"))[:30]]
        assert sample == Counter(first)

    def test_a_round_in_part_counts_what_was_asked_at_random(self, loop, blobs):
        _, truth = blobs
        loop("choose", "n_labels=20", "audit=0.5")
        loop.answer(truth)
        loop("choose", "n_labels=20", "audit=0.5")
        first, second = loop.project.rounds()
        random = [item for item, why in second.asked.items() if why == "random"]
        loop.project.answer({random[0]: truth[random[0]]}, by="me")
        points = own.read(context(loop, "learn"))
        places = points.places()
        assert set(estimate.random_sample(loop.project, points)) == {places[item] for item in [*first.audit, random[0]]}

    def test_copies_in_it_count_as_often_as_they_are(self, tmp_path):
        """Half of the points are copies of one, which a model of the others gets wrong."""
        frame = pd.DataFrame({"id": [f"p{n:02}" for n in range(40)], "x": [*range(20), *[99.0] * 20]})
        frame.to_csv(tmp_path / "blobs.csv", index=False)
        loop = Loop(tmp_path)
        loop("choose", "n_labels=21", "audit=1")
        loop.answer({item: "odd" if x == 99 else "even" for item, x in zip(frame["id"], frame["x"], strict=True)})
        sample = estimate.random_sample(loop.project, own.read(context(loop, "learn")))
        drawn = loop.project.rounds()[0].audit
        assert sample.total() == len(drawn)
        assert max(sample.values()) == sum(int(item[1:]) >= 20 for item in drawn) > 1
        loop("learn")
        (result,) = rows(loop.place / "learned" / "1" / "results.csv")
        share = 1 - max(sample.values()) / len(drawn)
        assert float(result["accuracy"]) == pytest.approx(share)
        assert float(result["high"]) - float(result["low"]) > 0.5  # some twenty copies say no more than one point

    def test_the_interval_of_distinct_points_is_wilsons(self):
        checked = Checked(np.zeros(16, dtype=int), np.repeat([0, 1], [12, 4]), np.ones(16, dtype=int))
        assert checked.interval == accuracy_interval(0.75, 16)


class TestNewData:
    def test_an_empty_folder_or_table_is_said(self, loop, blobs):
        frame, truth = blobs
        loop("choose", "n_labels=20")
        loop.answer(truth)
        loop("learn")
        frame[:0].to_csv(loop.folder / "none.csv", index=False)
        with pytest.raises(ConfigError, match=r"none.csv: expected new data .* found no points"):
            loop("predict", f"source={loop.folder}/none.csv", f"output={loop.folder}/out.csv")
        assert not (loop.folder / "out.csv").exists()
        assert gpussl.load(loop.place).predict(frame[:0]).tolist() == []

    def test_parquet_needs_names_that_are_text(self, tmp_path):
        with pytest.raises(ConfigError, match=r"expected names in UTF-8 for Parquet, found b'\\xff.png'"):
            predict._check_names(["\udcff.png"])


def test_of_very_many_points_a_random_part_is_clustered(loop, blobs, monkeypatch, capsys):
    monkeypatch.setattr(choose, "MOST_CLUSTERED", 60)
    monkeypatch.setattr(choose, "POINTS_IN_CLUSTER", 2)
    for _ in range(2):  # the second round, without answers, keeps away from the first
        loop("choose", "n_labels=20")
    assert "cluster: a random part of 60 of the" in capsys.readouterr().err
    first, second = (asked.asked for asked in loop.project.rounds())
    assert (len(first), len(second), len({*first, *second})) == (20, 20, 40)


def test_a_first_choice_that_was_killed_can_be_repeated(loop, blobs):
    loop.place.mkdir()
    for name in (".lock", f".0123456789abcdef{store.PART}"):
        (loop.place / name).touch()
    loop("choose", "n_labels=20")
    assert len(loop.project.rounds()) == 1
    assert not list(loop.place.glob(f".*{store.PART}"))


class TestPropagation:
    @pytest.fixture
    def rings(self, tmp_path):
        """Two rings, which no linear model tells apart, and the true classes."""
        angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 400)
        radius = np.where(np.arange(400) % 2, 1.0, 3.0)
        frame = pd.DataFrame({"id": [f"p{n:03}" for n in range(400)]})
        frame["x"], frame["y"] = radius * np.cos(angles), radius * np.sin(angles)
        frame.to_csv(tmp_path / "blobs.csv", index=False)
        return {item: "inner" if n % 2 else "outer" for n, item in enumerate(frame["id"])}

    def test_labels_spread_where_they_say_more_than_the_model(self, rings, tmp_path, capsys):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60")
        loop.answer(rings)
        loop("learn", "classifier=[logistic]")
        found = rows(loop.place / "learned" / "1" / "predictions.csv")
        assert {row["source"] for row in found} == {"bought", "propagated"}
        assert np.mean([row["label"] == rings[row["id"]] for row in found]) > 0.95
        (result,) = rows(loop.place / "learned" / "1" / "results.csv")
        assert float(result["accuracy"]) > 0.85  # of the labels together: the model alone has a half
        assert "along the graph of nearest neighbours" in capsys.readouterr().out

    def test_their_neighbours_are_found_once(self, rings, tmp_path, capsys):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60")
        loop.answer(rings)
        for line in ("10 nearest of each point", "from cache   the 10 nearest of each point"):
            loop("learn", "classifier=[logistic]", f"cache={tmp_path}/cache")
            assert line in capsys.readouterr().err

    def test_a_network_learns_from_them_for_new_data(self, tmp_path, monkeypatch, capsys):
        """Along two spirals labels spread, and no model of 60 labels knows them."""
        monkeypatch.setattr(student, "FEWEST", 400)
        monkeypatch.setattr(estimate, "N_FOLDS", 2)
        turns = np.random.default_rng(0).uniform(0.5, 2, 800)
        angles = 2 * np.pi * turns + np.where(np.arange(800) % 2, 0, np.pi)
        frame = pd.DataFrame({"id": [f"p{n:04}" for n in range(800)]})
        frame["x"], frame["y"] = turns * np.cos(angles), turns * np.sin(angles)
        truth = {item: "one" if n % 2 else "other" for n, item in enumerate(frame["id"])}
        frame[:500].to_csv(tmp_path / "blobs.csv", index=False)
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60")
        loop.answer(truth)
        loop("learn", "classifier=[auto]", "classifier.auto.n_folds=2")
        assert "a network that learnt from the labels of 440 points predicts new data" in capsys.readouterr().out
        (result,) = rows(loop.place / "learned" / "1" / "results.csv")
        new = frame[500:]
        learnt = gpussl.load(loop.place)
        assert learnt.classifier.kind == "mlp"
        accuracy = np.mean(learnt.predict(new) == [truth[item] for item in new["id"]])
        assert accuracy > 0.95
        assert 0 < float(result["low_new"]) < float(result["accuracy_new"]) <= float(result["high_new"])
        loop("learn", "classifier=[extra_trees]")  # a person has named the model
        assert gpussl.load(loop.place).classifier.kind == "extra_trees"

    def test_they_do_not_where_the_model_knows_or_by_a_setting(self, loop, blobs, rings, monkeypatch, capsys):
        loop("choose", "n_labels=60")
        loop.answer(rings)
        loop("learn", "classifier=[logistic]", "propagate=[none]")
        monkeypatch.setattr(spread, "MOST", 100)
        loop("learn", "classifier=[logistic]")
        assert "propagate: left out, for it is too slow on a CPU for more than 100 points" in capsys.readouterr().err
        for number in (1, 2):
            found = rows(loop.place / "learned" / str(number) / "predictions.csv")
            assert {row["source"] for row in found} == {"bought", "predicted"}

    def test_others_are_refused(self, loop, blobs):
        loop("choose", "n_labels=20")
        with pytest.raises(ConfigError, match=r"expected label_spreading, poisson or none .* found cluster"):
            loop("learn", "propagate=[cluster]")

    def test_what_no_label_reaches_is_the_models(self):
        X = np.array([[0.0], [1.0], [90.0], [91.0]])
        rule = GraphPropagation(n_neighbors=1)
        spreading = spread.Spreading(rule, neighbor_graph(neighbors(X, 1)), 2, weight=0.5)
        of_model = np.array([[0.2, 0.8]] * 4)
        found = spreading.blended(of_model, Answers(np.array([0]), np.array([0])), np.arange(4))
        np.testing.assert_allclose(found, [[0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [0.2, 0.8]])


def test_the_page_says_what_each_table_is(loop, blobs):
    _, truth = blobs
    loop("choose", "n_labels=20")
    loop.answer(truth)
    loop("learn")
    page = (loop.place / "learned" / "1" / "report.html").read_text()
    assert "<h2>Classes</h2>" in page
    assert "<h2>Confusion matrix</h2>" in page
    assert "<h2>Seconds by stage</h2>" in page
