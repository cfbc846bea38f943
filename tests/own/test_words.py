"""The words of the command: any path goes through Hydra unharmed."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gpussl.errors import ConfigError, DataError
from gpussl.runtime import config
from gpussl.tasks import project, words

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


def composed(*overrides):
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return compose("config", list(overrides))


AWKWARD = [
    "Müller, 50% (neu)/李", "run=1/", "it's", "a\\", "a\\'b", "${oc.env:HOME}", "\\${x}", "a\\\\${x}'", "null",
    "{a: [1]}", ' ~ # @ * " ',
]  # fmt: skip


@given(TEXTS)
def test_any_text_comes_back_as_it_was(text):
    given = OverridesParser.create().parse_override(f"a=[{words.quoted(text)},{words.quoted([text])}]").value()
    assert OmegaConf.to_container(OmegaConf.create({"a": given}), resolve=True) == {"a": [text, [text]]}
    given = OverridesParser.create().parse_override(f"a={words.quoted(text)}").value()
    cfg = OmegaConf.create({"a": ""})
    OmegaConf.update(cfg, "a", given)
    assert cfg.a == text


def test_awkward_texts_go_through_the_whole_composition():
    quoted = [words.quoted(text) for text in AWKWARD]
    cfg = composed("data=auto", f"data.path={words.quoted(AWKWARD[0])}", f"classes=[{','.join(quoted)}]")
    assert cfg.data.path == AWKWARD[0]
    assert list(cfg.classes) == AWKWARD


@pytest.mark.parametrize("value", [None, True, False, 3, 2.5, [], ["a", "b,c"], "true"])
def test_values_keep_their_type(value):
    key = "data.drop" if isinstance(value, list) else "+data.any"
    cfg = composed("data=table", "data.path=x", f"{key}={words.quoted(value)}")
    found = cfg.data.drop if isinstance(value, list) else cfg.data.any
    assert found == value
    assert type(found) is type(value) or isinstance(value, list)


def test_the_first_argument_is_a_path_whatever_it_is():
    assert "data.path='run=1/'" in words.translated(["choose", "run=1/", "n_labels=5"])


def test_a_project_brings_the_settings_of_its_data(tmp_path):
    made = project.create(
        tmp_path / "a, b.gpussl", {"choice": "table", "path": "/x/a, b.csv", "id": None, "drop": ["c"]}
    )
    found = words.translated(["learn", str(made.folder), "seed=3"])
    assert found[-1] == "seed=3"
    cfg = composed(*(text for text in found if not text.startswith("hydra.")))
    assert (cfg.project, cfg.data.path, cfg.data.drop, cfg.task.name) == (
        str(made.folder),
        "/x/a, b.csv",
        ["c"],
        "learn",
    )
    assert words.translated(["label", str(made.folder), "--export", "o u t.csv"])[-1] == "output='o u t.csv'"
    assert words.translated(["label", str(made.folder), "labels.csv"])[-1] == "source='labels.csv'"


def test_help_needs_no_project():
    assert words.translated(["choose", "my photos, new", "n_labels=5", "--help"])[0] == "--help"
    assert words.translated(["learn", "-h"]) == ["--help", "+experiment=own_data", "task=learn", "hydra.run.dir=."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["choose"],
            "choose: expected the data, or the project for the next round, found none; write gpussl choose PATH",
        ),
        (["choose", "--cfg", "job"], "choose: expected the data"),
        (["predict", "p.gpussl"], "predict: expected the project, and the new data, found none"),
        (["learn", "nowhere"], "nowhere: expected a project, found none; make one with gpussl choose PATH"),
        (["choose", "nowhere.gpussl"], "expected a project, found none"),
        (["learn", "nowhere", "-m"], "learn: expected one job on a project, found -m"),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    with pytest.raises(ConfigError, match=message):
        words.translated(arguments)


class TestRemembered:
    @pytest.fixture
    def folder(self, tmp_path):
        given = ["task=choose", "represent=[hog]", "represent.hog.n_cells=4", "classes=[a,b]", "seed=3", "n_labels=9"]
        project.create(tmp_path / "p.gpussl", {"choice": "images", "path": "/a"}, project.remembered(given))
        return tmp_path / "p.gpussl"

    def test_settings_of_stages_hold_for_each_task(self, folder):
        cfg = composed(*words.translated(["learn", str(folder)]))
        assert (cfg.represent.hog.n_cells, cfg.seed, cfg.n_labels) == (4, 3, None)

    def test_the_classes_hold_for_labels_too(self, folder):
        cfg = composed(*words.translated(["label", str(folder)]))
        assert (cfg.classes, list(cfg.represent)) == (["a", "b"], ["pixels"])
        assert composed(*words.translated(["label", str(folder), "classes=[c]"])).classes == ["c"]

    def test_a_setting_replaces_all_of_its_stage(self, folder):
        cfg = composed(*words.translated(["learn", str(folder), "represent=[pca]"]))
        assert list(cfg.represent) == ["pca"]
        assert cfg.seed == 3

    @pytest.mark.parametrize("text", ["hydra.run.dir=/etc", "plugins=[a]", "task=study", "data.path=/etc/passwd"])
    def test_a_project_of_a_stranger_sets_nothing_else(self, folder, text):
        path = folder / "project.yaml"
        path.write_text(path.read_text() + f"- {text}\n")
        with pytest.raises(DataError, match="expected the settings of a project, found others"):
            project.opened(folder)
