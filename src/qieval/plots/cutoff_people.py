"""How many people have each score around a cutoff, with the density just beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.numerics.density_jump import density_jump
from qieval.plots import theme
from qieval.plots.cutoff_around import (
    COLOURS,
    FEWEST,
    OTHER,
    TREATED,
    Around,
    around_of,
    axis,
    by_side,
    position,
    scales,
)
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

BARS = 20
"""Bars on each side, about."""


def people_around_the_cutoff(result: Result) -> ggplot:
    """How many people have each score, with the estimated density on both sides of the cutoff."""
    from plotnine import (
        aes,
        geom_col,
        geom_linerange,
        geom_point,
        geom_vline,
        ggplot,
        labs,
        scale_fill_manual,
    )

    around = around_of(result)
    design: Any = result.design
    bars, width, hidden = _bars(around, design.units_are == "people")
    edges = _density_at_the_cutoff(around, width)
    who = "people" if design.units_are == "people" else "organisations"
    said = f" Bars of fewer than {FEWEST} {who} are left out ({hidden})." if hidden else ""
    order = [TREATED, OTHER]
    return (
        ggplot(bars, aes("score", "people"))
        + geom_col(aes(fill="side"), width=0.92 * width, alpha=0.55)
        + geom_vline(xintercept=position(around.at(0.0)), color=theme.INK, size=0.7)
        + geom_linerange(edges, aes(ymin="low", ymax="high"), color=theme.INK, size=0.9)
        + geom_point(edges, aes(shape="side"), color=theme.INK, size=3.2)
        + scales()[1]
        + scale_fill_manual(values=[COLOURS[each] for each in order], breaks=order)
        + axis(around)
        + theme.house_theme()
        + labs(
            title=f"{who.capitalize()} around the cutoff",
            x=around.name,
            y=f"{who} in a bar",
            caption=theme.wrap(
                "Bars begin at the cutoff and hold equally many possible scores. Marks with lines: what the"
                f" density just beside the cutoff leads to expect in a bar, with its interval.{said}"
            ),
        )
    )


def _bars(around: Around, people: bool) -> tuple[pd.DataFrame, float, int]:
    """Counts by bars that start at the cutoff: the table, the width of a bar, and how many are left out."""
    s = around.made.s[around.near]
    width = _width(s)
    cell = np.floor(s / width + 1e-9).astype(int)
    cells, many = np.unique(cell, return_counts=True)
    middle = (cells + 0.5) * width
    shown = many >= FEWEST if people and (many >= FEWEST).any() else np.ones(len(many), dtype=bool)
    table = pd.DataFrame(
        {"score": around.at(middle[shown]), "people": many[shown], "side": around.side(middle[shown])}
    )
    return by_side(table), width, int((~shown).sum())


def _width(s: np.ndarray) -> float:
    """The width of a bar: about twenty on each side; whole steps where scores lie on a grid."""
    wanted = float(np.ptp(s)) / (2 * BARS)
    gaps = np.diff(np.unique(s))
    step = float(gaps.min()) if len(gaps) else 1.0
    regular = len(gaps) > 0 and np.allclose(gaps / step, np.round(gaps / step), atol=1e-6)
    many_share = 1 - (len(gaps) + 1) / len(s)
    if regular and many_share > 0:
        return step * max(1, round(wanted / step))
    return wanted


def _density_at_the_cutoff(around: Around, width: float) -> pd.DataFrame:
    """People that the density just beside the cutoff leads to expect in a bar, with 95% intervals."""
    made = around.made
    try:
        found = density_jump(made.s)
    except ValueError:
        return by_side(pd.DataFrame({name: [] for name in ("score", "people", "low", "high", "side")}))
    size = len(made.s) * width
    at = np.array([-0.5, 0.5]) * width
    height = np.array([found.left, found.right])
    reach = 1.96 * found.standard_errors[:2]
    table = pd.DataFrame(
        {
            "score": around.at(at),
            "people": size * height,
            "low": size * np.maximum(height - reach, 0),
            "high": size * (height + reach),
            "side": around.side(at),
        }
    )
    return by_side(table)
