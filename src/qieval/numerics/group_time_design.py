"""The panel as effects by cohort and period need it: units sorted by start, periods as rows, and covariates
without units of measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray

from qieval.numerics.group_time_cells import Codes, Floats, Mask, WidePanel

ROWS = 32_768
"""Units handled at once, so that they stay in cache."""

ALIASED = 1e-13
"""A covariate is a combination of earlier ones if they leave less than this share of its variance."""

Slices = tuple[tuple[int, int], ...]


def pieces(n: int) -> Iterator[slice]:
    """Consecutive slices of at most `ROWS`."""
    for start in range(0, n, ROWS):
        yield slice(start, min(start + ROWS, n))


def independent(gram: Floats, share: float) -> Mask:
    """Which rows of a design keep more than `share` of their size beside earlier ones; gram (K, K)."""
    left, size = gram.copy(), np.diag(gram).copy()
    kept = np.zeros(len(gram), dtype=np.bool_)
    for row in range(len(gram)):
        own = left[row, row]
        if own > share * size[row] and own > 0:
            kept[row] = True
            left = left - np.outer(left[:, row], left[row]) / own
    return kept


@dataclass(frozen=True, eq=False)
class SortedPanel:
    """Units in the order of their start.

    first (n,) sorted; order (n,): which unit of the panel each column is; y (T, n); seen (T, n): which
    outcomes are known, or None if all are. Covariates: z = turn @ ((x - mean) / scale) with rows that are
    orthogonal and of mean square 1 in the whole panel; without those that are a combination of others. What
    was asked for is kept in designs and held (weights), by period.
    """

    panel: WidePanel
    order: Codes
    first: Floats
    y: Floats
    seen: Mask | None
    mean: Floats
    scale: Floats
    turn: Floats
    designs: dict[int, tuple[Floats, Mask | None]] = field(default_factory=dict)
    held: dict[int, tuple[Floats, Mask | None]] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """Whether covariates change over time."""
        return self.panel.x.ndim == 3 and self.panel.x.shape[2] > 0

    @property
    def weights_vary(self) -> bool:
        """Whether weights change over time."""
        return self.panel.weights is not None and self.panel.weights.ndim == 2

    def design(self, period: int) -> tuple[Floats, Mask | None]:
        """Covariates in a period (K, n), the constant first, 0 where unknown; who has them (None: all)."""
        at = period if self.varies else 0
        if at not in self.designs:
            self.designs[at] = self._design(at)
        return self.designs[at]

    def _design(self, period: int) -> tuple[Floats, Mask | None]:
        z = np.ones((len(self.turn) + 1, len(self.order)))
        known = np.ones(len(self.order), dtype=np.bool_)
        if not len(self.turn):
            return z, None
        x = self.panel.x[:, period] if self.varies else self.panel.x
        for at in pieces(len(self.order)):
            standard = ((x[self.order[at]] - self.mean) / self.scale).T
            known[at] = np.isfinite(standard).all(axis=0)
            z[1:, at] = self.turn @ np.where(known[at], standard, 0.0)
        return z, None if known.all() else known

    def weights(self, period: int) -> tuple[Floats | None, Mask | None]:
        """Weights in a period (n,) or None, NaN where unknown; and who has one (None: all)."""
        if self.panel.weights is None:
            return None, None
        at = period if self.weights_vary else 0
        if at not in self.held:
            weights = self.panel.weights[:, at] if self.weights_vary else self.panel.weights
            sorted_weights = np.asarray(weights[self.order], dtype=np.float64)
            known = np.isfinite(sorted_weights)
            self.held[at] = sorted_weights, None if known.all() else known
        return self.held[at]

    def cohort(self, start: float) -> Slices:
        """The units of a cohort."""
        return ((int(np.searchsorted(self.first, start)), int(np.searchsorted(self.first, start, "right"))),)

    def controls(self, cohort: float, cutoff: float) -> Slices:
        """Those that start after the cutoff and are not of the cohort."""
        ((start, stop),) = self.cohort(cohort)
        begin, n = int(np.searchsorted(self.first, cutoff, "right")), len(self.first)
        both = ((begin, max(start, begin)), (max(stop, begin), n))
        return tuple(part for part in both if part[0] < part[1])


def sorted_panel(panel: WidePanel) -> SortedPanel:
    """Sort the units by start, turn the outcomes, and find covariates that are not combinations of others."""
    order = np.argsort(panel.first, kind="stable").astype(np.intp)
    n, periods = panel.y.shape
    y = np.empty((periods, n))
    for at in pieces(n):
        y[:, at] = panel.y[order[at]].T
    seen = np.isfinite(y)
    mean, scale, turn = _standard(panel.x.reshape(int(np.prod(panel.x.shape[:-1])), panel.x.shape[-1]))
    return SortedPanel(panel, order, panel.first[order], y, None if seen.all() else seen, mean, scale, turn)


def _standard(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and standard deviation of the columns (k,), and what makes them orthogonal (K - 1, k).

    Twice a Cholesky factor of the products (CholeskyQR2; Yamamoto, Nakatsukasa, Yanagisawa and Fukaya 2015).
    Rows with a missing value are left out.
    """
    k = x.shape[1]
    if not k or not len(x):
        return np.zeros(k), np.ones(k), np.zeros((0, k))
    known = [at for at in pieces(len(x)) if len(x[at])]
    rows = [np.isfinite(x[at]).all(axis=1) for at in known]
    n = max(sum(int(part.sum()) for part in rows), 1)
    mean = sum((x[at][ok].sum(axis=0) for at, ok in zip(known, rows, strict=True)), np.zeros(k)) / n
    square = sum(
        (np.square(x[at][ok] - mean).sum(axis=0) for at, ok in zip(known, rows, strict=True)), np.zeros(k)
    )
    scale = np.sqrt(square / n)
    constant = scale <= 1e-13 * np.abs(mean)
    scale[constant] = 1.0
    turn = np.eye(k)
    for share in (ALIASED, 0.0):
        gram = np.zeros((len(turn), len(turn)))
        for at, ok in zip(known, rows, strict=True):
            z = turn @ np.where(constant, 0.0, (x[at][ok] - mean) / scale).T
            gram += z @ z.T
        kept = independent(gram / n, share)
        root = np.linalg.cholesky(gram[np.ix_(kept, kept)] / n)
        turn = np.asarray(scipy.linalg.solve_triangular(root, turn[kept], lower=True), dtype=np.float64)
    turn[:, constant] = 0.0
    return mean, scale, turn


Kind = TypeVar("Kind", np.float64, np.bool_)


def joined(array: NDArray[Kind], parts: Slices) -> NDArray[Kind]:
    """Columns of those slices: a view of one, a copy of several or none."""
    if len(parts) == 1:
        return array[..., parts[0][0] : parts[0][1]]
    return np.concatenate([array[..., :0]] + [array[..., start:stop] for start, stop in parts], axis=-1)
