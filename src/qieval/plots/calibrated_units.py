"""Pictures of many small units: totals over time, effects by period, and all outcomes in per cent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.plots import theme
from qieval.result import Result, main_estimates

if TYPE_CHECKING:
    from plotnine import ggplot

TREATED, WEIGHTED, PLAIN = "treated units", "weighted control units", "all control units, scaled"
COLOURS = {TREATED: theme.BLUE, WEIGHTED: theme.ORANGE, PLAIN: theme.GREY}
LINES = {TREATED: "solid", WEIGHTED: "dashed", PLAIN: "dotted"}


def totals(result: Result) -> ggplot:
    """The total of the treated units, of the weighted control units and of all control units over time."""
    from plotnine import (
        aes,
        geom_line,
        geom_ribbon,
        geom_vline,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
    )

    if result.series is None:
        raise ValueError("this result has no series to draw")
    treated = result.series[result.series["group"] == "treated"]
    plain = result.series[result.series["group"] == "comparison"]
    long = pd.concat(
        [
            treated[["time"]].assign(shown=treated["observed"], which=TREATED),
            treated[["time"]].assign(shown=treated["counterfactual"], which=WEIGHTED),
            plain[["time"]].assign(shown=plain["observed"], which=PLAIN),
        ]
    )
    order = list(COLOURS)
    design: Any = result.design
    pool = result.kernel.pool
    return (
        ggplot()
        + geom_ribbon(
            treated.dropna(subset=["conf_low", "conf_high"]),
            aes("time", ymin="conf_low", ymax="conf_high"),
            fill=theme.ORANGE,
            alpha=0.15,
        )
        + geom_line(long, aes("time", "shown", color="which", linetype="which"), size=0.9)
        + geom_vline(xintercept=pool.panel.periods.axis()[pool.start], color=theme.INK, size=0.6)
        + scale_color_manual(values=[COLOURS[name] for name in order], breaks=order)
        + scale_linetype_manual(values=[LINES[name] for name in order], breaks=order)
        + theme.wide_axis(treated["time"])
        + theme.house_theme()
        + labs(
            title=f"{_capital(design.outcome)}: total of the treated units and of weighted control units",
            caption=theme.wrap(
                "Weights make the totals equal before the start (vertical line). The band shows, for each"
                " period alone, the total that would have been expected without the intervention. Dotted: all"
                " control units, scaled to the number treated."
            ),
            x=str(design.time),
            y=theme.axis_title(design.measured_in or design.outcome),
        )
    )


def effects(result: Result) -> ggplot:
    """Treated less weighted total in each period, with its interval from the start on."""
    from plotnine import aes, geom_hline, geom_line, geom_linerange, geom_point, geom_vline, ggplot, labs

    if result.estimates is None:
        raise ValueError("this result has no estimates to draw")
    table = result.estimates.dropna(subset=["at"])
    bounded = table[np.isfinite(table["conf_low"]) & np.isfinite(table["conf_high"])]
    design: Any = result.design
    said = f"Bars: {design.level:.0%} intervals for each period alone." if len(bounded) else ""
    return (
        ggplot(table, aes("at", "estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_vline(xintercept=-0.5, color=theme.GREY, linetype="dashed")
        + geom_linerange(
            aes(ymin="conf_low", ymax="conf_high"), data=bounded, color=theme.BLUE, alpha=0.5, size=0.8
        )
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=1.8)
        + theme.wide_axis(table["at"])
        + theme.house_theme()
        + labs(
            title=f"{_capital(design.outcome)}: difference in totals, treated less weighted control units",
            caption=theme.wrap(
                f"{said} Before the start the difference is what the weights could not match; it is none by"
                " construction where all totals can be matched, and says nothing about the fit then."
            ),
            x="periods relative to the start",
            y=theme.axis_title(design.measured_in or design.outcome),
        )
    )


def outcomes(result: Result) -> ggplot:
    """The effect on each outcome over all periods from the start on, in per cent of what was expected."""
    from plotnine import aes, coord_flip, geom_hline, geom_linerange, geom_point, ggplot, labs

    table = main_estimates(result)
    if table is None or "percent_change" not in table:
        table = pd.DataFrame({name: [] for name in ("percent_change", "percent_low", "percent_high")})
    names = [name.replace("_", " ") for name in result.kernel.outcomes][: len(table)]
    shown = table.assign(outcome=pd.Categorical(names, categories=names[::-1]))
    shown = shown.dropna(subset=["percent_change"])
    bounded = shown[np.isfinite(shown["percent_low"]) & np.isfinite(shown["percent_high"])]
    return (
        ggplot(shown, aes("outcome", "percent_change"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_linerange(
            aes(ymin="percent_low", ymax="percent_high"), data=bounded, color=theme.BLUE, size=0.8
        )
        + geom_point(color=theme.BLUE, size=2.4)
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.4 + 0.4 * len(names)))
        + labs(
            title="Effect on the total of each outcome",
            caption=f"{result.design.level:.0%} intervals, each outcome by itself.",
            x="",
            y="per cent of the expected total",
        )
    )


def _capital(words: str) -> str:
    plain = words.replace("_", " ")
    return plain[:1].upper() + plain[1:]
