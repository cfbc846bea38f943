"""The report page: one HTML file that opens without a network, for a run, a sweep or a model of a project."""

import base64
import functools
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpussl.report.parts import Confusion, Gallery, Links, Map, Part, Picture, Table, Words
from gpussl.runtime.names import readable

TEMPLATES = Path(__file__).parent / "templates"
KINDS: dict[str, type] = {
    "words": Words,
    "table": Table,
    "links": Links,
    "picture": Picture,
    "gallery": Gallery,
    "confusion": Confusion,
    "map": Map,
}
SMALL = 4096  # pixels; larger pictures are JPEG, which is a fraction of PNG


def render(title: str, parts: Sequence[Part], footer: str, figures: Mapping[str, bytes] | None = None) -> str:
    """Return a page as HTML.

    Parameters
    ----------
    title : str
    parts : sequence of Part
        Files are not shown.
    footer : str
    figures : dict of str to bytes, optional
        The PNG file of each picture, by name.

    Examples
    --------
    >>> page = render("mine", [Words("1 < 2")], footer="made today")
    >>> "<p>1 &lt; 2</p>" in page
    True
    """
    text: str = _template().render(title=title, parts=parts, footer=footer, figures=figures or {})
    return text


@functools.cache
def _template() -> Any:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    made.tests.update({name: functools.partial(_is, kind) for name, kind in KINDS.items()})  # type: ignore[misc]
    made.filters |= {
        "data_uri": data_uri, "png_uri": _png_uri, "shade": _shade, "digest": _digest, "map_json": _map_json,
    }  # fmt: skip
    made.globals |= {
        name: (TEMPLATES / f"page.{end}").read_text() for name, end in (("style", "css"), ("script", "js"))
    }
    return made.get_template("page.html")


def _is(kind: type, part: Part) -> bool:
    return isinstance(part, kind)


def data_uri(pixels: np.ndarray) -> str:
    """Return pixels (height, width) or (height, width, 3), uint8, as the address of a picture that has them in it.

    >>> data_uri(np.zeros((2, 2), dtype=np.uint8))[:22]
    'data:image/png;base64,'
    """
    from PIL import Image

    made, kind = io.BytesIO(), "png" if pixels.shape[0] * pixels.shape[1] < SMALL else "jpeg"
    Image.fromarray(pixels).save(made, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(made.getvalue()).decode()}"


def _png_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _digest(text: str) -> str:
    """What a policy for content names a script or a style by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shade(count: int, row: Sequence[int]) -> int:
    """The shade of a cell, from 0 to 4, by its share of the row."""
    return int(np.ceil(4 * count / max(1, sum(row))))


def _map_json(part: Map) -> dict[str, Any]:
    """A map as its script reads it: coordinates of 16 bits, colours of 8, all compressed."""
    low, high = part.xy.min(axis=0), part.xy.max(axis=0)
    scaled = (part.xy - low) / np.where(high > low, high - low, 1)
    x, y = (np.round(65535 * scaled[:, axis]).astype("<u2") for axis in (0, 1))
    ids = "\n".join(readable(item).replace("\n", " ") for item in part.ids)
    colours = []
    for name, (values, classes) in part.colours.items():
        levels = np.clip(values, 0, 255) if classes else np.round(255 * np.clip(values, 0, 1))
        colours.append({"name": name, "names": list(classes), "values": _packed(levels.astype(np.uint8).tobytes())})
    pictures = {str(number): data_uri(pixels) for number, pixels in part.pictures.items()}
    coordinates = {"x": _packed(x.tobytes()), "y": _packed(y.tobytes())}
    return {**coordinates, "ids": _packed(ids.encode()), "colours": colours, "pictures": pictures}


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 6)).decode()
