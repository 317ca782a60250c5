"""Pictures of funnels, safety crosses and families of measures, in the look of improvement charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.charts.compute import Chart
from qieval.charts.family import Family
from qieval.charts.funnel import OUTSIDE, Funnel
from qieval.charts.safety import EVENT, NONE, UNKNOWN, SafetyCross
from qieval.plots import chart_look as look
from qieval.plots import theme
from qieval.plots.chart_frames import lines_frame, points_frame
from qieval.text import number

if TYPE_CHECKING:
    from plotnine import ggplot

MOST_LABELLED = 12
"""Organisations outside the limits are named up to this many, the farthest first."""
FUNNEL_BAND = "Funnel plot: says who differs more than chance allows, not why"
CROSS_BAND = "Safety cross: one square a day"
FAMILY_WORDS = "Improvement charts: each says that something changed, not why."
MARKS = {EVENT: "✕", NONE: "·", UNKNOWN: "?"}
FILLS = {EVENT: "#D55E00", NONE: "#CFE6F5", UNKNOWN: "#F0ECE2"}
INKS = {EVENT: "white", NONE: "#0072B2", UNKNOWN: "#768692"}
CROSS = ((0, 3), (1, 3), (2, 7), (3, 7), (4, 7), (5, 3), (6, 1))
"""Rows of the cross with their number of squares: 31 days."""
COLUMNS = 3
PANEL_HEIGHT = {1: 4.9, 2: 3.6, 3: 2.65}
"""Inches of a month by the number of months in a row."""
FUNNEL_WORDS = {
    look.COMMON: "inside 99.8%",
    look.BETTER: "outside, better direction",
    look.WORSE: "outside, worse direction",
    look.SIGNAL: "outside 99.8%",
}


def funnel(made: Funnel) -> ggplot:
    """Organisations by size between the limits, those outside named."""
    from plotnine import aes, geom_hline, geom_line, geom_point, ggplot, labs, scale_x_continuous

    units = made.units.assign(meaning=_standing(made), band="")
    curve = made.curve.assign(
        line=made.curve["level"].map({0.95: "95%", 0.998: "99.8%"}),
        piece=made.curve["side"] + made.curve["level"].astype(str),
    )
    inner, outer = (curve[curve["line"] == name] for name in ("95%", "99.8%"))
    return (
        ggplot(units)
        + look.band(FUNNEL_BAND)
        + look.chart_theme(5.0)
        + geom_line(outer, aes("denominator", "height", group="piece"), color=look.LIMIT, linetype="dashed")
        + geom_line(inner, aes("denominator", "height", group="piece"), color=look.LIMIT, linetype="dotted")
        + geom_hline(yintercept=made.target, color=look.CENTRE, size=0.9)
        + geom_point(
            aes("denominator", "value", color="meaning", fill="meaning", shape="meaning", size="meaning")
        )
        + look.point_scales(list(units["meaning"]), FUNNEL_WORDS)
        + _named(made)
        + scale_x_continuous(
            labels=lambda at: [number(float(each)) for each in at], expand=(0.03, 0, 0.06, 0)
        )
        + labs(
            title=f"{made.what[:1].upper()}{made.what[1:]}: funnel plot",
            subtitle=theme.wrap(made.headline, 104),
            caption="\n".join(
                [
                    theme.wrap(f"{made.why}", 118),
                    f"Solid: common value {number(made.target)}. Dotted: 95%, dashed: 99.8% limits.",
                ]
            ),
            x="denominator (size of the organisation)",
            y=theme.axis_title(_value_words(made)),
        )
    )


def safety_cross(made: SafetyCross) -> ggplot:
    """The days of each month in the shape of a cross; events by sign and colour."""
    from plotnine import (
        aes,
        coord_fixed,
        element_blank,
        facet_wrap,
        geom_text,
        geom_tile,
        ggplot,
        labs,
        scale_fill_manual,
    )
    from plotnine import theme as plot_theme

    days = _crosses(made)
    months = days["month"].nunique()
    present = [name for name in FILLS if name in set(days["status"])]
    across = min(months, COLUMNS)
    rows = int(np.ceil(months / across))
    drawn = (
        ggplot(days, aes("x", "y"))
        + geom_tile(aes(fill="status"), color="white", size=1.2, width=1, height=1)
        + scale_fill_manual(values=[FILLS[name] for name in present], breaks=present, limits=present)
        + facet_wrap("month", ncol=across)
        + coord_fixed()
        + look.chart_theme(1.7 + PANEL_HEIGHT[across] * rows)
        + plot_theme(
            axis_text=element_blank(), axis_ticks=element_blank(), panel_grid_major_y=element_blank()
        )
    )
    size = 9 if months == 1 else 7
    for name in present:
        held = days[days["status"] == name]
        drawn += geom_text(held, aes(label="day"), size=size, color=INKS[name], nudge_x=-0.22, nudge_y=0.24)
        drawn += geom_text(
            held, aes(label="sign"), size=size + 4, color=INKS[name], fontweight="bold", nudge_y=-0.12
        )
    legend = "; ".join(f"{MARKS[name]} {name}" for name in present)
    return drawn + labs(
        title=f"{made.what}: safety cross",
        subtitle=theme.wrap(repr(made).split("\n")[0], 62 if months == 1 else 104),
        caption=theme.wrap(
            f"{CROSS_BAND}. {legend}. A number counts the events of a day with several.",
            70 if months == 1 else 118,
        ),
        x="",
        y="",
        fill="",
    )


def family(made: Family) -> ggplot:
    """Small charts of all measures beside each other: outcome, then process, then balancing measures."""
    from plotnine import (
        aes,
        element_text,
        facet_wrap,
        geom_hline,
        geom_line,
        geom_path,
        geom_point,
        ggplot,
        labs,
        scale_x_continuous,
    )
    from plotnine import theme as plot_theme

    order = sorted(range(len(made.names)), key=lambda at: _RANK[made.designs[at].measure])
    names = [_panel(made, at) for at in order]
    points = pd.concat(
        [_small(points_frame(made.charts[at]), name, names) for at, name in zip(order, names, strict=True)]
    )
    lines = pd.concat(
        [_small(lines_frame(made.charts[at]), name, names) for at, name in zip(order, names, strict=True)]
    )
    goals = _goals(made, order, names)
    columns = min(len(names), COLUMNS)
    rows = int(np.ceil(len(names) / columns))
    return (
        ggplot(points)
        + facet_wrap("measure", scales="free", ncol=columns)
        + geom_path(
            lines[lines["line"] != "centre"],
            aes("x", "height", group="piece"),
            color=look.LIMIT,
            linetype="dashed",
            size=0.5,
        )
        + geom_path(
            lines[lines["line"] == "centre"], aes("x", "height", group="piece"), color=look.CENTRE, size=0.8
        )
        + (
            geom_hline(goals, aes(yintercept="goal"), color=look.TARGET, linetype="dashdot")
            if len(goals)
            else None
        )
        + geom_line(aes("x", "value"), color=look.LINE, size=0.5)
        + geom_point(aes("x", "value", color="meaning", fill="meaning", shape="meaning", size="meaning"))
        + look.point_scales(list(points["meaning"]))
        + scale_x_continuous(breaks=[])
        + look.chart_theme(1.6 + 2.1 * rows)
        + plot_theme(strip_text=element_text(color="white", weight="bold", size=8.5, ha="left"))
        + labs(
            title="Family of measures",
            subtitle=FAMILY_WORDS,
            caption="\n".join(theme.wrap(note, 118) for note in (*made.notes, _periods(made.charts))),
            x="time",
            y="",
        )
    )


_RANK = {"outcome": 0, "process": 1, "balancing": 2, "not stated": 3}


def _standing(made: Funnel) -> list[str]:
    """What a point means: outside the limits in the better or worse direction, or within."""
    way = {"higher": 1, "lower": -1, "neither": 0}[made.better]
    named = {1: look.BETTER, -1: look.WORSE, 0: look.SIGNAL}
    out = made.units["where"] == OUTSIDE
    return [
        named[int(side) * way] if beyond else look.COMMON
        for side, beyond in zip(made.units["side"], out, strict=True)
    ]


def _named(made: Funnel) -> list[Any]:
    """The names of the organisations outside the outer limits."""
    from plotnine import aes, geom_text

    out = made.units[made.units["where"] == OUTSIDE]
    out = out.reindex(out["z"].abs().sort_values(ascending=False).index).head(MOST_LABELLED)
    if out.empty:
        return []
    reach = float(np.ptp(made.units["value"])) or abs(made.target)
    placed = out.assign(height=out["value"] + np.where(out["side"] > 0, 0.05, -0.05) * reach)
    return [geom_text(placed, aes("denominator", "height", label="unit"), size=8.5, color=theme.INK)]


def _value_words(made: Funnel) -> str:
    if made.kind == "ratio":
        return f"{made.what}: observed / expected"
    return f"{made.what} per {number(made.per)}" if made.per != 1 else f"{made.what}: {made.kind}"


def _crosses(made: SafetyCross) -> pd.DataFrame:
    """The place of each day in the cross of its month: x, y, day, sign, status, month."""
    places = [(column - (width - 1) / 2, -row) for row, width in CROSS for column in range(width)]
    days = made.days.copy()
    day = days["date"].dt.day.to_numpy()
    several = np.array([f"{int(count)}" if count > 1 else "" for count in days["events"].fillna(0)])
    sign = days["status"].map(MARKS).to_numpy()
    months = days["date"].dt.strftime("%b %Y")
    return days.assign(
        x=[places[each - 1][0] for each in day],
        y=[places[each - 1][1] for each in day],
        day=[str(each) for each in day],
        sign=np.where(several != "", several, sign),
        month=pd.Categorical(months, categories=list(dict.fromkeys(months))),
    )


def _panel(made: Family, at: int) -> str:
    kind = made.designs[at].measure
    lead = "" if kind == "not stated" else f"{kind.capitalize()}: "
    return theme.wrap(f"{lead}{made.names[at]}", 31)


def _small(frame: pd.DataFrame, name: str, names: list[str]) -> pd.DataFrame:
    return frame.assign(measure=pd.Categorical([name] * len(frame), categories=names))


def _goals(made: Family, order: list[int], names: list[str]) -> pd.DataFrame:
    held = [
        {"measure": name, "goal": made.charts[at].target}
        for at, name in zip(order, names, strict=True)
        if made.charts[at].target is not None
    ]
    table = pd.DataFrame(held, columns=["measure", "goal"])
    return table.assign(measure=pd.Categorical(table["measure"], categories=names))


def _periods(charts: tuple[Chart, ...]) -> str:
    """From when to when the charts run."""
    spans = list(dict.fromkeys(f"{chart.points.labels[0]} to {chart.points.labels[-1]}" for chart in charts))
    if len(spans) == 1:
        return f"All charts run from {spans[0]}. Dashed: limits. Solid: centre line. Dash-dotted: target."
    return "The charts run over different times. Dashed: limits. Solid: centre line. Dash-dotted: target."


def drawn(made: Funnel | SafetyCross | Family) -> ggplot:
    """The picture of a funnel, a safety cross or a family of measures."""
    if isinstance(made, Funnel):
        return funnel(made)
    return safety_cross(made) if isinstance(made, SafetyCross) else family(made)
