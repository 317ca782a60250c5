"""Pictures of a regression discontinuity: the outcome and the uptake around the cutoff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.discontinuous.ways import Fitted, Way
from qieval.numerics.binned import BinChoices, binned
from qieval.plots import theme
from qieval.plots.cutoff_around import TREATED, Around, around_of, axis, by_side, position, scales
from qieval.result import Result
from qieval.text import number

if TYPE_CHECKING:
    from plotnine import ggplot

MOST_DOTS = 60
"""Different scores on a side up to which each of them is a dot."""
MOST_BINS = 24
"""Groups of scores on a side, so that dots stay readable where outcomes vary much."""


def outcome_around_the_cutoff(result: Result) -> ggplot:
    """Means of the outcome by score with the fitted lines; the gap between them is the conventional jump."""
    design: Any = result.design
    held: Fitted = result.kernel
    words = "rate" if held.made.kind == "rate" else ""
    return _picture(
        result,
        held.made.y,
        0,
        {
            "title": f"{_capital(design.outcome)} around the cutoff",
            "subtitle": theme.wrap(_effect_words(design, held.way), 100),
            "y": theme.axis_title(design.measured_in or f"{design.outcome} {words}".strip()),
        },
    )


def who_received_it_around_the_cutoff(result: Result) -> ggplot:
    """The share who received it by score; without that column the rule itself."""
    design: Any = result.design
    held: Fitted = result.kernel
    if held.made.received is not None:
        strength = number(held.fit.first_stage_f)
        labels = {
            "title": f"Who received it around the cutoff ({design.received.replace('_', ' ')})",
            "subtitle": f"Effective F of the jump: {strength}"
            + (" (below 10 the usual interval misleads)" if held.fit.first_stage_f < 10 else ""),
            "y": theme.axis_title(design.received),
        }
        return _picture(result, held.made.received, 1, labels)
    labels = {
        "title": "Who receives it by the rule",
        "subtitle": "The data do not say who really received it, so this is the rule and not what happened.",
        "y": "share who receive it",
    }
    return _picture(result, held.made.treated.astype(float), None, labels)


def _effect_words(design: Any, way: Way) -> str:
    return (
        f"Effect {number(way.estimate)} ({design.level:.0%} interval {number(way.low)} to"
        f" {number(way.high)}; {way.words})"
    )


def _picture(result: Result, y: np.ndarray, which: int | None, labels: dict[str, str]) -> ggplot:
    """Dots and, where there is a fit, lines within the bandwidth; which: 0 outcome, 1 uptake."""
    from plotnine import aes, geom_line, geom_point, geom_vline, ggplot, labs

    held: Fitted = result.kernel
    design: Any = result.design
    around = around_of(result)
    dots = _dots(around, y)
    if which is None:
        lines, dots = _rule(around), dots.iloc[:0]
    else:
        lines = _lines(around, held, which)
    size = 2.2 if len(dots) <= 60 else 1.5
    return (
        ggplot(dots, aes("score", "value", color="side", shape="side"))
        + _bandwidth(around, held)
        + geom_vline(xintercept=position(around.at(0.0)), color=theme.INK, size=0.7)
        + geom_point(size=size, alpha=0.55)
        + geom_line(lines, aes(linetype="side"), size=1.3)
        + _jump(around, held, None if design.derivative else which)
        + scales()
        + axis(around)
        + theme.house_theme()
        + labs(
            **labels,
            x=around.name,
            caption=theme.wrap(_caption(around, held, which)),
        )
    )


def _caption(around: Around, held: Fitted, which: int | None) -> str:
    line = f"Vertical line: the cutoff ({around.made.cutoff})."
    if which is None:
        return f"{line} Shaded: the bandwidth."
    each = f", at least {around.fewest} rows each" if around.fewest > 1 else ""
    text = f"Dots: means of neighbouring scores{each}. {line}"
    text += " Shaded: the bandwidth, within which the lines are fitted."
    if around.made.data.x.shape[1]:
        text += " Lines are those of people with the average covariates near the cutoff; dots are as seen."
    if which == 0 and held.fit.uptake is not None:
        text += " The gap is that of everybody; the effect in those whom the rule moved is larger."
    elif which == 0 and held.way.kind == "robust":
        text += " The estimate also takes the bias of the lines off, so it is not exactly the gap."
    return text


def _bandwidth(around: Around, held: Fitted) -> Any:
    from plotnine import annotate

    ends = sorted((around.at(-float(held.fit.h[0])), around.at(float(held.fit.h[1]))))
    return annotate(
        "rect",
        xmin=position(ends[0]),
        xmax=position(ends[1]),
        ymin=-np.inf,
        ymax=np.inf,
        fill=theme.GREY,
        alpha=0.12,
    )


def _jump(around: Around, held: Fitted, which: int | None) -> list[Any]:
    """A bar between the ends of the two lines at the cutoff; none where the slope is what changes."""
    from plotnine import annotate

    if which is None or held.fit.sides.polynomials.shape[0] <= which:
        return []
    ends = np.sort(held.fit.sides.polynomials[which, :, 0])
    at = position(around.at(0.0))
    return [
        annotate("segment", x=at, xend=at, y=float(ends[0]), yend=float(ends[1]), color=theme.INK, size=2.0)
    ]


def _lines(around: Around, held: Fitted, which: int) -> pd.DataFrame:
    """The fitted polynomials within the bandwidth."""
    parts = []
    for side, width in enumerate(held.fit.h):
        s = np.linspace(0, width, 50) * (1 if side else -1)
        value = np.polynomial.polynomial.polyval(s, held.fit.sides.polynomials[which, side])
        word = around.side(np.full(50, 1.0 if side else -1.0))
        parts.append(pd.DataFrame({"score": around.at(s), "value": value, "side": word}))
    return by_side(pd.concat(parts, ignore_index=True))


def _rule(around: Around) -> pd.DataFrame:
    """Everybody on the treated side and nobody on the other."""
    s = around.made.s[around.near]
    ends = np.array([s.min(), 0.0, 0.0, s.max()])
    side = around.side(np.array([-1.0, -1.0, 1.0, 1.0]))
    return by_side(pd.DataFrame({"score": around.at(ends), "value": 1.0 * (side == TREATED), "side": side}))


def _dots(around: Around, y: np.ndarray) -> pd.DataFrame:
    """Means by groups of neighbouring scores on each side, at least ten rows in each."""
    made = around.made
    rows = around.near & made.kept
    s, values = made.s[rows], y[rows]
    weights = np.ones(len(s)) if made.weights is None else made.weights[rows]
    edges = _edges(s, values)
    parts = []
    for right in (False, True):
        code = _joined(s, right, (edges[int(right)], around.fewest))
        kept = code >= 0
        total = np.bincount(code[kept], weights[kept])
        mean, at = (np.bincount(code[kept], (weights * held)[kept]) / total for held in (values, s))
        many = np.bincount(code[kept])
        shown = many >= around.fewest
        where = around.side(np.full(int(shown.sum()), 1.0 if right else -1.0))
        parts.append(pd.DataFrame({"score": around.at(at[shown]), "value": mean[shown], "side": where}))
    return by_side(pd.concat(parts, ignore_index=True))


def _edges(s: np.ndarray, values: np.ndarray) -> tuple[int, int]:
    """How many bins each side gets: as many as mimic the spread of the data (Calonico et al. 2015)."""
    try:
        return binned(s, values, 0.0, BinChoices(choice="esmv", p=4)).count
    except ValueError:
        return 10, 10


def _joined(s: np.ndarray, right: bool, wanted: tuple[int, int]) -> np.ndarray:
    """The group of each row on one side (-1: the other side), counted outwards.

    wanted: how many bins, and how many rows each needs at least; neighbours are joined until they have them.
    """
    most, fewest = wanted
    on = (s >= 0) == right
    distance = np.abs(s[on])
    values = np.unique(distance)
    if len(values) <= MOST_DOTS:
        cells = np.searchsorted(values, distance)
    else:
        bins = min(most, MOST_BINS)
        cells = np.minimum((distance / (distance.max() / bins)).astype(int), bins - 1)
    many = np.bincount(cells)
    group, held, place = np.zeros(len(many), dtype=int), 0, 0
    for cell, n in enumerate(many):
        group[cell] = place
        held += n
        if held >= fewest:
            place, held = place + 1, 0
    if held and place:
        group[group == place] = place - 1
    code = np.full(len(s), -1)
    code[on] = group[cells]
    return code


def _capital(words: str) -> str:
    plain = words.replace("_", " ")
    return plain[:1].upper() + plain[1:]
