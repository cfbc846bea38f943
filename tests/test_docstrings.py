"""Every public function and class says what it does, and shows it with an example, which runs with the tests."""

import ast
from pathlib import Path

import pytest

import gpussl

PACKAGE = Path(gpussl.__file__).parent
# the contracts have no code; what needs a GPU cannot be run here; a plain command is tried as a command
WITHOUT = {"protocols.py", "__main__.py", "data/__main__.py", "backend/gpu.py", "backend/kernels.py", "errors.py"}
FILES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).as_posix() not in WITHOUT
}
PUBLIC = [
    (name, node)
    for name, tree in FILES.items()
    for node in tree.body
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
]


@pytest.mark.parametrize(("name", "node"), PUBLIC, ids=[f"{name}:{node.name}" for name, node in PUBLIC])
def test_it_has_an_example(name, node):
    docstring = ast.get_docstring(node) or ""
    assert docstring
    shown = docstring + "".join(
        ast.get_docstring(part) or "" for part in node.body if isinstance(part, ast.FunctionDef)
    )
    assert ">>> " in shown
