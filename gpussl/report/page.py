"""The report page: one HTML file for a run or a sweep, with its figures in a folder beside it."""

import html
from collections.abc import Sequence

from gpussl.report.parts import Part, Picture, Table, Words

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #1f6f8b } td { border-bottom: 1px solid #ddd }
.left { text-align: left } img { max-width: 100% } footer { color: #666 }
"""


def render(title: str, parts: Sequence[Part], footer: str) -> str:
    """Return the page of a run as HTML.

    Examples
    --------
    >>> page = render("mine", [Words("1 < 2")], footer="made today")
    >>> "<p>1 &lt; 2</p>" in page
    True
    """
    body = [shown for part in parts if (shown := _part(part, title))]
    body.append(f"<footer><p>{html.escape(footer)}</p></footer>")
    return _page(title, "\n".join(body))


def _part(part: Part, title: str) -> str:
    """A part as HTML; empty for files. A table that is called as the page needs no heading of its own."""
    if isinstance(part, Words):
        text = html.escape(part.text)
        return f"<p><strong>{text}</strong></p>" if part.is_answer else f"<p>{text}</p>"
    if isinstance(part, Table) and part.on_page:
        heading = f"<h2>{html.escape(part.title)}</h2>\n" if part.title != title else ""
        shown = heading + _table(part.header, part.rows, part.n_left)
        return shown + (f"\n<p>{html.escape(part.caption)}</p>" if part.caption else "")
    if isinstance(part, Picture):
        text = html.escape(part.title)
        return f'<h2>{text}</h2>\n<img src="figures/{html.escape(part.name)}.png" alt="{text}">'
    return ""


def render_sweep(
    name: str,
    words: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    status: Sequence[tuple[str, str]],
    *,
    has_curve: bool,
) -> str:
    """Return the page of a sweep: words, table, curve, and a link to each job with its status.

    Examples
    --------
    >>> page = render_sweep("mine", "Means of 5 seeds.", ["x", "y"], [["1", "2"]], [("0", "finished")], has_curve=False)
    >>> '<a href="0/report.html">0</a>: finished' in page
    True
    """
    curve = '<img src="figures/curve.png" alt="Test accuracy over the sweep">' if has_curve else ""
    links = [
        f'<li><a href="{html.escape(job)}/report.html">{html.escape(job)}</a>: {html.escape(state)}</li>'
        for job, state in status
    ]
    body = f"""<p>{html.escape(words)}</p>
{_table(header, rows)}
{curve}
<h2>Jobs</h2>
<ul>
{chr(10).join(links)}
</ul>"""
    return _page(f"{name}: sweep", body)


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head>
<body>
<h1>{html.escape(title)}</h1>
{body}
</body>
</html>
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 2) -> str:
    """A table whose first `n_left` columns are aligned to the left."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        sides = [' class="left"' if column < n_left else "" for column in range(len(texts))]
        return "".join(f"<{tag}{side}>{html.escape(text)}</{tag}>" for side, text in zip(sides, texts, strict=True))

    lines = [cells("th", header), *(cells("td", row) for row in rows)]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
