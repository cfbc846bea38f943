"""Answers of a project to other tools and back, what a round leaves for the page, and rounds that the page starts."""

import csv
import dataclasses
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpussl.errors import ConfigError, DataError
from gpussl.label.answers import UNDONE, UNUSABLE, Answer
from gpussl.label.page.desk import Desk
from gpussl.runtime import config
from gpussl.tasks import label_page, learn, learn_parts, project, words
from gpussl.tasks.example import advice
from gpussl.tasks.label_page import ProjectMaterial, RoundWorker
from gpussl.tasks.run import run_on_project

COMMON = ("+experiment=own_data", "classifier=[knn]", "propagate=[none]", "cache=null", "device=cpu")


class Photos:
    """A project of 40 pictures of two kinds, in folders with awkward names."""

    def __init__(self, place):
        self.place, self.folder = place, place / "my photos"
        rng = np.random.default_rng(0)
        self.truth = {}
        for n in range(40):
            name = f"{'a, b/' if n % 2 else 'ü/'}{n} 50%.png"
            pixels = rng.integers(0, 60, (16, 16), dtype=np.uint8)
            pixels[:, 3 if n % 3 else 12] = 255
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(self.folder / name)
            self.truth[name] = "left, black/white" if n % 3 else "right"
        self("choose", "n_labels=20")
        asked = self.project.rounds()[0].asked
        self.project.answer({item: self.truth[item] for item in asked}, by="test")

    def __call__(self, task, *more):
        data = "data=images", f"data.path={words.quoted(self.folder)}", "data.cache=null"
        run_on_project(config.job(*COMMON, *data, f"task={task}", f"project={self.place}/p.gpussl", *more))

    @property
    def project(self):
        return project.opened(self.place / "p.gpussl")

    def again(self):
        """The same project without answers."""
        (self.project.folder / project.ANSWERS).unlink()
        return self


@pytest.fixture
def photos(tmp_path):
    return Photos(tmp_path)


def test_label_studio_both_ways(photos, tmp_path):
    photos("learn")
    open_item = next(item for item in photos.truth if item not in photos.project.labels())
    photos.project.log.append([])
    photos("label", "export=label_studio", f"output={tmp_path}/tasks")
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    known = photos.project.labels()
    assert [task["data"]["gpussl_id"] for task in tasks] == list(photos.project.rounds()[0].asked)
    assert open_item not in known
    choices = (tmp_path / "tasks" / "config.xml").read_text()
    assert 'value="left, black/white"' in choices
    for task in tasks:  # as Label Studio stores them: another name for the question, uploaded names, no ids of ours
        name = task["data"].pop("gpussl_id").rpartition("/")[2].replace(" ", "_")
        task["data"] = {"image": f"/data/upload/1/0a1b2c3d-{name}"}
    (tmp_path / "export.json").write_text(json.dumps([{"id": n, **task} for n, task in enumerate(tasks)]))
    photos.again()("label", f"source={tmp_path}/export.json")
    assert photos.project.labels() == known


def test_predictions_go_with_the_tasks_that_are_open(photos, tmp_path):
    photos("learn")
    photos("choose", "n_labels=5")
    photos("label", "export=label_studio", f"output={tmp_path}/tasks")
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    asked = list(photos.project.rounds()[1].asked)
    assert [task["data"]["gpussl_id"] for task in tasks[:5]] == asked  # the latest round comes first
    with (photos.project.folder / "learned" / "1" / "predictions.csv").open(newline="") as file:
        said = {row["id"]: row for row in csv.DictReader(file)}
    for task in tasks[:5]:
        (prediction,) = task["predictions"]
        row = said[task["data"]["gpussl_id"]]
        assert prediction["result"][0]["value"]["choices"] == [row["label"]]
        assert prediction["score"] == pytest.approx(float(row["probability"]))
    assert {prediction["model_version"] for task in tasks for prediction in task.get("predictions", ())} == {"p 1"}


@pytest.mark.parametrize("copies", ["false", "true"])
def test_folders_both_ways(photos, tmp_path, copies):
    known = photos.project.labels()
    photos("label", "export=folders", f"copies={copies}", f"output={tmp_path}/sorted")
    photos.again()("label", f"source={tmp_path}/sorted")
    assert photos.project.labels() == known


def test_files_sorted_by_hand(photos, tmp_path):
    known = photos.project.labels()
    for item, label in known.items():
        (tmp_path / "sorted" / label.replace("/", "%2F")).mkdir(parents=True, exist_ok=True)
        shutil.copy(photos.folder / item, tmp_path / "sorted" / label.replace("/", "%2F"))
    photos.again()("label", f"source={tmp_path}/sorted")
    assert photos.project.labels() == known


def test_coco(photos, tmp_path):
    photos("label", "export=coco", f"output={tmp_path}/coco.json")
    found = json.loads((tmp_path / "coco.json").read_text())
    files = {image["id"]: image["file_name"] for image in found["images"]}
    names = {category["id"]: category["name"] for category in found["categories"]}
    pairs = {files[one["image_id"]]: names[one["category_id"]] for one in found["annotations"]}
    assert pairs == photos.project.labels()


def test_nothing_is_taken_from_an_export_with_one_wrong_task(photos, tmp_path):
    task = {"id": 9, "data": {"image": "nowhere.png"}, "annotations": []}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    before = photos.project.log.path.read_bytes()
    with pytest.raises(DataError, match=r"task 9: no point is called 'nowhere\.png'"):
        photos("label", f"source={tmp_path}/export.json")
    assert photos.project.log.path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["--export", "label_studio"], ["export=label_studio", "output=label_studio"]),
        (["--export", "folders", "output=mine"], ["export=folders", "output=mine"]),
        (["--export", "coco"], ["export=coco", "output=coco.json"]),
        (["--export", "coco.csv"], ["output='coco.csv'"]),
    ],
)
def test_the_words_for_it(photos, arguments, overrides):
    assert words.translated(["label", str(photos.project.folder), *arguments])[-len(overrides) :] == overrides


class TestMaterial:
    def test_pictures_are_decoded_for_browsers(self, photos):
        material = ProjectMaterial(photos.project)
        content, media_type = material.picture(next(iter(photos.truth)))
        assert (material.has_pictures, content[:4], media_type) == (True, b"\x89PNG", "image/png")

    def test_a_picture_that_is_gone_is_an_error_of_its_own(self, photos):
        item = next(iter(photos.truth))
        (photos.folder / item).unlink()
        with pytest.raises(DataError, match="expected a picture, found: No such file"):
            ProjectMaterial(photos.project).picture(item)

    def test_look_alikes_are_of_one_cluster_and_of_known_points(self, photos):
        groups = ProjectMaterial(photos.project).groups()
        assert groups
        items = [item for group in groups for item in group]
        assert len(set(items)) == len(items)
        assert set(items) <= set(photos.truth)

    def test_doubts_are_labels_that_models_without_them_deny(self, photos):
        wrong = next(iter(photos.project.labels()))
        other = "right" if photos.truth[wrong] != "right" else "left, black/white"
        photos.project.answer({wrong: other}, by="test")
        photos("learn")
        material = ProjectMaterial(photos.project)
        assert wrong in [doubt.id for doubt in material.doubts()]
        assert any("Accuracy" in sentence for sentence in material.said())

    def test_rows_are_shown_with_their_columns(self, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_text("id,label,size\n" + "".join(f"r{n},,{n * n}\n" for n in range(30)))
        data = "data=table", f"data.path={path}", "data.label=label"
        run_on_project(config.job(*COMMON, *data, "task=choose", f"project={tmp_path}/p.gpussl", "n_labels=9"))
        material = ProjectMaterial(project.opened(tmp_path / "p.gpussl"))
        item = next(iter(material.asked()))
        assert (material.has_pictures, list(material.fields(item))) == (False, [("size", str(int(item[1:]) ** 2))])

    def test_a_file_that_somebody_has_changed_is_passed_over(self, photos):
        path = photos.project.folder / "rounds" / "1" / project.TO_LABEL
        path.write_text("id;label;why\nx;y;z\n")
        assert len(ProjectMaterial(photos.project).asked()) == 20


def test_people_may_go_on_labelling_while_it_learns(photos, monkeypatch):
    """Answers that are undone, renamed or added meanwhile are not seen."""
    made, before = photos.project, dict(photos.project.labels())
    train = learn.train

    def meanwhile(*arguments):
        first, second, *_ = before
        made.log.append([Answer(first, state=UNDONE, by="test"), Answer(second, state=UNUSABLE, by="anna")])
        made.log.rename("right", "wrong")
        return train(*arguments)

    monkeypatch.setattr(learn, "train", meanwhile)
    photos("learn")
    with (made.folder / "learned" / "1" / "predictions.csv").open(newline="") as file:
        found = {row["id"]: row for row in csv.DictReader(file)}
    assert {item for item, row in found.items() if row["source"] == "bought"} == set(before)
    assert {item: found[item]["label"] for item in before} == before
    assert {row["label"] for row in found.values()} == set(before.values())


def test_one_page_at_a_time(photos):
    with (
        label_page._only_page(photos.project.folder),
        pytest.raises(ConfigError, match="expected no other page of the project, found one"),
    ):
        photos("label")


class TestRounds:
    def finished(self, worker):
        until = time.monotonic() + 90
        while worker.state()["is_running"] and time.monotonic() < until:
            time.sleep(0.1)
        return worker.state()

    def test_it_learns_and_chooses_and_the_desk_sees_it(self, photos):
        made = photos.project
        desk = Desk(ProjectMaterial(made), made.log, label_page.Classes(made.folder / "classes.csv"))
        worker = RoundWorker(made.folder, ["classifier=[knn]", "propagate=[none]", "cache=null"], desk)
        worker.start(7)
        with pytest.raises(ConfigError, match="expected none under way, found one"):
            worker.start(7)
        state = self.finished(worker)
        assert state["lines"][0] == "gpussl learn p.gpussl"
        assert any("7 points to label are in" in line for line in state["lines"])
        assert desk.state()["round"] == 2
        assert [point["id"] for point in desk.next("screen", n=7)] == list(made.rounds()[1].asked)

    def test_an_error_is_shown_and_the_project_stays(self, photos):
        made = photos.again().project
        worker = RoundWorker(made.folder, [], None)
        worker.start(5)
        state = self.finished(worker)
        assert any("expected labels of at least two classes" in line for line in state["lines"])
        assert len(made.rounds()) == 1

    def test_it_can_be_stopped(self, photos):
        worker = RoundWorker(photos.project.folder, [], None)
        worker.start(5)
        while len(worker.state()["lines"]) < 1:
            time.sleep(0.05)
        time.sleep(0.5)
        worker.stop()
        assert not self.finished(worker)["is_running"]
        assert not (Path(photos.project.folder) / "learned" / "1").exists()


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.0, -0.005, 0.005), "You may stop here."),
        ((0.05, 0.02, 0.08), "It is worth labelling more."),
        ((0.02, 0.0, 0.05), ""),
    ],
)
def test_it_says_whether_to_stop(gain, verdict):
    (sentence,) = learn_parts._gain(dataclasses.replace(advice(), gain=gain), 60_000)
    assert sentence.endswith(verdict or "5.0).")
