"""Sections as Markdown with GitHub tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from qieval.markup import BADGES
from qieval.reports import blocks as b

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")


def document(
    title: str, subtitle: str, sections: Iterable[b.Section], footer: str, address: Callable[[b.Figure], str]
) -> str:
    """All sections as Markdown. `address` says where a picture is: a file beside the text, or a data URI.

    >>> question = b.Section("Question", (b.Paragraph("Did it work?"),))
    >>> print(document("A study", "", [question], "by hand", str))
    # A study
    <BLANKLINE>
    ## Question
    <BLANKLINE>
    Did it work?
    <BLANKLINE>
    ---
    <BLANKLINE>
    by hand
    <BLANKLINE>
    """
    parts = [f"# {escape(title)}"] + ([escape(subtitle)] if subtitle else [])
    for section in sections:
        parts.append(f"## {escape(section.title)}")
        parts += [render(block, address) for block in section.blocks]
    return "\n\n".join([*parts, "---", escape(footer)]) + "\n"


def escape(text: str) -> str:
    """Text in which nothing acts as Markdown or HTML.

    >>> print(escape("bed_days < 3 | *"))
    bed\\_days \\< 3 \\| \\*
    """
    return SPECIAL.sub(r"\\\1", text.replace("\n", " "))


def render(block: b.Block, address: Callable[[b.Figure], str]) -> str:
    """A block as Markdown. TypeError for anything that is not a block."""
    match block:
        case b.Paragraph(text, kind):
            return f"**{escape(text)}**" if kind == "lead" else escape(text)
        case b.Bullets(items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case b.Heading(text):
            return f"### {escape(text)}"
        case b.Grid():
            return _grid(block)
        case b.Facts(rows):
            return _table(("", ""), rows, (False, False))
        case b.Figure():
            alt = re.sub(r"[\[\]\n]", " ", block.alt)
            return f"![{alt}]({address(block)})\n\n*{escape(block.caption)}*"
        case b.Ledger(rows):
            return "\n\n".join(_ledger_row(row) for row in rows)
        case b.Finding(verdict, name, text):
            return f"### {escape(name[:1].upper() + name[1:])} ({BADGES[verdict]})\n\n{escape(text)}"
        case b.Code(text):
            return f"```python\n{text}\n```"
    raise TypeError(f"{type(block).__name__} is no block of a report")


def _grid(block: b.Grid) -> str:
    table = _table(block.head, block.rows, block.numeric)
    return f"{table}\n\n{escape(block.caption)}" if block.caption else table


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], numeric: tuple[bool, ...]) -> str:
    lines = [head, tuple("---:" if right else "---" for right in numeric)]
    text = [f"| {' | '.join(escape(cell) for cell in lines[0])} |", f"| {' | '.join(lines[1])} |"]
    return "\n".join(text + [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows])


def _ledger_row(row: b.LedgerRow) -> str:
    parts = [f"### {escape(row.assumption[:1].upper() + row.assumption[1:])} ({BADGES[row.verdict]})"]
    parts += [escape(row.statement)] + ([escape(row.seen)] if row.seen else [])
    parts += [f"Argument: {escape(row.argument)}"] if row.argument else []
    return "\n\n".join([*parts, escape(row.consequence)])
