"""The numbers of a chart as tables to be drawn: points with their meaning, and lines that step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.charts.compute import Chart
from qieval.plots import chart_look as look


def points_frame(made: Chart) -> pd.DataFrame:
    """One row per point that has a value: x, value, phase, meaning."""
    x = places(made)
    frame = pd.DataFrame(
        {
            "x": x,
            "value": made.limits.value,
            "phase": made.points.part,
            "meaning": _meanings(made),
            "band": "",
        }
    )
    held: pd.DataFrame = frame[np.isfinite(frame["value"])].reset_index(drop=True)
    return held


def lines_frame(made: Chart) -> pd.DataFrame:
    """Centre line and limits as stepped paths: x, height, line, phase; no row where there is no line."""
    x = places(made)
    frames = []
    lines = {"centre": made.limits.centre, "lower": made.limits.lower, "upper": made.limits.upper}
    for phase in np.unique(made.points.part):
        at = np.flatnonzero(made.points.part == phase)
        for name, heights in lines.items():
            along, height = look.stepped(x[at], heights[at])
            frames.append(pd.DataFrame({"x": along, "height": height, "line": name, "phase": int(phase)}))
    found = pd.concat(frames, ignore_index=True)
    found["piece"] = found["line"] + found["phase"].astype(str)
    held: pd.DataFrame = found[np.isfinite(found["height"])].assign(band="")
    return held


def places(made: Chart) -> np.ndarray:
    """Where the points stand: by their order for events, else by date in days or by number."""
    time = made.points.time
    if made.points.by_order:
        return np.arange(1.0, made.points.n + 1)
    if isinstance(time, pd.DatetimeIndex):
        return np.asarray((time - time[0]) / pd.Timedelta(days=1), dtype=float)
    return np.asarray(time, dtype=float)


def _meanings(made: Chart) -> list[str]:
    named = {1: look.BETTER, -1: look.WORSE, 0: look.SIGNAL}
    return [
        look.OUT if not counted else named[int(way)] if flagged else look.COMMON
        for counted, flagged, way in zip(made.points.counted, made.flagged, made.way, strict=True)
    ]


def verdicts(made: Chart) -> list[str]:
    """The verdict of Making Data Count on each point."""
    if made.icons is None:
        return [look.OUT if not counted else look.COMMON for counted in made.points.counted]
    named = {0: look.COMMON, 1: look.BETTER, 2: look.WORSE, 3: look.SIGNAL, 4: look.SIGNAL}
    found = [
        look.OUT if not counted else named[int(kind)]
        for counted, kind in zip(made.points.counted, made.icons.point_type, strict=True)
    ]
    finite = np.isfinite(made.limits.value)
    return [meaning for meaning, there in zip(found, finite, strict=True) if there]
