"""Rows of two arms and the columns of a regression on treatment and covariates.

The columns are constant, treatment, covariates in standard deviations from their mean, and products of
treatment and covariates. They are never built: a row of arm a is (1, covariates) times a small matrix that
belongs to the arm, so that everybody can be predicted in both arms at the price of the covariates alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qieval.numerics.estimated_weights import Estimand, Standardised, independent, standardise
from qieval.numerics.two_way import Codes, Floats, Mask


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """What was observed: outcome y (n,), treated (n,) bool, covariates x (n, k) without a constant.

    weights (n,) not negative, None for ones; they say how many rows a row stands for. exposure (n,) positive
    (person-time) makes outcomes counts and means rates. ValueError for anything that is not finite, for
    shapes that do not fit, and where an arm has no weight.
    """

    y: Floats
    treated: Mask
    x: Floats
    weights: Floats | None = None
    exposure: Floats | None = None

    def __post_init__(self) -> None:
        n = self.y.size
        given = [values for values in (self.weights, self.exposure) if values is not None]
        if self.x.ndim != 2 or any(len(held) != n for held in (self.treated, self.x, *given)):
            raise ValueError("x must be (n, k), all others (n,)")
        if not all(np.isfinite(held).all() for held in (self.y, self.x, *given)):
            raise ValueError("outcome, covariates, weights and exposure must be finite")
        if self.treated.dtype != np.bool_:
            raise ValueError("treated must be boolean")
        if (self.weight < 0).any() or (self.time <= 0).any():
            raise ValueError("weights must not be negative and exposure must be positive")
        if not (self.weight[self.treated].any() and self.weight[~self.treated].any()):
            raise ValueError("each arm needs a row of positive weight")

    @cached_property
    def weight(self) -> Floats:
        """Weights (n,), ones where none were given."""
        return np.ones(self.y.size) if self.weights is None else self.weights

    @cached_property
    def time(self) -> Floats:
        """Exposure (n,), ones where none was given."""
        return np.ones(self.y.size) if self.exposure is None else self.exposure

    @cached_property
    def arms(self) -> tuple[Codes, Codes]:
        """Rows of the treated and of the controls."""
        return np.flatnonzero(self.treated), np.flatnonzero(~self.treated)

    def target(self, estimand: Estimand = "ATE", among: Mask | None = None) -> Floats:
        """Weight of each row in the population that means are about (n,), exposure not included.

        among (n,) restricts it to a subgroup. ValueError if nobody is left.
        """
        if estimand not in ("ATE", "ATT", "ATC"):
            raise ValueError(f"estimand {estimand!r}: one of ATE, ATT, ATC")
        target = self.weight if estimand == "ATE" else self.weight * (self.treated == (estimand == "ATT"))
        target = target if among is None else target * among
        if not target.any():
            raise ValueError("nobody is in the population that the effect is about")
        return target


@dataclass(frozen=True, eq=False)
class ArmDesign:
    """The columns of the regression for all rows; q of them take part.

    everyone are the covariates of all rows and parts those of treated and controls. maps are the matrices
    (1 + covariates, q) that turn (1, covariates) into the columns of a treated and of an untreated row.
    names (q,) are positions among constant, treatment, all k covariates, all k products: columns that vary
    too little, or repeat earlier ones, are left out. products (q, q) is the weighted cross-product.
    """

    everyone: Standardised
    parts: tuple[Standardised, Standardised]
    arms: tuple[Codes, Codes]
    maps: tuple[Floats, Floats]
    names: Codes
    products: Floats

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.everyone.x.shape[0])

    @property
    def q(self) -> int:
        """Columns."""
        return int(self.names.size)

    def linear(self, beta: Floats) -> Floats:
        """Linear predictor in the arm of each row; beta (q,) -> (n,) or (q, m) -> (n, m)."""
        out = np.empty((self.n, *beta.shape[1:]))
        for part, rows, arm in zip(self.parts, self.arms, self.maps, strict=True):
            out[rows] = part.times(arm @ beta)
        return out

    def under(self, beta: Floats) -> Floats:
        """Linear predictor of everybody as treated and as untreated (n, 2)."""
        return self.everyone.times(np.column_stack([arm @ beta for arm in self.maps]))

    def totals(self, by: Floats) -> Floats:
        """Sum over rows of the columns in the row's arm times by; (n,) -> (q,) or (n, m) -> (q, m)."""
        sums = [part.totals(by[rows]) for part, rows in zip(self.parts, self.arms, strict=True)]
        return self.maps[0].T @ sums[0] + self.maps[1].T @ sums[1]

    def totals_under(self, by: Floats) -> Floats:
        """Sums of everybody's columns as treated times by[:, 0], as untreated times by[:, 1] (q, 2)."""
        sums = self.everyone.totals(by)
        return np.column_stack([arm.T @ column for arm, column in zip(self.maps, sums.T, strict=True)])

    def gram(self, by: Floats) -> Floats:
        """Sum over rows of by (n,) times the outer product of the columns in the row's arm (q, q)."""
        return _gram(self.parts, self.arms, self.maps, by)

    def coefficients(self, beta: Floats) -> Floats:
        """From beta (q,) or (q, m) to constant, treatment, k covariates, k products in the user's units.

        0 where a column was left out; (2 + 2k,) or (2 + 2k, m).
        """
        return self.units @ beta

    @cached_property
    def units(self) -> Floats:
        """The matrix (2 + 2k, q) that does so."""
        k = self.everyone.x.shape[1]
        scale, centre = np.ones(k), np.zeros(k)
        scale[self.everyone.columns], centre[self.everyone.columns] = (
            self.everyone.scale,
            self.everyone.centre,
        )
        full = np.zeros((2 + 2 * k, self.q))
        full[self.names, np.arange(self.q)] = 1.0
        for level, block in ((0, slice(2, 2 + k)), (1, slice(2 + k, 2 + 2 * k))):
            full[block] /= scale[:, None]
            full[level] -= centre @ full[block]
        return full


def arm_design(sample: Sample, interacted: bool | Mask = False) -> ArmDesign:
    """Columns for the sample; interacted: all covariates, none, or those of a mask (k,) times treatment.

    A covariate that does not vary within an arm has one slope for both.
    """
    k = sample.x.shape[1]
    chosen = np.full(k, interacted) if isinstance(interacted, bool) else np.asarray(interacted, dtype=bool)
    if chosen.shape != (k,):
        raise ValueError("interacted must be one value for each covariate")
    everyone = standardise(sample.x, sample.weight)
    columns, scales = everyone.columns, (everyone.centre, everyone.scale)
    first, second = (Standardised(sample.x[rows], columns, *scales) for rows in sample.arms)
    maps, names = _maps(everyone, chosen[columns])
    products = _gram((first, second), sample.arms, maps, sample.weight)
    size = np.sqrt(np.maximum(np.diag(products), np.finfo(float).tiny))
    kept = independent(products / np.outer(size, size))
    inner = (maps[0][:, kept], maps[1][:, kept])
    return ArmDesign(everyone, (first, second), sample.arms, inner, names[kept], products[np.ix_(kept, kept)])


def _maps(everyone: Standardised, chosen: Mask) -> tuple[tuple[Floats, Floats], Codes]:
    """Matrices of both arms with all columns, and the position of each column."""
    k, columns = everyone.x.shape[1], everyone.columns
    own, extra = np.eye(columns.size + 1), np.flatnonzero(chosen) + 1
    both = [
        np.column_stack([own[:, :1], arm * own[:, :1], own[:, 1:], arm * own[:, extra]]) for arm in (1.0, 0.0)
    ]
    return (both[0], both[1]), np.concatenate([[0, 1], 2 + columns, 2 + k + columns[chosen]])


def _gram(
    parts: tuple[Standardised, Standardised],
    arms: tuple[Codes, Codes],
    maps: tuple[Floats, Floats],
    by: Floats,
) -> Floats:
    inner = [part.gram(by[rows]) for part, rows in zip(parts, arms, strict=True)]
    return np.asarray(sum(arm.T @ held @ arm for arm, held in zip(maps, inner, strict=True)))
