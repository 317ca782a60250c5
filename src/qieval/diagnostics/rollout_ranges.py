"""Whether those that began lie within the range of each covariate among those they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qieval.diagnostics.rollout_rows import hidden
from qieval.rollout.panel import Rollout

MANY_OUTSIDE, FEW_OUTSIDE = 0.25, 0.1
"""With more than the first share outside a range the effect rests on extrapolation, up to the second it
hardly does: the range of a small comparison group leaves some out by chance."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """For each cohort (starts,) the covariate with the largest share outside the range, and that share.

    NaN where a cohort or its comparison has no rows before the start. shown: whether the share may be.
    """

    outside: np.ndarray
    covariate: tuple[str, ...]
    shown: np.ndarray

    @property
    def known(self) -> bool:
        """Whether every cohort could be examined."""
        return bool(len(self.outside)) and bool(np.isfinite(self.outside).all())

    @property
    def worst(self) -> float:
        """The largest share of any cohort."""
        return float(np.max(self.outside, initial=0.0, where=np.isfinite(self.outside)))

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        if not self.known:
            return "For some cohort ranges of covariates before the start could not be compared."
        place = int(np.argmax(self.outside))
        share = f"{self.worst:.0%}" if self.shown[place] else "some"
        if not self.shown[place] and FEW_OUTSIDE < self.worst <= MANY_OUTSIDE:
            return (
                f"In a small cohort some of those that began lie outside the range of {self.covariate[place]}"
                " among those compared."
            )
        if self.worst > MANY_OUTSIDE:
            return (
                f"In one cohort {share} of those that began lie outside the range of"
                f" {self.covariate[place]} among those compared: the effect there rests on extrapolation."
            )
        if not self.shown[place]:
            share = f"{FEW_OUTSIDE:.0%}"
        found = f"{share} ({self.covariate[place]})" if self.worst else "0%"
        return (
            "Of those that began, the share outside the range of a covariate among those compared is at most"
            f" {found} in any cohort; combinations of covariates were not looked at."
        )


def ranges_of(design: Any, rollout: Rollout) -> Ranges:
    """Shares outside ranges in the last period before the start, or in all before it where that has no rows.

    Compared are those that begin later or never; with control_group 'never' and group-time effects, only the
    latter.
    """
    never = design.control_group == "never" and rollout.has_never and design.approach == "group-time"
    outside, names, shown = [], [], []
    for start in rollout.starts:
        others = np.isinf(rollout.first) if never else rollout.first > start
        mine, held = _before(rollout, start - int(design.anticipation), rollout.first == start, others)
        share = (
            _outside(rollout.x[mine], rollout.x[held]) if mine.any() and held.any() else np.array([np.nan])
        )
        outside.append(float(share.max()))
        names.append(rollout.x_names[int(share.argmax())])
        shown.append(not hidden(design, int(mine.sum())))
    return Ranges(np.array(outside), tuple(names), np.array(shown, dtype=bool))


def _before(
    rollout: Rollout, until: float, mine: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both in the last period before `until`, or in all periods before it where either has none."""
    when = rollout.times[rollout.time]
    early = when < until
    last = when == when[early].max(initial=-1)
    seen = last if (mine & last & early).any() and (others & last & early).any() else early
    return mine & seen & early, others & seen & early


def _outside(mine: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of rows outside the range, for each covariate (k,)."""
    beyond = (mine < others.min(axis=0)) | (mine > others.max(axis=0))
    return np.asarray(beyond.mean(axis=0))
