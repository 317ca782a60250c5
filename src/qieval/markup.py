"""Small pieces of HTML shared by the notebook displays and the report. Everything is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from qieval.text import Count, number

STYLE = """
.qieval-card {
  font-family: system-ui, 'Segoe UI', Arial, sans-serif; line-height: 1.45; max-width: 60em;
  border: 1px solid #c8d3de; border-left: 4px solid #005eb8; border-radius: 4px;
  padding: .6em .9em; margin: .4em 0; color: #212b32; background: #fff;
}
.qieval-card h4 { margin: .1em 0 .5em; font-size: 1.05em; color: #003087; }
.qieval-card table { border-collapse: collapse; font-size: .92em; margin: .3em 0; }
.qieval-card th, .qieval-card td {
  padding: .25em .7em .25em 0; text-align: left !important; vertical-align: top;
  border-bottom: 1px solid #e3e8ee;
}
.qieval-card th { color: #425563; font-weight: 600; }
.qieval-card td.n { text-align: right !important; font-variant-numeric: tabular-nums; white-space: nowrap; }
.qieval-badge {
  display: inline-block; padding: .05em .5em; border-radius: .8em; font-size: .85em;
  white-space: nowrap; border: 1px solid;
}
.qieval-badge.supports { color: #00524a; border-color: #00a499; background: #e3f4f2; }
.qieval-badge.concern { color: #8a3b00; border-color: #d55e00; background: #fdeee2; }
.qieval-badge.information { color: #003087; border-color: #41b6e6; background: #e8f4fb; }
.qieval-badge.untestable { color: #425563; border-color: #768692; background: #f0f2f4; border-style: dashed; }
.qieval-note { color: #425563; font-size: .92em; }
.qieval-headline { font-size: 1.08em; }
"""

BADGES = {
    "supports": "✓ supports",
    "concern": "▲ concern",
    "information": "i information",
    "untestable": "? untestable",
}
"""A sign and a word for each verdict, so that colour never carries the meaning alone."""


def escape(text: object) -> str:
    """Text made safe for HTML."""
    return html.escape(str(text))


def badge(verdict: str) -> str:
    """The verdict as a coloured word with a sign.

    >>> badge("concern")
    '<span class="qieval-badge concern">▲ concern</span>'
    """
    return f'<span class="qieval-badge {escape(verdict)}">{BADGES[verdict]}</span>'


def card(title: str, body: str) -> str:
    """A framed block with its own style, as shown in a notebook. `body` is HTML that was escaped by its
    maker."""
    return f"<style>{STYLE}</style><div class='qieval-card'><h4>{escape(title)}</h4>{body}</div>"


def words(held: object) -> str:
    """A value as plain words: mappings and sequences are spelled out."""
    if isinstance(held, Mapping):
        return "; ".join(f"{key}: {words(item)}" for key, item in held.items())
    if isinstance(held, (list, tuple)):
        return ", ".join(words(item) for item in held)
    if isinstance(held, bool) or not isinstance(held, float):
        return f"{held:,}" if isinstance(held, Count) else str(held)
    return number(held, 4)


def rows_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table from rows of plain values."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(_cell(item) for item in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def frame_table(frame: pd.DataFrame, most: int = 40) -> str:
    """A frame as a table; its column names lose their underscores. Longer frames are cut and say so."""
    head = [str(name).replace("_", " ") for name in frame.columns]
    shown = rows_table(head, frame.head(most).itertuples(index=False, name=None))
    if len(frame) <= most:
        return shown
    return shown + f"<p class='qieval-note'>The first {most} of {len(frame):,} rows.</p>"


def paragraph(text: object, kind: str = "") -> str:
    """A paragraph of escaped text."""
    return f"<p class='{escape(kind)}'>{escape(text)}</p>" if kind else f"<p>{escape(text)}</p>"


def bullets(items: Iterable[object]) -> str:
    """A list of escaped texts; empty when there are none."""
    inside = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{inside}</ul>" if inside else ""


def _cell(item: object) -> str:
    if item is None or item is pd.NaT or (isinstance(item, float) and item != item):
        return "<td></td>"
    if isinstance(item, pd.Timestamp) and item == item.normalize():
        return f"<td>{item.date().isoformat()}</td>"
    numeric = isinstance(item, (int, float)) and not isinstance(item, bool)
    shown = f"{item:,}" if isinstance(item, int) and not isinstance(item, bool) else words(item)
    return f'<td class="n">{shown}</td>' if numeric else f"<td>{escape(shown)}</td>"
