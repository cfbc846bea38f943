"""Texts, a column of a table or a folder of .txt files, as TF-IDF weights reduced to their main components."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gpussl.data import frames, own, table
from gpussl.data.files import files_in, suffix_of
from gpussl.errors import DataError
from gpussl.protocols import Reader, Source
from gpussl.records import Dataset, OnProgress, Reading
from gpussl.runtime.names import expanded
from gpussl.runtime.params import check, param

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

ANALYZERS: dict[str, dict[str, Any]] = {  # of scikit-learn; words may be single signs, so "1 2" has two
    "word": {"analyzer": "word", "token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)},
    "char": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}
MAX_TERMS = 20_000  # of each kind
PART = 5_000  # texts that are read at once
EMPTY = "empty texts"


@dataclass(frozen=True)
class TextReader(Reader):
    """Reads texts with the vocabulary of texts that were seen before.

    Attributes
    ----------
    words, chars : tuple of str
        Words and pairs of words, and pieces of words of two to four characters.
    idf : (v,) float array
        Weights of all these terms, words first.
    components : (k, v) float32 array
        The first right singular vectors of the weights.
    text, id, label : str or None
        Columns of a table; None for a folder of files.
    delimiter, encoding : str or None

    Examples
    --------
    >>> texts = ["a red apple", "a green apple", "one blue sky", "a blue sea"]
    >>> reader = fit(texts, n_components=2, settings={"text": "text"})
    >>> import pandas as pd
    >>> (part,) = reader.read(pd.DataFrame({"text": ["red apple", ""]}))
    >>> part.X.shape, part.counts
    ((2, 2), {'empty texts': 1})
    """

    kind: ClassVar[str] = "texts"

    words: tuple[str, ...]
    chars: tuple[str, ...]
    idf: np.ndarray
    components: np.ndarray
    text: str | None = None
    id: str | None = None
    label: str | None = None
    delimiter: str | None = None
    encoding: str | None = None

    def read(self, source: Any, on_progress: OnProgress | None = None) -> Iterator[Reading]:
        """See `Reader.read`."""
        n = 0
        for part in read_texts(source, self.text, self.id, self.label, self.delimiter, self.encoding):
            yield self.points(part)
            n += len(part.ids)
            if on_progress is not None:
                on_progress(n, n, f"{n:,} texts")

    def records(self, source: Any, ids: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
        """See `Reader.records`: the texts."""
        found: dict[str, list[str]] = {}
        for part in read_texts(source, self.text, self.id, None, self.delimiter, self.encoding):
            found |= {item: [text] for item, text in zip(part.ids, part.texts, strict=True) if item in ids}
        return ["text"], found

    def is_empty(self, X: np.ndarray) -> np.ndarray:
        """See `Reader.is_empty`: texts without a known word."""
        return ~np.any(X, axis=1)

    def points(self, part: "Texts") -> Reading:
        """Return texts as points."""
        X = self._weights(part.texts) @ self.components.T
        n_empty = sum(not text.strip() for text in part.texts)
        counts = {EMPTY: n_empty} if n_empty else {}
        return Reading(part.ids, np.asarray(X, dtype=np.float32), part.skipped, part.labels, counts)

    def _weights(self, texts: Sequence[str]) -> Any:
        """(n, v) sparse, each row of norm 1 or 0."""
        from scipy.sparse import hstack

        split = np.split(self.idf, [len(self.words)])
        parts = []
        for kind, terms, idf in zip(ANALYZERS, (self.words, self.chars), split, strict=True):
            if terms:
                model = _vectorizer(kind, vocabulary={term: place for place, term in enumerate(terms)})
                model.idf_ = idf
                parts.append(model.transform(texts))
        return hstack(parts, format="csr") / np.sqrt(len(parts))

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays and the other values from which `unpack` restores the reader."""
        values = {name: getattr(self, name) for name in ("text", "id", "label", "delimiter", "encoding")}
        return {"idf": self.idf, "components": self.components}, {
            **values,
            "words": list(self.words),
            "chars": list(self.chars),
        }

    @classmethod
    def unpack(cls, arrays: dict[str, Any], values: dict[str, Any]) -> "TextReader":
        """The inverse of `pack`."""
        return cls(**arrays, **{**values, "words": tuple(values["words"]), "chars": tuple(values["chars"])})


@dataclass(frozen=True)
class Texts:
    """Texts as they were read.

    Examples
    --------
    >>> Texts(["1"], ["a text"], [], []).ids
    ['1']
    """

    ids: list[str]
    texts: list[str]
    labels: list[str]
    skipped: list[tuple[str, str]]


@dataclass(frozen=True)
class TextFiles(Source):
    """The texts of a person, in a column of a table or in a folder of .txt files.

    Parameters
    ----------
    path : str
    name : str
    text : str, optional
        The column with the texts.
    id, label : str, optional
        Columns with names and classes, as in a table.
    n_components : int
        Number of features.
    delimiter, encoding : str, optional
    strict : bool
        Whether a file that cannot be read is an error.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, text in (("a.txt", "red apple"), ("b.txt", "green apple"), ("c.txt", "blue sky")):
    ...         _ = Path(folder, name).write_text(text)
    ...     TextFiles(folder).load().train_ids
    ['a.txt', 'b.txt', 'c.txt']
    """

    path: str
    name: str = "texts"
    text: str | None = None
    id: str | None = None
    label: str | None = None
    n_components: int = param(200, ge=1)
    delimiter: str | None = None
    encoding: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check(self)

    def load(self) -> Dataset:
        """Read the texts. DataError if they are missing or all empty, or a named column is not there."""
        path = expanded(self.path)
        columns = {"text": self.text, "id": self.id, "label": self.label}
        if not path.is_dir():
            columns["id"] = table.check_columns(path, columns, self.delimiter, self.encoding)
        parts = list(read_texts(path, columns["text"], columns["id"], columns["label"], self.delimiter, self.encoding))
        texts = [text for part in parts for text in part.texts]
        if not any(text.strip() for text in texts):
            raise DataError(f"{self.path}: expected texts, found {len(texts):,} empty ones")
        reader = fit(texts, self.n_components, {**columns, "delimiter": self.delimiter, "encoding": self.encoding})
        reading = own.joined([reader.points(part) for part in parts])
        notes = [f"{len(reader.words):,} words and pairs of words, {len(reader.chars):,} pieces of words"]
        return own.dataset(self.name, reader, reading, notes, strict=self.strict)


def fit(texts: Sequence[str], n_components: int, settings: dict[str, Any]) -> TextReader:
    """Learn the vocabulary and the components of texts.

    >>> fit(["1 2", "", "the", "2 3"], n_components=2, settings={}).words[:3]
    ('1', '1 2', '2')
    """
    from scipy.sparse import hstack
    from sklearn.decomposition import TruncatedSVD

    min_df = 2 if len(texts) >= 100 else 1
    terms: list[tuple[str, ...]] = []
    idf, weights = [], []
    for kind in ANALYZERS:
        model = _vectorizer(kind, max_features=MAX_TERMS, min_df=min_df)
        try:
            weights.append(model.fit_transform(texts))
        except ValueError:  # no terms of this kind
            terms.append(())
            continue
        terms.append(tuple(map(str, model.get_feature_names_out())))
        idf.append(model.idf_)
    if not weights:
        raise DataError("texts: expected words, found none in any text")
    X = hstack(weights, format="csr") / np.sqrt(len(weights))
    k = min(n_components, X.shape[1] - 1, max(1, len(texts) - 1))
    components = TruncatedSVD(k, random_state=0).fit(X).components_ if k >= 1 else np.ones((1, X.shape[1]))
    words, chars = terms
    return TextReader(words, chars, np.concatenate(idf), np.asarray(components, dtype=np.float32), **settings)


def read_texts(
    source: Any, text: str | None, id_: str | None, label: str | None, delimiter: str | None, encoding: str | None
) -> Iterator[Texts]:
    """Read texts from a column of a table, or from a folder of .txt files, in parts of bounded size.

    >>> import pandas as pd
    >>> (part,) = read_texts(pd.DataFrame({"text": ["hello"]}), "text", None, None, None, None)
    >>> part.texts
    ['hello']
    """
    if not frames.is_frame(source) and Path(source).is_dir():
        yield from _from_files(Path(source), encoding)
        return
    opened, dialect = table.opened(source, delimiter, None, encoding)
    if text is None:
        names = dialect.names if dialect is not None else ()
        raise DataError(
            f"data.text: expected the column of {table.named(source)} with the texts{', one of ' if names else ''}"
            f"{', '.join(names)}, found none; name it with data.text=..."
        )
    n = 0
    for part in frames.read_parts(opened, dialect):
        frames.require(text, part.column_names, "data.text", table.named(source))
        ids = table.ids_of(part, id_, n)
        texts = frames.texts(part.column(text).combine_chunks(), strip=False)
        yield Texts(ids, texts, table.labels_of(part, label), [])
        n += part.num_rows


def _from_files(folder: Path, encoding: str | None) -> Iterator[Texts]:
    files = files_in(folder, lambda name: suffix_of(name) == ".txt")
    for chunk in _chunks(files):
        ids, texts, skipped = [], [], []
        for name in chunk:
            try:
                texts.append((folder / name).read_text(encoding or "utf-8-sig"))
                ids.append(name)
            except (OSError, UnicodeError) as error:
                skipped.append((name, str(error)))
        yield Texts(ids, texts, [], skipped)


def _chunks(items: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, PART)):
        yield chunk


def _vectorizer(kind: str, **settings: Any) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **ANALYZERS[kind], **settings)
