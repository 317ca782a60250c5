"""Estimates under altered designs, side by side (specification curve), with balance where it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval.errors import EstimationError
from qieval.plots import theme
from qieval.result import headlines

if TYPE_CHECKING:
    from plotnine import ggplot

ALTERED = (["as designed", "altered"], [theme.ORANGE, theme.BLUE], ["D", "o"])
BALANCE = (
    ["within 0.1", "0.1 to 0.25", "above 0.25", "not known"],
    [theme.BLUE, theme.ORANGE, theme.INK, theme.GREY],
    ["o", "^", "X", "s"],
)
"""Labels, colours and shapes: of designs, and of the largest standardised difference that is left."""

TITLES = {True: "Estimates side by side, with their balance", False: "Estimates under altered designs"}
CHARTS = "Centre lines under altered designs"
BALANCE_TITLE = "largest standardised difference"
AS_DESIGNED = "as designed"
LONGEST_LINE = 44
"""Letters of a label on one line, so that the picture keeps most of the width."""


def variation(table: pd.DataFrame, title: str = "") -> ggplot:
    """Dots with intervals, the design as stated first; rows without an estimate are named in the caption.

    Of several terms the first of each design is drawn, since others are on other scales. Where the table has
    a column `largest_difference`, colours and shapes show how well each row balances. EstimationError when no
    row has an estimate.
    """
    from plotnine import (
        aes,
        coord_flip,
        element_text,
        geom_hline,
        geom_linerange,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )
    from plotnine import theme as plot_theme

    if "term" in table and table["term"].nunique() > 1:
        table = headlines(table)
    missing = table[table["estimate"].isna()] if "estimate" in table else table
    shown = table.drop(missing.index)
    if shown.empty:
        raise EstimationError(
            "estimate: there is no estimate to draw. Name an outcome, or read in the notes why every design"
            " failed."
        )
    lines_of_charts = "term" in shown and shown["term"].astype(str).str.startswith("centre line").all()
    shown = shown.assign(label=[theme.wrap(str(label), LONGEST_LINE) for label in shown["label"]])
    order = list(dict.fromkeys(shown["label"]))[::-1]
    lines = sum(label.count("\n") + 1 for label in order)
    (breaks, colours, shapes), which = _groups(shown, order[-1])
    shown = shown.assign(label=pd.Categorical(shown["label"], categories=order), which=which)
    style: dict[str, Any] = {"breaks": breaks, "name": BALANCE_TITLE if breaks is BALANCE[0] else ""}
    said = "" if missing.empty else f"No estimate: {'; '.join(missing['label'])}."
    return (
        ggplot(shown, aes("label", "estimate", color="which", shape="which"))
        + ([] if lines_of_charts else [geom_hline(yintercept=no_effect(shown), color=theme.INK, size=0.5)])
        + _as_designed(shown)
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), size=0.9)
        + geom_point(size=2.8)
        + scale_color_manual(values=dict(zip(breaks, colours, strict=True)), **style)
        + scale_shape_manual(values=dict(zip(breaks, shapes, strict=True)), **style)
        + coord_flip()
        + theme.house_theme(height=max(2.6, 1.4 + 0.34 * len(order) + 0.14 * (lines - len(order))))
        + (plot_theme(legend_title=element_text(size=9)) if breaks is BALANCE[0] else plot_theme())
        + labs(
            title=title or (CHARTS if lines_of_charts else TITLES["largest_difference" in shown]),
            x="",
            y="centre line" if lines_of_charts else "estimate with interval",
            caption=theme.wrap(said),
        )
    )


def no_effect(shown: pd.DataFrame) -> float:
    """The value that means no effect: 1 for ratios, else 0."""
    terms = shown["term"].astype(str) if "term" in shown else pd.Series(dtype=str)
    return 1.0 if len(terms) and terms.str.endswith("ratio").all() else 0.0


def _groups(shown: pd.DataFrame, first: str) -> tuple[tuple[list[str], list[str], list[str]], list[str]]:
    """The legend, and the group of each row: by balance where it is known, else as designed or altered."""
    if "largest_difference" not in shown:
        return ALTERED, [ALTERED[0][label != first] for label in shown["label"]]
    cut = pd.cut(
        shown["largest_difference"].astype(float), [-1, 0.1, 0.25, float("inf")], labels=BALANCE[0][:3]
    )
    return BALANCE, cut.astype(object).where(cut.notna(), BALANCE[0][3]).tolist()


def _as_designed(shown: pd.DataFrame) -> list[Any]:
    """A dotted line through the estimate of the design as stated, where rows are told apart by balance."""
    from plotnine import geom_hline

    stated = shown.loc[shown["label"] == AS_DESIGNED, "estimate"]
    if "largest_difference" not in shown or stated.empty:
        return []
    return [geom_hline(yintercept=float(stated.iloc[0]), color=theme.GREY, linetype="dotted", size=0.6)]
