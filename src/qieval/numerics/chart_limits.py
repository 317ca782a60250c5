"""Centre lines and control limits of run charts and Shewhart charts.

Conventions are those of the R package qicharts2 (0.8.1), and of NHS Making Data Count for
`constants="rounded"`; checked against numbers of qicharts2 and NHSRplotthedots 0.1.0. The formulas are in
`chart_formulas`. Every kernel works on rows: one chart is a table of one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.chart_formulas import KINDS, Booleans, Integers, Lines, Phase
from qieval.numerics.two_way import Floats

Constants = Literal["exact", "rounded"]

PER_MOVING_RANGE = {"exact": 3 / 1.128, "rounded": 2.66}
"""Three sigma in mean moving ranges: 2.6596 as in qicharts2, or 2.66 as in NHS Making Data Count."""

SUBGROUPS = {"xbar", "s"}
PROPORTIONS = {"p", "p'"}
NEEDS_N = {"p", "p'", "u", "u'", "xbar", "s"}
WITHOUT_N = {"c", "g", "t"}
COUNTS = {"p", "p'", "u", "u'", "c", "g"}


@dataclass(frozen=True, eq=False)
class ChartValues:
    """What one chart is made of, in time order; NaN in y is a period without a value.

    y (n,) is a measurement, a count or a number of events; the mean of a subgroup for "xbar" and "s". n (n,)
    holds denominators (p, p', u, u'; optional for run, i, mr, which then plot y / n) or subgroup sizes (xbar,
    s). sd (n,) holds standard deviations within subgroups (xbar, s). Everything plotted is multiplied by
    `multiply` (1000: rates per 1,000).
    """

    y: Floats
    n: Floats | None = None
    sd: Floats | None = None
    multiply: float = 1.0


@dataclass(frozen=True, eq=False)
class ChartLimits:
    """The lines of a chart; all (n,), in plotted units.

    value is what is plotted, centre the centre line, lower and upper the 3-sigma limits. sigma is the
    standard error of a point: (limit - centre) / 3 before a limit is cut at 0 or 1; NaN for "run" and for "t"
    (its limits are computed on a transformed scale). For "g" the limits stand around the mean and the centre
    is the median. Limits are NaN where none can be computed: no denominator, a phase without
    points that enter the computation, or a mean moving range of 0. screened is the number of moving ranges
    left out.
    """

    value: Floats
    centre: Floats
    lower: Floats
    upper: Floats
    sigma: Floats
    screened: int


def chart_limits(
    kind: str,
    values: ChartValues,
    *,
    part: Integers,
    used: Booleans,
    screen: bool = True,
    constants: Constants = "exact",
) -> ChartLimits:
    """Lines of one chart: "run", "i", "mr", "xbar", "s", "p", "p'", "u", "u'", "c", "g" or "t".

    part (n,) numbers the phases: each has its own lines, and no moving range crosses from one into the next.
    used (n,) marks the points from which lines are computed; the others get lines all the same (after a
    frozen baseline, or points that are left out). With `screen`, moving ranges of at least 3.267 times their
    mean are left out once (Nelson 1982) for i, t, p' and u', as both reference packages do.

    Moving ranges: points that are not used are skipped, so that their neighbours follow one another; a period
    without a value interrupts. The mr chart plots the moving ranges of all points and its centre line is the
    mean of those at used points: the range from a point left out to the next one stays in, as in qicharts2.
    Subgroups of unequal size share the pooled standard deviation, of equal size the mean one; a subgroup of
    one has no limits. Lower limits of counts, rates and s are cut at 0, upper limits of proportions at 1.
    constants concerns charts of moving ranges: "exact" sigma = mean / 1.128, "rounded" 3 sigma = 2.66 x mean.

    >>> import numpy as np
    >>> y = np.array([7.0, 4, 9, 6, 3, 8, 5, 12, 4, 6, 2, 24])
    >>> found = chart_limits("c", ChartValues(y), part=np.zeros(12, dtype=int), used=np.ones(12, dtype=bool))
    >>> float(found.centre[0]), float(found.lower[0]), round(float(found.upper[0]), 4)
    (7.5, 0.0, 15.7158)
    """
    rows = ChartValues(
        values.y[None, :],
        None if values.n is None else values.n[None, :],
        None if values.sd is None else values.sd[None, :],
        values.multiply,
    )
    lines = limits_of_rows(kind, rows, part=part, used=used, screen=screen, constants=constants)
    value, centre, lower, upper, sigma = (line[0] for line in lines[:5])
    return ChartLimits(value, centre, lower, upper, sigma, int(lines[5][0]))


def limits_of_rows(
    kind: str,
    values: ChartValues,
    *,
    part: Integers,
    used: Booleans,
    screen: bool = True,
    constants: Constants = "exact",
) -> Lines:
    """`chart_limits` of many charts at once: arrays of `values` are (s, n); part and used (n,) are shared."""
    y, n, sd = _checked(kind, values, part, used)
    value = _plotted(kind, y, n, sd)
    table = np.full((5, *y.shape), np.nan)
    table[0] = value
    screened = np.zeros(len(y), dtype=np.int64)
    for code in np.unique(part):
        at = np.flatnonzero(part == code)
        phase = Phase(
            value=np.take(value, at, axis=1),
            n=np.take(n, at, axis=1),
            sd=np.take(sd, at, axis=1),
            base=np.flatnonzero(used[at]),
            screen=screen,
            per_range=PER_MOVING_RANGE[constants],
        )
        found = KINDS[kind](phase)
        table[:, :, at] = found[:5]
        screened += found.screened
    table *= values.multiply
    return Lines(table[0], table[1], table[2], table[3], table[4], screened)


def _checked(kind: str, values: ChartValues, part: Integers, used: Booleans) -> tuple[Floats, Floats, Floats]:
    """y, n and sd (s, n); y and n are NaN together where the value or its denominator is missing."""
    y = np.array(values.y, dtype=np.float64)
    if kind not in KINDS:
        raise ValueError(f"no chart is called {kind!r}")
    if part.shape != y.shape[1:] or used.shape != y.shape[1:]:
        raise ValueError("part and used have one entry for each period")
    if values.n is None and kind in NEEDS_N:
        raise ValueError(f"the {kind} chart needs denominators or sizes of subgroups")
    if values.n is not None and kind in WITHOUT_N:
        raise ValueError(f"the {kind} chart has no denominators")
    if values.sd is None and kind in SUBGROUPS:
        raise ValueError(f"the {kind} chart needs standard deviations of the subgroups")
    n = np.ones_like(y) if values.n is None else np.array(values.n, dtype=np.float64)
    sd = np.zeros_like(y) if values.sd is None else np.array(values.sd, dtype=np.float64)
    if n.shape != y.shape or sd.shape != y.shape:
        raise ValueError("y, n and sd differ in shape")
    _refuse_impossible(kind, y, n, sd)
    missing = np.isnan(y) | np.isnan(n) | (n == 0)
    y[missing], n[missing] = np.nan, np.nan
    return y, n, sd


def _refuse_impossible(kind: str, y: Floats, n: Floats, sd: Floats) -> None:
    if np.isinf(y).any() or np.isinf(n).any() or np.isinf(sd).any():
        raise ValueError("values of a chart are finite, or NaN where missing")
    if (n < 0).any() or (sd < 0).any() or ((n == 0) & (np.nan_to_num(y) != 0)).any():
        raise ValueError("denominators are positive; 0 only where nothing was counted")
    if kind in COUNTS and (y < 0).any():
        raise ValueError("counts are not negative")
    if kind in PROPORTIONS and (y > n).any():
        raise ValueError("a proportion counts no more than its denominator")
    if kind == "t" and (y <= 0).any():
        raise ValueError("times between events are above 0")


def _plotted(kind: str, y: Floats, n: Floats, sd: Floats) -> Floats:
    if kind == "s":
        return np.where(np.isnan(y), np.nan, sd)
    return y if kind in SUBGROUPS else y / n
