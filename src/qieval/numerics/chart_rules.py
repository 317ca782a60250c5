"""Rules that mark points of a chart: Western Electric, Nelson, NHS Making Data Count, Perla.

All rules look at one phase at a time and at the values that exist: a period without a value (NaN) neither
belongs to a pattern nor breaks it. Points that were left out on purpose should not be marked: hand them in as
NaN. Rules for runs on one side need a centre line near the median, zone rules values that are roughly normal:
on g, t, mr and s charts only "beyond the limits" is meaningful. With fewer than about 12 points per phase the
limits themselves are uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from qieval.numerics.chart_formulas import Booleans, Integers
from qieval.numerics.chart_patterns import (
    Patterns,
    all_of,
    by_phase,
    covered,
    one_way,
    side,
    some_of,
    window_sums,
)
from qieval.numerics.chart_perla import PerlaSignals, perla
from qieval.numerics.two_way import Floats

__all__ = [
    "MdcPoints",
    "PerlaSignals",
    "PointType",
    "assurance_icon",
    "making_data_count",
    "nelson",
    "perla",
    "variation_icon",
    "western_electric",
]

SHORT_GROUP = 12
"""Phases with fewer values have trial limits only (NHS Making Data Count)."""


class PointType(IntEnum):
    """What Making Data Count says about one point."""

    COMMON_CAUSE = 0
    IMPROVEMENT = 1
    CONCERN = 2
    NEUTRAL_HIGH = 3
    NEUTRAL_LOW = 4


@dataclass(frozen=True, eq=False)
class MdcPoints:
    """Making Data Count's verdict on every point; all (n,), or (s, n) for many charts.

    outside the limits; relative_to_mean +1, 0, -1; close_to_limits: in the outer third, but not outside;
    trend +1 or -1 for points among seven that rise or fall; special_cause 1 if any rule holds; point_type
    codes of `PointType`; short_group: the phase has fewer than 12 values; known: there is a value.
    rules: the points of each rule.
    """

    outside: Booleans
    relative_to_mean: Integers
    close_to_limits: Booleans
    trend: Integers
    special_cause: Integers
    point_type: Integers
    short_group: Booleans
    known: Booleans
    rules: Patterns


def western_electric(
    value: Floats, centre: Floats, lower: Floats, upper: Floats, sigma: Floats, part: Integers | None = None
) -> Patterns:
    """The four zone rules (Western Electric 1956): which points belong to a pattern; all (n,).

    "beyond the limits": above upper or below lower as drawn. "2 of 3 beyond 2 sigma" and "4 of 5 beyond 1
    sigma", on the same side: the points beyond, not the one that interrupts. "8 on one side" of the centre
    line: every point of the run. Each point is measured in its own sigma, so limits may vary; where sigma is
    NaN the two middle rules say nothing. part (n,): phases; patterns do not cross from one into the next.
    """
    return by_phase(_zones, (value, centre, lower, upper, sigma), part)


def nelson(value: Floats, centre: Floats, sigma: Floats, part: Integers | None = None) -> Patterns:
    """Patterns of Nelson (1984) that Western Electric's rules lack; all (n,), marked like there.

    "6 rising or falling"; "14 alternating" up and down; "15 within 1 sigma" (limits too wide, or subgroups
    that mix processes); "8 beyond 1 sigma" on either side (two processes on one chart); "9 on one side".
    """
    return by_phase(_extra, (value, centre, sigma), part)


def making_data_count(
    value: Floats,
    mean: Floats,
    lower: Floats,
    upper: Floats,
    improvement: int,
    part: Integers | None = None,
) -> MdcPoints:
    """NHS Making Data Count's rules for an XmR chart; arrays (n,), or (s, n) with one part (n,).

    Special cause: outside the limits; part of seven in a row on one side of the mean; part of seven rising or
    falling; one of two among three neighbours in the outer third, with all three on one side of the mean.
    improvement is +1 where higher is better, -1 where lower is, 0 for neither.

    A special-cause point is an improvement if it lies on the better side of the mean and a concern otherwise,
    whatever rule marked it: the first points of a rise from below the mean are a concern although the rise
    goes the better way. So does NHSRplotthedots 0.1.0; its version 0.2 colours trends by their direction
    (`trend` says which). Version 0.1.0 overlooks falling trends, and takes two of three near any limit; both
    are here as in version 0.2.
    """
    if improvement not in (-1, 0, 1):
        raise ValueError("improvement is 1, -1 or 0")
    above = side(value, mean)
    outside = (side(value, upper) > 0) | (side(value, lower) < 0)
    third = mean + 2 / 3 * (upper - mean), mean - 2 / 3 * (mean - lower)
    close = ~outside & ((side(value, third[0]) > 0) | (side(value, third[1]) < 0))
    found = by_phase(_dots, (value, above.astype(np.float64), close.astype(np.float64)), part)
    rules = {
        "outside the limits": outside,
        "seven on one side": found["seven on one side"],
        "seven rising or falling": found["rising"] | found["falling"],
        "two of three near a limit": found["two of three near a limit"],
    }
    special = np.any(list(rules.values()), axis=0)
    return MdcPoints(
        outside=outside,
        relative_to_mean=above,
        close_to_limits=close,
        trend=found["rising"].astype(np.int64) - found["falling"].astype(np.int64),
        special_cause=special.astype(np.int64),
        point_type=_point_types(special, above, improvement),
        short_group=found["short"],
        known=~np.isnan(value),
        rules=rules,
    )


def variation_icon(points: MdcPoints, improvement: int) -> str:
    """Making Data Count's icon for variation: the verdict on the last value that exists, with high or low.

    "common cause", "improvement high", "improvement low", "concern high", "concern low", "neutral high",
    "neutral low", or "no values". High and low are those of the icons: an improvement goes the better way.
    """
    known = np.flatnonzero(points.known)
    if not known.size:
        return "no values"
    kind = PointType(int(points.point_type[known[-1]]))
    if kind in (PointType.IMPROVEMENT, PointType.CONCERN):
        better = kind is PointType.IMPROVEMENT
        high = better == (improvement > 0)
        return f"{'improvement' if better else 'concern'} {'high' if high else 'low'}"
    return kind.name.lower().replace("_", " ")


def assurance_icon(lower: float, upper: float, target: float | None, improvement: int) -> str:
    """Making Data Count's icon for assurance, from the limits of the last point.

    "consistent pass", "consistent fail" or "inconsistent" (the target lies between the limits or on one); "no
    target" without a target and where neither direction is better; "no limits" where they are NaN.

    >>> assurance_icon(46.0, 55.2, 45, improvement=1), assurance_icon(46.0, 55.2, 50, improvement=1)
    ('consistent pass', 'inconsistent')
    """
    if target is None or np.isnan(target) or improvement == 0:
        return "no target"
    if np.isnan(lower) or np.isnan(upper):
        return "no limits"
    if target > upper:
        return "consistent fail" if improvement > 0 else "consistent pass"
    if target < lower:
        return "consistent pass" if improvement > 0 else "consistent fail"
    return "inconsistent"


def _point_types(special: Booleans, above: Integers, improvement: int) -> Integers:
    if improvement == 0:
        kinds = np.where(above > 0, PointType.NEUTRAL_HIGH, PointType.NEUTRAL_LOW)
    else:
        kinds = np.where(above == improvement, PointType.IMPROVEMENT, PointType.CONCERN)
    types: Integers = np.where(special, kinds, PointType.COMMON_CAUSE).astype(np.int64)
    return types


def _zones(value: Floats, centre: Floats, lower: Floats, upper: Floats, sigma: Floats) -> Patterns:
    far = (value - centre) / np.where(sigma > 0, sigma, np.nan)
    above = side(value, centre)
    return {
        "beyond the limits": (side(value, upper) > 0) | (side(value, lower) < 0),
        "2 of 3 beyond 2 sigma": some_of(far > 2, 2, 3) | some_of(far < -2, 2, 3),
        "4 of 5 beyond 1 sigma": some_of(far > 1, 4, 5) | some_of(far < -1, 4, 5),
        "8 on one side": all_of(above > 0, 8) | all_of(above < 0, 8),
    }


def _extra(value: Floats, centre: Floats, sigma: Floats) -> Patterns:
    far = np.abs(value - centre) / np.where(sigma > 0, sigma, np.nan)
    above, step = side(value, centre), side(value[:, 1:], value[:, :-1])
    turns = window_sums(step[:, 1:] * step[:, :-1] < 0, 12) == 12
    rising, falling = one_way(value, 6)
    return {
        "6 rising or falling": rising | falling,
        "14 alternating": covered(turns, 14, value.shape[1]),
        "15 within 1 sigma": all_of(far < 1, 15),
        "8 beyond 1 sigma": all_of(far > 1, 8),
        "9 on one side": all_of(above > 0, 9) | all_of(above < 0, 9),
    }


def _dots(value: Floats, above: Floats, close: Floats) -> Patterns:
    near, sides = close == 1, np.nan_to_num(above).astype(np.int64)
    hits = (window_sums(near, 3) >= 2) & (np.abs(window_sums(sides, 3)) == 3)
    rising, falling = one_way(value, 7)
    few = (~np.isnan(value)).sum(axis=1, keepdims=True) < SHORT_GROUP
    return {
        "rising": rising,
        "falling": falling,
        "two of three near a limit": covered(hits, 3, value.shape[1]) & near,
        "seven on one side": all_of(sides > 0, 7) | all_of(sides < 0, 7),
        "short": np.broadcast_to(few, value.shape),
    }
