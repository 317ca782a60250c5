"""Distribution of one characteristic in both arms, before and after: distribution functions or quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot


def distribution(
    table: pd.DataFrame, characteristic: str = "value", kind: Literal["ecdf", "qq"] = "ecdf"
) -> ggplot:
    """One panel per sample from a table of quantiles, never of people.

    kind 'ecdf' draws columns value, cdf_treated, cdf_comparison as steps; 'qq' draws quantile_treated against
    quantile_comparison at equal probabilities, on the diagonal where the arms agree.
    """
    from plotnine import facet_wrap

    samples = list(dict.fromkeys(table["sample"]))
    ordered = table.assign(sample=pd.Categorical(table["sample"], categories=samples))
    drawn = _steps(ordered, characteristic) if kind == "ecdf" else _quantiles(ordered, characteristic)
    return drawn + facet_wrap("sample", ncol=2) if len(samples) > 1 else drawn


def _steps(table: pd.DataFrame, characteristic: str) -> ggplot:
    from plotnine import (
        aes,
        geom_step,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
        scale_y_continuous,
    )

    groups = ["treated", "comparison"]
    held = table.dropna(subset=["value"])
    long = pd.concat(
        [held[["sample", "value"]].assign(group=name, share=held[f"cdf_{name}"]) for name in groups],
        ignore_index=True,
    ).assign(group=lambda made: pd.Categorical(made["group"], categories=groups))
    return (
        ggplot(long, aes("value", "share", color="group", linetype="group"))
        + geom_step(size=0.9)
        + scale_color_manual(values=[theme.GROUP_COLOURS[name] for name in groups], breaks=groups)
        + scale_linetype_manual(values=[theme.GROUP_LINES[name] for name in groups], breaks=groups)
        + scale_y_continuous(limits=(0, 1), labels=lambda ticks: [f"{tick:.0%}" for tick in ticks])
        + theme.house_theme()
        + labs(
            title=f"Distribution of {characteristic.replace('_', ' ')} by arm",
            caption=f"Share of each arm at or below each value, read at {held['value'].nunique()} values.",
            x=characteristic.replace("_", " "),
            y="share of the arm",
        )
    )


def _quantiles(table: pd.DataFrame, characteristic: str) -> ggplot:
    from plotnine import aes, geom_abline, geom_point, ggplot, labs

    held = table.dropna(subset=["quantile_treated", "quantile_comparison"])
    words = characteristic.replace("_", " ")
    return (
        ggplot(held, aes("quantile_comparison", "quantile_treated"))
        + geom_abline(slope=1, intercept=0, color=theme.GREY, linetype="dashed")
        + geom_point(color=theme.BLUE, size=1.8, alpha=0.7)
        + theme.house_theme()
        + labs(
            title=f"Quantiles of {words}: treated against comparison",
            caption="Points on the dashed line: both arms have the same quantile.",
            x=f"{words}, comparison",
            y=theme.axis_title(f"{words}, treated"),
        )
    )
