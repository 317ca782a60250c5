"""Does the density of the score jump at the cutoff? Test by local polynomials, and binomial tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.density_jump_bandwidth import DensityChoices, bandwidths, choose
from qieval.numerics.density_jump_fit import arrange, fit_sides
from qieval.numerics.two_way import Floats

__all__ = ["BinomialWindows", "DensityChoices", "DensityJump", "binomial_windows", "density_jump"]


@dataclass(frozen=True, eq=False)
class DensityJump:
    """Density left and right of the cutoff, and the test that they are equal.

    difference is right minus left; standard_errors (3,) of left, right and difference; statistic is the
    difference over its standard error, with a two-sided normal p_value. h and n_window: bandwidth and rows
    within it per side; n: rows per side in all. conventional_statistic and conventional_p are those of
    order p at the same bandwidth (no correction for bias: it rejects too often). mass_points: equal scores
    were found and allowed for. Estimates are NaN where a side has too few different values in the window.
    """

    left: float
    right: float
    difference: float
    standard_errors: Floats
    statistic: float
    p_value: float
    conventional_statistic: float
    conventional_p: float
    h: tuple[float, float]
    n: tuple[int, int]
    n_window: tuple[int, int]
    mass_points: bool


@dataclass(frozen=True, eq=False)
class BinomialWindows:
    """Exact binomial tests that a row within a window is as likely left as right, per window (k,).

    window (k, 2) is the reach below and above the cutoff, n (k, 2) the rows within it (edges included).
    """

    window: Floats
    n: np.ndarray[tuple[int, ...], np.dtype[np.intp]]
    p_value: Floats


def density_jump(
    score: Floats,
    cutoff: float = 0.0,
    choices: DensityChoices | None = None,
    h: float | tuple[float, float] | None = None,
) -> DensityJump:
    """Test of a continuous density at the cutoff by local polynomials; h None chooses the bandwidth.

    score (n,) finite, with rows on both sides. Estimates and test are of order q, the bandwidth is optimal
    for order p. Source: Cattaneo, Jansson, Ma (2020, JASA 115; 2018, Stata Journal 18). Equal to R rddensity
    3.0 within 1e-8 and to its Python version over all choices up to p = 3. ValueError where a side is empty
    or no bandwidth comes out.

    >>> found = density_jump((np.arange(4000) - 1999.5) / 2000, h=0.5)
    >>> round(found.left, 3), round(found.right, 3), found.n_window
    (0.5, 0.5, (1000, 1000))
    """
    choices = choices or DensityChoices()
    data = arrange(score, cutoff, choices.mass_points)
    if not 0 < data.n_left < score.size:
        raise ValueError("there are no rows on one side of the cutoff")
    if h is None:
        width = choose(bandwidths(data, choices), choices)
    else:
        width = (float(h), float(h)) if isinstance(h, int | float) else h
    if not (min(width) > 0 and np.isfinite(width).all()):
        raise ValueError("no positive bandwidth: the score has too few different values near the cutoff")
    found = fit_sides(data, width, choices.fit(choices.order))
    plain = fit_sides(data, width, choices.fit(choices.p))
    difference = float(np.diff(found.density)[0])
    statistic, p_value = _test(difference, found.variances[2])
    conventional = _test(float(np.diff(plain.density)[0]), plain.variances[2])
    return DensityJump(
        left=float(found.density[0]),
        right=float(found.density[1]),
        difference=difference,
        standard_errors=_roots(found.variances[:3]),
        statistic=statistic,
        p_value=p_value,
        conventional_statistic=conventional[0],
        conventional_p=conventional[1],
        h=width,
        n=(data.n_left, score.size - data.n_left),
        n_window=found.n,
        mass_points=data.tied,
    )


def binomial_windows(
    score: Floats,
    cutoff: float,
    h: tuple[float, float],
    rows: int = 20,
    windows: int = 10,
    share: float = 0.5,
) -> BinomialWindows:
    """Exact binomial tests in nested windows around the cutoff, from the smallest with `rows` rows a side.

    The windows widen by the width of the first, or in equal steps up to h where that would pass h; where the
    first already reaches h it is the only one. share is the expected share on the left. Source: the default
    windows of rddensity 3.0.

    >>> held = binomial_windows(np.r_[-0.5, np.arange(1.0, 8.0)], 0.0, (9.0, 9.0), rows=4, windows=1)
    >>> held.window.tolist(), held.n.tolist(), held.p_value.tolist()
    ([[4.0, 4.0]], [[1, 4]], [0.375])
    """
    x = np.sort(score) - cutoff
    middle = int(np.searchsorted(x, 0.0))
    below, above = -x[:middle][::-1], x[middle:]
    if not below.size or not above.size:
        raise ValueError("there are no rows on one side of the cutoff")
    first = float(max(below[min(rows, below.size) - 1], above[min(rows, above.size) - 1]))
    window = _nested(first, h, windows)
    counts = [np.searchsorted(side, window[:, k], side="right") for k, side in enumerate((below, above))]
    n = np.stack(counts, axis=1)
    return BinomialWindows(window, n, np.array([_binomial(int(a), int(a + b), share) for a, b in n]))


def _nested(first: float, h: tuple[float, float], windows: int) -> Floats:
    if first >= min(h) or windows == 1:
        return np.full((1, 2), first)
    steps = np.arange(windows)
    sides = [
        first + steps * ((reach - first) / (windows - 1) if first * windows > reach else first) for reach in h
    ]
    return np.stack(sides, axis=1)


def _binomial(successes: int, n: int, share: float) -> float:
    from scipy.stats import binomtest

    return float(binomtest(successes, n, share).pvalue)


def _test(estimate: float, variance: float) -> tuple[float, float]:
    root = float(_roots(np.array([variance]))[0])
    z = estimate / root if root > 0 else np.nan
    return z, float(2 * scipy.special.ndtr(-abs(z)))


def _roots(variances: Floats) -> Floats:
    """Square roots; a negative variance (plug-in of a negative density) gives NaN."""
    return np.sqrt(np.where(variances >= 0, variances, np.nan))
