"""How coarse a score is near the cutoff: distinct values, gaps, and rows at the cutoff itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.local_randomisation_rows import window_mask
from qieval.numerics.two_way import Codes, Floats


@dataclass(frozen=True, eq=False)
class SupportPoints:
    """Distinct scores within h of the cutoff: left and right (k,) ascending, and rows at each.

    gap is the distance between the nearest values left and right of the cutoff: what a comparison across it
    must bridge (NaN if a side has none). step is the smallest distance between neighbouring values, NaN
    with fewer than two. at_cutoff counts rows exactly at it. n_left_all and n_right_all count distinct
    values over the whole range.
    """

    left: Floats
    right: Floats
    rows_left: Codes
    rows_right: Codes
    gap: float
    step: float
    at_cutoff: int
    n_left_all: int
    n_right_all: int

    @property
    def n(self) -> tuple[int, int]:
        """Distinct values on the left and on the right, within h."""
        return self.left.size, self.right.size

    @property
    def rows_per_point(self) -> float:
        """Rows for each distinct value within h: near 1 for a continuous score. NaN without rows."""
        points = self.left.size + self.right.size
        return float((self.rows_left.sum() + self.rows_right.sum()) / points) if points else np.nan


def support_points(score: Floats, cutoff: float, h: float = np.inf) -> SupportPoints:
    """Support of the score (n,) within the distance h of the cutoff.

    >>> found = support_points(np.array([63.0, 64.0, 64.0, 65.0, 66.0, 70.0]), 65.0, h=2)
    >>> found.n, found.rows_left, found.gap, found.at_cutoff
    ((2, 2), array([1, 2]), 1.0, 1)
    """
    if not h > 0:
        raise ValueError("the distance h must be positive")
    near = score[window_mask(score, (cutoff - h, cutoff + h))] if np.isfinite(h) else score
    left, rows_left = np.unique(near[near < cutoff], return_counts=True)
    right, rows_right = np.unique(near[near >= cutoff], return_counts=True)
    values = np.concatenate([left, right])
    return SupportPoints(
        left=left,
        right=right,
        rows_left=rows_left,
        rows_right=rows_right,
        gap=float(right[0] - left[-1]) if left.size and right.size else np.nan,
        step=float(np.diff(values).min()) if values.size > 1 else np.nan,
        at_cutoff=int(np.sum(near == cutoff)),
        n_left_all=int(np.unique(score[score < cutoff]).size),
        n_right_all=int(np.unique(score[score >= cutoff]).size),
    )
