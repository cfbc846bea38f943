"""Label Studio's files, as it writes them, and labels as folders and COCO's JSON."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gpussl.errors import DataError
from gpussl.label import folders, label_studio
from gpussl.label.matching import Points

IDS = ["a.png", "cats/b 1.png", "cats/c.png", "dogs/c.png", "Müller.png"]


def annotation(label, **more):
    result = {"id": "x1", "from_name": "kind", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    return {"id": 1, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "result": [result], **more}


def task(number, image, *annotations, **data):
    return {
        "id": number,
        "annotations": list(annotations),
        "file_upload": image.rpartition("/")[2],
        "drafts": [],
        "predictions": [],
        "data": {"image": image, **data},
        "meta": {},
        "project": 1,
    }


def parsed(entries, **settings):
    return label_studio.parse(Path("export.json"), json.dumps(entries), IDS, **settings)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("a.png", ["a.png"]),
            ("/data/upload/1/1a2b3c4d-a.png", ["a.png"]),
            ("1a2b3c4d-b_1.png", ["cats/b 1.png"]),
            ("/data/local-files/?d=photos/cats/b%201.png", ["cats/b 1.png"]),
            ("/data/local-files/?d=photos%5Ccats%5Cc.png", ["cats/c.png"]),
            ("C:\\photos\\dogs\\c.png", ["dogs/c.png"]),
            ("s3://bucket/photos/dogs/c.png", ["dogs/c.png"]),
            ("https://example.org/x/M%C3%BCller.png?v=2", ["Müller.png"]),
            ("/data/upload/1/12345678-Mu\u0308ller.png", ["Müller.png"]),
            ("c.png", ["cats/c.png", "dogs/c.png"]),
            ("d.png", []),
            ("photos/2022/c.png", []),
            ("http://[foo", []),
            ("", []),
        ],
    )
    def test_files_are_found_again(self, name, meant):
        assert sorted(Points(IDS).find(name)) == meant

    def test_a_name_that_looks_like_an_upload_is_itself(self):
        assert Points(["1a2b3c4d-a.png", "a.png"]).find("1a2b3c4d-a.png") == ["1a2b3c4d-a.png"]


class TestImport:
    def test_the_json_export(self):
        found = parsed(
            [
                task(1, "/data/upload/1/1a2b3c4d-a.png", annotation("cat")),
                task(2, "/data/local-files/?d=photos/cats/b%201.png", annotation("dog")),
            ]
        )
        assert found.labels == {"a.png": "cat", "cats/b 1.png": "dog"}

    def test_our_own_id_comes_first(self):
        found = parsed([task(1, "/data/upload/1/1a2b3c4d-c.png", annotation("cat"), gpussl_id="dogs/c.png")])
        assert found.labels == {"dogs/c.png": "cat"}

    def test_cancelled_tasks_are_skipped(self):
        found = parsed(
            [
                task(1, "a.png", annotation("cat", was_cancelled=True, result=[])),
                task(2, "cats/c.png", annotation("cat", was_cancelled=True, result=[]), annotation("dog")),
                task(3, "dogs/c.png"),
            ]
        )
        assert (found.labels, found.skipped) == ({"cats/c.png": "dog"}, ["a.png"])

    def test_the_majority_counts_and_ties_are_listed(self):
        found = parsed(
            [
                task(1, "a.png", annotation("cat"), annotation("dog"), annotation("cat")),
                task(2, "cats/c.png", annotation("cat"), annotation("dog")),
            ]
        )
        assert found.labels == {"a.png": "cat"}
        assert found.ties == ["task 2 (cats/c.png): 'cat' and 'dog' as often"]

    def test_the_ground_truth_wins(self):
        answers = annotation("cat"), annotation("cat"), annotation("dog", ground_truth=True)
        assert parsed([task(1, "a.png", *answers)]).labels == {"a.png": "dog"}

    def test_two_choices_are_an_error_with_the_number(self):
        both = annotation("cat")
        both["result"][0]["value"]["choices"].append("dog")
        with pytest.raises(DataError, match=r"task 7 has several choices, 'cat' and 'dog'; no label was taken"):
            parsed([task(1, "a.png", annotation("cat")), task(7, "cats/c.png", both)])

    def test_several_questions_need_a_name(self):
        two = annotation("cat")
        two["result"].append({**two["result"][0], "from_name": "colour", "value": {"choices": ["red"]}})
        with pytest.raises(DataError, match=r"task 1 has the choices colour, kind; name one with label_column="):
            parsed([task(1, "a.png", two)])
        assert parsed([task(1, "a.png", two)], label_column="colour").labels == {"a.png": "red"}

    @pytest.mark.parametrize(
        ("entry", "complaint"),
        [
            (task(3, "nowhere.png", annotation("cat")), "task 3: no point is called '1a"),
            (task(3, "c.png", annotation("cat")), "task 3: 'c.png' may be 2 points"),
            (task(3, "a.png", annotation("bird")), "task 3: class: expected one of cat, dog, found 'bird'"),
        ],
    )
    def test_wrong_tasks_are_named(self, entry, complaint):
        entry["file_upload"] = "1a2b3c4d-" + entry["file_upload"]
        with pytest.raises(DataError) as found:
            parsed([entry], classes=["cat", "dog"])
        assert complaint.replace("'c.png' may", "'1a2b3c4d-c.png' may") in str(found.value)

    @pytest.mark.parametrize(
        "answers",
        [
            [1],
            5,
            [annotation(None)],
            [annotation("")],
            [annotation(["a", "b"])],
            [annotation("x", result=5)],
            [annotation("x", result=[{"type": "choices", "value": "x"}])],
            [annotation("x", result=[{"type": "choices", "value": {"choices": 5}}])],
        ],
    )
    def test_answers_of_another_form_are_named(self, answers):
        with pytest.raises(DataError, match="task 4"):
            parsed([{**task(4, "a.png"), "annotations": answers}])

    def test_a_single_choice_may_be_text(self):
        plain = annotation("x", result=[{"type": "choices", "value": {"choices": "cat"}}])
        assert parsed([task(4, "a.png", plain)]).labels == {"a.png": "cat"}

    def test_boxes_are_no_classes(self):
        box = annotation("cat")
        box["result"][0] |= {"type": "rectanglelabels", "value": {"rectanglelabels": ["cat"]}}
        with pytest.raises(DataError, match="task 1 has an answer without choices"):
            parsed([task(1, "a.png", box)])

    @pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", "not JSON"])
    def test_other_json_is_refused(self, text):
        with pytest.raises(DataError, match="expected an export of Label Studio"):
            label_studio.parse(Path("a.json"), text, IDS)

    def test_the_short_json_export(self):
        rows = [
            {"id": 1, "image": "/data/upload/1/1a2b3c4d-a.png", "choice": "cat", "annotator": 1, "annotation_id": 5},
            {"id": 2, "image": "cats/c.png", "choice": {"choices": ["dog"]}, "annotator": 1, "annotation_id": 6},
            {"id": 3, "image": "dogs/c.png", "annotator": 1, "annotation_id": 7},
        ]
        found = parsed(rows)
        assert (found.labels, found.skipped) == ({"a.png": "cat", "cats/c.png": "dog"}, ["dogs/c.png"])

    def test_the_csv_export(self):
        text = (
            "annotation_id,annotator,created_at,id,image,kind,lead_time,updated_at\n"
            '5,1,2026-01-01,1,/data/upload/1/1a2b3c4d-a.png,"cat, black",3.2,2026-01-01\n'
            "6,1,2026-01-01,2,cats/c.png,dog,3.2,2026-01-01\n"
            "7,2,2026-01-01,2,cats/c.png,dog,3.2,2026-01-01\n"
        )
        assert label_studio.is_export(Path("a.csv"), text)
        assert label_studio.parse(Path("a.csv"), text, IDS).labels == {"a.png": "cat, black", "cats/c.png": "dog"}

    def test_the_csv_export_with_two_choices(self):
        cells = [["annotation_id", "id", "image", "choice"], ["5", "9", "a.png", json.dumps({"choices": ["a", "b"]})]]
        lines = io.StringIO()
        csv.writer(lines).writerows(cells)
        with pytest.raises(DataError, match="task 9 has several choices"):
            label_studio.parse(Path("a.csv"), lines.getvalue(), IDS)


class TestExport:
    def test_tasks_come_back(self):
        text = label_studio.tasks(
            {"a.png": {}, "cats/b 1.png": {}}, {"a.png": ("cat", 0.75)}, {"cats/b 1.png": "dog"}, "mine 1", "photos"
        )
        first, second = json.loads(text)
        assert first["predictions"][0] | {"result": None} == {"model_version": "mine 1", "score": 0.75, "result": None}
        assert second["data"]["item"] == "/data/local-files/?d=photos/cats/b%201.png"
        assert label_studio.parse(Path("a.json"), text, IDS).labels == {"cats/b 1.png": "dog"}

    def test_predictions_fit_the_configuration(self):
        (task,) = json.loads(label_studio.tasks({"a": {"text": "hello"}}, {"a": ("cat", 0.5)}, {}, "1", None))
        text = label_studio.labelling_config({"cat": "c", "<b>&": ""}, "text")
        view = ElementTree.fromstring(text)  # noqa: S314 - our own
        result = task["predictions"][0]["result"][0]
        choices = view.find("Choices")
        assert (choices.get("name"), choices.get("toName")) == (result["from_name"], result["to_name"])
        assert view.find("Text").get("name") == result["to_name"]
        assert [(choice.get("value"), choice.get("hotkey")) for choice in choices] == [("cat", "c"), ("<b>&", None)]
        assert view.find("Text").get("value").removeprefix("$") in task["data"]

    def test_rows_are_shown_as_tables(self):
        (task,) = json.loads(label_studio.tasks({"7": {"size": "1", "colour": "red"}}, {}, {}, "1", None))
        assert task["data"]["item"] == {"size": "1", "colour": "red"}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for item in IDS:
        (folder / item).parent.mkdir(parents=True, exist_ok=True)
        (folder / item).write_bytes(item.encode())
    return folder


LABELS = {"a.png": "cat", "cats/c.png": "black/white", "dogs/c.png": "..", "Müller.png": "cat"}


class TestFolders:
    @pytest.mark.parametrize("copies", [False, True])
    def test_what_is_written_comes_back(self, photos, tmp_path, copies):
        folders.write(tmp_path / "out", LABELS, photos, copies=copies)
        assert folders.read(tmp_path / "out", photos, IDS) == LABELS
        assert (tmp_path / "out" / "black%2Fwhite" / "cats" / "c.png").is_symlink() == (not copies)
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"cat", "black%2Fwhite", "%2E%2E"}

    def test_files_that_were_moved_by_hand_are_found(self, photos, tmp_path):
        (tmp_path / "sorted" / "cat").mkdir(parents=True)
        (tmp_path / "sorted" / "cat" / "b 1.png").write_bytes(b"")
        assert folders.read(tmp_path / "sorted", photos, IDS) == {"cats/b 1.png": "cat"}

    def test_unknown_and_unclear_files_are_named(self, photos, tmp_path):
        (tmp_path / "sorted" / "cat").mkdir(parents=True)
        for name in ("c.png", "new.png"):
            (tmp_path / "sorted" / "cat" / name).write_bytes(b"")
        with pytest.raises(DataError, match=r"cat/c\.png: 2 points are called so; cat/new\.png: no point is called so"):
            folders.read(tmp_path / "sorted", photos, IDS)

    def test_a_file_in_two_folders_is_named(self, photos, tmp_path):
        for label in ("cat", "dog"):
            (tmp_path / "sorted" / label).mkdir(parents=True)
            (tmp_path / "sorted" / label / "a.png").write_bytes(b"")
        with pytest.raises(DataError, match=r"dog/a\.png: it lies in 'cat' as well"):
            folders.read(tmp_path / "sorted", photos, IDS)

    def test_an_output_with_files_is_left_alone(self, photos, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        with pytest.raises(DataError, match="expected no folder or an empty one"):
            folders.write(tmp_path / "out", LABELS, photos)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]

    def test_points_outside_are_refused(self, photos, tmp_path):
        for item in ("../a.png", "/etc/passwd"):
            with pytest.raises(DataError, match="expected a point in the folder of the data, found one outside"):
                folders.write(tmp_path / "out", {item: "cat"}, photos)
        assert not (tmp_path / "out").exists()

    def test_a_picture_that_is_a_link_comes_back_as_itself(self, photos, tmp_path):
        (photos / "link.png").symlink_to(photos / "a.png")
        folders.write(tmp_path / "out", {"link.png": "cat"}, photos)
        assert folders.read(tmp_path / "out", photos, [*IDS, "link.png"]) == {"link.png": "cat"}

    def test_rows_have_no_files(self, tmp_path):
        with pytest.raises(DataError, match=r"7: expected a file in .*rows\.csv, found none"):
            folders.write(tmp_path / "out", {"7": "cat"}, tmp_path / "rows.csv")

    def test_coco(self):
        found = json.loads(folders.coco({"a.png": "dog", "b.png": "cat"}, ["cat", "dog"]))
        assert [image["file_name"] for image in found["images"]] == ["a.png", "b.png"]
        names = {category["id"]: category["name"] for category in found["categories"]}
        assert [names[entry["category_id"]] for entry in found["annotations"]] == ["dog", "cat"]
