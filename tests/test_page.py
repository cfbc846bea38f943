"""The report page: one file, escaped, small, and drawn by its own script alone."""

import base64
import hashlib
import html.parser
import json
import re
import zlib

import numpy as np
import pytest

from gpussl.report import page
from gpussl.report.parts import Confusion, File, Gallery, Links, Map, Picture, Table, Tile, Words

EVIL = '<img src=x onerror="alert(1)"></script>'


class Reader(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts, self.attributes = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def unpacked(text, kind):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def map_of(n, **more):
    rng = np.random.default_rng(0)
    colours = {"class": (rng.integers(0, 3, n), ["cat", EVIL, "dog"]), "doubt": (rng.random(n), ())}
    return Map("Map", rng.normal(size=(n, 2)), [f"{i}.png" for i in range(n)], colours, {}, **more)


ALL = [
    Words(EVIL),
    Words("an answer", is_answer=True),
    Table(EVIL, [EVIL, "b"], [[EVIL, "1"]], EVIL),
    Table("for the terminal alone", ["x"], [["y"]], on_page=False),
    Links("Jobs", [("0/report.html", EVIL, EVIL)]),
    Picture("curve", EVIL, None),
    Gallery(EVIL, [Tile(EVIL, EVIL, np.zeros((2, 2), np.uint8)), Tile("b", text=EVIL)], EVIL),
    Confusion(EVIL, [EVIL, "b"], [[3, 1], [0, 2]], {(0, 1): [Tile(EVIL)]}, EVIL),
    map_of(5, caption=EVIL),
    File("a.csv", EVIL),
]


def test_whatever_comes_from_files_is_text():
    shown = Reader(page.render(EVIL, ALL, EVIL, {"curve": b"png"}))
    assert shown.tags.count("script") == 2  # the page's own, and the numbers of the map
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name == "style"]
    sources = [value for name, value in shown.attributes if name == "src"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    assert shown.texts.count(EVIL) >= 12


def test_its_policy_lets_in_its_own_script_alone():
    text = page.render("mine", ALL, "", {"curve": b"png"})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//", text)


def test_tables_that_are_not_for_the_page_are_left_out():
    assert "for the terminal alone" not in page.render("mine", ALL, "", {"curve": b"png"})


def test_the_numbers_of_a_map_come_back():
    part = map_of(1000)
    found = page._map_json(part)
    scaled = (part.xy - part.xy.min(axis=0)) / np.ptp(part.xy, axis=0)
    for axis, name in enumerate("xy"):
        np.testing.assert_allclose(unpacked(found[name], "<u2") / 65535, scaled[:, axis], atol=1e-5)
    classes, doubt = found["colours"]
    np.testing.assert_array_equal(unpacked(classes["values"], np.uint8), part.colours["class"][0])
    np.testing.assert_allclose(unpacked(doubt["values"], np.uint8) / 255, part.colours["doubt"][0], atol=0.002)
    assert zlib.decompress(base64.b64decode(found["ids"])).decode().split("\n") == list(part.ids)


def test_names_that_are_no_utf_8_and_points_in_one_place_are_shown():
    part = Map("Map", np.ones((2, 2)), ["a\udcff.png", "b\nc"], {"doubt": (np.array([-1.0, 2.0]), ())}, {})
    found = page._map_json(part)
    assert zlib.decompress(base64.b64decode(found["ids"])).decode().split("\n") == ["a�.png", "b c"]
    assert unpacked(found["colours"][0]["values"], np.uint8).tolist() == [0, 255]
    json.dumps(found)


@pytest.mark.parametrize("shape", [(28, 28), (64, 64, 3)])
def test_sixty_thousand_points_with_pictures_stay_below_five_megabytes(shape):
    rng = np.random.default_rng(0)
    n = 60_000
    smooth = rng.integers(0, 255, (500, *[1 if side > 3 else side for side in shape]))
    pictures = np.clip(smooth + rng.integers(-20, 20, (500, *shape)), 0, 255).astype(np.uint8)
    colours = {"class": (rng.integers(0, 10, n), list("abcdefghij")), "doubt": (rng.random(n), ())}
    whole = Map("Map", rng.normal(size=(n, 2)), [f"{i:05}.png" for i in range(n)], colours, dict(enumerate(pictures)))
    tiles = [Tile(str(i), picture=picture) for i, picture in enumerate(pictures[:64])]
    shown = {(i, j): tiles[:8] for i in range(10) for j in range(4) if i != j}
    matrix = Confusion("Confusions", list("abcdefghij"), np.ones((10, 10), int).tolist(), shown)
    text = page.render("mine", [Gallery("Doubts", tiles), matrix, whole], "")
    assert len(text.encode()) < 5e6
