"""One effect per subgroup, and the test that they are all the same (interaction)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.contrasts import DEFAULT, Contrast, Precision, difference, odds_ratio, ratio
from qieval.numerics.joint import WaldTest, wald
from qieval.numerics.means import Clusters, Means, crossproduct
from qieval.numerics.two_way import Floats

Measure = Literal["difference", "ratio", "odds ratio"]

MEASURES: dict[str, Callable[[Means, Floats, Precision], Contrast]] = {
    "difference": difference,
    "ratio": ratio,
    "odds ratio": odds_ratio,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Clustering:
    """Clusters and small-sample factors of a joint covariance of several pairs of means.

    factors (g,) are one per pair of means, None for ones; adjust multiplies by G/(G-1), as in
    `means.covariance`, with G the clusters (rows, without clusters) of all subgroups together.
    """

    cluster: Clusters = None
    factors: Floats | None = None
    adjust: bool = False


@dataclass(frozen=True, eq=False)
class Subgroups:
    """One contrast per subgroup and the covariance (g, g) of the estimates (logarithms, for ratios).

    test is the Wald test that all effects are equal; subgroups whose contrast is NaN take no part in it and
    have NaN in the covariance. None with fewer than two left.
    """

    contrasts: tuple[Contrast, ...]
    covariance: Floats
    test: WaldTest | None


def by_subgroup(
    levels: Sequence[Means],
    measure: Measure = "difference",
    clustering: Clustering | None = None,
    precision: Precision = DEFAULT,
) -> Subgroups:
    """Effects in subgroups, from the means of each with influence over the same n rows.

    Clusters may run through several subgroups (hospitals with women and men): their effects are then
    correlated and the test takes account of it. Effects that differ on one scale may agree on another, so the
    measure has to be chosen, and named with the result.

    >>> halves = np.array([[0.1, 0.0], [-0.1, 0.0], [0.0, 0.1], [0.0, -0.1]])
    >>> none = np.zeros((4, 2))
    >>> women = Means(2.0, 1.0, np.vstack([halves, none]))
    >>> men = Means(4.0, 1.0, np.vstack([none, halves]))
    >>> found = by_subgroup([women, men])
    >>> [value.estimate for value in found.contrasts], round(found.test.statistic)
    ([1.0, 3.0], 50)
    """
    clustering = clustering or Clustering()
    joint = _joint(levels, clustering)
    contrasts, gradient = [], np.zeros((len(levels), 2 * len(levels)))
    for place, means in enumerate(levels):
        own = slice(2 * place, 2 * place + 2)
        contrasts.append(MEASURES[measure](means, joint[own, own], precision))
        with np.errstate(divide="ignore", invalid="ignore"):
            gradient[place, own] = _slopes(means, measure)
    known = np.isfinite([value.std_error for value in contrasts])
    covariance = np.full((len(levels), len(levels)), np.nan)
    covariance[np.ix_(known, known)] = gradient[known] @ joint @ gradient[known].T
    test = _equality(contrasts, covariance, known, precision) if known.sum() > 1 else None
    return Subgroups(tuple(contrasts), covariance, test)


def _joint(levels: Sequence[Means], clustering: Clustering) -> Floats:
    """Covariance (2g, 2g) of all means."""
    used = np.zeros(len(levels[0].influence), dtype=bool)
    for means in levels:
        used |= True if means.used is None else means.used
    stacked = np.hstack([means.influence for means in levels])
    factors = np.ones(len(levels)) if clustering.factors is None else clustering.factors
    root = np.repeat(np.sqrt(factors), 2)
    return crossproduct(stacked, clustering.cluster, used, clustering.adjust) * np.outer(root, root)


def _slopes(means: Means, measure: Measure) -> tuple[float, float]:
    """Derivatives of the measure, on the scale of its inference, by the two means."""
    one, zero = np.float64(means.mean1), np.float64(means.mean0)
    if measure == "difference":
        return 1.0, -1.0
    if measure == "ratio":
        return float(1 / one), float(-1 / zero)
    return float(1 / (one * (1 - one))), float(-1 / (zero * (1 - zero)))


def _equality(
    contrasts: Sequence[Contrast], covariance: Floats, known: np.ndarray, precision: Precision
) -> WaldTest:
    """Every known effect against the first."""
    logarithm = contrasts[0].scale == "log"
    values = np.array([value.estimate for value, there in zip(contrasts, known, strict=True) if there])
    values = np.log(values) if logarithm else values
    against = np.hstack([-np.ones((values.size - 1, 1)), np.eye(values.size - 1)])
    inner = covariance[np.ix_(known, known)]
    return wald(against @ values, against @ inner @ against.T, precision.df)
