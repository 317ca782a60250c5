"""How alike two arms are, column by column, for any weights: means, standardised differences, variance
ratios, distances of distribution functions.

Sorting is the expensive part and does not depend on weights: `Ranked` keeps it, so that every further
weighting costs one pass. Checked against MatchIt and cobalt (R) on their own examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from qieval.numerics.two_way import Floats

Denominator = Literal["treated", "control", "pooled", "all", "weighted"]
Binary = Literal["standardised", "raw"]

SAME = 1e-14
"""Neighbours closer than this share of their size count as one value: scores of people with the same
characteristics often differ in the last digit, by the order in which a library adds."""


class Ranked:
    """Columns with their sort order, made once per column when it is first asked for.

    x (n, k) of finite numbers; NaN is missing and is left out column by column. Holds a copy of x by columns
    (8 bytes per value), and 5 bytes per value of every sorted column. binary (k,): only 0 and 1 occur;
    missing (k,): number of NaN.
    """

    def __init__(self, x: Floats) -> None:
        if x.ndim != 2 or np.isinf(x).any():
            raise ValueError("x must be a table (n, k) without infinite values")
        self.x = np.asfortranarray(x, dtype=float)
        self.missing = np.isnan(self.x).sum(axis=0)
        self.binary = np.array([_is_binary(column) for column in self.x.T], dtype=bool)
        self._sorted: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.x.shape

    def order(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (m,) by rising value, uint32, without missing; and whether the next value differs (m,)."""
        if column not in self._sorted:
            values = self.x[:, column]
            order = np.argsort(values)[: values.size - self.missing[column]].astype(np.uint32)
            held = values[order]
            differ = held[1:] - held[:-1] > SAME * np.abs(held[1:])
            self._sorted[column] = order, np.append(differ, True)[: order.size]
        return self._sorted[column]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Balance of each column (k,) under one weighting.

    sd_treated, sd_control are weighted; denominator is what `smd` was divided by (1 where the raw difference
    stands). variance_ratio treated to control, NaN for binary columns and where an arm has fewer than two
    different rows. ecdf_mean, ecdf_max: mean over all distinct values of the column (those of rows without
    weight too), and maximum (Kolmogorov-Smirnov), of the gap between the weighted distribution functions;
    |difference in proportions| for binary columns. used_treated, used_control: rows with weight and a value.
    """

    mean_treated: Floats
    mean_control: Floats
    sd_treated: Floats
    sd_control: Floats
    denominator: Floats
    smd: Floats
    variance_ratio: Floats
    ecdf_mean: Floats
    ecdf_max: Floats
    used_treated: Floats
    used_control: Floats


@dataclass(frozen=True, eq=False)
class Weighted:
    """An arm for each row and its weight, in the form that the loops read. Weights (n,) are not negative."""

    arm: np.ndarray
    weight: Floats
    signed: Floats = field(init=False)

    def __post_init__(self) -> None:
        if not np.all(self.weight >= 0) or np.isinf(self.weight).any():
            raise ValueError("weights must be finite and not negative")
        object.__setattr__(self, "signed", np.where(self.arm == 1, self.weight, -self.weight))


def weighted(treated: np.ndarray, weights: Floats | None = None) -> Weighted:
    """The rows of both arms, by default each with weight 1. treated (n,) of 0/1 or bool."""
    ones = np.ones(len(treated)) if weights is None else np.ascontiguousarray(weights, dtype=float)
    return Weighted(np.ascontiguousarray(treated, dtype=np.uint8), ones)


def statistics(
    ranked: Ranked,
    treated: np.ndarray,
    weights: Floats | None = None,
    denominator: Denominator | Floats = "treated",
    binary: Binary = "standardised",
) -> Statistics:
    """Balance of every column of `ranked` between treated (n,) and the rest under weights (n,).

    denominator: a name, see `denominators`, or its result, which saves a pass per further weighting. binary:
    'standardised' divides differences of proportions as well (MatchIt), 'raw' leaves them (cobalt).
    A difference of 0 is 0 also where the denominator is 0; any other is then infinite. An arm without any
    weighted value gives NaN. Unlike MatchIt, which then gives none, a standardised difference is also
    computed when an arm has a single row with weight.

    >>> x = np.array([[1.0, 0], [3, 1], [2, 0], [6, 0]])
    >>> found = statistics(Ranked(x), np.array([1, 1, 0, 0]))
    >>> found.mean_treated, found.smd.round(4), found.ecdf_max
    (array([2. , 0.5]), array([-1.4142,  1.    ]), array([0.5, 0.5]))
    """
    from qieval.numerics.kernels.balance import ecdf_gap

    rows = weighted(treated, weights)
    found = _moments(ranked, rows)
    divisor = (
        denominators(ranked, treated, denominator, weights) if isinstance(denominator, str) else denominator
    )
    if binary == "raw":
        divisor = np.where(ranked.binary, 1.0, divisor)
    one, zero = found[:, 1, 3], found[:, 0, 3]
    gaps = np.repeat(np.abs(one - zero)[:, None], 2, axis=1)
    for j in np.flatnonzero(~ranked.binary):
        if found[j, :, 1].min() > 0:
            gaps[j] = ecdf_gap(*ranked.order(int(j)), rows.signed, found[j, 1, 1], found[j, 0, 1])
    variance = _variances(found, ranked.binary)
    return Statistics(
        mean_treated=one,
        mean_control=zero,
        sd_treated=np.sqrt(variance[:, 1]),
        sd_control=np.sqrt(variance[:, 0]),
        denominator=divisor,
        smd=_ratio(one - zero, divisor),
        variance_ratio=np.where(ranked.binary, np.nan, _ratio(variance[:, 1], variance[:, 0], np.nan)),
        ecdf_mean=gaps[:, 0],
        ecdf_max=gaps[:, 1],
        used_treated=found[:, 1, 0],
        used_control=found[:, 0, 0],
    )


def differences(
    ranked: Ranked,
    treated: np.ndarray,
    weights: Floats | None = None,
    denominator: Denominator | Floats = "treated",
) -> Floats:
    """The standardised differences (k,) of `statistics` alone, 0/1 columns standardised too; sorts nothing.

    >>> differences(Ranked(np.array([[1.0, 0], [3, 1], [2, 0], [6, 0]])), np.array([1, 1, 0, 0])).round(4)
    array([-1.4142,  1.    ])
    """
    found = _moments(ranked, weighted(treated, weights))
    divisor = (
        denominators(ranked, treated, denominator, weights) if isinstance(denominator, str) else denominator
    )
    return _ratio(found[:, 1, 3] - found[:, 0, 3], divisor)


def denominators(
    ranked: Ranked, treated: np.ndarray, kind: Denominator = "treated", weights: Floats | None = None
) -> Floats:
    """The standard deviation (k,) that differences are divided by; p(1 - p) is the variance of 0/1 columns.

    Of the sample before weighting, so that weighting cannot hide a difference by spreading an arm: of the
    'treated', the 'control', 'pooled' (root of the mean of both variances), 'all' rows together; only
    'weighted' takes all rows with their weights. Where the treated (or control) do not vary, the pooled one
    is taken, as MatchIt does.
    """
    if kind not in get_args(Denominator):
        raise ValueError(f"{kind!r} is not one of {', '.join(get_args(Denominator))}")
    found = _moments(ranked, weighted(treated, weights if kind == "weighted" else None))
    if kind in ("all", "weighted"):
        return np.asarray(np.sqrt(_variances(_together(found)[:, None, :], ranked.binary)[:, 0]))
    variance = _variances(found, ranked.binary)
    pooled = variance.mean(axis=1)
    if kind == "pooled":
        return np.asarray(np.sqrt(pooled))
    chosen = variance[:, 1 if kind == "treated" else 0]
    return np.asarray(np.sqrt(np.where(chosen > 0, chosen, pooled)))


def products(
    x: Floats, names: list[str], source: list[int] | None = None, *, squares: bool, interactions: bool
) -> tuple[Floats, list[str]]:
    """Squares of the columns that are not 0/1, and products of pairs; columns of one source are not paired.

    source (k,) says which columns stem from one variable (levels of a category); by default each is its own.

    >>> products(np.array([[2.0, 1.0]]), ["age", "ill"], squares=True, interactions=True)
    (array([[4., 2.]]), ['age²', 'age * ill'])
    """
    origin = list(range(len(names))) if source is None else source
    made: list[Floats] = []
    called: list[str] = []
    if squares:
        for j, name in enumerate(names):
            if not _is_binary(x[:, j]):
                made.append(x[:, j] ** 2)
                called.append(f"{name}²")
    if interactions:
        for i, j in combinations(range(len(names)), 2):
            if origin[i] != origin[j]:
                made.append(x[:, i] * x[:, j])
                called.append(f"{names[i]} * {names[j]}")
    return (np.column_stack(made) if made else np.empty((len(x), 0))), called


@dataclass(frozen=True, eq=False)
class Distributions:
    """Weighted distribution functions of both arms at `points` (m,), and quantiles at `probabilities` (q,).

    Quantiles are the smallest value whose distribution function reaches the probability.
    """

    points: Floats
    cdf_treated: Floats
    cdf_control: Floats
    probabilities: Floats
    quantile_treated: Floats
    quantile_control: Floats


def distributions(
    ranked: Ranked,
    column: int,
    treated: np.ndarray,
    weights: Floats | None = None,
    probabilities: Floats | None = None,
) -> Distributions:
    """Distribution of one column in both arms; points are its quantiles in all rows without weights.

    probabilities (q,), by default 1% to 99%. ValueError where an arm has no weighted value.
    """
    levels = np.linspace(0.01, 0.99, 99) if probabilities is None else probabilities
    order, _ = ranked.order(column)
    rows, values = weighted(treated, weights), ranked.x[order, column]
    held = np.where(rows.arm[order] == np.array([[0], [1]]), rows.weight[order], 0.0).cumsum(axis=1)
    if values.size == 0 or held[:, -1].min() <= 0:
        raise ValueError("an arm has no weighted value of this column")
    share = held / held[:, -1:]
    points = np.unique(np.quantile(values, levels, method="inverted_cdf"))
    at = np.searchsorted(values, points, side="right") - 1
    places = [np.searchsorted(arm, levels - 1e-12) for arm in share]
    return Distributions(points, share[1, at], share[0, at], levels, values[places[1]], values[places[0]])


def effective_size(weights: Floats) -> float:
    """Kish's effective number of rows, (sum w)^2 / sum w^2; 0 without any weight.

    >>> effective_size(np.array([1.0, 1.0, 2.0, 0.0]))
    2.6666666666666665
    """
    squared = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squared if squared > 0 else 0.0


def _moments(ranked: Ranked, rows: Weighted) -> Floats:
    """Moments (k, 2, 6) of every column, see the kernel."""
    from qieval.numerics.kernels.balance import moments

    if rows.arm.size != ranked.shape[0] or rows.weight.size != ranked.shape[0]:
        raise ValueError("treated and weights must have one entry for each row")
    found = [moments(ranked.x[:, j], rows.arm, rows.weight) for j in range(ranked.shape[1])]
    return np.array(found).reshape(-1, 2, 6)


def _variances(found: Floats, binary: np.ndarray) -> Floats:
    """Variances (k, arms): p(1 - p) of 0/1 columns, otherwise sum w (x - m)^2 / W / (1 - sum w^2 / W^2)."""
    total, squares, mean, deviations = found[..., 1], found[..., 2], found[..., 3], found[..., 4]
    with np.errstate(divide="ignore", invalid="ignore"):
        free = 1 - squares / total**2
        usual = np.where(found[..., 0] > 1, deviations / total / free, np.nan)
    return np.where(binary[:, None], mean * (1 - mean), usual)


def _together(found: Floats) -> Floats:
    """Moments (k, 6) of both arms taken as one sample."""
    out: Floats = found.sum(axis=1)
    share = found[:, :, 1] / out[:, None, 1]
    out[:, 3] = np.sum(share * found[:, :, 3], axis=1)
    out[:, 4] += np.sum(found[:, :, 1] * (found[:, :, 3] - out[:, None, 3]) ** 2, axis=1)
    return out


def _ratio(top: Floats, bottom: Floats, nothing: float = 0.0) -> Floats:
    """top / bottom, and `nothing` for 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((top == 0) & (bottom == 0), nothing, top / bottom)


def _is_binary(column: Floats) -> bool:
    """Whether a column holds 0 and 1 only, at least one of them; NaN is ignored."""
    head = column[:100]
    if np.any((head != 0) & (head != 1) & (head == head)):
        return False
    return bool(np.all((column == 0) | (column == 1) | np.isnan(column)))
