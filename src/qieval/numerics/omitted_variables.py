"""Omitted variables in linear regression: how strong a confounder must be, after Cinelli and Hazlett (2020).

The data are reduced once to a small triangle (a QR decomposition in blocks); every regression below is then
read off that triangle, however many rows there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

Floats: TypeAlias = npt.NDArray[np.float64]

COLLINEAR = 1e-7
"""A column of which a smaller share is left after the columns before it counts as their combination."""
BLOCK = 16384
"""Rows that are decomposed at a time."""


@dataclass(frozen=True, eq=False)
class Triangle:
    """All that linear regression with an intercept needs to know about n rows.

    columns (p, p): the triangular factor of the centred columns covariates, treated, outcome, each divided by
    its length; lengths (p,) bring units back (0 for constant columns).
    """

    columns: Floats
    lengths: Floats
    n: int

    @property
    def n_covariates(self) -> int:
        """The number of covariates k; treated is column k, the outcome column k + 1."""
        return int(self.columns.shape[1]) - 2


def reduce(covariates: Floats, treated: Floats, outcome: Floats) -> Triangle:
    """The triangle of covariates (n, k), treated (n,) and outcome (n,). Finite values only.

    Memory beyond the input: one block of 16,384 rows.
    """
    parts = (covariates, treated[:, None], outcome[:, None])
    means = np.concatenate([part.mean(axis=0, dtype=float) for part in parts])
    n, p = treated.size, means.size
    above = np.zeros((0, p))
    largest = np.zeros(p)
    for start in range(0, n, BLOCK):
        raw = np.hstack([part[start : start + BLOCK] for part in parts]).astype(float, copy=False)
        largest = np.maximum(largest, np.abs(raw).max(axis=0))
        above = np.asarray(np.linalg.qr(np.vstack([above, raw - means]), mode="r"))
    lengths = np.sqrt((above**2).sum(axis=0))
    lengths[lengths <= 1e-13 * largest * np.sqrt(n)] = 0.0
    columns = np.divide(above, lengths, out=np.zeros_like(above), where=lengths > 0)
    return Triangle(columns, lengths, n)


@dataclass(frozen=True)
class Fit:
    """The treated coefficient of a linear regression: estimate, standard error, residual degrees of freedom.

    The standard error is the usual one under equal variances: the method needs it, since it reads partial R2
    off t. r2: of the whole regression. left: share of the variance of treated that covariates leave.
    """

    estimate: float
    se: float
    df: int
    r2: float
    left: float

    @property
    def t(self) -> float:
        """The t statistic."""
        return self.estimate / self.se

    @property
    def partial_r2(self) -> float:
        """Share of what is left of the outcome's variance that treated explains: t^2 / (t^2 + df)."""
        return self.t**2 / (self.t**2 + self.df)


def independent(triangle: Triangle, wanted: npt.ArrayLike, given: npt.ArrayLike = ()) -> npt.NDArray[np.intp]:
    """Those `wanted` columns that are no combination of `given` and of the wanted ones before them."""
    first, then = np.asarray(given, dtype=np.intp), np.asarray(wanted, dtype=np.intp)
    order = np.concatenate([first, then])
    corner = np.diag(_triangular(triangle, order))
    if corner.size == order.size and (np.abs(corner) > COLLINEAR).all():
        return then
    basis = np.empty((triangle.columns.shape[0], order.size), order="F")
    rank = 0
    kept = np.zeros(order.size, dtype=bool)
    for place, column in enumerate(order):
        rest = triangle.columns[:, column]
        for _ in range(2):
            rest = rest - basis[:, :rank] @ (basis[:, :rank].T @ rest)
        length = float(np.sqrt(rest @ rest))
        if length > COLLINEAR:
            basis[:, rank] = rest / length
            rank += 1
            kept[place] = True
    return then[kept[first.size :]]


def fit(triangle: Triangle, covariates: npt.ArrayLike | None = None) -> Fit:
    """Regress the outcome on treated and the given covariates (numbers of columns; all when None).

    Covariates that are combinations of those before them are left out, as in R. Everything is NaN when
    treated is a combination of the covariates or no degrees of freedom are left; the standard error is 0
    for a perfect fit.
    """
    k = triangle.n_covariates
    kept = independent(triangle, np.arange(k) if covariates is None else covariates)
    df = triangle.n - 2 - kept.size
    corner = _triangular(triangle, [*kept, k, k + 1])[-2:, -2:]
    if abs(corner[0, 0]) <= COLLINEAR or df <= 0:
        return Fit(np.nan, np.nan, df, np.nan, 0.0)
    per_unit = triangle.lengths[k + 1] / triangle.lengths[k]
    estimate = corner[0, 1] / corner[0, 0] * per_unit
    se = abs(corner[1, 1] / corner[0, 0]) / np.sqrt(df) * per_unit
    return Fit(float(estimate), float(se), df, float(1 - corner[1, 1] ** 2), float(corner[0, 0] ** 2))


def partial_r2(triangle: Triangle, group: npt.ArrayLike, target: int, given: npt.ArrayLike) -> float:
    """Partial R2 of a group of columns with the target column, given other columns.

    0 when the group is a combination of what is given; NaN when nothing of the target is left.
    """
    given = independent(triangle, given)
    group = independent(triangle, group, given)
    last = _triangular(triangle, [*given, *group, target])[:, -1]
    explained = float(np.sum(last[given.size : -1] ** 2))
    rest = float(last[-1] ** 2)
    return explained / (explained + rest) if explained + rest > COLLINEAR**2 else np.nan


def without(triangle: Triangle, group: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """The covariates that are not in the group."""
    return np.setdiff1d(np.arange(triangle.n_covariates), np.asarray(group, dtype=np.intp))


def robustness_value(t: Any, df: Any, q: float = 1.0, alpha: float = 1.0) -> Floats:
    """The robustness value RV_q,alpha: how much residual variance of both a confounder must explain.

    A confounder with this partial R2 with treatment and with outcome brings the estimate down by the share q
    (alpha = 1), or down so far that it is no longer told apart from (1 - q) times itself at alpha. Cinelli
    and Hazlett (2020), equations 18 and 19; where the outcome's limit does not bind, their 2025 paper.

    >>> robustness_value(4.18445, 783).round(5), robustness_value(4.18445, 783, alpha=0.05).round(5)
    (np.float64(0.13878), np.float64(0.07626))
    """
    f, critical = _strengths(t, df, q, alpha)
    over = np.maximum(f - critical, 0.0)
    bound = (np.sqrt(over**4 + 4 * over**2) - over**2) / 2
    binding = f * critical < 1
    return np.where(binding, bound, np.maximum((f**2 - critical**2) / (1 + f**2), 0.0))[()]


def extreme_robustness_value(t: Any, df: Any, q: float = 1.0, alpha: float = 1.0) -> Floats:
    """The partial R2 with treatment at which a confounder that explains all of the outcome does the same.

    With q = 1 and alpha = 1 this is the partial R2 of treatment with the outcome.
    """
    f, critical = _strengths(t, df, q, alpha)
    return np.where(f > critical, (f**2 - critical**2) / (1 + f**2), 0.0)[()]


@dataclass(frozen=True, eq=False)
class Adjusted:
    """What is left of an estimate, its standard error and t statistic, and the interval, as arrays."""

    estimate: Floats
    se: Floats
    t: Floats
    low: Floats
    high: Floats


def adjusted(fitted: Fit, r2_treated: Any, r2_outcome: Any, level: float = 0.95) -> Adjusted:
    """The estimate had a confounder with these partial R2 been adjusted for, when it hides a smaller effect.

    r2_treated: with treatment given covariates, below 1; r2_outcome: with the outcome given treatment and
    covariates, at most 1. The estimate moves towards zero and beyond. Cinelli and Hazlett (2020), equations
    12 and 14; the quantile of the interval has df degrees of freedom, as in sensemakr, although the adjusted
    regression would have one fewer. NaN outside those limits.
    """
    one, other = np.broadcast_arrays(np.asarray(r2_treated, float), np.asarray(r2_outcome, float))
    allowed = (one >= 0) & (one < 1) & (other >= 0) & (other <= 1)
    one, other = np.where(allowed, one, np.nan), np.where(allowed, other, np.nan)
    bias = np.sqrt(other * one / (1 - one)) * fitted.se * np.sqrt(fitted.df)
    estimate = np.sign(fitted.estimate) * (np.abs(fitted.estimate) - bias)
    se = np.sqrt((1 - other) / (1 - one) * fitted.df / (fitted.df - 1)) * fitted.se
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    half = -scipy.special.stdtrit(fitted.df, (1 - level) / 2) * se
    return Adjusted(estimate, se, t, estimate - half, estimate + half)


@dataclass(frozen=True, eq=False)
class Strength:
    """Partial R2 of benchmark confounders with treatment and with the outcome, one per multiple.

    possible: False where a confounder that much stronger than the benchmark cannot exist (both NaN).
    capped: the outcome's partial R2 came out above 1 and was set to 1.
    """

    r2_treated: Floats
    r2_outcome: Floats
    possible: npt.NDArray[np.bool_]
    capped: npt.NDArray[np.bool_]


def benchmark(triangle: Triangle, group: npt.ArrayLike, multiples: Any, of_outcome: Any = None) -> Strength:
    """Confounders that are `multiples` (m,) times as strong as measured covariates, taken as a group.

    multiples: kd, relative to the group's explanation of treatment; of_outcome: ky, the same for the outcome
    (equal to kd when None). Cinelli and Hazlett (2020), equations 52 to 57 of their appendix. The
    confounder is taken to be unrelated to the measured covariates.
    """
    kd = np.atleast_1d(np.asarray(multiples, dtype=float))
    ky = kd if of_outcome is None else np.atleast_1d(np.asarray(of_outcome, dtype=float))
    k, rest = triangle.n_covariates, without(triangle, group)
    with_treated = partial_r2(triangle, group, k, rest)
    with_outcome = partial_r2(triangle, group, k + 1, [*rest, k])
    r2_treated = kd * with_treated / (1 - with_treated)
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = kd * with_treated**2 / ((1 - kd * with_treated) * (1 - with_treated))
        r2_outcome = ((np.sqrt(ky) + np.sqrt(shared)) / np.sqrt(1 - shared)) ** 2
        r2_outcome = r2_outcome * with_outcome / (1 - with_outcome)
    possible = (r2_treated < 1) & (shared >= 0) & (shared < 1)
    capped = possible & (r2_outcome > 1)
    return Strength(
        np.where(possible, r2_treated, np.nan),
        np.where(possible, np.minimum(r2_outcome, 1.0), np.nan),
        possible,
        capped,
    )


def _triangular(triangle: Triangle, order: npt.ArrayLike) -> Floats:
    return np.asarray(np.linalg.qr(triangle.columns[:, np.asarray(order, dtype=np.intp)], mode="r"))


def _strengths(t: Any, df: Any, q: float, alpha: float) -> tuple[Floats, Floats]:
    """Cohen's f times q, and the f that is just told apart from zero at alpha."""
    df = np.asarray(df, dtype=float)
    f = q * np.abs(np.asarray(t, dtype=float)) / np.sqrt(df)
    critical = np.abs(scipy.special.stdtrit(df - 1, alpha / 2)) / np.sqrt(df - 1)
    return f, np.where(alpha < 1, critical, 0.0)
