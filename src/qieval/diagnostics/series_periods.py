"""How many periods there are on both sides of an interruption, and whether the last ones can be trusted."""

from __future__ import annotations

import calendar
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.series_rows import ENOUGH, SAME_MEASURE, TIMING, fitted, own_rows
from qieval.diagnostics.series_spread import standardised
from qieval.interrupted import Interrupted
from qieval.result import Study
from qieval.text import listed, number, plural

FEW, ADVISED = 8, 12
"""At least eight periods on each side are needed for enough power (Penfold and Zhang 2013), and twelve are
generally advised, which for months shows each of them on both sides (Wagner et al. 2002)."""
TWICE = 2
"""A part of the season that was seen only once before the start cannot be told from chance."""
FROM_ONE = ("month", "quarter", "day")
"""Rhythms whose positions in the season count from one."""
LAST = 3
FAR = 2.5
"""Standardised distance at which a last value counts as out of line."""


def enough_periods(design: Any, made: Interrupted) -> Check:
    """Periods before and after the interruption, altogether and for each part of the season.

    Sources: Wagner et al. 2002; Penfold and Zhang 2013. After the start only the calendar is looked at where
    outcomes are closed.
    """
    before, after = made.before, _after(made)
    word = made.series.rhythm
    counts = int(before.sum()), int(after.sum())
    text = f"There are {plural(counts[0], word)} before and {plural(counts[1], word)} after the interruption"
    if made.transition.any():
        text += f" ({int(made.transition.sum())} of phasing in are left out)"
    least = min(counts)
    text += "."
    if least < FEW:
        text += (
            f" With fewer than {FEW} on a side, trends and errors are poorly known and most effects would be"
            " missed (Penfold and Zhang 2013)."
        )
    elif least < ADVISED:
        text += f" At least {ADVISED} on each side are generally advised (Wagner et al. 2002)."
    table = _by_part(made, before, after)
    said, thin = _season_words(design, table)
    if design.seasonality == "one per season" and thin:
        said += " A value for each part of the season then rests on single values; use harmonics."
    return Check(
        name="periods before and after",
        assumption=ENOUGH,
        verdict="concern" if least < FEW or thin else "information" if least < ADVISED else "supports",
        text=text + said,
        table=table,
    )


def _after(made: Interrupted) -> np.ndarray:
    """Periods after the interruption that take part, or would when their outcomes are opened (T,)."""
    if made.after.any():
        return made.after
    found: np.ndarray = ~made.series.left_out & ~made.transition & (made.series.at >= made.first.settled)
    return found


def _by_part(made: Interrupted, before: np.ndarray, after: np.ndarray) -> pd.DataFrame:
    """Periods on each side by part of the season, where a season has a whole number of them."""
    length = made.season
    if length is None or length != round(length):
        return pd.DataFrame(
            {"part": ["all"], "periods_before": [int(before.sum())], "periods_after": [int(after.sum())]}
        )
    position, names = made.series.position(length).astype(int), _parts(made, round(length))
    position = position - 1 if length == made.series.season and made.series.rhythm in FROM_ONE else position
    return pd.DataFrame(
        {
            "part": names,
            "periods_before": np.bincount(position[before], minlength=len(names)),
            "periods_after": np.bincount(position[after], minlength=len(names)),
        }
    )


def _parts(made: Interrupted, length: int) -> list[str]:
    """The names of the parts of a season, in order."""
    rhythm = made.series.rhythm if length == made.series.season else ""
    if rhythm == "month":
        return list(calendar.month_name)[1:]
    if rhythm == "day":
        return list(calendar.day_name)
    if rhythm == "hour":
        return [f"{part}:00" for part in range(length)]
    return [f"{rhythm or 'part'} {part + 1}" for part in range(length)]


def _season_words(design: Any, table: pd.DataFrame) -> tuple[str, bool]:
    """What the season says, and whether parts of it were hardly seen although the season is modelled."""
    if len(table) < 2:
        return "", False
    once = table.loc[table["periods_before"] < TWICE, "part"]
    uncovered = table.loc[table["periods_after"] == 0, "part"]
    said = ""
    if len(once):
        said += f" Seen less than {TWICE} times before: {listed(once, 4)}"
        said += ", so the season and the trend cannot be told apart well there."
    if len(uncovered):
        said += f" Not yet seen after: {listed(uncovered, 4)}; an effect that depends on the season is half"
        said += " seen."
    if not len(once) and not len(uncovered):
        said = " Each part of the season was seen at least twice before and occurs after."
    return said, bool(len(once)) and design.seasonality != "none"


def recent_data(study: Study) -> Check:
    """Whether the last periods are out of line, as they are when records are still coming in."""
    kernel = fitted(study)
    own = own_rows(kernel)
    at, name = kernel.at[own], "completeness of recent periods"
    if len(at) < LAST or at[-1] < kernel.made.start:
        text = "The model leaves no residuals after the start, so the last values are not judged here."
        return Check(name=name, assumption=SAME_MEASURE, verdict="information", text=text)
    distance = standardised(kernel)[own]
    shown = kernel.made.series.shown()
    table = pd.DataFrame(
        {
            "period": [shown[code] for code in at[-LAST:]],
            "observed": kernel.observed[at[-LAST:]],
            "fitted": kernel.fitted[at[-LAST:]],
            "standardised_residual": distance[-LAST:],
        }
    )
    last = distance[-2:]
    low = bool(last.min() < -FAR or last.sum() < -FAR * np.sqrt(2))
    text = (
        f"The last two values ({', '.join(table['period'].iloc[-2:])}) lie {number(float(last[0]), 2)} and"
        f" {number(float(last[1]), 2)} standard deviations from what was fitted"
    )
    text += (
        ": they are low, as recent periods are while records are still coming in. Leave them out"
        " (last_period) or wait."
        if low
        else ", so nothing suggests that recent records are incomplete; ask those who hold the data."
    )
    return Check(
        name=name,
        assumption=SAME_MEASURE,
        verdict="concern" if low else "information",
        text=text,
        table=table,
    )


def too_early(study: Study) -> Check:
    """The time since the start against the time within which an effect was expected."""
    made, expected = study.panel, int(study.design.expected_within)
    word = made.series.rhythm
    seen = int(made.series.at[made.used].max()) - made.start + 1
    name = "too early to say"
    if not expected:
        text = (
            f"{plural(seen, word)} have passed since the start. It was not stated within what time an effect"
            " is expected (expected_within), so a missing effect may be a late one."
        )
        return Check(name=name, assumption=TIMING, verdict="information", text=text)
    early = seen < expected
    text = f"An effect was expected within {plural(expected, word)} of the start; {plural(seen, word)} have"
    text += (
        " passed. It is too early to say that there is none, or how large it will be."
        if early
        else " passed, so it would have had the time to show."
    )
    return Check(name=name, assumption=TIMING, verdict="concern" if early else "supports", text=text)
