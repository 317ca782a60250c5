"""Which chart fits the data, and why: told by their type, never by what the chart would show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.charts.kinds import ABOUT
from qieval.text import number

LARGE_DENOMINATOR = 1000.0
"""From thousands on, binomial and Poisson limits become so narrow that other variation shows (Laney 2002)."""
FAR_FROM_CHANCE = 0.2
"""Short-term variation that is at least that far from chance alone (1) asks for other limits ..."""
NOISE = 2.5 * 0.91
"""... if it is also beyond 2.5 standard errors, which are about 0.91 / root n (n moving ranges)."""
RARE = 0.5
"""When more than this share of the days have no event, days between events tell more than counts."""
FEW_EVENTS = 1.0
"""A c chart of fewer events a period than this has no lower limit to speak of and hardly any shape."""
EXTREME = 3.267
"""Moving ranges of that many times their mean are left out once, as for the limits of these charts."""
MEAN_RANGE = 1.128
"""The mean moving range of two normal values in standard deviations (d2)."""
LARGE_COUNT = 2.0
"""Whole numbers whose short-term variation is that many times that of a count are not taken for one."""
FEWEST_ROWS_A_PERIOD = 2
FEWEST_EVENTS = 2
"""An interval needs two events."""
AS_PERCENT = (1.0, 100.0)


@dataclass(frozen=True)
class Choice:
    """A kind of chart with the reason in a sentence, and what else should be known about it."""

    kind: str
    why: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """The rows of a series in order of time: y (n,), size (n,) or None, code (n,) of their periods.

    daily: whether periods are days in an unbroken row. from_dates: whether intervals between the dates are
    asked for.
    """

    y: np.ndarray
    size: np.ndarray | None
    code: np.ndarray
    per: float
    daily: bool
    from_dates: bool = False


def choose(given: Given) -> Choice:
    """The chart for the type of the data.

    >>> falls = np.array([3.0, 5, 2, 6, 4, 3, 7, 5])
    >>> days = np.array([910.0, 930, 905, 960, 921, 915, 940, 935])
    >>> choose(Given(y=falls, size=days, code=np.arange(8), per=1000, daily=False)).kind
    'u'
    """
    if given.from_dates:
        return Choice(
            "g",
            "Intervals between the dates of events were asked for: rare events are told by how many cases or"
            " days lie between them (G chart).",
        )
    counts = _whole(given.y) and not (given.y < 0).any()
    repeated = len(given.code) >= FEWEST_ROWS_A_PERIOD * len(np.unique(given.code))
    if given.size is None and repeated:
        return Choice(
            "xbar",
            "Several measurements in each period: their means are drawn (X-bar chart).",
            ("Draw the spread of the same measurements too (kind='s'): limits of means rest on it.",),
        )
    if not counts:
        return Choice("i", "Single measurements, no counts: limits come from their changes (I chart).")
    return _counts(given) if given.size is None else _out_of(given, given.size)


def _out_of(given: Given, size: np.ndarray) -> Choice:
    """Counts with a denominator."""
    bounded = bool((given.y <= size).all()) and _whole(size)
    if bounded and given.per in AS_PERCENT:
        kind, why = "p", "Counts out of a number that is never smaller: proportions (P chart)."
        notes: tuple[str, ...] = (
            "If one person can count more than once, these are rates: choose kind='u'.",
        )
    else:
        over = "larger than the denominator in places" if (given.y > size).any() else "shown per an exposure"
        kind, why = "u", f"Counts {over}: rates of events (U chart)."
        notes = ()
    ratio = short_term_ratio(kind, given.y, size)
    large = float(np.median(size)) >= LARGE_DENOMINATOR
    if large and abs(ratio - 1) > max(FAR_FROM_CHANCE, NOISE / np.sqrt(max(len(given.y) - 1, 1))):
        more = "more" if ratio > 1 else "less"
        said = (
            f" Denominators are in the thousands and neighbours differ {number(ratio, 2)} times as much as"
            f" chance alone would make them ({more} than it), so the limits are scaled by that"
            f" ({ABOUT[kind + chr(39)].title}, Laney)."
        )
        return Choice(kind + "'", why + said, notes)
    return Choice(kind, why, notes)


def _counts(given: Given) -> Choice:
    """Whole numbers without a denominator."""
    y = given.y
    if given.daily and float((y == 0).mean()) > RARE and y.sum() >= FEWEST_EVENTS:
        return Choice(
            "g",
            f"Events are rare: {(y == 0).mean():.0%} of the days have none. Days between events are drawn (G"
            " chart).",
        )
    ratio = short_term_ratio("c", y, np.ones(len(y)))
    if ratio > LARGE_COUNT:
        return Choice(
            "i",
            f"Whole numbers whose neighbours differ {number(ratio, 2)} times as much as those of chance"
            " counts would: limits come from their changes (I chart).",
            ("If these are counts out of a number, name the denominator: its changes are then allowed for.",),
        )
    notes = ["A C chart takes the exposure as equal in all periods; if it is not, name the denominator."]
    if 0 < y.mean() < FEW_EVENTS:
        notes.append(
            f"There are only {number(float(y.mean()), 2)} events a period: days or cases between events tell"
            " more. Give the dates of the events and choose kind='g'."
        )
    return Choice("c", "Counts of events without a denominator (C chart).", tuple(notes))


def short_term_ratio(kind: str, y: np.ndarray, size: np.ndarray) -> float:
    """How much neighbours differ relative to chance alone (1: as chance would make them).

    kind: 'p', 'u' or 'c'. The sigma of z values by their mean moving range (Laney 2002), without
    extreme ranges, which makes it 3% too small on average. NaN where chance would give no variation or there
    is no neighbour.
    """
    if len(y) < FEWEST_ROWS_A_PERIOD or (size <= 0).any():
        return float("nan")
    centre = float(y.sum() / size.sum())
    variance = centre * (1 - centre) if kind == "p" else centre
    if variance <= 0:
        return float("nan")
    z = (y / size - centre) / np.sqrt(variance / size)
    ranges = np.abs(np.diff(z))
    usual = ranges[ranges < EXTREME * ranges.mean()]
    return float((usual if len(usual) else ranges).mean() / MEAN_RANGE)


def _whole(values: np.ndarray) -> bool:
    return bool((values == np.round(values)).all())
