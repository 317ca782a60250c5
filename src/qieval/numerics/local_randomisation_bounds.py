"""How much hidden bias a local randomisation result withstands: Rosenbaum bounds over windows.

Within the window two people of equal score may differ in their chance to lie on the right, by something
unseen that goes with the outcome. With bias gamma those chances lie between 1 / (1 + gamma) and gamma / (1
+ gamma). As in Cattaneo, Titiunik and Vazquez-Bare (2016; rdrbounds) rows lie on the right independently,
and the bounds are the smallest and largest p-value when the u rows of highest outcome have the high chance
and the others the low one, over all u from 1 to the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qieval.numerics.local_randomisation_draws import TIES, Drawing
from qieval.numerics.local_randomisation_rows import Ordered, window_mask
from qieval.numerics.two_way import Floats, Mask
from qieval.progress import progress


@dataclass(frozen=True, eq=False)
class HiddenBias:
    """p-values of no effect: p_value (w,) without hidden bias, low and high (g, w) by gamma and window."""

    gammas: Floats
    windows: Floats
    p_value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class BiasTest:
    """The statistic, how many draws, and whether bias may favour low outcomes too.

    rdrbounds has it favour high outcomes only. With both directions the bounds do not depend on the sign in
    which the outcome is written down.
    """

    statistic: Literal["rank sum", "difference"] = "rank sum"
    both_directions: bool = True
    drawing: Drawing = field(default_factory=lambda: Drawing(draws=999))


def hidden_bias_bounds(
    score: Floats,
    outcome: Floats,
    cutoff: float,
    windows: Floats,
    gammas: Floats,
    test: BiasTest | None = None,
) -> HiddenBias:
    """Rosenbaum bounds for every window (w, 2) and gamma (g,), each 1 or more.

    Without bias every row of a window lies on the right with the share observed there. The same uniform
    numbers are used for every u and gamma, so that the bounds widen smoothly; p-values are (1 + extreme) /
    (1 + draws). NaN for a window with an empty side.
    """
    test = test or BiasTest()
    if np.any(np.asarray(gammas) < 1):
        raise ValueError("gamma is a ratio of odds of 1 or more")
    w, g = len(windows), len(gammas)
    p_value, low, high = np.full(w, np.nan), np.full((g, w), np.nan), np.full((g, w), np.nan)
    for j in progress(range(w), "windows"):
        keep = window_mask(score, (float(windows[j, 0]), float(windows[j, 1])))
        on_right = score[keep] >= cutoff
        if on_right.all() or not on_right.any():
            continue
        tail = _tail(outcome[keep], on_right, test)
        p_value[j] = tail.flat(float(on_right.mean()))
        for i, gamma in enumerate(gammas):
            found = tail.steps(float(gamma))
            low[i, j], high[i, j] = found.min(), found.max()
    return HiddenBias(np.asarray(gammas), windows, p_value, low, high)


@dataclass(frozen=True, eq=False)
class _Tail:
    """Values (m,) ordered from the highest, uniform numbers (b, m), and the observed statistic."""

    values: Floats
    uniform: Floats
    observed: float
    standardised: bool
    both: bool

    def flat(self, chance: float) -> float:
        """p-value when every row has the same chance."""
        rows = self.uniform < chance
        return self._p(rows.sum(axis=1), rows @ self.values)

    def steps(self, gamma: float) -> Floats:
        """p-values for u = 1 to m rows of highest (and, if both, of lowest) outcome with the high chance."""
        low, high = 1 / (1 + gamma), gamma / (1 + gamma)
        few, many = self.uniform < low, self.uniform < high
        found = [self._path(few, many)]
        if self.both:
            found.append(self._path(few[:, ::-1], many[:, ::-1], flipped=True))
        return np.concatenate(found)

    def _path(self, few: Mask, many: Mask, flipped: bool = False) -> Floats:
        values = self.values[::-1] if flipped else self.values
        count, total = few.sum(axis=1), few @ values
        out = np.empty(values.size)
        for u, value in enumerate(values):
            more = many[:, u] & ~few[:, u]
            count, total = count + more, total + more * value
            out[u] = self._p(count, total)
        return out

    def _p(self, count: Floats, total: Floats) -> float:
        statistic = _statistic(count, total, self.values, self.standardised)
        usable = np.isfinite(statistic)
        limit = self.observed * (1 - TIES)
        return float((1 + np.sum(np.abs(statistic[usable]) >= limit)) / (1 + usable.sum()))


def _statistic(count: Floats, total: Floats, values: Floats, standardised: bool) -> Floats:
    """Standardised rank sum, or difference of means, for centred values; NaN for an empty side."""
    m = values.size
    with np.errstate(divide="ignore", invalid="ignore"):
        both = count * (m - count)
        scale = np.sqrt(both * np.var(values, ddof=1) / m) if standardised else both / m
        return np.where(both > 0, total / scale, np.nan)


def _tail(outcome: Floats, on_right: Mask, test: BiasTest) -> _Tail:
    order = np.lexsort((on_right, -outcome))
    standardised = test.statistic == "rank sum"
    values = Ordered(outcome).ranks if standardised else outcome
    values = (values - values.mean())[order]
    uniform = np.random.default_rng(test.drawing.seed).random((test.drawing.draws, values.size))
    right = on_right[order]
    observed = _statistic(np.array([right.sum()]), np.array([values[right].sum()]), values, standardised)[0]
    return _Tail(values, uniform, abs(float(observed)), standardised, test.both_directions)
