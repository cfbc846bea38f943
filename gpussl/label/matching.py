"""Which point another program means: its files have names with prefixes, escapes and other slashes."""

import contextlib
import re
import unicodedata
from collections.abc import Collection
from urllib.parse import parse_qs, unquote, urlsplit

UPLOADS = "/data/upload/"
UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the name of an uploaded file


class Points:
    """Finds points by what another program calls them.

    Parameters
    ----------
    ids : collection of str

    Examples
    --------
    >>> points = Points(["cats/a 1.png", "b.png"])
    >>> points.find("/data/upload/7/1a2b3c4d-b.png"), points.find("C:\\\\photos\\\\cats\\\\a%201.png")
    (['b.png'], ['cats/a 1.png'])
    """

    def __init__(self, ids: Collection[str]) -> None:
        self._ids = set(ids)
        self._by_end: dict[str, list[str]] = {}  # by the last part of the path
        for item in ids:
            self._by_end.setdefault(_plain(item.rpartition("/")[2]), []).append(item)

    def find(self, name: str) -> list[str]:
        """Return the points that may be meant: one if it is clear, several, or none.

        The name itself comes first, then its longest end as a path; then, of an upload or of a name without a folder,
        the last part, without the prefix of an upload.
        """
        if name in self._ids:
            return [name]
        for path in _paths(name):
            parts = path.split("/")
            known = next((end for place in range(len(parts)) if (end := "/".join(parts[place:])) in self._ids), None)
            if known is not None:
                return [known]
            if len(parts) == 1 or path.startswith(UPLOADS):  # in a folder, it would be another file of this name
                for last in (parts[-1], UPLOADED.sub("", parts[-1])):
                    if _plain(last) in self._by_end:
                        return list(self._by_end[_plain(last)])
        return []


def _paths(name: str) -> list[str]:
    """What a name may stand for as a path: as it is, and without escapes; of an address, its path or its `d`."""
    found = [name]
    if "://" in name or name.startswith("/data/"):
        with contextlib.suppress(ValueError):  # it is no address
            parts = urlsplit(name)
            found = [*parse_qs(parts.query).get("d", []), parts.path]
    both = [text for one in found for text in (one, unquote(one))]
    return list(dict.fromkeys(text.replace("\\", "/") for text in both))


def _plain(name: str) -> str:
    """A name as uploads keep it: in canonical form, with underscores for blanks."""
    return unicodedata.normalize("NFC", name).replace(" ", "_")
