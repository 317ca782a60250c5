"""Covariates in synthetic difference-in-differences: outcomes are adjusted, then weighted as before.

"projected": coefficients from a regression with unit and time effects on the cells without treatment (Kranz
2022; R xsynthdid; Stata sdid `projected`). "optimised": coefficients and weights minimise the sum of both
penalised mean squared errors (Arkhangelsky et al. 2021, footnote 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.absorb import within
from qieval.numerics.synthetic_did_weights import (
    EXACT,
    Block,
    Codes,
    Floats,
    Kind,
    Mask,
    Penalties,
    Weights,
    find_weights,
)
from qieval.numerics.two_way import two_way

ROUNDS = 1000
SETTLED = 1e-12
INDEPENDENT = 1e-9
"""Share of a column that must be left once the other columns are out."""


@dataclass(frozen=True, eq=False)
class Covariates:
    """Values (c, n, t) of covariates that vary over time, and how outcomes are adjusted for them."""

    values: Floats
    how: Literal["projected", "optimised"] = "projected"

    def sample(self, units: Codes) -> Covariates:
        """The covariates of some units, which may repeat."""
        return replace(self, values=self.values[:, units])


def subtract(outcomes: Floats, covariates: Floats, coefficients: Floats) -> Floats:
    """Outcomes (n, t) minus covariates (c, n, t) times coefficients (c,); NaN coefficients count as zero."""
    return outcomes - np.tensordot(np.nan_to_num(coefficients), covariates, axes=1)


def projected(outcomes: Floats, covariates: Floats, untreated: Mask) -> Floats:
    """Coefficients (c,) of covariates (c, n, t) given unit and time effects, from untreated cells (n, t).

    NaN for a covariate that the effects or earlier covariates explain.
    """
    unit, time = np.nonzero(untreated)
    base = within(two_way(unit, time), outcomes[untreated], covariates[:, untreated].T)
    coefficients = np.full(len(covariates), np.nan)
    if base.x.size:
        solved = scipy.linalg.cho_solve((base.gram_factor, True), base.covariate_moments(base.y))
        coefficients[~base.dropped] = solved
    return coefficients


def optimised(
    block: Block, covariates: tuple[Floats, Floats], rule: Penalties, kind: Kind
) -> tuple[Floats, Weights]:
    """Coefficients (c,) and weights that jointly minimise the two penalised mean squared errors.

    covariates are those of the controls (c, j, t) and their means over the treated (c, t). Coefficients given
    weights (least squares) and weights given coefficients (exact) take turns from zero coefficients until the
    objective falls by less than 1e-12 of itself; it never rises, but its minimum need not be the only one. R
    takes one Frank-Wolfe step and one gradient step of length 1/t in turns instead, so its answer depends on
    the units of the covariates. For "sc" only the error of the unit weights counts (R adds the spread of the
    controls' means after the start).
    """
    c = len(covariates[0])
    coefficients, last = np.zeros(c), np.inf
    for _ in range(ROUNDS):
        adjusted = Block(
            subtract(block.controls, covariates[0], coefficients),
            block.target - np.nan_to_num(coefficients) @ covariates[1],
            block.pre,
        )
        weights = find_weights(adjusted, rule, kind, EXACT)
        y = _errors(block, weights, kind)
        x = np.array(
            [_errors(Block(*pair, block.pre), weights, kind) for pair in zip(*covariates, strict=True)]
        ).T
        coefficients = _least_squares(x, y)
        rest = y - x @ np.nan_to_num(coefficients)
        value = float(rest @ rest)
        if kind != "did":
            value += rule.zeta_omega**2 * float(weights.units @ weights.units)
            value += rule.zeta_lambda**2 * float(weights.periods @ weights.periods)
        if kind == "did" or last - value <= SETTLED * value:
            return coefficients, weights
        last = value
    return coefficients, replace(weights, converged=False)


def _errors(block: Block, weights: Weights, kind: Kind) -> Floats:
    """What the two problems square and sum, in one vector; linear in the block."""
    pre = block.pre
    unit = weights.units @ block.controls[:, :pre] - block.target[:pre]
    if kind == "sc":
        return np.asarray(unit / np.sqrt(pre))
    time = block.controls[:, :pre] @ weights.periods - block.controls[:, pre:].mean(axis=1)
    parts = [(unit - unit.mean()) / np.sqrt(unit.size), (time - time.mean()) / np.sqrt(time.size)]
    return np.concatenate(parts)


def _least_squares(x: Floats, y: Floats) -> Floats:
    """Coefficients of the columns of x that differ from zero and from one another; NaN for the others."""
    size = np.sqrt((x**2).sum(axis=0))
    coefficients = np.full(x.shape[1], np.nan)
    usable = size > 0
    if usable.any():
        q, r, order = scipy.linalg.qr(x[:, usable] / size[usable], mode="economic", pivoting=True)
        rank = int(np.count_nonzero(np.abs(np.diag(r)) > INDEPENDENT))
        solved = scipy.linalg.solve_triangular(r[:rank, :rank], q[:, :rank].T @ y)
        kept = np.flatnonzero(usable)[order[:rank]]
        coefficients[kept] = solved / size[kept]
    return coefficients
