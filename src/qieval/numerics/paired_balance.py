"""Balance of matched pairs as R's MatchBalance reports it: paired t and Kolmogorov-Smirnov p-values, eQQ.

p-values serve here as a yardstick that does not depend on units; they test no hypothesis about people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.tied_matches import Matches
from qieval.numerics.two_way import Floats

EXACT_BELOW = 10_000
"""R's rule: the KS p-value is exact if the product of the two numbers of rows is smaller."""

SERIES_TOLERANCE = 1e-6
"""Where R 4.2 stops the series of the Kolmogorov distribution (error below 1e-7 up to 0.8, 4e-5 just below
1)."""


@dataclass(frozen=True, eq=False)
class PairedBalance:
    """One number per column of x, (b,) each.

    smd is the difference in means in standard deviations of the first (focal, treated) group, smd_pooled in
    the pooled one; variance_ratio first to second. t_p is paired after and Welch's before matching. ks (of
    rows, without weights) and ks_p are NaN for columns with fewer than three values, as in MatchBalance.
    eqq_* are mean, median and largest difference of the two empirical distribution functions at the values of
    either group, raw_eqq the mean distance of ordered values.
    """

    mean_first: Floats
    mean_second: Floats
    smd: Floats
    smd_pooled: Floats
    variance_ratio: Floats
    t_p: Floats
    ks: Floats
    ks_p: Floats
    eqq_mean: Floats
    eqq_median: Floats
    eqq_max: Floats
    raw_eqq: Floats

    def sorted_p(self) -> Floats:
        """GenMatch's loss: all t and KS p-values, ascending; where there is no KS the t p-value again.

        >>> x = np.array([[1.0], [0.0]])
        >>> balance_after(x, Matches(np.array([0]), np.array([1]), np.ones(1))).sorted_p().tolist()
        [0.0, 0.0]
        """
        return np.sort(np.concatenate([self.t_p, np.where(np.isnan(self.ks_p), self.t_p, self.ks_p)]))


def balance_before(x: Floats, treated: np.ndarray) -> PairedBalance:
    """Balance of treated and untreated rows of x (n, b), without missing values."""
    first, second = x[treated], x[~treated]
    one, two = np.ones(len(first)), np.ones(len(second))
    var1, var2 = _variance(first, one), _variance(second, two)
    difference = first.mean(axis=0) - second.mean(axis=0)
    a, b = var1 / len(first), var2 / len(second)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
        pooled = np.sqrt((var1 + var2) / 2)
    t_p = t_p_value(difference, a + b, np.where(np.isfinite(df), df, np.inf))
    return _balance((first, second), (one, two), t_p, pooled, _has_ks(x))


def balance_after(x: Floats, matches: Matches) -> PairedBalance:
    """Balance of the pairs, at least one, in columns of x (n, b); one pair has one degree of freedom."""
    first, second = x[matches.focal], x[matches.pool]
    w, people = matches.weight, matches.weight.sum()
    difference = first - second
    mean = w @ difference / people
    variance = w @ (difference - mean) ** 2 / people
    t_p = t_p_value(mean, variance / people, max(people - 1, 1))
    return _balance((first, second), (w, w), t_p, None, _has_ks(x))


def t_p_value(mean: Floats, square: Floats, df: Floats | float) -> Floats:
    """Two-sided p-value of mean / sqrt(square); 1 where both are zero, 0 where only the square is."""
    statistic = np.divide(np.abs(mean), np.sqrt(square), out=np.full_like(mean, np.inf), where=square > 0)
    statistic[(mean == 0) & (square == 0)] = 0.0
    out: Floats = 2 * scipy.special.stdtr(df, -statistic)
    return out


def ks_limit_p_value(scaled: Floats) -> Floats:
    """P(K >= scaled) of the limiting Kolmogorov distribution, as R 4.2 computes it for ks.test.

    R stops its series early (`SERIES_TOLERANCE`); the same is done here so that p-values agree to rounding.
    """
    x = np.asarray(scaled, float)
    out = np.ones_like(x)
    small = (x > 0) & (x < 1)
    s = x[small]
    out[small] = 1 - np.sqrt(2 * np.pi) * np.exp(-(np.pi**2) / (8 * s**2) - np.log(s))
    large = x >= 1
    z = -2 * x[large] ** 2
    total, sign, active = np.ones(z.size), -1.0, np.ones(z.size, bool)
    for k in range(1, 100):
        step = 2 * sign * np.exp(z * k * k)
        total[active] += step[active]
        active &= np.abs(step) > SERIES_TOLERANCE
        sign = -sign
        if not active.any():
            break
    out[large] = 1 - total
    clipped: Floats = np.clip(out, 0.0, 1.0)
    return clipped


def ks_test(first: Floats, second: Floats) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov statistic and its p-value by the rule of R's ks.test, ties allowed."""
    m, n = first.size, second.size
    at, _ = _distributions(first, second)
    statistic = float(np.abs(at).max())
    if m * n >= EXACT_BELOW:
        return statistic, float(ks_limit_p_value(np.array([statistic * np.sqrt(m * n / (m + n))]))[0])
    from qieval.numerics.kernels.genetic import ks_exact

    pooled = np.sort(np.concatenate([first, second]))
    last = np.append(np.diff(pooled) != 0, True)
    return statistic, float(min(max(ks_exact(statistic, m, n, last), 0.0), 1.0))


def _distributions(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Difference of the empirical distribution functions at each distinct value, and the values."""
    values = np.unique(np.concatenate([first, second]))
    one = np.searchsorted(np.sort(first), values, side="right") / first.size
    two = np.searchsorted(np.sort(second), values, side="right") / second.size
    return one - two, values


def _variance(x: Floats, w: Floats) -> Floats:
    total = w.sum()
    if total <= 1:
        return np.full(x.shape[1], np.nan)
    out: Floats = w @ (x - w @ x / total) ** 2 / (total - 1)
    return out


def _has_ks(x: Floats) -> list[bool]:
    """Which columns have three values or more among all rows."""
    return [np.unique(column).size > 2 for column in x.T]


def _balance(
    groups: tuple[Floats, Floats],
    weights: tuple[Floats, Floats],
    t_p: Floats,
    pooled: Floats | None,
    with_ks: list[bool],
) -> PairedBalance:
    first, second = groups
    one, two = weights
    mean1, mean2 = one @ first / one.sum(), two @ second / two.sum()
    var1, var2 = _variance(first, one), _variance(second, two)
    with np.errstate(divide="ignore", invalid="ignore"):
        smd = (mean1 - mean2) / np.sqrt(var1)
        smd_pooled = smd if pooled is None else (mean1 - mean2) / pooled
        ratio = var1 / var2
    columns = [_column(first[:, c], second[:, c], ks) for c, ks in enumerate(with_ks)]
    rest = (np.array(values) for values in zip(*columns, strict=True))
    return PairedBalance(mean1, mean2, smd, smd_pooled, ratio, t_p, *rest)


def _column(first: Floats, second: Floats, with_ks: bool) -> tuple[float, ...]:
    """KS statistic and p-value (NaN if not wanted); eQQ mean, median, largest; raw eQQ mean."""
    at, _ = _distributions(first, second)
    ks = ks_test(first, second) if with_ks else (np.nan, np.nan)
    gap = np.abs(at)
    return (*ks, gap.mean(), float(np.median(gap)), gap.max(), _raw_eqq(first, second))


def _raw_eqq(first: Floats, second: Floats) -> float:
    """Mean distance of ordered values; the longer group gives the values at as many evenly spaced ranks."""
    short, long = sorted((np.sort(first), np.sort(second)), key=len)
    ranks = np.arange(short.size) * (long.size - 1) // max(short.size - 1, 1)
    return float(np.abs(short - long[ranks]).mean())
