"""How the guided notebooks look: one style sheet, boxes for messages, pictures inside the page."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import qieval as qe

DPI = 110
MARKS = {"done": "✓ done", "open": "● open", "waiting": "… waiting"}
"""A sign and a word for each state of a step, so that colour never carries the meaning alone."""

BAND = "Improvement chart: something changed, or not; it does not say why"

STYLE = (Path(__file__).parent / "look.css").read_text(encoding="utf-8")


def text(body: str = "") -> Any:
    """A widget that shows HTML in our style. `body` was escaped by whoever made it."""
    from ipywidgets import HTML

    made = HTML(body)
    made.add_class("qi-text")
    return made


def link() -> Any:
    """An empty place for a link to a file beside the notebook; an Output resolves it as JupyterLab does."""
    from ipywidgets import Output

    return Output()


def show_link(place: Any, path: str = "", words: str = "") -> None:
    """Put a link into its place; without a path, take it away."""
    shown = f"<a href='{qe.markup.escape(path)}' target='_blank'>{qe.markup.escape(words)}</a>"
    data = {"text/html": shown, "text/plain": path}
    place.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},) if path else ()


def head(number: int, title: str, state: str) -> str:
    """The bar on top of a step."""
    said = qe.markup.escape(title)
    return (
        f"<div class='qi-head' role='heading' aria-level='3'><span class='qi-number'>{number}</span>"
        f"<span>{said}</span><span class='qi-state'>{MARKS[state]}</span></div>"
    )


def band() -> str:
    """What every step of an improvement chart says of itself."""
    return f"<div class='qi-band'>{qe.markup.escape(BAND)}</div>"


def note(said: str) -> str:
    """A remark in small print."""
    return f"<p class='qi-note'>{qe.markup.escape(said)}</p>"


def good(said: str) -> str:
    """A box that says that something is in order."""
    return f"<div class='qi-good' role='status'>{qe.markup.escape(said)}</div>"


def problems(said: Iterable[str]) -> str:
    """A box with problems, each in its own line; empty when there are none."""
    items = [qe.markup.escape(item) for item in said]
    if not items:
        return ""
    inside = items[0] if len(items) == 1 else "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
    return f"<div class='qi-error' role='alert'>{inside}</div>"


def code(source: str) -> str:
    """Python as a block that can be copied."""
    return f"<pre class='qi-code' tabindex='0' aria-label='Python code'>{qe.markup.escape(source)}</pre>"


def folded(summary: str, body: str) -> str:
    """A line that opens on a click or with Enter. Both parts are HTML that was escaped by its maker."""
    return f"<details><summary>{summary}</summary><div class='qi-in'>{body}</div></details>"


def picture(plot: Any, alt: str) -> str:
    """A plotnine plot as an image inside the page, with words for those who cannot see it."""
    held = io.BytesIO()
    plot.save(held, format="png", dpi=DPI, verbose=False)
    packed = base64.b64encode(held.getvalue()).decode("ascii")
    return f"<img alt='{qe.markup.escape(alt)}' src='data:image/png;base64,{packed}'>"


def styled(body: str) -> str:
    """HTML with our style sheet, for outputs without widgets."""
    return f"<style>{STYLE}{qe.markup.STYLE}</style><div class='qi-text'>{body}</div>"
