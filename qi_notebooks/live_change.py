"""The change of the same people beside the change that was to be expected with nothing done."""

import math
from typing import Any

import qieval as qe
from qi_notebooks import look
from qi_notebooks.drawing import filled, title

CHANGE = "change"
EXPECTED = {
    "expected from regression to the mean": "expected with nothing done: regression to the mean",
    "expected secular trend": "expected with nothing done: secular trend",
}
UNKNOWN = (
    "How much of the change was to be expected with nothing done is not known: say in step 2 whether people "
    "were picked because of a high or a low value."
)
ROUTES = (
    (
        "difference_in_differences.ipynb",
        "Stronger: find people who did not get it (difference-in-differences)",
    ),
    (
        "interrupted_time_series.ipynb",
        "Stronger: follow the outcome month by month (interrupted time series)",
    ),
)
"""Where a before-and-after study leads to: the notebook and the words of its link."""


def expected(result: qe.Result) -> str:
    """Bars of the change that was seen and of what was to be expected, as far as it is known."""
    table = filled(result.estimates).set_index("term")["estimate"]
    held = {"change that was seen": float(table[CHANGE])}
    held |= {words: float(table[term]) for term, words in EXPECTED.items() if term in table}
    most = max(abs(value) for value in held.values() if math.isfinite(value)) or 1.0
    rows = "".join(_bar(words, value, most, words not in EXPECTED.values()) for words, value in held.items())
    note = look.note(UNKNOWN) if len(held) == 1 else ""
    said = title("The change, and what was to be expected without the intervention")
    return f"{said}<table class='qi-bars'><tbody>{rows}</tbody></table>{note}"


def routes() -> str:
    """The stronger designs as links, for pages without widgets."""
    return "".join(
        f"<p><a href='{path}' target='_blank'>{qe.markup.escape(words)}</a></p>" for path, words in ROUTES
    )


def _bar(words: str, value: float, most: float, seen: bool) -> str:
    kind = "" if seen else " class='qi-negative'"
    bar = f"<i{kind} style='width:{100 * abs(value) / most:.1f}%'></i>"
    shown: Any = qe.markup.words(value)
    return f"<tr><th scope='row'>{words}</th><td class='qi-bar'>{bar}</td><td>{shown}</td></tr>"
