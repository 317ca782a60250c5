"""Regression discontinuity, covariates and uptake: which combination of the columns an estimate looks at.

Covariates enter with one coefficient on both sides (Calonico, Cattaneo, Farrell and Titiunik 2019), so the
estimate is that of the outcome less covariates @ gamma. A fuzzy estimate is, near the truth, the estimate of
outcome / jump - outcome jump / jump^2 uptake. Both are linear combinations of the columns of a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.discontinuity_fit import Fit
from qieval.numerics.two_way import Floats, Mask

COLLINEAR = 1e-11
"""A covariate of which less than this share of its variation is left by the ones before it is dropped."""


@dataclass(frozen=True, eq=False)
class Adjusted:
    """combination (1 + t + k, 1 + t): columns @ combination = outcome, and uptake, less covariates @ gamma.

    gamma (k, 1 + t) is zero for covariates that were dropped; kept (k,) tells which were not.
    """

    combination: Floats
    gamma: Floats
    kept: Mask


def adjust(fits: Sequence[Fit], targets: int) -> Adjusted:
    """Coefficients of the covariates from the given fits together, for the first `targets` columns."""
    k = fits[0].side.columns.shape[1] - targets
    combination = np.zeros((targets + k, targets))
    combination[:targets] = np.eye(targets)
    if not k:
        return Adjusted(combination, np.zeros((0, targets)), np.zeros(0, dtype=bool))
    left = np.zeros((k, targets + k))
    total = np.zeros(k)
    for fitted in fits:
        columns = fitted.side.columns[: fitted.m]
        weighted = columns[:, targets:] * fitted.weight[:, None]
        cross = fitted.weighted @ columns
        left += weighted.T @ columns - cross[:, targets:].T @ fitted.solve(cross)
        total += np.einsum("ij,ij->j", weighted, columns[:, targets:])
    gamma, kept = _eliminate(left[:, targets:], left[:, :targets], total)
    combination[targets:] = -gamma
    return Adjusted(combination, gamma, kept)


def _eliminate(gram: Floats, right: Floats, total: Floats) -> tuple[Floats, Mask]:
    """Solve gram (k, k) gamma = right, leaving out covariates that those before them explain."""
    work, kept = gram.copy(), np.zeros(total.size, dtype=bool)
    for j in range(total.size):
        if work[j, j] > COLLINEAR * total[j]:
            kept[j] = True
            work = work - np.outer(work[:, j], work[j]) / work[j, j]
    gamma = np.zeros_like(right)
    if kept.any():
        scale = 1 / np.sqrt(np.diag(gram)[kept])
        scaled = gram[np.ix_(kept, kept)] * np.outer(scale, scale)
        solved = scipy.linalg.solve(scaled, right[kept] * scale[:, None], assume_a="pos")
        gamma[kept] = solved * scale[:, None]
    return gamma, kept


def ratio_gradient(top: float, bottom: float) -> Floats:
    """Derivatives (2,) of top / bottom."""
    return np.array([1 / bottom, -top / bottom**2])
