"""Pictures of the residuals of an interrupted time series: over time, and their correlation by lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.interrupted import FittedSeries
from qieval.numerics.residual_tests import acf, pacf
from qieval.plots import theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

MOST_LAGS = 24
NORMAL = 1.96
KINDS = ("autocorrelation", "partial autocorrelation")


def residuals_over_time(result: Result) -> ggplot:
    """What is left of each value once model and errors are taken out, in standard deviations."""
    from plotnine import aes, geom_hline, geom_line, geom_point, geom_vline, ggplot, labs

    kernel: FittedSeries = result.kernel
    axis = kernel.made.series.periods.axis()
    own = kernel.at < len(axis)
    left = kernel.innovations[own]
    table = pd.DataFrame({"time": axis[kernel.at[own]], "left": left / np.sqrt((left**2).mean())})
    start = kernel.made.start
    line = axis[start - 1] + (axis[start] - axis[start - 1]) / 2
    return (
        ggplot(table, aes("time", "left"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(yintercept=[-2, 2], color=theme.GREY, linetype="dashed", size=0.5)
        + geom_vline(xintercept=line, color=theme.INK, size=0.7)
        + geom_line(color=theme.BLUE, alpha=0.4, size=0.6)
        + geom_point(color=theme.BLUE, size=1.8)
        + theme.wide_axis(table["time"])
        + theme.house_theme()
        + labs(
            title="Residuals over time",
            caption=theme.wrap(
                f"What is left of each value after the model ({kernel.errors}), in standard deviations. About"
                " one in twenty lies beyond the dashed lines; runs on one side, waves or a change at the"
                " vertical line (the start) show what the model lacks."
            ),
            x=_time(result),
            y="residual, in standard deviations",
        )
    )


def _time(result: Result) -> str:
    design: Any = result.design
    return str(design.time)


def residual_autocorrelation(result: Result) -> ggplot:
    """Autocorrelation and partial autocorrelation of what is left, by lag, with bounds."""
    from plotnine import aes, facet_wrap, geom_col, geom_hline, ggplot, labs

    kernel: FittedSeries = result.kernel
    lags = max(1, min(MOST_LAGS, len(kernel.at) // 3))
    values = (acf(kernel.innovations, kernel.at, lags), pacf(kernel.innovations, kernel.at, lags))
    table = pd.concat(
        [
            pd.DataFrame({"lag": np.arange(1, lags + 1), "value": value, "kind": kind})
            for kind, value in zip(KINDS, values, strict=True)
        ]
    )
    table = table.assign(kind=pd.Categorical(table["kind"], categories=KINDS))
    bound = NORMAL / np.sqrt(len(kernel.at))
    return (
        ggplot(table, aes("lag", "value"))
        + geom_col(fill=theme.BLUE, width=0.5, na_rm=True)
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(yintercept=[-bound, bound], color=theme.GREY, linetype="dashed", size=0.6)
        + facet_wrap("kind", ncol=1)
        + theme.wide_axis(table["lag"])
        + theme.house_theme()
        + labs(
            title="Do neighbouring residuals hang together?",
            caption=theme.wrap(
                f"Residuals after the model ({kernel.errors}). Dashed: bounds within which 95% of the bars"
                " lie if nothing is left."
            ),
            x=f"{kernel.made.series.rhythm}s apart",
            y="correlation",
        )
    )
