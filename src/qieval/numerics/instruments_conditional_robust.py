"""Robust and clustered versions of the conditional likelihood ratio and of the score test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.instruments_columns import inverse
from qieval.numerics.instruments_conditional import conditional_p_value
from qieval.numerics.instruments_estimators import tsls
from qieval.numerics.instruments_reduced_form import ReducedForm
from qieval.numerics.instruments_sets import ConfidenceSet, set_between
from qieval.numerics.two_way import Floats

ANGLES = 400


@dataclass(frozen=True)
class RobustTest:
    """Test of one value of the effect.

    ratio: quasi likelihood ratio, its p-value conditional on `rank`, the strength of the first stage at this
    value. score: K statistic, chi-squared with one degree of freedom.
    """

    ratio: float
    rank: float
    p_value: float
    score: float
    p_score: float


def robust_conditional_test(reduced: ReducedForm, null: float = 0.0) -> RobustTest:
    """Kleibergen's (2005) K and quasi likelihood ratio with the covariance of `reduced`; one treatment.

    The first stage is made independent of the moments y - null x; with equal variances both are those of
    Moreira and Kleibergen (2002). With one instrument the ratio is the Anderson-Rubin statistic. NaN where
    the covariance is singular.
    """
    y, x = reduced.data.one_treatment()
    blocks = reduced.blocks
    gap = y - null * x
    mixed = blocks[1, 0] - null * blocks[1, 1]
    spread = blocks[0, 0] - null * (blocks[0, 1] + blocks[1, 0]) + null**2 * blocks[1, 1]
    try:
        weight = inverse(spread)
        first = x - mixed @ weight @ gap
        rank = float(first @ inverse(blocks[1, 1] - mixed @ weight @ mixed.T) @ first)
    except np.linalg.LinAlgError:
        return RobustTest(*[np.nan] * 5)
    total = float(gap @ weight @ gap)
    along = float(first @ weight @ gap)
    score = min(along**2 / float(first @ weight @ first), total)
    ratio = (total - rank + np.sqrt((total - rank) ** 2 + 4 * score * rank)) / 2
    p_value = conditional_p_value(ratio, rank, reduced.data.k)
    return RobustTest(float(ratio), rank, p_value, score, float(scipy.special.chdtrc(1, score)))


def robust_conditional_set(reduced: ReducedForm, level: float = 0.95) -> ConfidenceSet:
    """All values that the quasi likelihood ratio does not reject.

    There is no closed form: the sign is read on two grids of angles, in standard errors around the two-stage
    estimate and in units of the reduced form, 800 values in all; ends are refined to rounding, but a piece
    that lies between two neighbouring values is overlooked.
    """
    estimate = tsls(reduced.data, reduced.kind)
    centre, error = float(estimate.coefficients[0]), float(estimate.errors[0])
    unit = float(np.sqrt(np.trace(reduced.blocks[0, 0]) / np.trace(reduced.blocks[1, 1])))
    angle = (np.arange(ANGLES) + 0.5) * np.pi / ANGLES - np.pi / 2
    values: Floats = np.unique(np.concatenate([centre + error * np.tan(angle), unit * np.tan(angle)]))

    def excess(b: float) -> float:
        return 1 - level - robust_conditional_test(reduced, b).p_value

    return set_between(values / unit, lambda b: excess(unit * b)).scaled(unit)
