"""The base of designs of improvement charts: what is followed over time, and what was declared about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qieval.fields import choice, text, texts, value
from qieval.series_design import SeriesDesign


@dataclass(frozen=True, kw_only=True, repr=False)
class ChartDesign(SeriesDesign):
    """A measure followed over time on a run chart or a control chart.

    Points named in `left_out` are drawn but enter no computation. `rebase` begins new phases, each with
    centre line and limits of its own, at declared dates only. `baseline_until` freezes the lines of the
    first phase at what the points up to that period gave. `events` (tests of change, other happenings) are
    drawn with numbers. `target` is a number in the units of the chart; it is kept as text, so that empty
    means none.
    """

    better: str = choice(
        ("higher", "lower", "neither"),
        "which direction of the measure is better for patients",
        default="neither",
        step="data",
    )
    target: str = text("the target, a number in the units of the chart (empty: none)", step="data")
    rebase: Mapping[str, str] = texts(
        "periods from which the lines are computed anew, each with the reason: {first period: why}",
        step="data",
    )
    baseline_until: Any = value(
        "the last period of the baseline that fixes the lines (by default all points are used)",
        default=None,
        step="analysis",
    )
    measure: str = choice(
        ("not stated", "outcome", "process", "balancing"),
        "what kind of measure it is in a family of measures",
        default="not stated",
        step="data",
    )

    def __post_init__(self) -> None:
        given: Any = self.target
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            object.__setattr__(self, "target", f"{given:.15g}")
        super().__post_init__()

    @property
    def units_are(self) -> str:
        """Rows are periods of a service, never people."""
        return "organisations"

    @property
    def goal(self) -> float | None:
        """The target as a number; None when there is none."""
        return float(self.target) if self.target.strip() else None

    @property
    def chart(self) -> str:
        """Which chart: its name in `qieval.charts.kinds`, or 'chosen from the data'."""
        raise NotImplementedError

    @property
    def signal_rules(self) -> str:
        """The name of the rules that tell signals."""
        raise NotImplementedError

    @property
    def rounded_constants(self) -> bool:
        """Whether limits of single values are 2.66 mean moving ranges (else 3 / 1.128 of them)."""
        return False

    @property
    def screened(self) -> bool:
        """Whether extreme moving ranges are left out."""
        return True

    @property
    def from_dates(self) -> bool:
        """Whether intervals are computed from dates of events."""
        return False

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.target.strip() and not _is_finite(self.target):
            found.append(
                f"target: {self.target!r} is not a number, so it cannot be drawn. Write it in the units of"
                " the chart, such as 95."
            )
        found += [
            f"rebase: no reason is given for new lines from {moment} on. Lines that are moved without a"
            " reason hide signals; say what changed."
            for moment, why in self.rebase.items()
            if not why.strip()
        ]
        return found


def _is_finite(said: str) -> bool:
    try:
        return math.isfinite(float(said))
    except ValueError:
        return False
