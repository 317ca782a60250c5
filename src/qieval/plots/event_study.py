"""The effect period by period, with pointwise intervals and simultaneous bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval.plots import theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot


def event_study(result: Result) -> ggplot:
    """Estimates by period relative to the start: bars are pointwise intervals, the ribbon the simultaneous
    band."""
    from plotnine import (
        aes,
        geom_hline,
        geom_linerange,
        geom_point,
        geom_ribbon,
        geom_vline,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )

    if result.estimates is None or result.facts is None:
        raise ValueError("this result has no estimates to draw")
    design: Any = result.design
    reference = int(result.facts["reference period"])
    table = result.estimates.dropna(subset=["at"])
    origin = {
        "at": reference,
        **dict.fromkeys(("estimate", "conf_low", "conf_high", "band_low", "band_high"), 0.0),
    }
    table = pd.concat([table, pd.DataFrame([origin])], ignore_index=True).sort_values("at")
    table = table.assign(when=["before the start" if at < 0 else "from the start on" for at in table["at"]])
    whens = ["before the start", "from the start on"]
    return (
        ggplot(table, aes("at", "estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_vline(xintercept=-0.5, color=theme.GREY, linetype="dashed")
        + geom_ribbon(aes(ymin="band_low", ymax="band_high"), fill=theme.BLUE, alpha=0.10)
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high", color="when"), size=0.9)
        + geom_point(aes(color="when", shape="when"), size=2.4)
        + scale_color_manual(values=[theme.GREY, theme.BLUE], breaks=whens)
        + scale_shape_manual(values=["^", "o"], breaks=whens)
        + theme.wide_axis(table["at"])
        + theme.house_theme()
        + labs(
            title="Difference between the groups in each period",
            subtitle=(
                f"Relative to the reference period ({reference:+d}); 0 is the first period with the"
                " intervention."
            ),
            caption=theme.wrap(
                f"Bars: {design.level:.0%} intervals for each period. Shaded: band that covers all periods"
                " together. Quiet periods before the start are no proof that trends would have stayed"
                " parallel."
            ),
            x="periods since the start",
            y=theme.axis_title(design.measured_in or design.outcome),
        )
    )
