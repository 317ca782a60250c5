"""Pictures of run charts and control charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.charts.compute import Chart
from qieval.charts.kinds import ABOUT, INTERVALS, PROPORTIONS, RATES
from qieval.plots import chart_look as look
from qieval.plots import theme
from qieval.plots.chart_frames import lines_frame, places, points_frame, verdicts
from qieval.plots.chart_icons import assurance_mark, variation_mark
from qieval.plots.chart_look import Label
from qieval.result import Result
from qieval.text import number, plural

if TYPE_CHECKING:
    from plotnine import ggplot

HEIGHT, LINE_HEIGHT, USUAL_LINES = 5.0, 0.165, 3
LONGEST_MARK = 105
"""Words about an event are cut to this many letters below the chart."""
MOST_NAMED = 8
"""More marks than this are drawn without being listed below the chart."""


def chart(result: Result) -> ggplot:
    """The chart with its lines, signals by shape and colour, numbered events and the target."""
    made, design = _held(result)
    frame = points_frame(made)
    marks = _marks(made, design)
    said, below = theme.wrap(result.headline, 104), _legend(made, design, marks)
    picture = _canvas(made, _height(said, below)) + _layers(made, frame, marks)
    return picture + _words(made, design, said, below)


def making_data_count(result: Result) -> ggplot:
    """The chart in the manner of NHS Making Data Count: points coloured by their verdict, with two icons."""
    made, design = _held(result)
    frame = points_frame(made).assign(meaning=verdicts(made))
    marks = _marks(made, design)
    said = f"Variation: {made.variation or 'no verdict, too few points'}."
    if made.target is not None:
        said += f" Assurance of the target: {made.assurance or 'no verdict'}."
    below = _legend(made, design, marks)
    picture = _canvas(made, _height(said, below), room=0.06) + _layers(made, frame, marks)
    x, top = float(frame["x"].max() + 0.12 * _width(frame)), _top(made)
    picture += variation_mark(made.variation, x, top)
    picture += assurance_mark(made.assurance, x + 0.085 * _width(frame), top)
    return picture + _words(made, design, said, below)


def outcome_words(made: Chart, design: Any) -> str:
    """What is drawn, in the units of the chart."""
    named = str(design.outcome).replace("_", " ")
    if made.points.chart == "mr":
        return f"moving range of {named}"
    if made.points.waits:
        return f"{made.points.waits} from one event to the next"
    if design.measured_in:
        return str(design.measured_in)
    if made.points.chart in INTERVALS:
        return f"{named} between events"
    if design.denominator is None:
        return {"xbar": f"mean {named}", "s": f"standard deviation of {named}"}.get(made.points.chart, named)
    out_of = str(design.denominator).replace("_", " ")
    if made.points.chart in PROPORTIONS and design.per == 100:
        return f"{named}, % of {out_of}"
    return f"{named} per {number(design.per)} {out_of}" if design.per != 1 else f"{named} / {out_of}"


def _held(result: Result) -> tuple[Chart, Any]:
    if not isinstance(result.kernel, Chart):
        raise ValueError("this result has no chart to draw")
    return result.kernel, result.design


def _height(said: str, below: str) -> float:
    """Inches: what is said above and below takes none of the room of the panel."""
    lines = said.count("\n") + below.count("\n")
    return HEIGHT + LINE_HEIGHT * max(0, lines - USUAL_LINES)


def _canvas(made: Chart, height: float, room: float = look.ROOM_RIGHT) -> ggplot:
    from plotnine import ggplot

    return (
        ggplot(points_frame(made))
        + look.band()
        + look.chart_theme(height)
        + look.ticks(made.points.labels, places(made), room)
        + look.room_above()
    )


def _layers(made: Chart, frame: pd.DataFrame, marks: pd.DataFrame) -> list[Any]:
    from plotnine import aes, geom_line, geom_path, geom_point

    lines = lines_frame(made)
    drawn: list[Any] = [
        geom_path(
            lines[lines["line"] != "centre"],
            aes("x", "height", group="piece"),
            color=look.LIMIT,
            linetype="dashed",
            size=0.6,
        ),
        geom_path(
            lines[lines["line"] == "centre"], aes("x", "height", group="piece"), color=look.CENTRE, size=0.9
        ),
    ]
    if made.target is not None:
        ends = lines["x"].agg(["min", "max"]) if len(lines) else frame["x"].agg(["min", "max"])
        goal = pd.DataFrame({"x": ends.to_numpy(), "height": made.target})
        drawn.append(geom_path(goal, aes("x", "height"), color=look.TARGET, linetype="dashdot", size=0.8))
    drawn += look.numbered(marks, _top(made), 0.085 * (_top(made) - _low(made)), look.CLOSE * _width(frame))
    dense = len(frame) > 60
    drawn += [
        geom_line(frame, aes("x", "value"), color=look.LINE, size=0.5 if dense else 0.7),
        geom_point(
            frame, aes("x", "value", color="meaning", fill="meaning", shape="meaning", size="meaning")
        ),
        *look.point_scales(list(frame["meaning"])),
    ]
    return drawn + _labels(made, frame)


def _labels(made: Chart, frame: pd.DataFrame) -> list[Any]:
    """Last value, centre line, limits and target at the right, moved apart where they would overlap."""
    from plotnine import aes, geom_text

    labels = _right(made, frame)
    low, high = _low(made), _top(made)
    heights = look.spread(np.array([label.height for label in labels]), look.LEAST_GAP * (high - low))
    placed = pd.DataFrame(
        {
            "x": float(frame["x"].max() + 0.025 * _width(frame)),
            "height": heights,
            "words": [label.words for label in labels],
            "colour": [label.colour for label in labels],
            "bold": [label.bold for label in labels],
        }
    )
    return [
        geom_text(
            placed[placed["bold"] == bold],
            aes("x", "height", label="words"),
            color=placed.loc[placed["bold"] == bold, "colour"].tolist(),
            ha="left",
            size=8.5,
            fontweight="bold" if bold else "normal",
            show_legend=False,
        )
        for bold in (False, True)
        if (placed["bold"] == bold).any()
    ]


def _right(made: Chart, frame: pd.DataFrame) -> list[Label]:
    last = int(np.flatnonzero(np.isfinite(made.limits.value))[-1])
    named = (
        ("upper limit", made.limits.upper[last], look.LIMIT),
        ("median" if made.points.chart in ("run", "g") else "centre", made.limits.centre[last], look.CENTRE),
        ("lower limit", made.limits.lower[last], look.LIMIT),
    )
    labels = [
        Label(f"{words} {number(float(height))}", float(height), colour)
        for words, height, colour in named
        if np.isfinite(height)
    ]
    value = float(made.limits.value[last])
    labels.append(Label(f"last {number(value)}", value, theme.INK, True))
    if made.target is not None:
        labels.append(Label(f"target {number(made.target)}", made.target, look.TARGET))
    return labels


def _low(made: Chart) -> float:
    return _extreme(made, np.nanmin)


def _top(made: Chart) -> float:
    """The height at which marks stand: a little above everything that is drawn."""
    high, low = _extreme(made, np.nanmax), _low(made)
    return high + 0.09 * ((high - low) or abs(high) or 1.0)


def _extreme(made: Chart, which: Any) -> float:
    limits = made.limits
    held = np.concatenate([limits.value, limits.upper, limits.lower, limits.centre, [made.target or np.nan]])
    return float(which(held))


def _width(frame: pd.DataFrame) -> float:
    return float(np.ptp(frame["x"].to_numpy())) or 1.0


def _marks(made: Chart, design: Any) -> pd.DataFrame:
    """Events with numbers and beginnings of phases with letters: x, sign, when, said."""
    rows = [
        (place, str(at), when, said)
        for at, (place, when, said) in enumerate(_dated(made, design.events), start=1)
    ]
    rows += [
        (place, chr(ord("A") + at), when, f"new lines: {said}")
        for at, (place, when, said) in enumerate(_dated(made, design.rebase))
    ]
    return pd.DataFrame(rows, columns=["x", "sign", "when", "said"])


def _dated(made: Chart, happened: Any) -> list[tuple[float, str, str]]:
    """Declared moments within the chart: their place, the moment as written, and what is said."""
    x, found = places(made), []
    for when, said in happened.items():
        place = made.points.place(when, x)
        if place is not None:
            found.append((place, when, said))
    return sorted(found)


def _legend(made: Chart, design: Any, marks: pd.DataFrame) -> str:
    """What is said below the chart, each mark on a line of its own."""
    numbered = marks["sign"].str.isdigit()
    named = pd.concat([marks[numbered].head(MOST_NAMED), marks[~numbered]])
    lines = [
        look.shortened(f"{mark.sign}  {mark.when}: {mark.said}", LONGEST_MARK) for mark in named.itertuples()
    ]
    if len(named) < len(marks):
        lines.append(f"and {plural(len(marks) - len(named), 'more event')}, listed in the design")
    lines += [theme.wrap(f"Left out {when}: {why}", 115) for when, why in design.left_out.items()]
    if made.has_limits:
        lines.append("Solid: centre line. Dashed: limits of chance variation.")
    elif made.points.chart == "run":
        lines.append("Solid: median.")
    if design.baseline_until is not None:
        lines[-1] += f" The lines are fixed by the points up to {design.baseline_until}."
    return "\n".join(lines)


def _words(made: Chart, design: Any, said: str, below: str) -> Any:
    from plotnine import labs

    kind = ABOUT[made.points.chart].title
    drawn = outcome_words(made, design)
    named = str(design.outcome).replace("_", " ")
    rate = f" per {number(design.per)}" if made.points.chart in RATES and design.per != 1 else ""
    across = "events in order, by date" if made.points.by_order else str(design.time).replace("_", " ")
    return labs(
        title=f"{named[:1].upper()}{named[1:]}{rate}: {kind}",
        subtitle=said,
        caption=below,
        x=across,
        y=theme.axis_title(drawn),
    )
