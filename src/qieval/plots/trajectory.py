"""The outcome of each group over time, with what the treated group would have shown without the
intervention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval.periods import moments
from qieval.plots import theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

COUNTERFACTUAL = "treated, had nothing changed"


def trajectory(result: Result) -> ggplot:
    """Observed means by group, the counterfactual of the treated with its interval, the start and other
    events."""
    from plotnine import aes, geom_ribbon, ggplot, labs

    series = result.series
    if series is None:
        raise ValueError("this result has no series to draw")
    treated = series[series["group"] == "treated"]
    expected = treated.dropna(subset=["counterfactual"])
    drawn = ggplot() + geom_ribbon(
        expected, aes("time", ymin="conf_low", ymax="conf_high"), fill=theme.BLUE, alpha=0.12, na_rm=True
    )
    drawn += _lines(_long(series, expected), series["time"])
    design: Any = result.design
    drawn += _marks(series, design)
    return drawn + labs(
        title=f"{_capital(design.outcome)} by group",
        subtitle=(
            "Dotted: what the treated units would have shown had they changed as the comparison units did."
        ),
        caption=theme.wrap(
            "Means of the units in each group. The dotted line keeps the groups' mean distance before the"
            " start; its band shows pointwise intervals. The solid vertical line marks the start."
        ),
        x=design.time,
        y=theme.axis_title(design.measured_in or design.outcome),
    )


def before_start(table: pd.DataFrame, outcome: str) -> ggplot:
    """Observed means by group before the start only: columns time, group, observed."""
    from plotnine import ggplot, labs

    return (
        ggplot()
        + _lines(table.rename(columns={"observed": "shown"}), table["time"])
        + labs(
            title=f"{_capital(outcome)} before the start",
            caption="Means of the units in each group. Outcomes after the start have not been read.",
            x="time",
            y=outcome,
        )
    )


def _long(series: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    observed = series[["time", "group", "observed"]].rename(columns={"observed": "shown"})
    other = (
        expected[["time", "counterfactual"]]
        .rename(columns={"counterfactual": "shown"})
        .assign(group=COUNTERFACTUAL)
    )
    return pd.concat([observed, other], ignore_index=True)


def _lines(long: pd.DataFrame, times: pd.Series[Any]) -> list[Any]:
    from plotnine import (
        aes,
        geom_line,
        geom_point,
        scale_color_manual,
        scale_linetype_manual,
        scale_shape_manual,
    )

    present = [name for name in theme.GROUP_COLOURS if name in set(long["group"])]
    long = long.assign(group=pd.Categorical(long["group"], categories=present))
    points = long[long["group"] != COUNTERFACTUAL]
    size = 2.2 if times.nunique() <= 40 else 1.2
    return [
        geom_line(long, aes("time", "shown", color="group", linetype="group"), size=0.9),
        geom_point(points, aes("time", "shown", color="group", shape="group"), size=size),
        scale_color_manual(values=[theme.GROUP_COLOURS[name] for name in present], breaks=present),
        scale_linetype_manual(values=[theme.GROUP_LINES[name] for name in present], breaks=present),
        scale_shape_manual(values=[theme.GROUP_SHAPES[name] for name in present], breaks=present),
        theme.wide_axis(times),
        theme.house_theme(),
    ]


def _marks(series: pd.DataFrame, design: Any) -> list[Any]:
    from plotnine import aes, geom_text, geom_vline

    dated = pd.api.types.is_datetime64_any_dtype(series["time"])
    start = moments([design.start], dated)
    marks = [geom_vline(xintercept=start, color=theme.INK, size=0.7)]
    if not design.events:
        return marks
    top = series[["observed", "counterfactual", "conf_high"]].max().max()
    happened = pd.DataFrame(
        {"time": moments(list(design.events), dated), "said": list(design.events.values()), "top": top}
    )
    happened = happened[
        (happened["time"] >= series["time"].min()) & (happened["time"] <= series["time"].max())
    ]
    if happened.empty:
        return marks
    happened["said"] = [said if len(said) <= 40 else said[:39] + "…" for said in happened["said"]]
    marks.append(geom_vline(happened, aes(xintercept="time"), color=theme.GREY, linetype="dashdot", size=0.6))
    marks.append(
        geom_text(
            happened,
            aes("time", "top", label="said"),
            angle=90,
            size=8,
            color="#425563",
            ha="right",
            va="top",
        )
    )
    return marks


def _capital(words: str) -> str:
    plain = words.replace("_", " ")
    return plain[:1].upper() + plain[1:]
