"""Pictures of the checks of a roll-out, each drawn from the table of its check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

PARALLEL = "trends parallel"
GROUPS = [PARALLEL, "departure allowed"]
BEND = "change of slope from one period to the next (M)"
SIZE = "largest change from period to period, as a multiple of that before the start (Mbar)"


def honest_bounds(table: pd.DataFrame, check: Check) -> ggplot:
    """Intervals by the departure allowed: columns target, which, magnitude, conf_low, conf_high, breakdown.

    The interval with parallel trends stands on the left, a dashed line marks the breakdown value of each
    target where it lies within the picture.
    """
    from plotnine import (
        aes,
        facet_wrap,
        geom_hline,
        geom_linerange,
        geom_point,
        geom_vline,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
        scale_x_continuous,
        scale_y_continuous,
    )

    shown, bend = _placed(table)
    ratio, last = "term" in table, float(shown["magnitude"].max())
    ends = pd.concat([shown.assign(end=shown[key]) for key in ("conf_low", "conf_high")])
    marked = shown.drop_duplicates("target")
    marked = marked[marked["breakdown"] <= last]
    marks = sorted(set(shown["place"]))
    style = {"breaks": GROUPS}
    return (
        ggplot(shown, aes("place", color="which", shape="which"))
        + geom_hline(yintercept=1.0 if ratio else 0.0, color=theme.INK, size=0.5)
        + [
            geom_vline(aes(xintercept="breakdown"), part, color=theme.GREY, linetype="dashed")
            for part in (marked,)
            if len(part)
        ]
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), size=1.0)
        + geom_point(aes(y="end"), ends, size=2.2)
        + facet_wrap("target", ncol=2, scales="free_y")
        + scale_color_manual(values=dict(zip(GROUPS, (theme.ORANGE, theme.BLUE), strict=True)), **style)
        + scale_shape_manual(values=dict(zip(GROUPS, ("D", "o"), strict=True)), **style)
        + scale_x_continuous(breaks=marks, labels=["parallel", *(_short(mark) for mark in marks[1:])])
        + ([scale_y_continuous(trans="log10", breaks=ratios_between, minor_breaks=[])] if ratio else [])
        + theme.house_theme(height=4.0)
        + labs(
            title="How far may trends part before the conclusion falls?",
            x=BEND if bend else SIZE,
            y="rate ratio, interval" if ratio else "interval of the effect",
            caption=theme.wrap(_breakdowns(table)),
        )
    )


def _placed(table: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The rows with bounds and their place on the axis, and whether departures are bends.

    With bends 0 allows straight drifts, so that the interval with parallel trends stands one step before it.
    """
    shown = table.dropna(subset=["conf_low"])
    parallel = shown["which"] == PARALLEL
    bend = bool((~parallel & (shown["magnitude"] == 0)).any())
    above = shown.loc[shown["magnitude"] > 0, "magnitude"]
    step = float(above.min()) if len(above) else 1.0
    order = list(dict.fromkeys(shown["target"]))
    return shown.assign(
        target=pd.Categorical(shown["target"], categories=order),
        place=np.where(parallel, -step if bend else 0.0, shown["magnitude"]),
    ), bend


def ratios_between(limits: tuple[float, float]) -> list[float]:
    """About five ratios between two ends for a logarithmic axis, 1 among them where it lies between.

    >>> ratios_between((0.35, 2.6))
    [0.35, 0.58, 1.0, 1.6, 2.6]
    """
    low, high = limits
    held = [float(_short(each)) for each in np.geomspace(low, high, 5)]
    if not low < 1 < high:
        return sorted(set(held))
    apart = 0.08 * np.log(high / low)
    return sorted({1.0, *(each for each in held if abs(np.log(each)) > apart)})


def _breakdowns(table: pd.DataFrame) -> str:
    """The breakdown values in words."""
    said = []
    for target, rows in table.groupby("target", sort=False):
        value = float(rows["breakdown"].iloc[0])
        if np.isfinite(value):
            said.append(f"{target}: {_short(value)}")
        else:
            said.append(f"{target}: {'beyond what was looked at' if np.isinf(value) else 'not known'}")
    return f"Dashed: breakdown value, from which on the interval holds no effect ({'; '.join(said)})."


def _short(value: float) -> str:
    return f"{value:.2g}"
