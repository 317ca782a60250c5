"""Overlap of the arms along a score: treated upwards, comparison downwards; and the preference score."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

STAGES = {"before": "weight_before", "after": "weight_after"}


def mirror(table: pd.DataFrame, score: str = "propensity score") -> ggplot:
    """Mirrored histogram of a score: columns bin (middle), group, weight_before and, if there, weight_after.

    group is 'treated' (drawn upwards) or 'comparison' (downwards). Bars are shares of the arm's weight, so
    that arms of different size can be compared. Counts per bin only, no rows of people.
    """
    from plotnine import (
        aes,
        facet_wrap,
        geom_col,
        geom_hline,
        ggplot,
        labs,
        scale_fill_manual,
        scale_y_continuous,
    )

    shown = _long(table)
    groups = ["treated", "comparison"]
    drawn = (
        ggplot(shown, aes("bin", "share", fill="group"))
        + geom_col(width=_width(table["bin"]), color="#FFFFFF", size=0.2)
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + scale_fill_manual(values=[theme.GROUP_COLOURS[name] for name in groups], breaks=groups)
        + scale_y_continuous(labels=lambda ticks: [f"{100 * abs(tick):g}%" for tick in ticks])
        + theme.house_theme()
        + labs(
            title=f"Overlap of the arms along the {score}",
            subtitle="Upwards: treated. Downwards: comparison.",
            caption=theme.wrap(
                "Share of each arm's people (after: of their weight) in each bin. Where one arm has no bars"
                " there is nobody to compare with.",
                100,
            ),
            x=score,
            y="share of the arm",
        )
    )
    return drawn + facet_wrap("stage", ncol=2) if shown["stage"].nunique() > 1 else drawn


def equipoise(table: pd.DataFrame, low: float = 0.3, high: float = 0.7) -> ggplot:
    """Preference score of both arms: columns bin (middle), group and weight_before; equipoise shaded."""
    from plotnine import (
        aes,
        annotate,
        geom_area,
        geom_line,
        ggplot,
        labs,
        scale_color_manual,
        scale_fill_manual,
        scale_linetype_manual,
        scale_x_continuous,
    )

    width = _width(table["bin"])
    total = table.groupby("group")["weight_before"].transform("sum")
    groups = ["treated", "comparison"]
    shown = table.assign(
        density=table["weight_before"] / total / width,
        group=pd.Categorical(table["group"], categories=groups),
    )
    colours = [theme.GROUP_COLOURS[name] for name in groups]
    return (
        ggplot(shown, aes("bin", "density"))
        + annotate("rect", xmin=low, xmax=high, ymin=0, ymax=float("inf"), fill=theme.GREY, alpha=0.15)
        + geom_area(aes(fill="group"), alpha=0.25, position="identity")
        + geom_line(aes(color="group", linetype="group"), size=0.9)
        + scale_fill_manual(values=colours, breaks=groups)
        + scale_color_manual(values=colours, breaks=groups)
        + scale_linetype_manual(values=[theme.GROUP_LINES[name] for name in groups], breaks=groups)
        + scale_x_continuous(limits=(0, 1), breaks=[0, 0.1, 0.3, 0.5, 0.7, 0.9, 1])
        + theme.house_theme()
        + labs(
            title="Preference score by arm",
            subtitle=f"Shaded: equipoise, {low:g} to {high:g}.",
            caption=theme.wrap(
                "Propensity score freed of how common the treatment is (Walker et al. 2013); 0.5: as likely"
                " treated as the average person. Equipoise is plausible when at least half of both arms are"
                " shaded.",
                100,
            ),
            x="preference score",
            y="density",
        )
    )


def _long(table: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for stage, column in STAGES.items():
        if column in table.columns:
            total = table.groupby("group")[column].transform("sum")
            share = (table[column] / total).where(total > 0, 0.0)
            parts.append(table[["bin", "group"]].assign(stage=stage, share=share))
    long = pd.concat(parts, ignore_index=True)
    return long.assign(
        share=long["share"].where(long["group"] == "treated", -long["share"]),
        stage=pd.Categorical(
            long["stage"], categories=[name for name in STAGES if name in set(long["stage"])]
        ),
        group=pd.Categorical(long["group"], categories=["treated", "comparison"]),
    )


def _width(bins: pd.Series[float]) -> float:
    """The distance between neighbouring bins."""
    middles = sorted(set(bins))
    return min((b - a for a, b in pairwise(middles)), default=1.0)
