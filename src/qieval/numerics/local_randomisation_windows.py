"""Local randomisation: nested windows around the cutoff, and the largest with balanced covariates.

Cattaneo, Frandsen and Titiunik (2015): windows grow from the cutoff; in each the covariates are compared
between the sides as outcomes would be, and the smallest p-value counts, not corrected for the number of
covariates (a cautious choice); the window chosen is the last before the first that fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.local_randomisation_draws import Assignments, Distribution, Drawing, distribution
from qieval.numerics.local_randomisation_exact import exact_difference
from qieval.numerics.local_randomisation_fit import Design, jump
from qieval.numerics.local_randomisation_rows import Ordered, normal_tail, window_mask
from qieval.numerics.two_way import Codes, Floats, Mask

EXACT_WORK = 3e7
"""Most additions spent on the exact p-value of one covariate in one window."""

Balance = Literal["difference", "ks", "rank sum", "hotelling"]


def windows_by_step(cutoff: float, first: float, step: float, count: int = 10) -> Floats:
    """Windows (count, 2) that reach first, first + step, ... to each side.

    >>> windows_by_step(10.0, 0.5, 0.25, count=2)
    array([[ 9.5 , 10.5 ],
           [ 9.25, 10.75]])
    """
    half = first + step * np.arange(count)
    return np.column_stack([cutoff - half, cutoff + half])


def windows_by_count(
    score: Floats, cutoff: float, first: int = 10, add: int = 5, count: int = 10, symmetric: bool = True
) -> Floats:
    """Windows (at most count, 2), each with `add` rows or more a side beyond the last, `first` at the start.

    Symmetric windows reach equally far to both sides; the others end at a row on each side. Rows of equal
    score stay together. Fewer windows if the rows of a side run out.
    """
    left = np.sort(cutoff - score[score < cutoff])
    right = np.sort(score[score >= cutoff] - cutoff)
    found: list[tuple[float, float]] = []
    held = (0, 0)
    for wanted in [first] + [add] * (count - 1):
        target = (held[0] + wanted, held[1] + wanted)
        if target[0] > left.size or target[1] > right.size:
            break
        reach = (float(left[target[0] - 1]), float(right[target[1] - 1]))
        if symmetric:
            reach = (max(reach), max(reach))
        found.append((cutoff - reach[0], cutoff + reach[1]))
        slack = 1e-9 * sum(reach)
        held = (int(np.sum(left <= reach[0] + slack)), int(np.sum(right <= reach[1] + slack)))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def windows_by_support(score: Floats, cutoff: float, count: int = 10) -> Floats:
    """Windows (at most count, 2) of the nearest 1, 2, ... distinct scores a side (or all it has)."""
    left = np.unique(score[score < cutoff])[::-1]
    right = np.unique(score[score >= cutoff])
    count = min(count, max(left.size, right.size)) if left.size and right.size else 0
    at = np.arange(count)
    return np.column_stack([left[np.minimum(at, left.size - 1)], right[np.minimum(at, right.size - 1)]])


@dataclass(frozen=True, kw_only=True)
class BalanceTest:
    """How covariates are compared: statistic, least acceptable p-value, large-sample p-values or not."""

    statistic: Balance = "difference"
    level: float = 0.15
    large_sample: bool = False
    drawing: Drawing = field(default_factory=lambda: Drawing(draws=999))


@dataclass(frozen=True, eq=False)
class WindowChoice:
    """The windows (w, 2) tried and what was found in each.

    n (w, 2): rows left and right, with all covariates known. p_values (w, k) by covariate (one column for
    "hotelling"); p_least (w,) the smallest, of covariate `worst` (w,) counted from 0, -1 where none could be
    tested. p_binomial (w,): exact test that half the rows lie on each side, not used in the choice. chosen is
    the window's place in the list, -1 if the first already fails.
    """

    windows: Floats
    n: Codes
    p_values: Floats
    p_least: Floats
    worst: Codes
    p_binomial: Floats
    chosen: int

    @property
    def window(self) -> tuple[float, float] | None:
        """The chosen window (low, high)."""
        if self.chosen < 0:
            return None
        return float(self.windows[self.chosen, 0]), float(self.windows[self.chosen, 1])


def choose_window(
    score: Floats, covariates: Floats, cutoff: float, windows: Floats, test: BalanceTest | None = None
) -> WindowChoice:
    """The largest of the windows (w, 2), nested and growing, up to which every covariate is balanced.

    covariates (n, k), NaN where unknown: rows with an unknown covariate are left out of the tests. The same
    assignments serve all covariates of a window. p-values of yes-or-no covariates, counts and ranks are exact
    where that is quick, so that they agree with drawn ones of rdwinselect within their Monte Carlo error. A
    window with an empty side, or in which no covariate varies, tells nothing and does not fail.
    """
    test = test or BalanceTest()
    known = np.isfinite(covariates).all(axis=1)
    k = 1 if test.statistic == "hotelling" else covariates.shape[1]
    p_values = np.full((len(windows), k), np.nan)
    n = np.zeros((len(windows), 2), dtype=np.intp)
    for i, (low, high) in enumerate(windows):
        keep = window_mask(score, (float(low), float(high))) & known
        on_right = score[keep] >= cutoff
        n[i] = keep.sum() - on_right.sum(), on_right.sum()
        if n[i].min() > 0:
            p_values[i] = balance_p_values(covariates[keep], on_right, test)
    least = np.array([np.nan if np.isnan(row).all() else np.nanmin(row) for row in p_values])
    worst = np.array([-1 if np.isnan(row).all() else np.nanargmin(row) for row in p_values], dtype=np.intp)
    failing = np.flatnonzero(least < test.level)
    chosen = int(failing[0]) - 1 if failing.size else len(windows) - 1
    binomial = np.array([binomial_p_value(int(left), int(right)) for left, right in n])
    return WindowChoice(windows, n, p_values, least, worst, binomial, chosen)


def balance_p_values(covariates: Floats, on_right: Mask, test: BalanceTest) -> Floats:
    """p-value of every covariate (m, k) -> (k,), or of all together (1,) for "hotelling"; NaN if constant."""
    if test.statistic == "hotelling":
        return np.array([_hotelling(covariates, on_right, test)])
    found = np.full(covariates.shape[1], np.nan)
    varies = np.flatnonzero(np.ptp(covariates, axis=0) > 0)
    if test.large_sample:
        for j in varies:
            found[j] = _large_sample(covariates[:, j], on_right, test)
        return found
    left_over = []
    for j in varies:
        exact = _exact(covariates[:, j], on_right, test)
        if exact is None:
            left_over.append(j)
        else:
            found[j] = float(exact.p_value(_difference(_scale(covariates[:, j], test), on_right)))
    if left_over:
        found[left_over] = _drawn(covariates[:, left_over], on_right, test)
    return found


def _scale(values: Floats, test: BalanceTest) -> Floats:
    return Ordered(values).ranks if test.statistic == "rank sum" else values


def _difference(values: Floats, on_right: Mask) -> float:
    return float(values[on_right].mean() - values[~on_right].mean())


def _exact(values: Floats, on_right: Mask, test: BalanceTest) -> Distribution | None:
    if test.statistic == "ks":
        return None
    return exact_difference(_scale(values, test), int(on_right.sum()), work=EXACT_WORK)


def _drawn(covariates: Floats, on_right: Mask, test: BalanceTest) -> Floats:
    """p-values (k,) over the same assignments for all covariates (m, k)."""
    m = on_right.size
    columns = np.column_stack([_scale(column, test) for column in covariates.T])
    columns = columns - columns.mean(axis=0)
    total = columns.sum(axis=0)

    def statistic(block: Floats) -> Floats:
        if test.statistic == "ks":
            return np.column_stack([Ordered(column).ks(block) for column in covariates.T])
        size = block.sum(axis=1)[:, None]
        right = block @ columns
        return np.asarray(right / size - (total - right) / (m - size))

    found = distribution(Assignments(on_right), test.drawing, statistic)
    return found.p_value(statistic(on_right[None, :].astype(np.float64))[0])


def _large_sample(values: Floats, on_right: Mask, test: BalanceTest) -> float:
    if test.statistic == "difference":
        design = Design(np.zeros(values.size), on_right, np.ones(values.size), 0)
        return normal_tail(jump(design, values, "hc2").z)
    if test.statistic == "rank sum":
        return normal_tail(float(Ordered(values).rank_sum(on_right[None, :].astype(np.float64))[0]))
    from scipy import stats

    return float(stats.ks_2samp(values[~on_right], values[on_right]).pvalue)


def _hotelling(covariates: Floats, on_right: Mask, test: BalanceTest) -> float:
    """Hotelling's test of all means together: with fixed margins it rises with the distance below."""
    m = on_right.size
    centred = covariates - covariates.mean(axis=0)
    spread = centred.std(axis=0)
    centred = centred[:, spread > 0] / spread[spread > 0]
    rank = int(np.linalg.matrix_rank(centred)) if centred.size else 0
    if rank == 0 or m - rank - 1 <= 0:
        return np.nan
    base = np.linalg.svd(centred, full_matrices=False)[0][:, :rank]

    def distance(block: Floats) -> Floats:
        size = block.sum(axis=1)
        return np.asarray(((block @ base) ** 2).sum(axis=1) * m / (size * (m - size)))

    share = float(distance(on_right[None, :].astype(np.float64))[0])
    if test.large_sample:
        f = share / (1 - share) * (m - rank - 1) / rank if share < 1 else np.inf
        return float(scipy.special.fdtrc(rank, m - rank - 1, f))
    return float(distribution(Assignments(on_right), test.drawing, distance).p_value(share))


def binomial_p_value(left: int, right: int) -> float:
    """Exact two-sided p-value of "as many on the right as on the left"; NaN without rows.

    >>> round(binomial_p_value(9, 16), 4)
    0.2295
    """
    n = left + right
    if n == 0:
        return np.nan
    return float(min(1.0, 2 * scipy.special.bdtr(min(left, right), n, 0.5)))
