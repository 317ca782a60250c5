"""Pictures of a regression adjustment: observed outcomes beside what the model expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

GROUPS = ("treated", "comparison")


def calibration(table: pd.DataFrame) -> ggplot:
    """Observed by predicted outcomes: columns group, predicted, observed, conf_low, conf_high."""
    from plotnine import (
        aes,
        facet_wrap,
        geom_abline,
        geom_linerange,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )

    shown = table.assign(group=pd.Categorical(table["group"], categories=list(GROUPS)))
    shapes = [theme.GROUP_SHAPES[name] for name in GROUPS]
    return (
        ggplot(shown, aes("predicted", "observed", color="group", shape="group"))
        + geom_abline(intercept=0, slope=1, color=theme.GREY, linetype="dashed")
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), size=0.7)
        + geom_point(size=2.6)
        + facet_wrap("group", ncol=2)
        + scale_color_manual(values=[theme.GROUP_COLOURS[name] for name in GROUPS], guide=None)
        + scale_shape_manual(values=shapes, guide=None)
        + theme.house_theme()
        + labs(
            title="Observed outcomes by what the model expected",
            x="mean prediction, made without the person's own part of the data",
            y="mean observed outcome",
            caption=theme.wrap(
                "People of each group in parts of equal size by their prediction, with 95% intervals. Points"
                " on the dashed line: the model is right on average.",
                105,
            ),
        )
    )
