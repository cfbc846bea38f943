"""The rules of the house, read from the source."""

import ast
from pathlib import Path

import pytest

import gpussl

PACKAGE = Path(gpussl.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
STAGES = {
    "data",
    "represent",
    "features",
    "cluster",
    "select",
    "label",
    "propagate",
    "classifier",
    "evaluate",
    "report",
}
# what each folder that is no stage may import of the others; a file at the top level is named as a folder is
ALLOWED = {
    "errors": set(),
    "seeds": set(),
    "records": set(),
    "protocols": {"records"},
    "numeric": {"records", "errors", "protocols"},
}
SHARED = {"records", "errors", "seeds", "protocols", "numeric", "backend", "nets", "runtime"}
TORCH = {
    "nets/pretrained.py",
    "represent/embedding.py",
    "nets/tensors.py",
    "nets/augment.py",
    "nets/gradients.py",
    "studies/study_convnet.py",
}
TORCH |= {f"represent/{name}.py" for name in ("autoencoder", "deskew")}
TORCH |= {f"classifier/{name}.py" for name in ("network", "mlp", "self_training", "convnet")}


def imports(tree):
    """The modules a file imports, dotted, and each name it takes from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(name):
    """The folder or top-level file that a file belongs to."""
    return name.split("/")[0].removesuffix(".py")


def folders_imported(name):
    """The folders and top-level files of gpussl that a file imports from, its own apart."""
    taken = {i.split(".")[1] for i in imports(FILES[name]) if i.startswith("gpussl.")}
    return taken - {folder_of(name)}


def files_that_import(library):
    return {name for name, tree in FILES.items() if any(i.split(".")[0] == library for i in imports(tree))}


def files_that_read(attribute):
    return {
        name
        for name, tree in FILES.items()
        if any(isinstance(node, ast.Attribute) and node.attr == attribute for node in ast.walk(tree))
    }


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("cupy", {"backend/gpu.py"}),
        ("cuml", {"backend/gpu.py"}),
        ("matplotlib", {"report/figures.py"}),
        ("torch", TORCH),
        ("timm", set()),  # imported by name, in nets/pretrained.py
        ("pillow_heif", {"data/decode.py"}),
        ("xgboost", {"classifier/xgboost.py", "studies/xgboost_test_stopped.py"}),
        ("pickle", set()),
        ("joblib", set()),
    ],
)
def test_a_library_has_one_home(library, homes):
    assert files_that_import(library) == homes


def test_test_labels_are_read_in_evaluate_alone():
    """Elsewhere only their number is asked for."""
    readers = set()
    for name, tree in FILES.items():
        counted = {
            id(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "y_test" and id(node) not in counted:
                readers.add(name)
    assert readers == {"evaluate/accuracy.py"}


def test_training_labels_go_to_the_oracle_alone():
    """One function hands them over; nothing else names them."""
    assert files_that_read("y_train") == {"tasks/prepare.py"}


def test_labels_that_are_not_paid_for_are_shown_to_selections_that_know_the_classes_alone():
    assert files_that_read("reveal") == {"label/oracle.py", "tasks/study.py"}


@pytest.mark.parametrize("name", [name for name in FILES if folder_of(name) in STAGES and "__main__" not in name])
def test_a_stage_imports_no_other_stage_and_no_task(name):
    others = folders_imported(name) - SHARED
    assert others <= ({"studies"} if folder_of(name) == "report" else set())
    assert not {i for i in imports(FILES[name]) if i.startswith("gpussl.runtime.config")}


@pytest.mark.parametrize("name", [name for name in FILES if folder_of(name) in ALLOWED])
def test_what_all_stages_share_imports_little(name):
    assert folders_imported(name) <= ALLOWED[folder_of(name)]


LATE = {"runtime/command.py": {"report"}, "runtime/config.py": {"evaluate", "studies"}}  # where it is needed


@pytest.mark.parametrize("name", [name for name in FILES if folder_of(name) in ("backend", "nets", "runtime")])
def test_what_stages_stand_on_imports_no_stage_and_no_task(name):
    assert not (folders_imported(name) & (STAGES | {"tasks", "studies"})) - LATE.get(name, set())


@pytest.mark.parametrize("name", [name for name in FILES if folder_of(name) == "studies"])
def test_studies_import_no_task(name):
    assert not folders_imported(name) & {"tasks", "report"}


def test_nothing_is_imported_in_a_circle():
    """At the top of the files: what is imported late may close a circle."""
    edges = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): {
            i.removeprefix("gpussl.")
            for node in tree.body
            for i in imports(ast.Module([node], []))
            if i.startswith("gpussl.")
        }
        for name, tree in FILES.items()
    }
    modules = {
        name: {i if i in edges else i.rpartition(".")[0] for i in taken} & set(edges) for name, taken in edges.items()
    }
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in modules[name] - {name}:
                visit(other, [*path, name])
            done.add(name)

    for name in modules:
        visit(name, [])


def test_the_top_level_stays_small():
    beside = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert len(beside - STAGES) <= 12


def test_nothing_seeds_globally():
    for name, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "seed":
                assert ast.unparse(node) not in ("np.random.seed", "numpy.random.seed", "random.seed"), name
