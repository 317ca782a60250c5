"""Love plot: standardised differences of all characteristics, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval.plots import theme
from qieval.text import plural

if TYPE_CHECKING:
    from plotnine import ggplot

COLOURS = [theme.ORANGE, theme.BLUE, "#009E73", "#8A1550", "#41B6E6", theme.INK]
SHAPES = ["o", "D", "^", "s", "v", "P"]
LONGEST = 44
"""Characters of a label; longer ones are cut in the middle, which keeps the level of a category in sight."""


def love(table: pd.DataFrame, rule: float = 0.1) -> ggplot:
    """Absolute standardised differences: columns characteristic, sample, standardised_difference.

    The characteristic that differed most in the first sample (and subgroup) is on top; samples differ in
    colour and shape, and the first is hollow. `rule` draws a dashed line. Where the table has a column
    `subgroup` each subgroup has its own panel. Differences that are not finite are counted in the caption.
    """
    from plotnine import (
        aes,
        coord_flip,
        facet_wrap,
        geom_hline,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_fill_manual,
        scale_shape_manual,
    )

    samples = list(dict.fromkeys(table["sample"]))
    shown, order, left_out = _prepared(table, samples)
    colours = [COLOURS[j % len(COLOURS)] for j in range(len(samples))]
    panels = shown["subgroup"].nunique() if "subgroup" in shown else 1
    drawn = (
        ggplot(shown, aes("label", "size", color="sample", shape="sample", fill="sample"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(yintercept=rule, color=theme.GREY, linetype="dashed")
        + geom_point(size=2.6 if len(order) <= 40 else 2.0, stroke=0.7)
        + coord_flip()
        + scale_color_manual(values=colours, breaks=samples)
        + scale_fill_manual(values=["#FFFFFF", *colours[1:]], breaks=samples)
        + scale_shape_manual(values=[SHAPES[j % len(SHAPES)] for j in range(len(samples))], breaks=samples)
        + theme.house_theme(height=_height(len(order), panels))
        + labs(
            title="Standardised differences between the arms",
            subtitle=f"Ordered by the difference {samples[0]}. Dashed line: {rule:g}.",
            caption=theme.wrap(
                f"Absolute values.{left_out} Balance on measured characteristics says nothing about"
                " unmeasured ones.",
                100,
            ),
            x="",
            y="absolute standardised difference",
        )
    )
    return drawn + facet_wrap("subgroup", ncol=1 if panels < 3 else 2) if panels > 1 else drawn


def _prepared(table: pd.DataFrame, samples: list[Any]) -> tuple[pd.DataFrame, list[str], str]:
    """Rows to draw with an ordered label, the labels, and a sentence on what cannot be drawn."""
    shown = table.assign(size=table["standardised_difference"].abs())
    finite = shown["size"].notna() & (shown["size"] < float("inf"))
    lost = shown.loc[~finite, "characteristic"].nunique()
    left_out = f" Not drawn, as it is not finite: {plural(lost, 'characteristic')}." if lost else ""
    shown = shown[finite]
    leading = shown["sample"] == samples[0]
    if "subgroup" in shown:
        leading &= shown["subgroup"] == table["subgroup"].iloc[0]
    first = shown[leading].groupby("characteristic")["size"].max()
    rank = first.reindex(list(dict.fromkeys(shown["characteristic"]))).fillna(-1.0)
    names = list(rank.sort_values(kind="stable").index)
    labels = _labels(names)
    label = pd.Categorical(shown["characteristic"].map(labels), categories=[labels[name] for name in names])
    drawn_last = pd.Categorical(shown["sample"], categories=samples)
    return shown.assign(label=label, sample=drawn_last), names, left_out


def _labels(names: list[str]) -> dict[str, str]:
    """A short label for each name; names that would become the same stay whole."""
    short = {name: _cut(str(name)) for name in names}
    counted = pd.Series(short.values(), dtype=object).value_counts()
    return {name: label if counted[label] == 1 else str(name) for name, label in short.items()}


def _cut(name: str) -> str:
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[: half - 1]}…{name[-half:]}"


def _height(rows: int, panels: int) -> float:
    each = max(1.2, 0.21 * rows)
    return 1.6 + each * (panels if panels < 3 else -(-panels // 2))
