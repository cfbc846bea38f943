"""The rules of the house, read from the source."""

import ast
from pathlib import Path

import pytest

import gpussl

PACKAGE = Path(gpussl.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
# pipeline.py, allocate.py and diagnose.py put stages together; no stage imports another
STAGES = ["features.py", "oracle.py", "propagate.py", "evaluate.py"]
FOLDERS = ("data/", "represent/", "cluster/", "select/", "models/")
STAGES += [name for name in FILES if name.startswith(FOLDERS) and "__main__" not in name]
TORCH = {"tensors.py", "augment.py", "gradients.py"}
TORCH |= {f"represent/{name}.py" for name in ("autoencoder", "deskew")}
TORCH |= {f"models/{name}.py" for name in ("network", "mlp", "self_training", "convnet", "study_convnet")}


def imports(tree):
    """The modules a file imports, dotted, and each name it takes from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
        ("xgboost", {"models/xgboost.py"}),
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
    assert readers == {"evaluate.py"}


def test_training_labels_go_to_the_oracle_alone():
    """The pipeline hands them over; nothing else names them."""
    assert files_that_read("y_train") == {"pipeline.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_each_other(stage):
    others = {name.removesuffix(".py").split("/")[0] for name in STAGES} - {stage.removesuffix(".py").split("/")[0]}
    taken = {i.split(".")[1] for i in imports(FILES[stage]) if i.startswith("gpussl.")}
    assert not taken & (others | {"pipeline", "report", "config"})


def test_nothing_seeds_globally():
    for name, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "seed":
                assert ast.unparse(node) not in ("np.random.seed", "numpy.random.seed", "random.seed"), name
