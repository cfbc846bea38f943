"""Awkward data, each as the smallest input of its kind."""

import dataclasses
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from gpussl.backend import cpu, neighbors
from gpussl.classifier.extra_trees import ExtraTreesClassifier
from gpussl.classifier.kernel_logistic import KernelLogisticRegression
from gpussl.classifier.knn import KNeighborsClassifier
from gpussl.classifier.logistic import LogisticRegression
from gpussl.classifier.mlp import MLPClassifier
from gpussl.classifier.model import Model
from gpussl.classifier.xgboost import XGBClassifier
from gpussl.data.images import ImageFolder
from gpussl.data.table import Table
from gpussl.data.texts import TextFiles
from gpussl.errors import DataError, GpusslError
from gpussl.label import labels_file
from gpussl.propagate import neighbor_graph
from gpussl.propagate.graph import GraphPropagation
from gpussl.report import figures, manifest, sweep
from gpussl.report.jobs import SweepJob, register
from gpussl.report.manifest import MANIFEST
from gpussl.runtime import config, store
from gpussl.tasks import label, project
from gpussl.tasks.example import answered, on_fruit
from gpussl.tasks.run import run_on_project

COMPOSED, DECOMPOSED = "caf\u00e9.png", "cafe\u0301.png"


def load(folder, **settings):
    return ImageFolder(str(folder), **settings).load()


def fill(folder, *names):
    """Write a picture of each name, each of another grey."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 20 * number).save(path)


def points(folder, frame, *overrides):
    """Write a table: a function (task, settings) that runs a task on its project, and returns this."""
    frame.to_csv(folder / "points.csv", index=False)
    here = ("data=table", f"data.path={folder}/points.csv", f"project={folder}/p.gpussl", "cache=null", "device=cpu")
    job = config.job("+experiment=own_data", "task=choose", "classifier=[knn]", "propagate=[none]", *here, *overrides)

    def run(task, **settings):
        run_on_project(dataclasses.replace(job, task=task, **settings))
        return project.opened(job.project)

    return run


class Page(HTMLParser):
    """What a browser sees in a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


class TestPictures:
    def test_a_large_jpeg_of_a_phone_is_upright(self, tmp_path):
        image = Image.new("L", (1600, 800))
        image.paste(255, (0, 0, 800, 800))
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.jpg", exif=exif)
        data = load(tmp_path)
        assert data.image_shape == (64, 32)
        assert data.X_train.reshape(64, 32)[[0, 28, 36, 63]].mean(axis=1).tolist() == [255, 255, 0, 0]

    def test_the_full_size_of_a_large_jpeg_is_never_decoded(self, tmp_path, monkeypatch):
        sizes, resize = [], Image.Image.resize

        def seen(image, *arguments, **settings):
            sizes.append(image.size)
            return resize(image, *arguments, **settings)

        monkeypatch.setattr(Image.Image, "resize", seen)
        Image.new("RGB", (4000, 3000)).save(tmp_path / "a.jpg")
        load(tmp_path)
        assert sizes[0] == (500, 375)

    def test_of_several_pages_the_first_is_taken(self, tmp_path):
        first, *others = (Image.new("L", (4, 4), grey) for grey in (10, 100, 200))
        first.save(tmp_path / "a.tif", save_all=True, append_images=others)
        data = load(tmp_path)
        assert set(data.X_train[0].tolist()) == {10}
        assert "images with several frames, of which the first is taken: 1" in data.notes

    def test_transparency_of_a_palette_is_white(self, tmp_path):
        image = Image.new("P", (2, 1))
        image.putpalette([0] * 768)
        image.putpixel((0, 0), 1)
        image.save(tmp_path / "a.png", transparency=0)
        assert load(tmp_path).X_train.tolist() == [[0, 255]]

    def test_how_large_a_picture_may_be_is_a_setting(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # beyond which opening warns, and refuses twice as much
        for name, side in (("a", 4), ("b", 4), ("c", 4), ("warned", 12), ("refused", 20)):
            Image.new("L", (side, side), 9).save(tmp_path / f"{name}.png")
        assert len(load(tmp_path, max_pixels=400).train_ids) == 5
        assert load(tmp_path, max_pixels=399).skipped == [
            ("refused.png", "20 x 20 pixels, more than data.max_pixels=399")
        ]

    def test_a_folder_of_nothing_but_large_pictures_is_read_without_a_warning(self, tmp_path, monkeypatch, recwarn):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        for name, side in (("warned", 12), ("refused", 20)):
            Image.new("L", (side, side), 9).save(tmp_path / f"{name}.png")
        assert load(tmp_path).train_ids == ["refused.png", "warned.png"]
        assert not recwarn.list

    @pytest.mark.parametrize("names", [("train/a/1.png", "test/1.png"), ("a/1.png", "b/1.png", "Test/1.png")])
    def test_a_folder_for_testing_is_no_class(self, tmp_path, names):
        fill(tmp_path, *names)
        with pytest.raises(DataError, match=r"expected a folder for each class, found '.*est'.* part of the data"):
            load(tmp_path, labels="folders")
        assert len(load(tmp_path).train_ids) == len(names)

    def test_one_size_and_one_mode_for_all_are_said(self, tmp_path):
        for name, mode, size in (("a", "RGB", (3, 5)), ("b", "L", (5, 3)), ("c", "L", (1, 1))):
            Image.new(mode, size, "white").save(tmp_path / f"{name}.png")
        Image.new("RGB", (2, 2), "red").save(tmp_path / "d.png")
        data = load(tmp_path, size=4)
        assert data.image_shape == (4, 4, 3)
        assert data.notes == ["pictures of 3 pixels and other sizes, with colours, as 4 x 4 pixels"]
        whole = data.X_train.reshape(4, 4, 4, 3)
        assert (whole[2] == 255).all()
        assert (whole[3] == [255, 0, 0]).all()
        assert (whole[0][:, [1, 2]] == 255).all()
        assert not whole[0][:, [0, 3]].any()
        assert (whole[1][[1, 2]] == 255).all()
        assert not whole[1][[0, 3]].any()


class TestNames:
    def test_pictures_of_one_name_in_two_folders_are_two_points(self, tmp_path):
        fill(tmp_path, "a/1.png", "b/1.png")
        data = load(tmp_path)
        assert data.X_train[:, 0].tolist() == [0, 20]
        ids = set(data.train_ids)
        text = "id,label\na/1.png,black\nb/1.png,grey\n"
        assert labels_file.parse(Path("l.csv"), text, ids) == {"a/1.png": "black", "b/1.png": "grey"}
        with pytest.raises(DataError, match=r"line 2: no point is called '1\.png'"):
            labels_file.parse(Path("l.csv"), "id,label\n1.png,black\n", ids)

    def test_a_picture_of_another_unicode_form_is_found(self, tmp_path):
        fill(tmp_path, DECOMPOSED)
        found = labels_file.parse(Path("l.csv"), f"id,label\n{COMPOSED},x\n", load(tmp_path).train_ids)
        assert found == {DECOMPOSED: "x"}

    def test_of_both_unicode_forms_each_is_its_own(self, tmp_path):
        fill(tmp_path, COMPOSED, DECOMPOSED)
        ids = load(tmp_path).train_ids
        assert ids == [DECOMPOSED, COMPOSED]
        text = f"id,label\n{COMPOSED},x\n{DECOMPOSED},y\n"
        assert labels_file.parse(Path("l.csv"), text, ids) == {COMPOSED: "x", DECOMPOSED: "y"}

    def test_a_name_that_may_be_either_of_two_forms_is_said(self):
        composed, decomposed = "\u00e9\u00e9", "e\u0301e\u0301"
        mixed = "\u00e9e\u0301"
        with pytest.raises(DataError, match=r"line 2: .* is the name of 2 points in other Unicode forms, '.*u0301"):
            labels_file.parse(Path("l.csv"), f"id,label\n{mixed},x\n", {composed, decomposed})

    def test_ids_that_begin_with_noughts_are_not_those_without(self):
        text = "file,label\n001,a\n1,b\n"
        assert labels_file.parse(Path("l.csv"), text, {"001", "1"}) == {"001": "a", "1": "b"}
        with pytest.raises(DataError, match=r"line 3: no point is called '1'"):
            labels_file.parse(Path("l.csv"), text, {"001"})

    def test_on_a_page_they_are_text(self, tmp_path, capsys):
        names = ["<img src=x onerror=alert(1)>", "../../etc/passwd", "a\"b'c.png", *"defghij"]
        points(tmp_path, pd.DataFrame({"id": names, "x": range(10), "note": names}))("choose", n_labels=10)
        page = Page((tmp_path / "p.gpussl" / "rounds" / "1" / "report.html").read_text())
        assert set(names) <= set(page.texts)
        assert "img" not in page.tags
        assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "style", "href")}


class TestTables:
    def test_classes_that_are_numbers_are_texts(self, tmp_path):
        (tmp_path / "a.csv").write_text("text,label\nbob,1\nsusan,2\n")
        data = TextFiles(str(tmp_path / "a.csv"), text="text", label="label").load()
        assert data.class_names == ("1", "2")

    def test_a_class_may_be_called_minus_one(self, tmp_path):
        (tmp_path / "a.csv").write_text("x,label\n1,-1\n2,b\n3,\n")
        data = Table(str(tmp_path / "a.csv"), label="label").load()
        assert data.class_names == ("-1", "b")
        assert data.y_train.tolist() == [0, 1, -1]

    def test_what_was_found_is_said(self, tmp_path):
        (tmp_path / "a.csv").write_text("a;b;label\n1,5;2,5;x\n3,5;4,5;y\n")
        assert "utf-8, delimiter ;, decimal comma" in Table(str(tmp_path / "a.csv"), label="label").load().notes

    def test_a_text_that_is_missing_is_an_empty_one(self, tmp_path):
        parquet.write_table(pa.table({"text": ["1 2", "", "the", None]}), tmp_path / "a.parquet")
        data = TextFiles(str(tmp_path / "a.parquet"), text="text").load()
        assert data.X_train.any(axis=1).tolist() == [True, False, True, False]
        assert "empty texts: 2" in data.notes

    def test_classes_that_differ_by_case_stay_apart_and_are_named(self, tmp_path, capsys):
        made = answered(str(tmp_path))
        path = tmp_path / "labels.csv"
        path.write_text("id,label\nfruit 20,cat\nfruit 21,cat \nfruit 22,Cat\n")
        label.work(on_fruit(str(tmp_path), "label", f"source={path}"))
        assert [made.labels()[f"fruit {n}"] for n in (20, 21, 22)] == ["cat", "cat", "Cat"]
        assert "'Cat' (1) and 'cat' (2) differ by case only" in capsys.readouterr().err

    def test_classes_in_the_data_that_differ_by_case_are_named(self, tmp_path, capsys):
        frame = pd.DataFrame({"x": range(30), "label": ["cat", "cat ", "Cat", *[""] * 27]})
        points(tmp_path, frame, "data.label=label")("choose", n_labels=5)
        assert "'Cat' (1) and 'cat' (2) differ by case only" in capsys.readouterr().err


CLASSIFIERS = {
    "knn": lambda: KNeighborsClassifier(1),
    "logistic": LogisticRegression,
    "extra_trees": lambda: ExtraTreesClassifier(n_estimators=10),
    "kernel_logistic": KernelLogisticRegression,
    "xgboost": lambda: XGBClassifier(n_estimators=20),
    "mlp": lambda: MLPClassifier(hidden_layer_sizes=[8], few_epochs=4, learning_rate=0.05),
}


class TestLearning:
    @pytest.mark.parametrize("name", CLASSIFIERS)
    @pytest.mark.parametrize("numbers", [(0, 2), (1, 2, 3)])
    def test_class_numbers_may_have_gaps_and_begin_anywhere(self, name, numbers):
        y = np.repeat(numbers, 8)
        noise = np.random.default_rng(0).normal(0, 0.1, (len(y), 4))
        X = (3 * np.eye(4)[y] + noise).astype(np.float32)
        names = ("nought", "one", "two", "three")
        model = Model((), CLASSIFIERS[name]().fit(X, y), names, n_features=4)
        assert model.predict(X).tolist() == [names[number] for number in y]
        found = model.predict_proba(X)
        assert found.shape == (len(y), 4)
        assert not found[:, np.setdiff1d(range(4), numbers)].any()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)

    def test_a_class_of_one_label_is_learnt(self):
        X, y = self.two_classes_and_one_label()
        model = XGBClassifier().fit(X, y)
        assert model.predict(X).tolist() == y.tolist()

    @pytest.mark.parametrize("seed", [0, 30])  # by which the only label of c is learnt from, and held out
    def test_a_class_of_one_label_does_not_stop_training_that_stops_early(self, seed):
        X, y = self.two_classes_and_one_label()
        model = XGBClassifier(n_estimators=20, min_held_out=1, random_state=seed).fit(X, y)
        assert model.validation_score_ is not None
        assert model.predict_proba(X).shape == (41, 3)
        assert model.predict(X[:40]).tolist() == y[:40].tolist()

    def two_classes_and_one_label(self):
        rng = np.random.default_rng(0)
        X = np.concatenate([rng.normal(centre, 0.1, (n, 4)) for centre, n in ((0, 20), (1, 20), (5, 1))])
        return X, np.repeat(["a", "b", "c"], [20, 20, 1])

    def test_new_pictures_without_one_class_keep_the_names_of_the_others(self, tmp_path):
        turns = ["0", "90", "180", "270"]
        fill(tmp_path, *(f"train/{turn}/1.png" for turn in turns))
        data = load(tmp_path / "train", labels="folders")
        classifier = KNeighborsClassifier(1).fit(data.X_train / np.float32(255), data.y_train)
        form = (data.X_train.shape[1], data.image_shape, data.max_value, data.reader)
        (tmp_path / "train" / "180").rename(tmp_path / "gone")
        (tmp_path / "train").rename(tmp_path / "test")
        found = Model((), classifier, data.class_names, *form).predict(tmp_path / "test")
        assert found.tolist() == ["0", "270", "90"]

    def test_a_rare_class_that_is_never_predicted_is_seen_in_the_results(self, tmp_path, capsys):
        ids = [f"p{n:03}" for n in range(300)]
        frame = pd.DataFrame({"id": ids, "x": np.random.default_rng(0).permutation(300)})
        run = points(tmp_path, frame, "audit=1", "n_labels=200", "classifier.knn.n_neighbors=25")
        run("choose").answer({item: "a" if n % 100 else "b" for n, item in enumerate(ids)}, by="me")
        made = run("learn")
        results = pd.read_csv(made.folder / "learned" / "1" / "results.csv")
        assert results["accuracy"].item() > 0.98
        assert results["balanced_accuracy"].item() == 0.5
        said = capsys.readouterr().out
        assert "The model says 'a' for every point." in said
        assert "the model may be no better than that" in said


class TestNeighbours:
    @pytest.mark.parametrize("method", ["label_spreading", "poisson"])
    @pytest.mark.parametrize("isle", [np.full((12, 2), 1e6), 1e6 + np.arange(24.0).reshape(12, 2)])
    def test_an_isle_without_labels_has_none_and_no_confidence(self, method, isle):
        X = np.concatenate([np.random.default_rng(0).normal(size=(30, 2)), isle])
        found = GraphPropagation(method, n_neighbors=5).propagate(X, None, np.array([0, 1]), np.array([0, 1]))
        assert set(found.labels[30:].tolist()) == {-1}
        assert not found.weights[30:].any()
        assert set(found.labels[:30].tolist()) == {0, 1}
        assert np.isfinite(found.weights).all()

    def test_their_graph_is_never_a_square_matrix(self):
        n, k = 5000, 10
        X = np.random.default_rng(0).normal(size=(n, 15)).astype(np.float32)
        tracemalloc.start()
        joined = neighbor_graph.neighbor_graph(neighbor_graph.neighbors(X, k))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert joined.weights.nnz <= 2 * n * k
        assert peak < 4 * n * n / 2

    def test_tight_groups_far_from_nought_are_told_apart_in_single_precision(self):
        rng = np.random.default_rng(0)
        centres = rng.uniform(-1e4, 1e4, (5, 12))
        X = (centres[np.arange(500) % 5] + rng.normal(0, 0.1, (500, 12))).astype(np.float32)
        indices, distances = cpu.nearest_neighbors(X, X, 6)
        every = np.sqrt(((X[:, None].astype(np.float64) - X[None]) ** 2).sum(axis=2))
        np.testing.assert_array_equal(indices, every.argsort(axis=1, kind="stable")[:, :6])
        np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :6], rtol=1e-12)

    @pytest.mark.parametrize("search", [cpu.nearest_neighbors, neighbors.search])
    def test_of_coordinates_near_a_thousand_that_differ_by_a_tenth_they_are_those_of_double_precision(self, search):
        X = np.array([936.0, -1756.0, 23.0]) + 0.1 * np.random.default_rng(0).normal(size=(12, 3))
        single = X.astype(np.float32)
        expected = ((X[:, None] - X[None]) ** 2).sum(axis=2).argsort(axis=1)
        np.testing.assert_array_equal(search(single, single, 12)[0], expected)


class TestRounds:
    def test_no_point_is_asked_for_twice_answered_or_not(self, tmp_path, capsys):
        run = points(tmp_path, pd.DataFrame({"id": [f"p{n}" for n in range(10)], "x": np.arange(10.0) ** 2}))
        for _ in range(3):
            made = run("choose", n_labels=2)
            made.answer(dict.fromkeys(list(made.rounds()[-1].asked)[:1], "a"), by="me")
        assert len({item for asked in made.rounds() for item in asked.asked}) == 6

    def test_of_many_copies_one_at_most_is_asked_for_in_all_rounds(self, tmp_path, capsys):
        frame = pd.DataFrame({"id": [f"p{n}" for n in range(100)], "x": [7.5] * 50 + [*range(50)]})
        run = points(tmp_path, frame)
        for n in (10, 15, 10):
            made = run("choose", n_labels=n, audit=0.1)
            made.answer({item: "high" if int(item[1:]) > 75 else "low" for item in made.rounds()[-1].asked}, by="me")
        asked = [item for one in made.rounds() for item in one.asked]
        assert len(asked) == 35
        assert sum(int(item[1:]) < 50 for item in asked) <= 1
        assert "doubtful" in made.rounds()[-1].asked.values()

    def test_fewer_different_points_than_labels_are_all_asked_for_once(self, tmp_path, capsys):
        frame = pd.DataFrame({"id": [f"p{n}" for n in range(17)], "x": np.arange(17) // 2})
        (asked,) = points(tmp_path, frame)("choose", n_labels=10).rounds()
        assert sorted(int(item[1:]) // 2 for item in asked.asked) == list(range(9))

    def test_pictures_that_look_alike_to_the_gradients_cost_no_label(self, tmp_path, monkeypatch, capsys):
        """Without an edge in any picture all points are one, and all but one of the clusters are empty."""
        monkeypatch.setattr(figures, "save", lambda _, path: store.write_text(path, "a figure"))
        for grey in range(20):
            path = tmp_path / "photos" / f"{grey}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("L", (16, 16), 10 * grey).save(path)
        here = ("data=images", f"data.path={tmp_path}/photos", f"project={tmp_path}/p.gpussl", "data.cache=null")
        run_on_project(
            config.job("+experiment=own_data", "task=choose", "n_labels=5", "cache=null", "device=cpu", *here)
        )
        (asked,) = project.opened(tmp_path / "p.gpussl").rounds()
        assert len(asked.asked) == 5
        assert "3 clusters, 2 of them empty" in capsys.readouterr().err

    def test_a_text_without_a_word_is_never_chosen(self, tmp_path, capsys):
        """Only the random sample may ask for it: it is of all points."""
        texts = [f"word{n % 7} and word{n % 5} of word{n}" for n in range(40)]
        frame = pd.DataFrame({"id": range(42), "text": [*texts, "", " "]})
        frame.to_csv(tmp_path / "texts.csv", index=False)
        here = ("data=texts", f"data.path={tmp_path}/texts.csv", "data.text=text", f"project={tmp_path}/p.gpussl")
        job = config.job("+experiment=own_data", "task=choose", "n_labels=20", "cache=null", "device=cpu", *here)
        run_on_project(job)
        (asked,) = project.opened(tmp_path / "p.gpussl").rounds()
        chosen = {item for item, why in asked.asked.items() if why == "representative"}
        assert len(chosen) == 14
        assert not chosen & {"40", "41"}


def test_of_a_sweep_each_failed_job_is_named(tmp_path, capsys):
    store.write_text(tmp_path / "0" / MANIFEST, manifest.to_json(manifest.with_files({}, {})))
    ended = [{"digest": store.file_digest(tmp_path / "0" / MANIFEST)}, {"error": "it broke"}, {"error": "it too"}]
    for number, how in enumerate(ended):
        register(tmp_path, SweepJob(number, tmp_path / str(number), str(number), (f"seed={number}",), **how))
    with pytest.raises(GpusslError, match=r"^2 of the sweep's jobs failed: 1, 2 in "):
        sweep.finish(tmp_path)
    said = capsys.readouterr().err
    assert "  seed=1: it broke\n  seed=2: it too\n" in said
    assert "seed=0" not in said
