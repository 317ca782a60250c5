"""Pictures of a generalised synthetic control: paths, gaps, common factors, loadings, implied weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.numerics.factor_study import PanelFit
from qieval.plots import synthetic, theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

MOST = 4
"""Factors drawn at most: there are four kinds of line, and those after carry little."""
DONORS = 30
NONE = "There is no common factor in this model: it has unit and period effects alone."


def paths(result: Result) -> ggplot:
    """The treated, what the model predicts for them, and the mean of the donors over time."""
    from plotnine import labs

    design: Any = result.design
    outcome = design.outcome.replace("_", " ")
    return synthetic.paths(result) + labs(
        title=f"{outcome[:1].upper()}{outcome[1:]}: treated and predicted (generalised synthetic control)",
        caption=theme.wrap(
            "The prediction rests on common influences and on how the treated responded to them before the"
            " start. The vertical line marks the start; a band shows where the treated would have been"
            " expected without the intervention."
        ),
    )


def gaps(result: Result) -> ggplot:
    """Treated less predicted in each period, with the interval from the start on."""
    from plotnine import labs

    return synthetic.gaps(result) + labs(
        title="Gap between the treated and their prediction",
        caption=theme.wrap(
            "Bars: intervals for each period alone. Before the start the gap shows how well the model fits"
            " periods that it was fitted to, so it is smaller than errors of prediction."
        ),
    )


def weights(result: Result) -> ggplot:
    """The implied weights of the donors."""
    from plotnine import labs

    if result.weights is None:
        raise ValueError("this result has no weights to draw")
    table = result.weights.rename(columns={"row": "donor"})
    largest = table["weight"].abs().sort_values(ascending=False, kind="stable").index[:DONORS]
    return synthetic.weight_bars(table.loc[largest]) + labs(
        title="Implied weights of the donors",
        caption=theme.wrap(
            "Weights under which the donors respond to the common influences as the treated do; negative ones"
            " extrapolate beyond the donors."
        ),
        y="weight",
    )


def factors(result: Result) -> ggplot:
    """The common factors over time, in the order of their importance."""
    from plotnine import aes, geom_hline, geom_line, geom_vline, ggplot, labs

    fit, made = _fit(result), result.kernel
    time = made.pool.panel.periods.axis()[made.pool.begin :]
    many = min(fit.rank, MOST)
    long = pd.concat(
        [
            pd.DataFrame({"time": time, "value": fit.factors[:, place], "factor": f"factor {place + 1}"})
            for place in range(many)
        ]
        or [pd.DataFrame({"time": time, "value": 0.0, "factor": "no factor"})],
        ignore_index=True,
    )
    return (
        ggplot(long, aes("time", "value", color="factor", linetype="factor"))
        + geom_hline(yintercept=0, color=theme.GREY, size=0.4)
        + geom_line(size=0.9)
        + geom_vline(xintercept=time[made.pool.start - made.pool.begin], color=theme.INK, size=0.6)
        + _shades(max(many, 1))
        + theme.wide_axis(long["time"])
        + theme.house_theme()
        + labs(
            title="Common factors",
            caption=theme.wrap(
                "What moves all units beside their own level and each period's, in the order of importance."
                " Signs are a convention. The vertical line marks the (first) start."
                if many
                else NONE
            ),
            x=str(getattr(result.design, "time", "time")),
            y="factor (mean square one)",
        )
    )


def _shades(many: int) -> Any:
    from plotnine import scale_color_manual

    return scale_color_manual(values=[theme.BLUE, theme.ORANGE, theme.GREY, theme.INK][:many])


def loadings(result: Result) -> ggplot:
    """How strongly each unit responds to each factor: the treated among the donors."""
    from plotnine import (
        aes,
        coord_flip,
        geom_point,
        ggplot,
        labs,
        scale_alpha_manual,
        scale_color_manual,
        scale_shape_manual,
        scale_size_manual,
    )

    fit = _fit(result)
    known = np.flatnonzero(fit.estimable)
    which = np.where(fit.panel.controls[known], "donors", "treated")
    many = min(fit.rank, MOST)
    held = [
        pd.DataFrame({"factor": f"factor {place + 1}", "loading": fit.loadings[known, place], "which": which})
        for place in range(many)
    ] or [pd.DataFrame({"factor": "no factor", "loading": 0.0, "which": which})]
    order = ["donors", "treated"]
    long = pd.concat(held, ignore_index=True).sort_values("which", kind="stable")
    names = [f"factor {place + 1}" for place in range(many)][::-1] or ["no factor"]
    long = long.assign(factor=pd.Categorical(long["factor"], categories=names))
    return (
        ggplot(long, aes("factor", "loading", color="which", shape="which", alpha="which", size="which"))
        + geom_point()
        + scale_color_manual(values=[theme.GREY, theme.BLUE], breaks=order)
        + scale_shape_manual(values=["o", "D"], breaks=order)
        + scale_alpha_manual(values=[0.55, 1.0], breaks=order)
        + scale_size_manual(values=[2.0, 3.2], breaks=order)
        + coord_flip()
        + theme.house_theme(height=max(2.6, 1.6 + 0.45 * len(names)))
        + labs(
            title="Loadings: how units respond to the common factors",
            caption=theme.wrap(
                "A treated unit outside the range of the donors is extrapolated to." if many else NONE
            ),
            x="",
            y="loading, in units of the outcome",
        )
    )


def _fit(result: Result) -> PanelFit:
    fit: PanelFit = result.kernel.fits[0].more["panel fit"]
    return fit
