"""The pictures of an instrumental variable analysis: the two regressions, the intervals, direct effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.errors import EstimationError
from qieval.instrumented.direct import direct_effects
from qieval.instrumented.fit import Fitted
from qieval.instrumented.tables import interval_table, means_by_instrument
from qieval.plots import theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

SIDES = ("by the instrument", "by who received it")


def reduced_form_and_first_stage(result: Result) -> ggplot:
    """Mean outcome, and who received it, by the instrument: the effect is one slope over the other."""
    from plotnine import (
        aes,
        facet_wrap,
        geom_linerange,
        geom_point,
        geom_smooth,
        ggplot,
        labs,
        scale_x_continuous,
    )

    fitted, design = _fitted(result), _design(result)
    table = means_by_instrument(fitted.first, design.level)
    if table.empty:
        raise EstimationError(
            "instruments: every value of the instrument is held by fewer than ten people, so no means are"
            " drawn."
        )
    panels = {
        "outcome": f"reduced form: {design.outcome}",
        "received": f"first stage: {design.received}",
    }
    named = [text.replace("_", " ") for text in panels.values()]
    shown = table.assign(
        panel=pd.Categorical(table["what"].map(panels).str.replace("_", " "), categories=named)
    )
    several = fitted.first.parts.k > 1
    given = ", adjusted for the covariates" if fitted.made.profile.shape[1] else ""
    picture = (
        ggplot(shown, aes("at", "mean"))
        + geom_smooth(method="lm", se=False, linetype="dashed", color=theme.GREY, size=0.7)
        + geom_linerange(aes(ymin="low", ymax="high"), color=theme.BLUE, size=0.7)
        + geom_point(color=theme.BLUE, size=2.4)
        + facet_wrap("panel", ncol=2, scales="free_y")
        + theme.house_theme()
    )
    if fitted.made.one_binary:
        picture += scale_x_continuous(breaks=[0, 1])
    return picture + labs(
        title="What goes with the instrument",
        x="the instruments, combined by their first stage" if several else _plain(fitted.first.names[0]),
        y="mean",
        caption=theme.wrap(
            f"Means of groups of at least ten people{given}, with intervals that take rows as independent."
            " The estimate is about the slope on the left divided by that on the right."
        ),
    )


def intervals_compared(result: Result) -> ggplot:
    """The intervals side by side, with those that run on without end drawn to the edge."""
    return instrument_intervals(interval_table(_fitted(result)), _plain(_design(result).outcome))


def instrument_intervals(table: pd.DataFrame, outcome: str = "the outcome") -> ggplot:
    """Columns label, estimate, conf_low, conf_high, in words; a label may have several pieces."""
    from plotnine import (
        aes,
        coord_flip,
        geom_hline,
        geom_linerange,
        geom_point,
        geom_text,
        ggplot,
        labs,
        scale_y_continuous,
    )

    low, high = _window(table)
    order = list(dict.fromkeys(table["label"]))[::-1]
    shown = table.assign(
        label=pd.Categorical(table["label"], categories=order),
        low=table["conf_low"].clip(low, high),
        high=table["conf_high"].clip(low, high),
    )
    bars = shown.dropna(subset=["conf_low"])
    arrows = pd.concat(
        [
            bars[~np.isfinite(bars["conf_low"])].assign(edge=low, sign="◀"),
            bars[~np.isfinite(bars["conf_high"])].assign(edge=high, sign="▶"),
        ]
    )
    once = shown.drop_duplicates("label")
    picture = (
        ggplot(shown, aes("label"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_linerange(bars, aes(ymin="low", ymax="high"), size=1.0, color=theme.BLUE)
        + geom_point(once, aes(y="estimate"), size=2.4, color=theme.BLUE)
        + geom_text(once, aes(y=low, label="in words"), nudge_x=0.3, size=8, ha="left", color=theme.INK)
        + scale_y_continuous(limits=(low, high))
        + coord_flip()
        + theme.house_theme(height=1.6 + 0.6 * len(order))
    )
    if len(arrows):
        picture += geom_text(arrows, aes(y="edge", label="sign"), color=theme.BLUE, size=10)
    return picture + labs(
        title="Effects that the data do not exclude",
        x="",
        y=theme.axis_title(f"effect on {outcome}"),
        caption=theme.wrap(
            "Dot: the estimate. Arrows: runs on without end. Wald is right only for a strong instrument;"
            " Anderson-Rubin however weak it is, and it may be empty or fall into two pieces."
        ),
    )


def _window(table: pd.DataFrame) -> tuple[float, float]:
    """What is drawn of the effects: every finite end that is not far beyond the others, and zero."""
    ends = table[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float).ravel()
    finite = np.append(ends[np.isfinite(ends)], 0.0)
    low, high = float(finite.min()), float(finite.max())
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room


def direct_effect_curve(result: Result) -> ggplot:
    """The estimate as a function of a direct effect of the instrument on the outcome."""
    design = _design(result)
    return direct_effect(direct_effects(design, _fitted(result).first).curve, _plain(design.outcome))


def direct_effect(table: pd.DataFrame, outcome: str = "the outcome") -> ggplot:
    """Columns instrument, direct_effect, estimate, conf_low, conf_high; a panel for each instrument."""
    from plotnine import aes, facet_wrap, geom_hline, geom_line, geom_ribbon, geom_vline, ggplot, labs

    several = table["instrument"].nunique() > 1
    picture = (
        ggplot(table, aes("direct_effect", "estimate"))
        + geom_ribbon(aes(ymin="conf_low", ymax="conf_high"), fill=theme.BLUE, alpha=0.18)
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_vline(xintercept=0, color=theme.GREY, linetype="dashed")
        + geom_line(color=theme.BLUE, size=0.9)
        + theme.house_theme()
    )
    if several:
        picture += facet_wrap("instrument", scales="free", ncol=3)
    return picture + labs(
        title="If the instrument had another way to the outcome",
        x="direct effect of one unit of the instrument on the outcome",
        y=theme.axis_title(f"effect on {outcome}"),
        caption=theme.wrap(
            "Line and band: estimate and Wald interval if the instrument itself changed the outcome by so"
            " much. Dashed: no direct effect, as assumed."
            + (" In each panel the other instruments have none." if several else "")
        ),
    )


def bias_ratio(table: pd.DataFrame) -> ggplot:
    """The bias that each covariate would bring if left out: columns of the check of balance."""
    from plotnine import (
        aes,
        coord_flip,
        geom_hline,
        geom_line,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )

    columns = ("bias_by_instrument", "bias_by_treatment")
    long = pd.concat(
        [
            pd.DataFrame({"characteristic": table["characteristic"], "bias": table[name], "side": side})
            for name, side in zip(columns, SIDES, strict=True)
        ],
        ignore_index=True,
    )
    long = long[np.isfinite(long["bias"])]
    rank = (
        long.groupby("characteristic")["bias"].apply(lambda held: held.abs().max()).sort_values(kind="stable")
    )
    long = long.assign(
        characteristic=pd.Categorical(long["characteristic"], categories=list(rank.index)),
        side=pd.Categorical(long["side"], categories=list(SIDES)),
    )
    return (
        ggplot(long, aes("characteristic", "bias"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_line(aes(group="characteristic"), color=theme.GREY, size=0.6)
        + geom_point(aes(color="side", shape="side"), size=2.8)
        + scale_color_manual(values=dict(zip(SIDES, (theme.BLUE, theme.ORANGE), strict=True)))
        + scale_shape_manual(values=dict(zip(SIDES, ("o", "^"), strict=True)))
        + coord_flip()
        + theme.house_theme(height=max(2.8, 1.7 + 0.28 * len(rank)))
        + labs(
            title="Bias that each characteristic would bring if left out",
            x="",
            y="difference in standard deviations for each unit received",
            caption=theme.wrap(
                "By the instrument: its imbalance divided by the first stage. Where the circle lies"
                " further from zero than the triangle, the estimate by instrument would be the more biased"
                " of the two.",
                110,
            ),
        )
    )


def _fitted(result: Result) -> Fitted:
    kernel: Any = result.kernel
    return kernel  # type: ignore[no-any-return]


def _design(result: Result) -> Any:
    return result.design


def _plain(name: str) -> str:
    return name.replace("_", " ")
