"""Pictures of the checks of a regression discontinuity, and the estimate by its bandwidth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.discontinuous.local import fit
from qieval.discontinuous.ways import Fitted
from qieval.errors import EstimationError
from qieval.plots import theme
from qieval.result import Result
from qieval.text import number

if TYPE_CHECKING:
    from plotnine import ggplot

FACTORS = tuple(2 ** (step / 6) for step in range(-6, 7))
"""Bandwidths drawn, as multiples of that of the result: from half to double."""


def bandwidth_and_the_estimate(result: Result) -> ggplot:
    """The robust effect from half to double the bandwidth, with the bandwidth of the result marked."""
    from plotnine import labs

    design: Any = result.design
    held: Fitted = result.kernel
    sign = 1 if held.fit.uptake is not None else held.made.turn
    rows = []
    for factor in FACTORS:
        h, b = ((float(factor * pair[0]), float(factor * pair[1])) for pair in (held.fit.h, held.fit.b))
        try:
            found = fit(design, held.made, h=h, b=b, rho=None)
        except EstimationError:
            continue
        low, high = np.sort([sign * found.low[2], sign * found.high[2]])
        row = {"at": factor, "estimate": sign * found.estimate[2], "conf_low": low, "conf_high": high}
        rows.append(row)
    table = pd.DataFrame(rows)
    widths = " and ".join(dict.fromkeys(number(float(width)) for width in held.fit.h))
    return _band(table, 1.0) + labs(
        title="Bandwidth and the estimate",
        x=f"bandwidth, as a multiple of that of the estimate ({widths})",
        y=theme.axis_title(f"effect on {design.outcome}, with interval"),
        caption=theme.wrap(
            "Robust bias-corrected estimates with intervals for each bandwidth by itself. Vertical line: the"
            " bandwidth of the estimate. Narrow bandwidths vary more, wide ones lean more on the lines."
        ),
    )


def _band(table: pd.DataFrame, marked: float | None) -> ggplot:
    """A line with a band: columns at, estimate, conf_low, conf_high; infinite ends are not drawn."""
    from plotnine import aes, geom_hline, geom_line, geom_point, geom_ribbon, geom_vline, ggplot

    shown = table.replace([np.inf, -np.inf], np.nan).dropna(subset=["estimate"]).sort_values("at")
    line = [] if marked is None else [geom_vline(xintercept=marked, color=theme.GREY, linetype="dashed")]
    return (
        ggplot(shown, aes("at", "estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + line
        + geom_ribbon(aes(ymin="conf_low", ymax="conf_high"), fill=theme.BLUE, alpha=0.18, na_rm=True)
        + geom_line(color=theme.BLUE, size=0.9)
        + geom_point(color=theme.BLUE, size=2.2)
        + theme.house_theme()
    )


def bandwidth_curve(table: pd.DataFrame, check: Check) -> ggplot:
    """The effect by its bandwidth: columns times, estimate, conf_low, conf_high."""
    from plotnine import labs

    return _band(table.assign(at=table["times"]), 1.0) + labs(
        title="Effect by bandwidth",
        x="bandwidth, as a multiple of that of the estimate",
        y="effect with interval",
        caption="Dashed: the bandwidth of the estimate.",
    )


def donut_curve(table: pd.DataFrame, check: Check) -> ggplot:
    """The effect by the size of the hole around the cutoff: columns at, estimate, conf_low, conf_high."""
    from plotnine import labs

    return _band(table, None) + labs(
        title="Effect without the people nearest to the cutoff",
        x="people nearer to the cutoff than this are left out",
        y="effect with interval",
        caption="Bandwidths are chosen anew for each hole.",
    )


def smoothness_curve(table: pd.DataFrame, check: Check) -> ggplot:
    """The honest interval by how much the outcome may bend: columns at, estimate, conf_low, conf_high."""
    from plotnine import labs, scale_x_log10

    used = float(table["at"].iloc[len(table) // 2])
    curve = _band(table[table["at"] > 0], used if used > 0 else None)
    return (
        curve
        + scale_x_log10()
        + labs(
            title="Honest interval by how much the outcome may bend",
            x="largest second derivative allowed (logarithmic)",
            y="effect with interval",
            caption="The bandwidth stays that of the interval. Dashed: the bound in use.",
        )
    )


def covariate_jumps(table: pd.DataFrame, check: Check) -> ggplot:
    """Jumps of covariates in standard deviations: columns label, sd_estimate, sd_low, sd_high."""
    from plotnine import aes, coord_flip, geom_hline, geom_linerange, geom_point, ggplot, labs

    shown = table.dropna(subset=["sd_estimate"])
    order = list(dict.fromkeys(shown["label"].astype(str)))[::-1]
    shown = shown.assign(label=pd.Categorical(shown["label"].astype(str), categories=order))
    return (
        ggplot(shown, aes("label", "sd_estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_linerange(aes(ymin="sd_low", ymax="sd_high"), size=0.8, color=theme.BLUE)
        + geom_point(size=2.4, color=theme.BLUE)
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.3 + 0.3 * len(order)))
        + labs(
            title="What was measured before, at the cutoff",
            x="",
            y="treated side minus other side at the cutoff, in standard deviations",
            caption="Robust intervals, each covariate by itself with a bandwidth of its own.",
        )
    )


def power_by_effect(table: pd.DataFrame, check: Check) -> ggplot:
    """The chance to find an effect by its size: columns effect, power."""
    from plotnine import aes, geom_hline, geom_line, geom_point, ggplot, labs, scale_y_continuous

    return (
        ggplot(table, aes("effect", "power"))
        + geom_hline(yintercept=0.8, color=theme.GREY, linetype="dashed")
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=2.2)
        + scale_y_continuous(limits=(0, 1))
        + theme.house_theme()
        + labs(
            title="What size of effect these data would find",
            x="size of the true effect, in units of the outcome",
            y="chance of finding it",
            caption="For the robust interval, with the people at hand. Dashed: 80%.",
        )
    )


def hidden_differences(table: pd.DataFrame, check: Check) -> ggplot:
    """Smallest and largest p-value by hidden difference: columns gamma, p_value_at_least, p_value_at_most."""
    from plotnine import aes, geom_hline, geom_line, geom_point, geom_ribbon, ggplot, labs

    return (
        ggplot(table, aes("gamma", "p_value_at_most"))
        + geom_ribbon(aes(ymin="p_value_at_least", ymax="p_value_at_most"), fill=theme.BLUE, alpha=0.18)
        + geom_hline(yintercept=0.05, color=theme.GREY, linetype="dashed")
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=2.0)
        + theme.house_theme()
        + labs(
            title="How strong a hidden difference would have to be",
            x="how many times as likely some people are to be on one side (gamma)",
            y="p-value",
            caption="Upper edge: the largest p-value that such a difference allows. Dashed: 0.05.",
        )
    )
