"""Which point another program means: its files have names with prefixes, escapes and other slashes."""

import re
import unicodedata
from collections.abc import Collection
from urllib.parse import parse_qs, unquote, urlsplit

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

        The name itself comes first, then its end as a path, then the last part without the prefix of an upload.
        """
        if name in self._ids:
            return [name]
        for path in _paths(name):
            if path in self._ids:
                return [path]
            parts = path.split("/")
            ends = ["/".join(parts[place:]) for place in range(1, len(parts))]
            known = next((end for end in ends if end in self._ids), None)
            if known is not None and "/" in known:
                return [known]
            for last in (parts[-1], UPLOADED.sub("", parts[-1])):
                found = self._by_end.get(_plain(last), [])
                longest = [item for item in found if _ends_alike(item, path)]
                if found:
                    return longest if len(longest) == 1 else list(found)
        return []


def _paths(name: str) -> list[str]:
    """What a name may stand for as a path: as it is, and without escapes; of an address, its path or its `d`."""
    parts = urlsplit(name) if "://" in name or name.startswith("/data/") else None
    found = [name]
    if parts is not None:
        found = [*parse_qs(parts.query).get("d", []), parts.path]
    both = [text for one in found for text in (one, unquote(one))]
    return list(dict.fromkeys(text.replace("\\", "/") for text in both))


def _plain(name: str) -> str:
    """A name as uploads keep it: in canonical form, with underscores for blanks."""
    return unicodedata.normalize("NFC", name).replace(" ", "_")


def _ends_alike(item: str, path: str) -> bool:
    """Whether the folder of a point is that of a path."""
    folder = item.rpartition("/")[0]
    return bool(folder) and f"/{path}".rpartition("/")[0].endswith(f"/{folder}")
