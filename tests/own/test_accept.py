"""Accepted labels of a project: what is written, said, and asked for."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from gpussl.errors import ConfigError
from gpussl.label.answers import SKIPPED, Answer
from gpussl.records import Dataset
from gpussl.runtime import config, store
from gpussl.tasks import accept, choose, estimate, label_page, own, project
from gpussl.tasks.checked import Checked, Crossed
from gpussl.tasks.own import OwnPoints
from tests.own.test_projects import Loop, context, rows


@pytest.fixture(params=[3.4])
def fruit(tmp_path, request):
    """A table of two blobs so far apart and a few copies, and the true classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    frame = pd.DataFrame({"id": [f"p{n:03}" for n in range(600)], "x": request.param * y + rng.normal(0, 1, 600)})
    frame.loc[590:, "x"] = frame["x"][0]
    y[590:] = y[0]
    frame.to_csv(tmp_path / "blobs.csv", index=False)
    return dict(zip(frame["id"], np.where(y == 1, "=melon", "apple"), strict=True))


@pytest.fixture
def loop(tmp_path, fruit):
    loop = Loop(tmp_path)
    loop("choose", "n_labels=120", "audit=0.7", "classes=[apple,'=melon']")
    loop.answer(fruit)
    return loop


def learned(loop, number=1):
    folder = loop.place / "learned" / str(number)
    return rows(folder / "accepted.csv"), rows(folder / "to_check.csv"), rows(folder / "predictions.csv")


class TestFiles:
    @pytest.mark.parametrize("target", [0.8, 0.99])
    def test_each_point_is_accepted_or_to_check(self, loop, fruit, capsys, target):
        loop("learn", f"accept={target}")
        accepted, to_check, predictions = learned(loop)
        places = {row["id"]: row for row in predictions}
        assert {row["id"] for row in accepted} | {row["id"] for row in to_check} == set(fruit)
        assert not {row["id"] for row in accepted} & {row["id"] for row in to_check}
        assert accepted == [places[row["id"]] for row in accepted]
        assert all((row["predicted"], row["label"]) == (places[row["id"]]["label"], "") for row in to_check)
        chances = [float(row["probability"]) for row in to_check]
        assert chances == sorted(chances)
        assert all(row["x"] for row in to_check)
        assert len(accepted) < 600 if target == 0.99 else len(accepted) > 500
        said = capsys.readouterr().out.replace("\n", " ")
        promise = "All 600 labels are accepted, 130 of them yours: with 95 % confidence at least 80 % of the others are"
        assert (promise in said) == (target == 0.8)
        assert ("No label but your own is accepted" in said) == (target == 0.99)
        (result,) = rows(loop.place / "learned" / "1" / "results.csv")
        assert (result["accept"], result["n_accepted"]) == (str(target), str(len(accepted)))
        assert np.mean([row["label"] == fruit[row["id"]] for row in accepted]) >= target

    def test_what_a_person_gave_is_accepted(self, loop):
        loop("learn", "accept=0.99")
        accepted, _, _ = learned(loop)
        given = loop.project.labels()
        assert set(given) <= {row["id"] for row in accepted}
        assert {row["id"]: row["label"] for row in accepted if row["id"] in given} == given

    def test_the_list_can_be_answered_and_given_back(self, loop, fruit):
        loop("learn", "accept=0.95")
        _, to_check, _ = learned(loop)
        for row in to_check[:3]:
            row["label"] = fruit[row["id"]]
        path = loop.folder / "checked.csv"
        pd.DataFrame(to_check).to_csv(path, index=False)
        loop("label", f"source={path}", "classes=[apple,'=melon']")
        assert {row["id"] for row in to_check[:3]} <= set(loop.project.labels())
        assert len(loop.project.labels()) == 123

    def test_the_page_goes_on_with_what_is_left(self, loop, monkeypatch):
        monkeypatch.setattr(label_page, "MOST_TO_CHECK", 5)
        loop("choose", "n_labels=3")
        loop("learn", "accept=0.95")
        _, to_check, _ = learned(loop)
        material = label_page.ProjectMaterial(loop.project)
        second = list(loop.project.rounds()[1].asked)
        left = [row["id"] for row in to_check[:5] if row["id"] not in second]
        assert list(material.asked())[:3] == second
        assert list(material.asked())[-len(left) :] == left
        assert material.asked()[left[0]] == "to check"
        loop.project.answer({left[0]: "apple"}, by="me")
        loop("learn")  # without accept: what is left stays on the page
        material = label_page.ProjectMaterial(loop.project)
        assert left[0] not in material.asked()
        assert material.asked()[left[1]] == "to check"
        left = left[1:]
        assert material.fields(left[0]) == [("x", next(row["x"] for row in to_check if row["id"] == left[0]))]

    def test_without_the_setting_there_are_no_such_files(self, loop, capsys):
        loop("learn")
        assert not (loop.place / "learned" / "1" / "accepted.csv").exists()
        assert "accept=0.95" in capsys.readouterr().out

    def test_what_nobody_has_told_changes_nothing(self, loop, fruit, tmp_path):
        loop("learn", "accept=0.9")
        asked = {item for made in loop.project.rounds() for item in made.asked}
        spoilt = {item: label if item in asked else "apple" for item, label in fruit.items()}
        other = Loop(tmp_path)
        other.place = tmp_path / "other.gpussl"
        other("choose", "n_labels=120", "audit=0.7", "classes=[apple,'=melon']")
        other.answer(spoilt)
        other("learn", "accept=0.9")
        for name in ("accepted.csv", "to_check.csv", "predictions.csv", "results.csv", "model.safetensors"):
            one, two = (made.place / "learned" / "1" / name for made in (loop, other))
            assert one.read_bytes() == two.read_bytes()


class TestMore:
    @pytest.mark.parametrize("fruit", [50.0], indirect=True)
    def test_too_few_random_labels_promise_nothing_and_say_what_would(self, fruit, tmp_path, capsys):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60", "audit=0.5")
        loop.answer(fruit)
        loop("learn", "accept=0.95")
        said = capsys.readouterr().out.replace("\n", " ")
        assert "No label but your own is accepted: 30 random labels" in said
        assert "audit_more=" in said
        accepted, to_check, _ = learned(loop)
        assert len(accepted) == len(loop.project.labels())
        assert len(to_check) > 500 - 60

    def test_only_random_points_are_asked_for(self, loop, fruit):
        loop("choose", "audit_more=50")
        second = loop.project.rounds()[1]
        assert set(second.asked.values()) == {"random"}
        assert len(second.asked) == 50
        first = loop.project.rounds()[0]
        assert set(first.audit) <= set(second.audit)
        loop.answer(fruit)
        loop("learn", "accept=0.9")
        (result,) = rows(loop.place / "learned" / "1" / "results.csv")
        assert int(result["n_random"]) == len(second.audit)

    def test_points_that_may_be_accepted_are_asked_for(self, loop, fruit, capsys):
        loop("learn", "accept=0.99")
        worth = {row["id"] for row in rows(loop.place / "learned" / "1" / "worth_auditing.csv")}
        assert 100 < len(worth) < 600
        capsys.readouterr()
        loop("choose", "audit_more=60")
        said = capsys.readouterr().out.replace("\n", " ")
        assert "to_label.csv: 60 random ones of those that may be accepted. Look" in said
        first, second = loop.project.rounds()
        assert set(second.asked.values()) == {"audit"}
        assert set(second.asked) <= worth
        assert not set(second.asked) & set(first.asked)
        assert second.audit == first.audit  # they are no sample of all points
        assert {row["id"] for row in rows(loop.place / "rounds" / "2" / "worth_auditing.csv")} == worth
        points = own.read(context(loop, "learn"))
        order = [points.ids[row] for row in choose.random_order(points.ids, second.seed)]
        of_worth = [item for item in order if item in worth]
        so_far = of_worth[: of_worth.index(list(second.asked)[-1]) + 1]
        copies = {f"p{n}" for n in range(590, 600)}
        assert set(so_far) <= {*loop.project.labels(), *second.asked, *copies}  # no gap in the random order of these
        loop.answer(fruit)
        audit = accept.audit_of(loop.project, points, {points.places()[item] for item in loop.project.labels()})
        of_region = Counter({place: count for place, count in audit.counts.items() if audit.region[place]})
        assert (of_region + audit.extra).total() >= len(so_far)
        assert audit.extra
        assert audit.counts.total() == len(first.audit)  # what was asked of these does not prolong the sample of all
        assert audit.region[list(audit.extra)].all()
        loop("learn", "accept=0.99")
        one, two = (rows(loop.place / "learned" / n / "results.csv")[0] for n in "12")
        assert one["n_random"] == two["n_random"]
        assert len(loop.project.labels()) == 180
        accepted, _, _ = learned(loop, 2)
        assert np.mean([row["label"] == fruit[row["id"]] for row in accepted]) >= 0.99

    def test_what_is_open_comes_first(self, fruit, tmp_path, capsys):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60", "audit=0.5")
        first = loop.project.rounds()[0]
        item = next(item for item in first.audit if first.asked.get(item) == "random")
        loop.project.answer({other: fruit[other] for other in first.asked if other != item}, by="me")
        loop("learn", "accept=0.95")
        said = capsys.readouterr().out.replace("\n", " ")
        assert "Answer the random point that is open first, with gpussl label" in said
        assert "audit_more" not in said

    def test_without_random_labels_no_point_is_worth_more_than_another(self, fruit, tmp_path):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60", "audit=0")
        loop.answer(fruit)
        loop("learn", "accept=0.95")
        assert not (loop.place / "learned" / "1" / "worth_auditing.csv").exists()
        loop("choose", "audit_more=20")
        assert set(loop.project.rounds()[1].asked.values()) == {"random"}

    def test_a_copy_that_comes_later_is_of_the_region_too(self, loop, tmp_path):
        loop("learn", "accept=0.99")
        worth = loop.project.worth_auditing("learned")
        path = tmp_path / "blobs.csv"
        frame = pd.read_csv(path)
        copies = frame[frame["id"].isin(sorted(worth)[:50])].assign(id=lambda of: "q" + of["id"])
        pd.concat([frame, copies]).to_csv(path, index=False)
        points = own.read(context(loop, "learn"))
        region, places = choose.region_of(points, worth), points.places()
        assert region[[places[item] for item in copies["id"]]].all()

    def test_where_none_of_these_is_open_any_random_points_are_asked_for(self, loop, fruit):
        loop("learn", "accept=0.95")
        path = loop.place / "learned" / "1" / "worth_auditing.csv"
        store.write_csv(path, [("id",), *((item,) for item in loop.project.labels())])
        loop("choose", "audit_more=20")
        assert set(loop.project.rounds()[1].asked.values()) == {"random"}

    def test_where_all_may_be_accepted_any_random_points_are_asked_for(self, loop):
        loop("learn", "accept=0.5")
        loop("choose", "audit_more=20")
        assert set(loop.project.rounds()[1].asked.values()) == {"random"}

    def test_random_points_alone_or_a_round(self, loop):
        with pytest.raises(ConfigError, match="audit_more: expected no n_labels beside it, found 20"):
            loop("choose", "audit_more=50", "n_labels=20")

    def test_without_random_labels_nothing_is_promised(self, fruit, tmp_path, capsys):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=60", "audit=0")
        loop.answer(fruit)
        loop("learn", "accept=0.95")
        assert "No label but your own is accepted: 0 random labels" in capsys.readouterr().out.replace("\n", " ")

    @pytest.mark.parametrize("value", ["0", "1", "95"])
    def test_a_share_is_between_0_and_1(self, value):
        with pytest.raises(ConfigError, match="accept: expected"):
            config.job("task=learn", f"accept={value}")

    def test_a_target_says_how_many_labels_it_takes(self, loop, capsys):
        loop("learn", "target=0.8")
        assert "An accuracy of 80 %" in capsys.readouterr().out.replace("\n", " ")


class TestAudit:
    """Only random points that were answered without a gap audit."""

    def sample(self, loop):
        made = loop.project
        points = own.read(context(loop, "learn"))
        places = points.places()
        known = set(estimate.random_sample(made, points)) & {places[item] for item in made.labels()}
        return accept.audit_of(made, points, known), made, points

    def test_all_of_a_round_that_is_answered(self, loop):
        audit, made, _ = self.sample(loop)
        assert (audit.labelled.total(), audit.passed.total()) == (len(made.rounds()[0].audit), 0)

    def test_easy_points_that_were_answered_first_are_none(self, fruit, tmp_path):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=100", "audit=0.8")
        order = [item for item in loop.project.rounds()[0].audit if item < "p590"]
        loop.project.answer({item: fruit[item] for item in [*order[:10], *order[11:]]}, by="me")
        audit, _, _ = self.sample(loop)
        assert audit.labelled.total() <= 10 + 10  # and copies of these

    def test_what_was_skipped_counts_as_wrong(self, fruit, tmp_path):
        loop = Loop(tmp_path)
        loop("choose", "n_labels=100", "audit=0.8")
        order = loop.project.rounds()[0].audit
        skipped = next(item for item in order if "p000" < item < "p590")  # no copy
        loop.project.answer({item: fruit[item] for item in loop.project.rounds()[0].asked if item != skipped}, by="me")
        loop.project.log.append([Answer(skipped, state=SKIPPED)])
        audit, _, _ = self.sample(loop)
        assert audit.passed.total() == 1
        assert audit.labelled.total() == len(order) - 1
        loop("learn", "accept=0.9")
        (result,) = rows(loop.place / "learned" / "1" / "results.csv")
        assert int(result["n_accepted"]) <= 600

    def test_data_that_have_grown_are_not_promised(self, loop, fruit, tmp_path):
        path = tmp_path / "blobs.csv"
        frame = pd.read_csv(path)
        more = pd.DataFrame({"id": [f"q{n:04}" for n in range(5000)], "x": np.linspace(-5, 9, 5000)})
        pd.concat([frame, more]).to_csv(path, index=False)
        audit, _, _ = self.sample(loop)
        assert audit.labelled.total() < 20  # a new point comes soon in the random order of all points


def test_the_second_time_is_said(loop, capsys):
    loop("learn", "accept=0.8")
    capsys.readouterr()
    loop("learn", "accept=0.7")
    said = capsys.readouterr().out.replace("\n", " ")
    assert "that all promises hold has a confidence of 90 %" in said
    assert "ask with confidence=0.975 each time" in said


def test_all_points_labelled(fruit, tmp_path, capsys):
    loop = Loop(tmp_path)
    loop("choose", "n_labels=600")
    loop.answer(fruit)
    loop("learn", "accept=0.95")
    said = capsys.readouterr().out.replace("\n", " ")
    assert "No label but your own" not in said
    accepted, to_check, _ = learned(loop)
    assert (len(accepted), len(to_check)) == (600, 0)


def test_copies_are_accepted_together(tmp_path):
    audit = accept.Audit(Counter([0]), Counter(), np.zeros(3, dtype=bool), Counter())
    points = OwnPoints(Dataset("mine", np.zeros((3, 1))), list("abcd"), np.array([0, 1, 2, 2]))
    checked = Checked(
        np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.ones(1, dtype=int), chance=np.ones(1),
        crossed=Crossed(np.array([1, 2]), np.zeros(2, dtype=int), np.ones(2)),
    )  # fmt: skip
    job = config.job("task=learn", "accept=0.5", "confidence=0.4")
    made = project.Project(tmp_path / "p.gpussl", {})
    found = accept.of_labels(job, made, points, np.array([0]), checked, audit)
    assert (found.n_accepted, found.accepted.n_points, found.is_accepted.tolist()) == (4, 4, [True] * 3)
