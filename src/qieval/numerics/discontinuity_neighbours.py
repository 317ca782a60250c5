"""Regression discontinuity, nearest-neighbour residuals: a row less the mean of the rows next to it in score.

The set of neighbours of a row grows outwards from its score, all rows with the same score at once, until it
holds as many other rows as asked; it is therefore a run of rows in the order of the score, common to all rows
with one score. Source: Abadie and Imbens (2006); Calonico, Cattaneo and Titiunik (2014), section 2.4.

When the next scores on either side are equally far (to `NEAR_TIE`) both are taken, so that rounding in the
score cannot change the answer. rdrobust for Python 2.1.1 has this rule; rdrobust for R 4.0.0 compares the
distances exactly, which on even scores (ages in months, rounded shares) moves standard errors by up to 0.5%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.two_way import Codes, Floats, Mask

NEAR_TIE = float(np.sqrt(np.finfo(np.float64).eps))
CHUNK = 16_384
"""Distinct scores treated at a time, so that the temporaries stay in cache."""


@dataclass(frozen=True, eq=False)
class Runs:
    """For each of the first distinct scores: the rows [low, high) that hold it and its neighbours."""

    wanted: int
    low: Codes
    high: Codes


class Neighbours:
    """Distinct scores of one side, sorted by distance from the cutoff, and the neighbours of its rows.

    score (n,) is monotone. The runs of the widest window asked for are kept: within a narrower window only
    those few are found anew that reach beyond it.
    """

    def __init__(self, score: Floats) -> None:
        first = np.concatenate([[True], score[1:] != score[:-1]])
        starts = np.flatnonzero(first)
        self.values = score if starts.size == score.size else score[starts]
        self.edges = np.append(starts, score.size)
        self._runs = Runs(0, np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))

    def distinct(self, m: int) -> int:
        """Distinct scores among the first m rows."""
        return int(np.searchsorted(self.edges[:-1], m))

    def residuals(self, a: Floats, m: int, wanted: int) -> Floats:
        """sqrt(J / (J + 1)) (a - mean of its J neighbours) for the first m rows; neighbours among those m.

        a (m,). m must end at a change of score, and there must be two rows at least.
        """
        low, high = self._within(m, wanted)
        inside = np.empty(2 * low.size, dtype=np.intp)
        inside[::2], inside[1::2] = low, high
        total = np.add.reduceat(np.append(a, 0.0), inside)[::2]
        others = (high - low - 1).astype(np.float64)
        if low.size < m:
            sizes = np.diff(self.edges[: low.size + 1])
            total, others = np.repeat(total, sizes), np.repeat(others, sizes)
        # a - (total - a) / J, times the square root of J / (J + 1)
        scale = np.sqrt(others * (others + 1)) / others
        return np.asarray(scale * (a - total / (others + 1)))

    def _within(self, m: int, wanted: int) -> tuple[Codes, Codes]:
        """low, high of the distinct scores in the first m rows, when only those rows may be neighbours."""
        g = self.distinct(m)
        if self._runs.wanted != wanted or self._runs.low.size < g:
            self._runs = _runs(self.values[:g], self.edges[: g + 1], wanted)
        low, high = self._runs.low[:g], self._runs.high[:g]
        late = np.flatnonzero(high > m)
        if late.size:
            low, high = low.copy(), high.copy()
            low[late], high[late] = _grow(self.values[:g], self.edges[: g + 1], wanted, late)
        return low, high


def _runs(values: Floats, edges: Codes, wanted: int) -> Runs:
    low, high, open_ = _lone(values, edges, wanted)
    places = np.flatnonzero(open_)
    if places.size:
        low[places], high[places] = _grow(values, edges, wanted, places)
    return Runs(wanted, low, high)


def _lone(values: Floats, edges: Codes, wanted: int) -> tuple[Codes, Codes, Mask]:
    """Runs of scores with `wanted` lone scores on either side; those without, or nearly tied, stay open.

    The j-th score to the left is among the k nearest when it is nearer than the (k + 1 - j)-th to the right:
    merging two sorted lists.
    """
    g, k = values.size, wanted
    low, high = np.zeros(g, dtype=np.intp), np.zeros(g, dtype=np.intp)
    open_ = np.ones(g, dtype=bool)
    lone = np.diff(edges) == 1
    every = bool(lone.all())
    for start in range(k, g - k, CHUNK):
        stop = min(start + CHUNK, g - k)
        here = values[start:stop]
        left = [np.abs(here - values[start - j : stop - j]) for j in range(1, k + 1)]
        right = [np.abs(values[start + j : stop + j] - here) for j in range(1, k + 1)]
        taken = np.zeros(stop - start, dtype=np.intp)
        unclear = np.zeros(stop - start, dtype=bool)
        for i, from_left in enumerate(left):
            taken += from_left < right[k - 1 - i]
            for from_right in right[: k - i]:
                unclear |= np.abs(from_left - from_right) <= NEAR_TIE * np.maximum(from_left, from_right)
        if not every:
            crowded = np.cumsum(~lone[start - k : stop + k])
            unclear |= crowded[2 * k :] - np.concatenate([[0], crowded[: -2 * k - 1]]) > 0
        low[start:stop] = edges[start:stop] - taken
        high[start:stop] = low[start:stop] + k + 1
        open_[start:stop] = unclear
    return low, high, open_


def _grow(values: Floats, edges: Codes, wanted: int, places: Codes) -> tuple[Codes, Codes]:
    """Runs of the distinct scores at `places`, grown step by step."""
    left, right = places.copy(), places + 1
    enough = min(wanted, int(edges[-1]) - 1)
    last = values.size
    short = np.flatnonzero(edges[right] - edges[left] - 1 < enough)
    while short.size:
        here, a, b = values[places[short]], left[short], right[short]
        can_left, can_right = a > 0, b < last
        to_left = np.abs(here - values[np.maximum(a - 1, 0)])
        to_right = np.abs(values[np.minimum(b, last - 1)] - here)
        near = NEAR_TIE * np.maximum(to_left, to_right)
        left[short] -= can_left & ~(can_right & (to_left - to_right > near))
        right[short] += can_right & ~(can_left & (to_right - to_left > near))
        have = edges[right[short]] - edges[left[short]] - 1
        short = short[have < enough]
    return edges[left], edges[right]
