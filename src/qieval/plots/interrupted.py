"""Pictures of an interrupted time series: the course with what was expected, and the effect over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.interrupted import FittedSeries
from qieval.numerics.series_regression_effects import contrast_effects
from qieval.plots import theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

FITTED, EXPECTED, CONTROL = "fitted", "expected without the intervention", "control series"
COLOURS = {FITTED: theme.BLUE, EXPECTED: theme.ORANGE, CONTROL: theme.GREY}
LINES = {FITTED: "solid", EXPECTED: "dashed", CONTROL: "dotted"}
OBSERVED, LEFT_OUT = "observed", "left out of the model"
PANELS = ("in each period", "added up since the start")


def observed_and_expected(result: Result) -> ggplot:
    """Observed values with the fitted course, and from the start on what was expected without the
    intervention."""
    from plotnine import geom_vline, ggplot, labs

    series = _series(result)
    own = series[series["group"] == "treated"]
    kernel: FittedSeries = result.kernel
    design: Any = result.design
    events = _events(result)
    return (
        ggplot()
        + _settling(kernel, own["time"])
        + _courses(series, kernel)
        + geom_vline(xintercept=_start(kernel), color=theme.INK, size=0.7)
        + _points(own)
        + _event_marks(events, own)
        + theme.wide_axis(own["time"])
        + theme.house_theme(height=theme.HEIGHT + 0.17 * len(events))
        + labs(
            title=f"{_capital(design.outcome)}: observed and expected without the intervention",
            caption=_caption(kernel, events),
            x=design.time,
            y=theme.axis_title(_unit(design)),
        )
    )


def _series(result: Result) -> pd.DataFrame:
    if result.series is None:
        raise ValueError("this result has no series to draw")
    return result.series


def _courses(series: pd.DataFrame, kernel: FittedSeries) -> list[Any]:
    """The fitted line, the expected one from the start on with its interval, and the control series."""
    from plotnine import aes, geom_line, geom_ribbon, scale_color_manual, scale_linetype_manual

    own = series[series["group"] == "treated"].reset_index(drop=True)
    late = own[own.index >= kernel.made.start - 1]
    parts = [
        own[["time"]].assign(shown=own["fitted"], which=FITTED),
        late[["time"]].assign(shown=late["counterfactual"], which=EXPECTED),
    ]
    control = series[series["group"] == "comparison"]
    if len(control):
        parts.append(control[["time"]].assign(shown=control["observed"], which=CONTROL))
    lines = pd.concat(parts, ignore_index=True)
    present = [name for name in COLOURS if name in set(lines["which"])]
    lines = lines.assign(
        which=pd.Categorical(lines["which"], categories=present),
        piece=np.where(lines["time"] < _time(kernel, kernel.made.start), "before", "after"),
    )
    lines.loc[lines["which"] != FITTED, "piece"] = "whole"
    return [
        geom_ribbon(
            own, aes("time", ymin="conf_low", ymax="conf_high"), fill=theme.ORANGE, alpha=0.18, na_rm=True
        ),
        geom_line(
            lines,
            aes("time", "shown", color="which", linetype="which", group="which.astype(str) + piece"),
            size=0.9,
            na_rm=True,
        ),
        scale_color_manual(values=[COLOURS[name] for name in present], breaks=present),
        scale_linetype_manual(values=[LINES[name] for name in present], breaks=present),
    ]


def _points(own: pd.DataFrame) -> list[Any]:
    """Observed values; those that take no part in the model are hollow."""
    from plotnine import aes, geom_point, scale_shape_manual

    points = own.dropna(subset=["observed"])
    which = np.where(points["used"], OBSERVED, LEFT_OUT)
    present = [name for name in (OBSERVED, LEFT_OUT) if name in set(which)]
    points = points.assign(point=pd.Categorical(which, categories=present))
    size = 2.0 if len(points) <= 80 else 1.3
    shapes = {OBSERVED: "o", LEFT_OUT: "$\\circ$"}
    return [
        geom_point(points, aes("time", "observed", shape="point"), color=theme.INK, size=size, alpha=0.75),
        scale_shape_manual(values=[shapes[name] for name in present], breaks=present),
    ]


def _settling(kernel: FittedSeries, times: pd.Series[Any]) -> list[Any]:
    """A shaded stretch from the start to where the effect is counted: lag and phasing in."""
    from plotnine import annotate

    first = kernel.made.first
    ends = max(first.settled, first.begins)
    if kernel.made.transition.any():
        ends = max(ends, int(np.flatnonzero(kernel.made.transition).max()) + 1)
    if ends <= first.start or ends >= len(times):
        return []
    return [
        annotate(
            "rect",
            xmin=_start(kernel),
            xmax=_before(kernel, ends),
            ymin=-np.inf,
            ymax=np.inf,
            fill=theme.GREY,
            alpha=0.18,
        )
    ]


def _events(result: Result) -> pd.DataFrame:
    """Registered events within the series, numbered in order of time: number, time, when, said."""
    kernel: FittedSeries = result.kernel
    periods = kernel.made.series.periods
    rows = []
    for moment, said in result.design.events.items():
        try:
            code = periods.last_at_or_before(moment)
            beyond = periods.first_at_or_after(moment) == len(periods.labels)
            late = beyond and periods.inside(moment) is None
        except ValueError:
            continue
        if code >= 0 and not late:
            rows.append({"time": _time(kernel, code), "when": str(moment), "said": said})
    found = pd.DataFrame(rows, columns=["time", "when", "said"]).sort_values("time", kind="stable")
    return found.assign(number=[str(place) for place in range(1, len(found) + 1)])


def _event_marks(events: pd.DataFrame, own: pd.DataFrame) -> list[Any]:
    """Thin lines with numbers in circles at the upper edge."""
    from plotnine import aes, geom_point, geom_text, geom_vline

    if events.empty:
        return []
    shown = own[["observed", "fitted", "counterfactual", "conf_high"]]
    top, bottom = float(np.nanmax(shown)), float(np.nanmin(shown))
    marks = events.assign(top=top + 0.06 * (top - bottom))
    return [
        geom_vline(events, aes(xintercept="time"), color=theme.GREY, linetype="dashdot", size=0.5),
        geom_point(marks, aes("time", "top"), color=theme.GREY, fill="white", shape="o", size=5.5),
        geom_text(marks, aes("time", "top", label="number"), size=8, color=theme.INK, va="center_baseline"),
    ]


def _caption(kernel: FittedSeries, events: pd.DataFrame) -> str:
    said = (
        "The vertical line marks the start. Dashed: how the series would have gone on by this model, with its"
        " interval."
    )
    first = kernel.made.first
    if first.settled > first.start:
        said += " Shaded: until the effect is counted (lag, phasing in)."
    listed = [f"{row.number}  {row.when}: {row.said}" for row in events.itertuples()]
    return "\n".join([theme.wrap(said), *(theme.wrap(each) for each in listed)])


def effect_over_time(result: Result) -> ggplot:
    """The effect in each period with its interval, and the effect added up since the start."""
    from plotnine import (
        aes,
        facet_wrap,
        geom_hline,
        geom_line,
        geom_linerange,
        geom_point,
        geom_ribbon,
        ggplot,
        labs,
    )

    table = _effects(result)
    single, added = (table[table["panel"] == panel] for panel in PANELS)
    titles = _titles(result)
    design: Any = result.design
    word = result.kernel.made.series.rhythm
    return (
        ggplot(table, aes("at", "estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_linerange(
            aes(ymin="conf_low", ymax="conf_high"), data=single, color=theme.BLUE, alpha=0.5, size=0.8
        )
        + geom_point(data=single, color=theme.BLUE, size=1.8)
        + geom_ribbon(
            aes(ymin="conf_low", ymax="conf_high"), data=added, fill=theme.BLUE, alpha=0.15, na_rm=True
        )
        + geom_line(data=added, color=theme.BLUE, size=0.9)
        + facet_wrap("panel", ncol=1, scales="free_y", labeller=lambda panel: titles[panel])
        + theme.wide_axis(table["at"])
        + theme.house_theme(height=theme.HEIGHT + (1.2 if len(added) else 0.0))
        + labs(
            title=f"Effect over time: {design.outcome.replace('_', ' ')}",
            caption=theme.wrap(
                "Difference between the fitted (or observed) course and the one expected without the"
                " intervention, with intervals for each period alone. Zero: no effect."
            ),
            x=f"{word}s since the start",
            y="effect with interval",
        )
    )


def _effects(result: Result) -> pd.DataFrame:
    """Long table: panel, at, estimate, conf_low, conf_high."""
    if result.estimates is None:
        raise ValueError("this result has no estimates to draw")
    columns = ["at", "estimate", "conf_low", "conf_high"]
    single = result.estimates.loc[result.estimates["term"] == "effect in period", [*columns, "std_error"]]
    parts = [single[columns].assign(panel=PANELS[0])]
    added = _added_up(result, single)
    if added is not None:
        parts.append(added.assign(panel=PANELS[1]))
    table = pd.concat(parts, ignore_index=True)
    present = [panel for panel in PANELS if panel in set(table["panel"])]
    return table.assign(panel=pd.Categorical(table["panel"], categories=present))


def _titles(result: Result) -> dict[str, str]:
    """The titles of the panels, with their units."""
    design: Any = result.design
    counted = result.kernel.family != "gaussian" and design.denominator is not None
    whole = design.outcome.replace("_", " ") if counted else _unit(design)
    return {PANELS[0]: f"{PANELS[0]} ({_unit(design)})", PANELS[1]: f"{PANELS[1]} ({whole})"}


def _added_up(result: Result, single: pd.DataFrame) -> pd.DataFrame | None:
    """The effect added up until each period; at the horizons of the result where no more is known, None where
    adding up means nothing."""
    if result.estimates is None:
        raise ValueError("this result has no estimates to draw")
    kernel: FittedSeries = result.kernel
    horizons = result.estimates[result.estimates["term"] == "cumulative effect by horizon"]
    contrast: Any = kernel.more.get("contrast")
    if horizons.empty:
        return None
    if contrast is None:
        found: pd.DataFrame = horizons.assign(at=horizons["at"] - 1)
        return found[["at", "estimate", "conf_low", "conf_high"]]
    total = contrast_effects(kernel.coefficients, kernel.covariance, contrast).cumulative.difference
    t = float(((single["conf_high"] - single["estimate"]) / single["std_error"]).median())
    return pd.DataFrame(
        {
            "at": single["at"].to_numpy(),
            "estimate": total.value,
            "conf_low": total.value - t * total.error,
            "conf_high": total.value + t * total.error,
        }
    )


def _time(kernel: FittedSeries, code: int) -> Any:
    """The position of a period on the time axis."""
    return kernel.made.series.periods.axis()[code]


def _before(kernel: FittedSeries, code: int) -> Any:
    """Half way between a period and the one before it, on the time axis."""
    here, earlier = _time(kernel, code), _time(kernel, code - 1)
    return earlier + (here - earlier) / 2


def _start(kernel: FittedSeries) -> Any:
    return _before(kernel, kernel.made.start)


def _unit(design: Any) -> str:
    if design.measured_in:
        return str(design.measured_in)
    outcome = design.outcome.replace("_", " ")
    if design.denominator is None:
        return str(outcome)
    return f"{outcome} per {design.per:,.0f}" if design.per > 1 else f"{outcome} per {design.denominator}"


def _capital(words: str) -> str:
    plain = words.replace("_", " ")
    return plain[:1].upper() + plain[1:]
