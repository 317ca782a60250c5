"""Pictures of checks of a roll-out: who begins when, what is compared, and how alike cohorts were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

    from qieval.check import Check

KIND_SHAPES = ("o", "s", "^", "D")
SHAPES = ("o", "^", "s", "D", "v", "P")
LINES = ("solid", "dashed", "dotted", "dashdot", (0, (5, 1)), (0, (1, 3)))
SHADES = (theme.BLUE, theme.ORANGE, theme.INK, "#3D8B7D", "#8C6BB1", theme.GREY)


def roll_out(table: pd.DataFrame, check: Check) -> ggplot:
    """A bar for each cohort over the time of the data, filled from its start on: columns cohort,
    share_of_all, first_period, start, last_period."""
    from plotnine import aes, geom_segment, ggplot, labs, scale_color_manual

    names = [_with_share(row) for _, row in table.iterrows()]
    shown = table.assign(label=pd.Categorical(names, categories=names[::-1]))
    grey = shown.assign(end=shown["start"].fillna(shown["last_period"]), state="not begun")
    blue = shown.dropna(subset=["start"]).assign(end=lambda held: held["last_period"], state="begun")
    bars = pd.concat(
        [grey.assign(begin=grey["first_period"]), blue.assign(begin=blue["start"])], ignore_index=True
    )
    bars["state"] = pd.Categorical(bars["state"], categories=["not begun", "begun"])
    width = 7 if len(names) <= 12 else 3
    return (
        ggplot(bars, aes("begin", "label", xend="end", yend="label", color="state"))
        + geom_segment(size=width)
        + _start_marks(blue)
        + scale_color_manual(values=["#C9D1D9", theme.BLUE])
        + theme.wide_axis(pd.concat([bars["begin"], bars["end"]]))
        + theme.house_theme(height=max(2.4, 1.5 + 0.3 * len(names)))
        + labs(
            title="Who begins when",
            x="time",
            y="",
            caption="A bar for each cohort over the whole time of the data; the mark is its start.",
        )
    )


def _with_share(row: Any) -> str:
    return row["cohort"] if pd.isna(row["share_of_all"]) else f"{row['cohort']} ({row['share_of_all']:.0%})"


def _start_marks(bars: pd.DataFrame) -> Any:
    from plotnine import aes, geom_point

    return geom_point(
        bars, aes("start", "label"), inherit_aes=False, shape="|", size=4, stroke=1.2, color=theme.INK
    )


def two_by_two(table: pd.DataFrame, check: Check) -> ggplot:
    """Each comparison of the two-way regression: its estimate by its weight, told apart by kind."""
    from plotnine import (
        aes,
        geom_hline,
        geom_point,
        ggplot,
        guide_legend,
        guides,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )

    kinds = list(dict.fromkeys(table["kind"]))
    forbidden = [kind for kind in kinds if kind.startswith("later")]
    kinds = [kind for kind in kinds if kind not in forbidden] + forbidden
    colours = [theme.ORANGE if kind in forbidden else theme.BLUE for kind in kinds]
    shown = table.assign(kind=pd.Categorical(table["kind"], categories=kinds))
    overall = float((table["estimate"] * table["weight"]).sum())
    return (
        ggplot(shown, aes("weight", "estimate", shape="kind", color="kind"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(yintercept=overall, color=theme.GREY, linetype="dashed")
        + geom_point(size=3 if len(shown) <= 60 else 1.8, alpha=0.85)
        + scale_shape_manual(values=[KIND_SHAPES[i % 4] for i in range(len(kinds))])
        + scale_color_manual(values=colours)
        + guides(shape=guide_legend(ncol=1), color=guide_legend(ncol=1))
        + theme.house_theme(height=theme.HEIGHT + 0.2 * len(kinds))
        + labs(
            title="What the two-way regression compares",
            x="weight of the comparison",
            y="its estimate",
            caption=theme.wrap(
                "Each point is a comparison of two groups of units. Dashed: their weighted mean, the two-way"
                " estimate. Orange: the comparison had begun already, so its own changing effect gets in the"
                " way."
            ),
        )
    )


def same_cohorts(table: pd.DataFrame, check: Check) -> ggplot:
    """Effects by time since the start from all cohorts and from the same ones throughout."""
    from plotnine import (
        aes,
        geom_hline,
        geom_line,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
        scale_shape_manual,
    )

    words = {"all_cohorts": "all cohorts", "same_cohorts": "the same cohorts throughout"}
    long = table.melt("periods_since_start", list(words), var_name="which", value_name="effect")
    long["which"] = pd.Categorical(long["which"].map(words), categories=list(words.values()))
    return (
        ggplot(
            long.dropna(),
            aes("periods_since_start", "effect", color="which", shape="which", linetype="which"),
        )
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_line(size=0.9)
        + geom_point(size=2.4)
        + scale_color_manual(values=[theme.ORANGE, theme.BLUE])
        + scale_shape_manual(values=["^", "o"])
        + scale_linetype_manual(values=["dashed", "solid"])
        + theme.wide_axis(long["periods_since_start"])
        + theme.house_theme()
        + labs(
            title="Effects over time with the same cohorts throughout",
            x="periods since the start",
            y="effect",
            caption="Where the lines part, a change of cohorts makes the effect seem to change over time.",
        )
    )


def order(table: pd.DataFrame, check: Check) -> ggplot:
    """Rank correlation of the start with each characteristic: columns characteristic, rank_correlation."""
    from plotnine import (
        aes,
        coord_flip,
        geom_hline,
        geom_point,
        geom_segment,
        ggplot,
        labs,
        scale_y_continuous,
    )

    shown = table.dropna(subset=["rank_correlation"])
    names = list(dict.fromkeys(shown["characteristic"]))[::-1]
    shown = shown.assign(characteristic=pd.Categorical(shown["characteristic"], categories=names))
    return (
        ggplot(shown, aes("characteristic", "rank_correlation"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_segment(aes(xend="characteristic", yend=0), color=theme.BLUE, size=0.8)
        + geom_point(size=3, color=theme.BLUE)
        + coord_flip()
        + scale_y_continuous(limits=(-1, 1))
        + theme.house_theme(height=max(2.4, 1.3 + 0.32 * len(names)))
        + labs(
            title="Order of the roll-out and what was so before",
            x="",
            y="rank correlation with the start (left: high values begin earlier)",
            caption="At 0 the characteristic says nothing about when a unit began.",
        )
    )


def balance_by_cohort(table: pd.DataFrame, check: Check) -> ggplot:
    """Standardised differences of each cohort: columns cohort, characteristic, standardised_difference."""
    from plotnine import aes, coord_flip, geom_hline, geom_point, ggplot, labs, position_dodge

    shown = table.dropna(subset=["standardised_difference"])
    names = list(dict.fromkeys(shown["characteristic"]))[::-1]
    cohorts = list(dict.fromkeys(shown["cohort"]))
    shown = shown.assign(
        characteristic=pd.Categorical(shown["characteristic"], categories=names),
        cohort=pd.Categorical(shown["cohort"], categories=cohorts),
    )
    few = len(cohorts) <= len(SHAPES)
    points = (
        geom_point(aes(shape="cohort", color="cohort"), size=3, position=position_dodge(width=0.5))
        if few
        else geom_point(size=2, color=theme.BLUE, alpha=0.5)
    )
    return (
        ggplot(shown, aes("characteristic", "standardised_difference"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(yintercept=[-0.1, 0.1], color=theme.GREY, linetype="dashed")
        + points
        + (_cohort_looks(cohorts, lines=False) if few else [])
        + coord_flip()
        + theme.house_theme(height=max(2.8, 1.6 + 0.45 * len(names)))
        + labs(
            title="Cohorts beside their comparison before the roll-out",
            x="",
            y="standardised difference (cohort minus comparison)",
            caption="Dashed lines at 0.1 either side." + ("" if few else " A point for each cohort."),
        )
    )


def _cohort_looks(cohorts: list[str], *, lines: bool) -> list[Any]:
    from plotnine import scale_color_manual, scale_linetype_manual, scale_shape_manual

    n = len(cohorts)
    looks = [scale_color_manual(values=list(SHADES[:n])), scale_shape_manual(values=list(SHAPES[:n]))]
    return [*looks, scale_linetype_manual(values=list(LINES[:n]))] if lines else looks


def courses_before(table: pd.DataFrame, check: Check) -> ggplot:
    """Means by cohort before the roll-out: columns time, group, observed."""
    from plotnine import aes, geom_line, geom_point, ggplot, labs

    groups = list(dict.fromkeys(table["group"]))
    few = len(groups) <= len(SHAPES)
    shown = table.dropna().assign(group=lambda held: pd.Categorical(held["group"], categories=groups))
    drawn = ggplot(shown, aes("time", "observed", group="group"))
    if few:
        drawn += geom_line(aes(color="group", linetype="group"), size=0.9)
        drawn += geom_point(aes(color="group", shape="group"), size=2)
        drawn += _cohort_looks(groups, lines=True)
    else:
        never = shown[shown["group"] == "never began"]
        drawn += geom_line(color=theme.BLUE, alpha=0.5, size=0.6)
        drawn += geom_line(aes("time", "observed"), never, color=theme.ORANGE, linetype="dashed", size=1.2)
    said = "Means of the units in each cohort. Outcomes from the earliest start on have not been read."
    return (
        drawn
        + theme.wide_axis(shown["time"])
        + theme.house_theme()
        + labs(
            title="The outcome by cohort before the roll-out",
            x="time",
            y="mean outcome",
            caption=said if few else f"{said} Orange, dashed: units that never begin.",
        )
    )
