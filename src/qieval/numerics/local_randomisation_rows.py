"""Local randomisation, the rows: what is compared, in which window, and the tests of one set of rows.

Inside a small window around the cutoff people are taken to lie on either side by chance, as in a trial. The
statistics that are linear in the outcome (differences of weighted means, with or without a polynomial in the
score) are kept as two numbers for each assignment, that of the outcome and that of the treatment taken up, so
that the test of any constant effect needs no new draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.local_randomisation_draws import Assignments, Drawing
from qieval.numerics.local_randomisation_fit import Design, kernel_weights, polynomial_removed
from qieval.numerics.two_way import Codes, Floats, Mask, compact

Statistic = Literal["difference", "ks", "rank sum"]
STATISTICS = ("difference", "ks", "rank sum")
SLACK = 1e-9
"""Rows this share of the window's width outside it still count as inside (rounding of the score)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Everybody: score (n,), outcome (n,), the cutoff, and what a fuzzy or clustered design adds.

    uptake (n,) is the treatment taken up (None: everybody on the right has it). clusters (n,) are codes of
    groups that lie on one side as a whole. probability (n,) is each row's chance to lie on the right,
    strictly between 0 and 1 and the same within a cluster (None: fixed margins).
    """

    score: Floats
    outcome: Floats
    cutoff: float
    uptake: Floats | None = None
    clusters: Codes | None = None
    probability: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class LocalTest:
    """How the sides are compared.

    statistic: "difference" of means (kernel weighted), "ks" (Kolmogorov-Smirnov) or "rank sum". order is that
    of the polynomial in the score taken off each side before (0: none). vce is "hc0" to "hc3" for
    large-sample errors, None for hc2 without and hc3 with a polynomial. effect is the effect against which
    power is calculated (None: half a standard deviation on the left).
    """

    statistic: Statistic = "difference"
    order: int = 0
    kernel: str = "uniform"
    vce: str | None = None
    level: float = 0.95
    effect: float | None = None
    drawing: Drawing = field(default_factory=Drawing)

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise ValueError(f"statistic {self.statistic!r} is none of {', '.join(STATISTICS)}")
        if self.order < 0 or not 0 < self.level < 1:
            raise ValueError("the order may not be negative, and the level lies between 0 and 1")
        if self.kernel != "uniform" and self.statistic != "difference":
            raise ValueError("kernel weights go with differences of means only")

    @property
    def errors(self) -> str:
        """The large-sample variance in use."""
        return self.vce or ("hc2" if self.order == 0 else "hc3")


@dataclass(frozen=True, eq=False)
class LocalRows:
    """The rows in the window, (m,) each: score from the cutoff, outcome, uptake, kernel weight, unit, side.

    kept (n,) marks them among everybody.
    """

    score: Floats
    outcome: Floats
    uptake: Floats
    weight: Floats
    unit: Codes
    assignments: Assignments
    fuzzy: bool
    clustered: bool
    on_right: Mask
    kept: Mask

    @property
    def n(self) -> tuple[int, int]:
        """Rows on the left and on the right."""
        right = int(self.on_right.sum())
        return self.on_right.size - right, right

    def design(self, order: int) -> Design:
        """The regression on side and score, for large-sample numbers."""
        clusters = self.unit if self.clustered else None
        return Design(self.score, self.on_right, self.weight, order, clusters)

    def spread(self, block: Floats) -> Floats:
        """An assignment of units (b, g) as one of rows (b, m)."""
        return block[:, self.unit] if self.clustered else block

    def linear(self, columns: Floats, block: Floats) -> Floats:
        """Weighted mean on the right minus that on the left of columns (m, q), for a block (b, g): (b, q).

        NaN where an assignment leaves a side without weight.
        """
        centred = columns - np.average(columns, axis=0, weights=self.weight)
        cells = np.column_stack([centred * self.weight[:, None], self.weight])
        if self.clustered:
            by_unit = np.zeros((self.assignments.on_right.size, cells.shape[1]))
            np.add.at(by_unit, self.unit, cells)
            cells = by_unit
        right = block @ cells
        left = cells.sum(axis=0) - right
        with np.errstate(invalid="ignore", divide="ignore"):
            found = right[:, :-1] / right[:, -1:] - left[:, :-1] / left[:, -1:]
        least = SLACK * self.weight.sum()
        empty = (right[:, -1] < least) | (left[:, -1] < least)
        found[empty] = np.nan
        return np.asarray(found)


def window_mask(score: Floats, window: tuple[float, float]) -> Mask:
    """Rows with a score in the closed window (low, high), with a little slack for rounding."""
    slack = SLACK * (window[1] - window[0])
    return (score >= window[0] - slack) & (score <= window[1] + slack)


def local_rows(sample: Sample, window: tuple[float, float], test: LocalTest) -> LocalRows:
    """The rows of a window (low, high) around the cutoff, polynomial already removed.

    Raises ValueError if the window does not hold the cutoff, a side is empty, or a cluster lies on both
    sides.
    """
    if not window[0] < sample.cutoff <= window[1]:
        raise ValueError("the window must reach from below the cutoff to the cutoff or above")
    keep = window_mask(sample.score, window)
    score = sample.score[keep] - sample.cutoff
    on_right = score >= 0
    if on_right.all() or not on_right.any():
        raise ValueError("the window holds no rows on one side of the cutoff")
    unit, assignments = _units(sample, keep, on_right)
    half = (sample.cutoff - window[0], window[1] - sample.cutoff)
    weight = kernel_weights(score, on_right, half, test.kernel)
    outcome = sample.outcome[keep].astype(np.float64)
    uptake = on_right.astype(np.float64) if sample.uptake is None else sample.uptake[keep].astype(np.float64)
    if test.order > 0:
        design = Design(score, on_right, weight, test.order)
        outcome = polynomial_removed(design, outcome)
        uptake = uptake if sample.uptake is None else polynomial_removed(design, uptake)
    return LocalRows(
        score,
        outcome,
        uptake,
        weight,
        unit,
        assignments,
        fuzzy=sample.uptake is not None,
        clustered=sample.clusters is not None,
        on_right=on_right,
        kept=keep,
    )


def _units(sample: Sample, keep: Mask, on_right: Mask) -> tuple[Codes, Assignments]:
    m = int(keep.sum())
    unit = np.arange(m)
    if sample.clusters is not None:
        unit, count = compact(sample.clusters[keep])
        share = np.bincount(unit, on_right, count) / np.bincount(unit, minlength=count)
        if np.any((share > 0) & (share < 1)):
            raise ValueError(
                "a cluster lies on both sides of the cutoff, so that it cannot be assigned as a whole"
            )
    count = int(unit.max()) + 1
    first = np.zeros(count, dtype=np.intp)
    first[unit[::-1]] = np.arange(m)[::-1]
    probability = None if sample.probability is None else sample.probability[keep][first]
    if probability is not None and not np.all((probability > 0) & (probability < 1)):
        raise ValueError("chances to lie on the right must lie between 0 and 1")
    return unit, Assignments(on_right[first], probability)


@dataclass(frozen=True, eq=False)
class Ordered:
    """Outcomes sorted once, for statistics that depend on their order only."""

    outcome: Floats

    @cached_property
    def ranks(self) -> Floats:
        """Mid-ranks (m,), from 1."""
        return _midranks(self.outcome)

    @cached_property
    def rank_variance(self) -> float:
        """Variance of the ranks (divisor m - 1), which is lower with ties."""
        return float(np.var(self.ranks, ddof=1))

    def rank_sum(self, rows: Floats) -> Floats:
        """Standardised rank sums (b,) of assignments (b, m): positive when the right lies higher."""
        n, m = rows.sum(axis=1), rows.shape[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = n * (m - n) / m * self.rank_variance
            return np.asarray((rows @ self.ranks - n * (m + 1) / 2) / np.sqrt(variance))

    def ks(self, rows: Floats) -> Floats:
        """Largest distance (b,) between the distribution functions of the two sides."""
        order = np.argsort(self.outcome, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(self.outcome[order]) > 0, True))
        right = np.cumsum(rows.T.astype(np.float32)[order], axis=0, dtype=np.float32)[ends].astype(np.float64)
        n, m = right[-1], rows.shape[1]
        below = (ends + 1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.abs(right / n - (below - right) / (m - n)).max(axis=0))


def _midranks(values: Floats) -> Floats:
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[code], dtype=np.float64)


def normal_tail(z: float) -> float:
    """Two-sided p-value of a standard normal statistic."""
    return float(2 * scipy.special.ndtr(-abs(z)))
