"""Labels as other tools keep files: a folder for each class, and COCO's JSON."""

import contextlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from gpussl.errors import DataError, InputError
from gpussl.label.matching import Points
from gpussl.label.names import checked_class, listed
from gpussl.runtime.names import readable

UNSAFE = '/\\:*?"<>|%'  # signs in the name of a class that some system refuses in the name of a folder


def read(folder: Path, source: Path, ids: Collection[str], classes: Sequence[str] = ()) -> dict[str, str]:
    """Return the labels of the files in a folder for each class, by id.

    Parameters
    ----------
    folder : Path
    source : Path
        The folder of the data, into which links may point.
    ids : collection of str
    classes : sequence of str
        The only classes allowed; all, if empty.

    Raises
    ------
    DataError
        A file is no known point, or lies in two folders: the message names each. Nothing should be taken then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Path(place, "cat").mkdir()
    ...     _ = Path(place, "cat", "a.png").write_bytes(b"")
    ...     read(Path(place), Path("photos"), ids=["a.png", "b.png"])
    {'a.png': 'cat'}
    """
    points = Points(ids)
    found: dict[str, str] = {}
    wrong = []
    for of_class in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            label = checked_class(unquote(of_class.name, errors="surrogateescape"), classes)
        except InputError as error:
            wrong.append(f"{of_class.name!a}: {error}")
            continue
        for path in sorted(of_class.rglob("*")):
            if path.is_dir() or path.name.startswith("."):
                continue
            name = path.relative_to(of_class).as_posix()
            meant = _linked(path, source, ids) or points.find(name)
            if len(meant) != 1:
                what = f"{len(meant)} points are called so" if meant else "no point is called so"
                wrong.append(f"{of_class.name}/{name}: {what}")
            elif found.setdefault(meant[0], label) != label:
                wrong.append(f"{of_class.name}/{name}: it lies in {found[meant[0]]!r} as well")
    if not found and not wrong:
        raise DataError(f"{folder}: expected a folder for each class with files in it, found none")
    if wrong:
        raise DataError(f"{folder}: expected files of known points, found others: {listed(wrong)}; no label was taken")
    return found


def write(folder: Path, labels: Mapping[str, str], source: Path, *, copies: bool = False) -> None:
    """Make a folder for each class with links to the files of its points, or copies.

    Raises
    ------
    DataError
        Something is in the folder already, or a point has no file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     source = Path(place, "photos")
    ...     source.mkdir()
    ...     _ = (source / "a.png").write_bytes(b"")
    ...     write(Path(place, "out"), {"a.png": "black/white"}, source)
    ...     [path.name for path in Path(place, "out").iterdir()]
    ['black%2Fwhite']
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: expected no folder or an empty one, found files; write to another with output=...")
    outside = next((item for item in labels if Path(item).is_absolute() or ".." in Path(item).parts), None)
    if outside is not None:
        raise DataError(f"{outside}: expected a point in the folder of the data, found one outside")
    folder = folder.absolute()
    missing = next((item for item in labels if not (source / item).is_file()), None)
    if missing is not None:
        raise DataError(f"{missing}: expected a file in {source}, found none; folders are for data that are files")
    work = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    try:
        for item, label in labels.items():
            path = work / folder_name(label) / item
            path.parent.mkdir(parents=True, exist_ok=True)
            if copies:
                shutil.copyfile(source / item, path)
            else:
                path.symlink_to(source.resolve() / item)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        work.mkdir(exist_ok=True)
        work.rename(folder)
    except OSError as error:
        raise DataError(f"{folder}: expected a folder that can be written, found: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def folder_name(label: str) -> str:
    """Return the name of the folder of a class: signs that some system refuses are escaped, as in an address.

    >>> folder_name("50% black/white"), folder_name("..")
    ('50%25 black%2Fwhite', '%2E%2E')
    """
    name = "".join(
        quote(sign, safe="", errors="surrogateescape") if sign in UNSAFE or not sign.isprintable() else sign
        for sign in label
    )
    return name.replace(".", "%2E") if set(name) == {"."} or name.endswith((".", " ")) or name[0] == "." else name


def coco(labels: Mapping[str, str], classes: Sequence[str]) -> str:
    """Return labels as JSON in the form of COCO, with a category for each image.

    >>> json.loads(coco({"a.png": "cat"}, ["cat"]))["annotations"]
    [{'id': 1, 'image_id': 1, 'category_id': 1}]
    """
    number_of = {name: number for number, name in enumerate(classes, start=1)}
    return json.dumps(
        {
            "images": [{"id": number, "file_name": readable(item)} for number, item in enumerate(labels, start=1)],
            "categories": [{"id": number, "name": name} for name, number in number_of.items()],
            "annotations": [
                {"id": number, "image_id": number, "category_id": number_of[label]}
                for number, label in enumerate(labels.values(), start=1)
            ],
        },
        indent=1,
    )


def _linked(path: Path, source: Path, ids: Collection[str]) -> list[str]:
    """The point to which a link leads."""
    if path.is_symlink():
        with contextlib.suppress(OSError, ValueError):
            target = path.parent.resolve() / path.readlink()
            item = target.relative_to(source.resolve()).as_posix()
            return [item] if item in ids else []
    return []
