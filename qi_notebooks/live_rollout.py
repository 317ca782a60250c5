"""The effect of a roll-out by time since the start as a light picture, which follows how it is averaged."""

from typing import Any

import numpy as np
import pandas as pd

import qieval as qe
from qi_notebooks import look
from qi_notebooks.drawing import Frame, filled, key, keys, point_key, title

HIGH = 210.0
"""Height of the picture, in units of the pictures."""
SINCE = "effect in period"
BEFORE, AFTER, BAND, BAR = "qi-dot-out", "qi-dot", "qi-ribbon-effect", "qi-line-fitted"


def since_start(result: qe.Result) -> pd.DataFrame:
    """The effects by period since the start, in order."""
    table = filled(result.estimates)
    return table[table["term"] == SINCE].dropna(subset=["estimate"]).sort_values("at")


def over_time(result: qe.Result) -> str:
    """Effects by period since the start with their intervals, and the band over all of them."""
    table = since_start(result)
    if table.empty:
        return look.note("No effect by period since the start is left with these settings.")
    at = table["at"].to_numpy(dtype=int)
    places = np.arange(at.min(), at.max() + 1)
    held = {
        name: _spread(places, at, table[name].to_numpy(dtype=float))
        for name in ("estimate", "conf_low", "conf_high", "band_low", "band_high")
    }
    frame = Frame([str(place) for place in places], np.concatenate([*held.values(), [0.0]]), HIGH)
    early = places < 0
    drawn = (
        _bands(frame, held, early)
        + frame.level(0, "qi-axis")
        + _bars(frame, held)
        + frame.points(np.where(early, held["estimate"], np.nan), BEFORE, 2.6)
        + frame.points(np.where(early, np.nan, held["estimate"]), AFTER, 2.6)
    )
    if early.any() and not early.all():
        drawn += frame.upright(float(early.sum()) - 0.5, "start")
    named = keys(
        point_key(BEFORE, "before the start"),
        point_key(AFTER, "from the start on"),
        key(BAR, f"{result.design.level:.0%} interval"),
    )
    alt = f"The effect by period since the start. {result.headline}"
    shaded = bool(table["band_low"].notna().any())
    note = look.note("Shaded: the band that covers all periods shown together.") if shaded else ""
    return f"{title('Effect by period since the start')}{named}{frame.picture(drawn, alt)}{note}"


def _bars(frame: Frame, held: dict[str, np.ndarray]) -> str:
    """An upright line for each interval."""
    drawn = []
    for at, (low, high) in enumerate(zip(held["conf_low"], held["conf_high"], strict=True)):
        if np.isfinite([low, high]).all():
            x = frame.x(at)
            ends = f"y1='{frame.y(float(low))}' y2='{frame.y(float(high))}'"
            drawn.append(f"<line class='{BAR}' x1='{x}' x2='{x}' {ends}/>")
    return "".join(drawn)


def _bands(frame: Frame, held: dict[str, np.ndarray], early: np.ndarray) -> str:
    """The band before the start, and the one from the start on."""
    low, high = held["band_low"], held["band_high"]
    return "".join(
        frame.ribbon(np.where(side, low, np.nan), np.where(side, high, np.nan), BAND)
        for side in (early, ~early)
    )


def _spread(places: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at their places, NaN where there are none."""
    found = np.full(len(places), np.nan)
    found[at - places[0]] = values
    return found


def longest(result: qe.Result) -> int:
    """The longest time since the start in the data, in periods."""
    facts: Any = result.facts
    return int(facts["longest time since the start"])
