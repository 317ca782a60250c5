"""Estimates under altered designs, side by side (specification curve)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot


def variation(table: pd.DataFrame, title: str = "Estimates under altered designs") -> ggplot:
    """Dots with intervals, the design as stated first; rows without an estimate are named in the caption."""
    from plotnine import (
        aes,
        coord_flip,
        geom_hline,
        geom_linerange,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )

    missing = table[table["estimate"].isna()] if "estimate" in table else table
    shown = table.drop(missing.index)
    if shown.empty:
        raise ValueError("there is no estimate to draw")
    order = list(dict.fromkeys(shown["label"]))[::-1]
    first = order[-1]
    shown = shown.assign(
        label=pd.Categorical(shown["label"], categories=order),
        which=["as designed" if label == first else "altered" for label in shown["label"]],
    )
    said = "" if missing.empty else f"No estimate: {'; '.join(missing['label'])}."
    return (
        ggplot(shown, aes("label", "estimate", color="which", shape="which"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), size=0.9)
        + geom_point(size=2.8)
        + scale_color_manual(values=[theme.ORANGE, theme.BLUE], breaks=["as designed", "altered"])
        + scale_shape_manual(values=["D", "o"], breaks=["as designed", "altered"])
        + coord_flip()
        + theme.house_theme(height=max(2.6, 1.4 + 0.34 * len(order)))
        + labs(title=title, x="", y="estimate with interval", caption=theme.wrap(said))
    )
