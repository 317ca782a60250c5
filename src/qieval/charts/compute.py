"""A chart computed: its points with centre line, limits, runs and signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts import signals as rules
from qieval.charts.points import Points, read_points
from qieval.charts.signals import Signal
from qieval.errors import DataError
from qieval.numerics.chart_limits import ChartLimits, ChartValues, chart_limits
from qieval.numerics.chart_patterns import side
from qieval.numerics.chart_perla import perla
from qieval.numerics.chart_rules import (
    MdcPoints,
    assurance_icon,
    making_data_count,
    variation_icon,
    western_electric,
)
from qieval.numerics.chart_runs import Runs, runs

FEWEST = 10
"""With fewer points than this in a phase no rule is applied (Anhoej and Olesen 2014: rules need about 10)."""
ENOUGH = 20
"""Limits from fewer points than this are provisional (Provost and Murray 2011)."""
SKEWED = ("mr", "s", "g", "t")
"""Charts whose points are far from normal: of zone and trend rules only a point outside the limits counts."""
DIRECTION = {"higher": 1, "lower": -1, "neither": 0}


@dataclass(frozen=True, eq=False, kw_only=True)
class Chart:
    """A chart with everything that was computed.

    ruled (n,): points of phases with enough points for rules. runs: by phase that has enough. icons: the
    rules of Making Data Count on all points, None for run charts. flagged (n,): points of a signal; way
    (n,): +1 where the signal lies in the better direction, -1 in the worse, 0 where neither is called better.
    variation, assurance: verdicts of Making Data Count on the last point and the target, '' where none.
    """

    points: Points
    limits: ChartLimits
    ruled: np.ndarray
    runs: dict[int, Runs]
    signals: tuple[Signal, ...]
    icons: MdcPoints | None
    flagged: np.ndarray
    way: np.ndarray
    variation: str
    assurance: str
    target: float | None

    @property
    def has_limits(self) -> bool:
        """Whether there are limits to draw."""
        return bool(np.isfinite(self.limits.upper).any())

    @property
    def varies(self) -> bool:
        """Whether the counted points differ at all."""
        value = self.limits.value[self.points.counted]
        value = value[np.isfinite(value)]
        return len(value) > 1 and bool(np.ptp(value) > 0)

    @property
    def enough(self) -> bool:
        """Whether any phase has enough points for rules."""
        return bool(self.ruled.any())

    def lines(self) -> pd.DataFrame:
        """One row per phase: phase, reason, points, first, last, centre, lower, upper (of its last point)."""
        held = []
        for phase, (label, why) in enumerate(self.points.phases):
            at = np.flatnonzero(self.points.part == phase)
            last = int(at[-1])
            held.append(
                {
                    "phase": label,
                    "reason": why,
                    "points": int((self.points.part[self.points.counted] == phase).sum()),
                    "first": self.points.labels[at[0]],
                    "last": self.points.labels[last],
                    "centre": float(self.limits.centre[last]),
                    "lower": float(self.limits.lower[last]),
                    "upper": float(self.limits.upper[last]),
                }
            )
        return pd.DataFrame(held)


def make_chart(design: ChartDesign, frame: pd.DataFrame) -> Chart:
    """Read the data of a design and compute its chart. DataError when they do not fit."""
    return computed(design, read_points(design, frame))


def computed(design: ChartDesign, points: Points) -> Chart:
    """The chart of points that were read."""
    limits, ruled = _lines(design, points)
    found = _runs(points, limits, ruled)
    signals = _signals(design, points, limits, ruled, found)
    flagged, better = _flags(design, points, limits, signals)
    way = _direction(design, points)
    without = points.chart == "run" or points.chart in SKEWED or not ruled[-1]
    icons = None if without else _icons(points, limits, ruled, way)
    return Chart(
        points=points,
        limits=limits,
        ruled=ruled,
        runs=found,
        signals=tuple(signals),
        icons=icons,
        flagged=flagged,
        way=better,
        variation="" if icons is None else variation_icon(icons, way),
        assurance="" if icons is None else _assurance(design, limits, way),
        target=design.goal,
    )


def shows_signal(design: ChartDesign, points: Points) -> bool:
    """Whether the chart of the points shows any signal by the rules of the design."""
    limits, ruled = _lines(design, points)
    return bool(_signals(design, points, limits, ruled, _runs(points, limits, ruled)))


def _lines(design: ChartDesign, points: Points) -> tuple[ChartLimits, np.ndarray]:
    """Centre line and limits, and which points rules are applied to."""
    limits = chart_limits(
        points.chart,
        ChartValues(points.y, points.size, points.spread, points.multiply),
        part=points.part,
        used=points.used,
        screen=design.screened,
        constants="rounded" if design.rounded_constants else "exact",
    )
    if not np.isfinite(limits.value).any():
        raise DataError(
            "outcome: no point of this chart has a value (each phase has a single measurement). Add"
            " points, or begin fewer phases (rebase)."
        )
    return limits, _ruled(points)


def _direction(design: ChartDesign, points: Points) -> int:
    """The better direction of the points: where they are waits for events, fewer events are longer waits."""
    return -DIRECTION[design.better] if points.waits else DIRECTION[design.better]


def _ruled(points: Points) -> np.ndarray:
    """Points of phases that have enough counted points for rules (n,)."""
    many = np.bincount(points.part[points.counted], minlength=len(points.phases))
    return np.asarray(many[points.part] >= FEWEST)


def _runs(points: Points, limits: ChartLimits, ruled: np.ndarray) -> dict[int, Runs]:
    """The runs of each phase with enough points; none for moving ranges, whose neighbours overlap."""
    if points.chart == "mr":
        return {}
    return {
        int(phase): runs(limits.value, limits.centre, counted=points.counted & (points.part == phase))
        for phase in np.unique(points.part[ruled])
    }


def _signals(
    design: ChartDesign, points: Points, limits: ChartLimits, ruled: np.ndarray, found: dict[int, Runs]
) -> list[Signal]:
    """The signals by the rules of the design; those for near-normal points only where points are that."""
    if not ruled.any():
        return []
    if design.signal_rules == "Perla":
        return [signal for phase in found for signal in _perla(points, limits, phase)]
    if design.signal_rules == "Anhoej" and points.chart != "mr":
        return [*rules.outside(points, limits, ruled), *rules.anhoej(points, limits, found)]
    if points.chart in SKEWED:
        return rules.outside(points, limits, ruled)
    value = np.where(points.counted & ruled, limits.value, np.nan)
    lines = (limits.centre, limits.lower, limits.upper)
    if design.signal_rules == "Making Data Count":
        flags = making_data_count(value, *lines, _direction(design, points), points.part).rules
    else:
        flags = western_electric(value, *lines, limits.sigma, points.part)
    return rules.patterns(points, value, limits.centre, flags)


def _perla(points: Points, limits: ChartLimits, phase: int) -> list[Signal]:
    at = (points.part == phase) & points.counted
    return rules.perla_rules(points, phase, perla(limits.value[at], limits.centre[at]))


def _icons(points: Points, limits: ChartLimits, ruled: np.ndarray, way: int) -> MdcPoints:
    """The rules of Making Data Count; points left out, and phases with too few points, count for nothing."""
    value = np.where(points.counted & ruled, limits.value, np.nan)
    return making_data_count(value, limits.centre, limits.lower, limits.upper, way, points.part)


def _assurance(design: ChartDesign, limits: ChartLimits, way: int) -> str:
    lower, upper = float(limits.lower[-1]), float(limits.upper[-1])
    return assurance_icon(lower, upper, design.goal, way)


def _flags(
    design: ChartDesign, points: Points, limits: ChartLimits, signals: list[Signal]
) -> tuple[np.ndarray, np.ndarray]:
    """Which points belong to a signal, and whether in the better direction; crossings mark no point."""
    flagged = np.zeros(points.n, dtype=bool)
    sided = np.zeros(points.n, dtype=int)
    own = side(limits.value, limits.centre)
    for signal in signals:
        if signal.rule in rules.WHOLE_PHASE:
            continue
        at = np.arange(signal.first, signal.last + 1)
        at = at[points.counted[at]]
        flagged[at] = True
        sided[at] = own[at] if rules.RISING in signal.rule or not signal.side else signal.side
    return flagged, sided * _direction(design, points) * flagged
