"""The report of a run, for people and programs, made of the parts that its task returns."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table as RichTable

from gpussl.report import page
from gpussl.report.parts import File, Part, Picture, Table, Words
from gpussl.runtime import console, store

PAGE = "report.html"


def write_files(folder: Path, parts: Sequence[Part]) -> None:
    """Write the files for programs.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_files(Path(folder), [Words("not a file"), File("answer.json", "42")])
    ...     [(path.name, path.read_text()) for path in Path(folder).iterdir()]
    [('answer.json', '42')]
    """
    for part in parts:
        if isinstance(part, File):
            store.write_text(folder / part.name, part.text)


def write_page(folder: Path, title: str, parts: Sequence[Part], footer: str) -> None:
    """Draw the figures and write the page. A figure that cannot be drawn is reported and left out.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(Path(folder), "mine", [Words("All is well.")], footer="seed 0")
    ...     "<p>All is well.</p>" in (Path(folder) / PAGE).read_text()
    True
    """
    shown = [part for part in parts if not isinstance(part, Picture) or _draw(folder, part)]
    figures = {part.name: _figure(folder, part).read_bytes() for part in shown if isinstance(part, Picture)}
    store.write_text(folder / PAGE, page.render(title, shown, footer, figures))


def show(parts: Sequence[Part]) -> None:
    """Print the tables, and then the answers.

    Examples
    --------
    >>> show([Words("Buy 500 more labels.", is_answer=True), Words("Only the page shows this.")])
    Buy 500 more labels.
    """
    for part in parts:
        if isinstance(part, Table):
            console.stdout.print(_rich(part))
    for part in parts:
        if isinstance(part, Words) and part.is_answer:
            console.stdout.print(part.text, soft_wrap=True)


def _figure(folder: Path, picture: Picture) -> Path:
    return folder / "figures" / f"{picture.name}.png"


def _draw(folder: Path, picture: Picture) -> bool:
    path = _figure(folder, picture)
    try:
        from gpussl.report import figures  # late: matplotlib takes a second, and may be set up wrongly

        figures.save(picture.draw(figures), path)
    except Exception as error:  # whatever matplotlib raises: a missing figure must not cost the run its results
        console.say(
            f"report: expected to draw {picture.name}, found: {type(error).__name__}: {error}; going on without it"
        )
        return False
    return True


def _rich(table: Table) -> RichTable:
    """The table for the terminal."""
    shown = RichTable(title=table.title, caption=table.caption)
    for index, column in enumerate(table.header):
        shown.add_column(column, justify="left" if index < table.n_left else "right")
    for row in table.rows:
        shown.add_row(*row)
    return shown
