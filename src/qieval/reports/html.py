"""Sections as one self-contained HTML document: no script, no outside address, pictures inside the file."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Iterable
from functools import singledispatch

from qieval.markup import BADGES, escape
from qieval.reports import blocks as b

MOST_ON_ONE_PAGE = 15
"""Tables up to this length are not split between printed pages."""


def document(title: str, subtitle: str, sections: Iterable[b.Section], footer: str) -> str:
    """A whole HTML page.

    >>> question = b.Section("Question", (b.Paragraph("Did it work?"),))
    >>> page = document("A study", "", [question], "made by hand")
    >>> "<h2>Question</h2>" in page and "Did it work?" in page
    True
    """
    held = tuple(sections)
    style = importlib.resources.files("qieval.reports").joinpath("report.css").read_text("utf-8")
    links = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in held)
    body = "\n".join(_section(part) for part in held)
    return f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="qieval">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the report</a>
<header class="page"><div><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></div></header>
<div class="layout">
<nav aria-label="Contents"><h2>Contents</h2><ol>{links}</ol></nav>
<main id="content">
{body}
</main>
</div>
<footer><p>{escape(footer)}</p></footer>
</body>
</html>
"""


def data_uri(png: bytes) -> str:
    """A picture as an address that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _section(section: b.Section) -> str:
    inside = "\n".join(render(block) for block in section.blocks)
    return f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n{inside}\n</section>'


@singledispatch
def render(block: object) -> str:
    """A block as HTML. TypeError for anything that is not a block."""
    raise TypeError(f"{type(block).__name__} is no block of a report")


@render.register
def _(block: b.Paragraph) -> str:
    kind = f' class="{escape(block.kind)}"' if block.kind else ""
    return f"<p{kind}>{escape(block.text)}</p>"


@render.register
def _(block: b.Bullets) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"


@render.register
def _(block: b.Heading) -> str:
    return f"<h3>{escape(block.text)}</h3>"


@render.register
def _(block: b.Grid) -> str:
    """A table in a box of its own that scrolls by mouse, touch or keyboard when it is wider than the page."""
    kinds = [' class="n"' if numeric else "" for numeric in block.numeric]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(block.head, kinds, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in block.rows
    )
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    named = escape(block.caption or f"Table: {', '.join(block.head)}")
    kind = ' class="short"' if len(block.rows) <= MOST_ON_ONE_PAGE else ""
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{named}"><table{kind}>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    if not block.folded:
        return table
    return f"<details><summary>Show the numbers ({len(block.rows):,} lines)</summary>{table}</details>"


@render.register
def _(block: b.Facts) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(held)}</dd>" for name, held in block.rows)
        + "</dl>"
    )


@render.register
def _(block: b.Figure) -> str:
    caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
    image = f'<img alt="{escape(block.alt)}" src="{data_uri(block.png)}">'
    named = escape(block.caption or block.name)
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="Picture: {named}">{image}</div>'
    return f"<figure>{box}{caption}</figure>"


@render.register
def _(block: b.Ledger) -> str:
    return "\n".join(_ledger_row(row) for row in block.rows)


@render.register
def _(block: b.Finding) -> str:
    head = f"<h3>{escape(_start(block.name))}</h3> {_badge(block.verdict)}"
    return f'<div class="finding">{head}<p>{escape(block.text)}</p></div>'


@render.register
def _(block: b.Code) -> str:
    return f"<pre><code>{escape(block.text)}</code></pre>"


def _ledger_row(row: b.LedgerRow) -> str:
    argument = f'<p class="small"><b>Argument:</b> {escape(row.argument)}</p>' if row.argument else ""
    seen = f"<p>{escape(row.seen)}</p>" if row.seen else ""
    return (
        f'<div class="entry {escape(row.verdict)}">'
        f"<h3>{escape(_start(row.assumption))}</h3> {_badge(row.verdict)}"
        f'<p class="small">{escape(row.statement)}</p>{seen}{argument}'
        f'<p class="small">{escape(row.consequence)}</p></div>'
    )


def _badge(verdict: str) -> str:
    return f'<span class="badge {escape(verdict)}">{escape(BADGES[verdict])}</span>'


def _start(name: str) -> str:
    return name[:1].upper() + name[1:]
