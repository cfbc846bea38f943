import subprocess
import sys

import numpy as np
import pytest

import gpussl
from gpussl.errors import ConfigError, StoreError
from gpussl.runtime import plugins, store

SOURCE = """
from dataclasses import dataclass
from subprocess import Popen
from typing import Any, ClassVar

from gpussl.classifier.knn import KNeighborsClassifier

@dataclass(frozen=True)
class Shift:
    by: Any
    unit: str = "px"

class Nearest(KNeighborsClassifier):
    pass

@dataclass(frozen=True)
class Renamed:
    kind: ClassVar[str] = "{name}:Older"
    by: Any = None

@dataclass(frozen=True)
class Claims:
    kind: ClassVar[str] = "knn"
    by: Any = None

@dataclass
class Thawed:
    by: Any = None
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The name of a module that can be imported, and that no test before has allowed."""
    name = f"plugin_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_allowed", set())
    yield name
    sys.modules.pop(name, None)


def imported(name):
    plugins.allow([name])
    return sys.modules[name]


def test_only_what_was_named_is_allowed(plugin):
    assert not plugins.is_allowed(plugin)
    assert plugin not in sys.modules
    plugins.allow([plugin])
    assert plugins.is_allowed(plugin)
    assert not plugins.is_allowed("subprocess")  # which it imports
    assert not plugins.is_allowed(plugin + ".part")


@pytest.mark.parametrize("source", [None, "syntax error", "1 / 0", "raise ImportError('two\\nlines')"])
def test_what_cannot_be_imported_is_refused_in_one_line(plugin, tmp_path, source):
    if source is not None:
        (tmp_path / "broken_plugin.py").write_text(source)
    with pytest.raises(ConfigError, match=r"plugins: .* found 'broken_plugin' \(.*\); .*PYTHONPATH$"):
        plugins.allow([plugin, "broken_plugin"])
    assert not plugins.is_allowed("broken_plugin")


def test_one_name_alone_is_no_list():
    with pytest.raises(ConfigError, match=r"expected a list of modules, found 'mine'; write \[mine\]"):
        plugins.allow("mine")


def test_the_current_folder_is_not_searched(tmp_path):
    (tmp_path / "beside.py").touch()
    program = "from gpussl.runtime import plugins; plugins.allow(['beside'])"
    ended = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'beside'" in ended.stderr


@pytest.mark.parametrize("name", ["Shift", "Renamed"])
def test_an_artifact_of_a_plugin_comes_back(plugin, tmp_path, name):
    cls = getattr(imported(plugin), name)
    store.check_savable(cls)
    store.save(tmp_path / "a.safetensors", cls(by=np.arange(3)))
    loaded = gpussl.load(tmp_path / "a.safetensors", plugins=[plugin])
    assert type(loaded) is cls
    np.testing.assert_array_equal(loaded.by, np.arange(3))


def test_a_subclass_of_ours_comes_back_as_itself(plugin, tmp_path):
    cls = imported(plugin).Nearest
    store.save(tmp_path / "a.safetensors", cls(n_neighbors=1).fit(np.eye(3), np.arange(3)))
    assert type(gpussl.load(tmp_path / "a.safetensors")) is cls


def test_a_file_alone_imports_no_plugin(plugin, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    store.save(path, imported(plugin).Shift(by=1))
    monkeypatch.delitem(sys.modules, plugin)
    monkeypatch.setattr(plugins, "_allowed", set())
    cure = rf"found '{plugin}:Shift'; if you trust that module, load it with plugins=\['{plugin}'\]$"
    with pytest.raises(StoreError, match=cure):
        gpussl.load(path)
    assert plugin not in sys.modules
    assert gpussl.load(path, plugins=[plugin]).by == 1


def test_a_damaged_file_imports_no_plugin(plugin, tmp_path):
    (tmp_path / "a").write_bytes(b"rubbish")
    with pytest.raises(StoreError):
        gpussl.load(tmp_path / "a", plugins=[plugin])
    assert plugin not in sys.modules


@pytest.mark.parametrize("name", ["Popen", "missing", "dataclass", "KNeighborsClassifier", "Thawed"])
def test_a_kind_names_a_savable_class_of_the_module_itself(plugin, name):
    plugins.allow([plugin])
    with pytest.raises(StoreError, match=f"found '{plugin}:{name}'"):
        store.unpack(f"{plugin}:{name}", {}, {"args": "true"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "Shift",
            r"Shift: expected a class that `load` can find, .*; allow its module with plugins=\[plugin_\w+\]$",
        ),
        ("Claims", r"Claims: .* found the kind 'knn'; "),
        ("Thawed", "Thawed: expected a frozen dataclass, or methods pack and unpack; found neither"),
    ],
)
def test_a_class_that_could_not_be_loaded_is_refused_before(plugin, monkeypatch, name, said):
    cls = getattr(imported(plugin), name)
    monkeypatch.setattr(plugins, "_allowed", set())
    with pytest.raises(ConfigError, match=said):
        store.check_savable(cls)
