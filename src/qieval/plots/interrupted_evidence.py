"""Pictures of the checks of an interrupted time series, each drawn from the table of its check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

MOST_LABELS = 10


def autocorrelation_bars(table: pd.DataFrame, check: Check) -> ggplot:
    """Correlation of residuals by lag: columns which, lag, autocorrelation, bound."""
    from plotnine import aes, facet_wrap, geom_col, geom_hline, ggplot, labs

    order = list(dict.fromkeys(table["which"]))
    shown = table.assign(which=pd.Categorical(table["which"], categories=order))
    return (
        ggplot(shown, aes("lag", "autocorrelation"))
        + geom_col(fill=theme.BLUE, width=0.5, na_rm=True)
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(aes(yintercept="bound"), color=theme.GREY, linetype="dashed", size=0.6)
        + geom_hline(aes(yintercept="-bound"), color=theme.GREY, linetype="dashed", size=0.6)
        + facet_wrap("which", ncol=1)
        + theme.wide_axis(shown["lag"])
        + theme.house_theme(height=theme.HEIGHT if len(order) > 1 else 3.4)
        + labs(
            title=_title(check),
            x="periods apart",
            y="correlation",
            caption="Dashed: bounds within which 95% of the bars lie if nothing is left.",
        )
    )


def criterion_by_date(table: pd.DataFrame, check: Check) -> ggplot:
    """The fit with the change at each date: columns at, criterion, label, which."""
    from plotnine import aes, expand_limits, geom_line, geom_point, geom_text, geom_vline, ggplot, labs

    marked = table[table["which"] != ""]
    span = float(table["criterion"].max() - table["criterion"].min())
    best = marked["criterion"] == marked["criterion"].min()
    lift = np.where(best, marked["criterion"] - 0.07 * span, table["criterion"].max() + 0.05 * span)
    marked = marked.assign(y=lift, said=" " + marked["which"] + ", " + marked["label"] + " ")
    near = marked["at"] - table["at"].min() < 0.25 * (table["at"].max() - table["at"].min())
    sides = (("left", marked[near]), ("right", marked[~near]))
    return (
        ggplot(table, aes("at", "criterion"))
        + geom_vline(xintercept=0, color=theme.INK, size=0.7)
        + geom_line(color=theme.BLUE, size=0.8)
        + geom_point(data=marked, color=theme.ORANGE, size=3)
        + [
            geom_text(part, aes("at", "y", label="said"), size=9, color=theme.INK, ha=side)
            for side, part in sides
            if len(part)
        ]
        + expand_limits(y=float(table["criterion"].min()) - 0.1 * span)
        + theme.wide_axis(table["at"])
        + theme.house_theme()
        + labs(
            title="Where would the series put the change?",
            x="date of the change, in periods from the stated start",
            y="criterion (smaller fits better)",
            caption=theme.wrap(
                "The same model with its change at each possible date. The vertical line is the stated start."
            ),
        )
    )


def statistics_by_date(table: pd.DataFrame, check: Check) -> ggplot:
    """Effects at pretended dates and at the real one, with intervals: columns label, which, term, estimate,
    conf_low, conf_high."""
    from plotnine import (
        aes,
        element_text,
        geom_hline,
        geom_linerange,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
        scale_x_continuous,
    )
    from plotnine import theme as plot_theme

    shown = table.dropna(subset=["estimate"]).reset_index(drop=True)
    order = list(dict.fromkeys(shown["which"]))
    ratio = bool(shown["term"].astype(str).str.endswith("ratio").all())
    shown = shown.assign(place=shown.index, which=pd.Categorical(shown["which"], categories=order))
    every = max(1, -(-len(shown) // MOST_LABELS))
    labelled = shown.iloc[::-1].iloc[::every]
    return (
        ggplot(shown, aes("place", "estimate", color="which", shape="which"))
        + geom_hline(yintercept=1.0 if ratio else 0.0, color=theme.INK, size=0.5)
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), alpha=0.6, size=0.8)
        + geom_point(size=2.2)
        + scale_color_manual(values=[theme.BLUE, theme.ORANGE][: len(order)], breaks=order)
        + scale_shape_manual(values=["o", "D"][: len(order)], breaks=order)
        + scale_x_continuous(breaks=list(labelled["place"]), labels=list(labelled["label"]))
        + theme.house_theme()
        + plot_theme(axis_text_x=element_text(rotation=30, ha="right"))
        + labs(
            title=_title(check),
            x="start",
            y=f"{shown['term'].iloc[0]} with interval",
            caption="Pretended starts use only what was seen before the real one.",
        )
    )


def power_by_change(table: pd.DataFrame, check: Check) -> ggplot:
    """The chance of detecting a change by its size: columns term, effect, power."""
    from plotnine import aes, facet_wrap, geom_hline, geom_line, geom_point, ggplot, labs, scale_y_continuous

    order = list(dict.fromkeys(table["term"]))
    shown = table.assign(term=pd.Categorical(table["term"], categories=order))
    return (
        ggplot(shown, aes("effect", "power"))
        + geom_hline(yintercept=0.8, color=theme.GREY, linetype="dashed")
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=2)
        + facet_wrap("term", scales="free_x")
        + scale_y_continuous(limits=(0, 1))
        + theme.house_theme(height=3.8)
        + labs(
            title=_title(check),
            x="size of the true change (as a share where changes are ratios)",
            y="chance of detecting it",
            caption="Simulated with the errors seen before the start. Dashed: 80%.",
        )
    )


def _title(check: Check) -> str:
    return check.name[:1].upper() + check.name[1:]
