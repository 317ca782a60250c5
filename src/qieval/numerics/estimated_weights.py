"""Weights together with the equations that they solve, so that standard errors can allow for them.

All methods here give weights that depend on each row through one or more linear indices b'z of its
covariates. A block of equations is then a residual and a slope for each row, and nothing of size rows x
parameters is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask

Estimand = Literal["ATE", "ATT", "ATC", "ATO", "ATM"]
"""Average effect in everybody, the treated, the controls, the overlap and the matched population."""

Status = Literal["converged", "not converged", "infeasible", "separated"]

ROWS = 2048
"""Rows taken at a time: a piece of twenty columns stays in the processor's cache."""

RANK = 1e-10
"""Directions of a standardised cross-product below this share of the largest count as absent."""


@dataclass(frozen=True, eq=False)
class Standardised:
    """Columns of x (n, k) as (x - centre) / scale, led by a column of ones if constant; computed when used.

    columns are the positions of x that take part. q counts the columns with the constant.
    """

    x: Floats
    columns: Codes
    centre: Floats
    scale: Floats
    constant: bool = True

    @property
    def q(self) -> int:
        """Number of columns, the constant included."""
        return self.columns.size + self.constant

    def pieces(self) -> Iterator[tuple[slice, Floats]]:
        """Slices of rows with their centred columns, not yet divided by scale, without the constant."""
        for start in range(0, self.x.shape[0], ROWS):
            rows = slice(start, min(start + ROWS, self.x.shape[0]))
            yield rows, self.centred(rows)

    def centred(self, rows: slice | Codes) -> Floats:
        """Columns less their centre for some rows, at most ROWS of them."""
        taken = self.x[rows]
        if self.columns.size != self.x.shape[1]:
            taken = taken[:, self.columns]
        return np.subtract(taken, self._centres[: taken.shape[0]])

    @cached_property
    def _centres(self) -> Floats:
        """The centre once for each row of a piece: subtracting whole arrays is several times faster."""
        return np.tile(self.centre, (min(ROWS, self.x.shape[0]), 1))

    def dense(self) -> Floats:
        """All rows at once (n, q)."""
        return self.times(np.eye(self.q))

    def times(self, coefficients: Floats) -> Floats:
        """Linear index of each row; coefficients (q,) -> (n,) or (q, m) -> (n, m)."""
        slopes = (coefficients[int(self.constant) :].T / self.scale).T
        constant = coefficients[0] if self.constant else 0.0
        out = np.empty((self.x.shape[0], *coefficients.shape[1:]))
        for rows, piece in self.pieces():
            out[rows] = piece @ slopes + constant
        return out

    def totals(self, by: Floats) -> Floats:
        """Sum over rows of the columns times `by`; (n,) -> (q,) or (n, m) -> (q, m)."""
        out = np.zeros((self.columns.size, *by.shape[1:]))
        for rows, piece in self.pieces():
            out += piece.T @ by[rows]
        out = (out.T / self.scale).T
        return np.concatenate([by.sum(axis=0)[None], out]) if self.constant else out

    def gram(self, by: Floats) -> Floats:
        """Sum over rows of by (n,) times the outer product of the columns (q, q)."""
        k = self.columns.size
        inner, first = np.zeros((k, k)), np.zeros(k)
        for rows, piece in self.pieces():
            weighted = piece * by[rows, None]
            inner += weighted.T @ piece
            first += by[rows] @ piece
        inner = inner / np.outer(self.scale, self.scale)
        if not self.constant:
            return inner
        first = first[:, None] / self.scale[:, None]
        return np.block([[np.full((1, 1), by.sum()), first.T], [first, inner]])


@dataclass(frozen=True, eq=False)
class Block:
    """Estimating equations of one index b'z: the sum over rows of psi_i(b) is zero at the solution.

    coefficients (q,) are b. psi_i = sum over m of residuals[i, m] * mixing[m] z_i (mixing None: one
    residual, psi_i = residual z_i); jacobian (q, q) is the derivative of the sum of psi by b; slope (n,)
    that of each row's weight by its index, so that its derivative by b is slope z_i.
    """

    design: Standardised
    coefficients: Floats
    residuals: Floats
    slope: Floats
    jacobian: Floats
    mixing: Floats | None = None

    def psi(self) -> Floats:
        """Estimating functions of the rows at the solution (n, q)."""
        return self.psi_times(np.eye(self.design.q))

    def psi_times(self, vectors: Floats) -> Floats:
        """psi @ vectors without building psi; vectors (q, m) -> (n, m)."""
        if self.mixing is None:
            return self.residuals[:, :1] * self.design.times(vectors)
        parts = [
            self.residuals[:, m, None] * self.design.times(mix.T @ vectors)
            for m, mix in enumerate(self.mixing)
        ]
        return np.asarray(sum(parts))

    def correction(self, gradient: Floats) -> Floats:
        """What estimating b adds to influence functions; gradient (n, m) is their slope by the weights."""
        by_parameter = self.design.totals(self.slope[:, None] * gradient)
        return -self.psi_times(_solve(self.jacobian.T, by_parameter))


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights (n,) for comparing weighted means of treated and controls, and where they come from.

    base (n,) are sampling weights, not contained in `weights`: the analysis uses base * weights. blocks hold
    the equations that were solved; an empty tuple means that none are known (or that they are not smooth)
    and standard errors must take the weights as given. imbalance is the largest remaining |difference of a
    balanced mean from its target| in standard deviations of the column over all rows (NaN where balance is
    not what was solved); residual is the largest remaining equation in the solver's units. Not `converged`:
    the weights are the last ones reached and must not be used; status says why.
    """

    weights: Floats
    treated: Mask
    base: Floats
    estimand: Estimand
    blocks: tuple[Block, ...]
    status: Status
    iterations: int
    residual: float
    imbalance: float

    @property
    def converged(self) -> bool:
        """Whether the equations were solved."""
        return self.status == "converged"

    @property
    def total(self) -> Floats:
        """Weights of the analysis: base * weights (n,)."""
        return self.base * self.weights

    def psi(self) -> Floats:
        """Estimating functions of all blocks side by side (n, q)."""
        return np.hstack([block.psi() for block in self.blocks])

    def jacobian(self) -> Floats:
        """Derivative of the summed estimating functions by the parameters (q, q), block diagonal."""
        return np.asarray(scipy.linalg.block_diag(*(block.jacobian for block in self.blocks)))

    def dweights(self) -> Floats:
        """Derivative of each weight by the parameters (n, q)."""
        return np.hstack([block.slope[:, None] * block.design.dense() for block in self.blocks])

    def correction(self, gradient: Floats) -> Floats:
        """What estimating the weights adds to influence functions (n, m).

        gradient (n, m) is the derivative of m statistics by each row's weight. Zero without blocks.
        """
        out = np.zeros_like(gradient)
        for block in self.blocks:
            out += block.correction(gradient)
        return out

    def multiplied(self, by: Floats) -> Weights:
        """Weights and their derivatives times a factor (n,) that is taken as known."""
        blocks = tuple(replace(block, slope=block.slope * by) for block in self.blocks)
        return replace(self, weights=self.weights * by, blocks=blocks)


def checked(x: Floats, treated: Mask, base: Floats | None) -> tuple[Floats, Mask, Floats]:
    """x as float (n, k), treated as bool (n,), base weights (n,) or ones; ValueError on unusable input."""
    x, treated = np.asarray(x, dtype=float), np.asarray(treated, dtype=bool)
    base = np.ones(treated.size) if base is None else np.asarray(base, dtype=float)
    if x.ndim != 2 or x.shape[0] != treated.size or base.shape != treated.shape:
        raise ValueError("x must be (n, k), treated and base (n,)")
    if not (np.isfinite(x).all() and np.isfinite(base).all() and (base >= 0).all()):
        raise ValueError("x and base must be finite, base not negative")
    if not (base[treated].sum() > 0 and base[~treated].sum() > 0):
        raise ValueError("there must be treated and control rows with a positive base weight")
    return x, treated, base


def standardise(x: Floats, base: Floats, keep: Mask | None = None) -> Standardised:
    """Columns of x at mean 0 and SD 1 (base-weighted), without constant columns and repeated information.

    keep (k,) overrides the choice of columns.
    """
    total = float(base.sum())
    mean = np.asarray(base @ x / total)
    every = np.arange(x.shape[1])
    spread = Standardised(x, every, mean, np.ones(every.size), constant=False).gram(base) / total
    sd = np.sqrt(np.diag(spread))
    varies = sd > 1e-12 * np.abs(mean)
    sd = np.where(varies, sd, 1.0)
    columns = np.flatnonzero(varies & independent(spread / np.outer(sd, sd)) if keep is None else keep)
    return Standardised(x, columns, mean[columns], sd[columns])


def independent(correlation: Floats) -> Mask:
    """Which columns are not constant nor in the span of earlier ones (k, k) -> (k,): Cholesky in order."""
    left = correlation.copy()
    keep = np.zeros(left.shape[0], dtype=bool)
    for j in range(left.shape[0]):
        if left[j, j] > RANK:
            keep[j] = True
            left = left - np.outer(left[:, j], left[j]) / left[j, j]
    return keep


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Solution of least norm; a direction that the equations leave open has no influence on the weights."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(matrix)), np.finfo(float).tiny))
    scaled = matrix / np.outer(scale, scale)
    solution = scipy.linalg.lstsq(scaled, right / scale[:, None], cond=RANK)[0]
    return np.asarray(solution / scale[:, None])
