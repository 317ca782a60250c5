"""A panel with untreated cells, and least squares of unit effects, time effects and covariates on them.

Shared by interactive fixed effects, matrix completion and their inference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]
Force = Literal["none", "unit", "time", "two-way"]

SINGULAR = 1e-10
"""Eigenvalues below this share of the largest count as zero: what belongs to them is not identified."""

ABSORBED = 1e-9
"""A covariate whose norm falls below this share once the effects are out is explained by them."""


@dataclass(frozen=True, eq=False)
class FactorPanel:
    """Outcomes of units over periods, and which cells show what happens without treatment.

    y (n, t), NaN where missing. untreated (n, t): usable untreated cells, finite in y and x; False where
    treated or missing. treated_from (n,): index of the first treated period, t or more for units that are
    never treated. x (c, n, t): covariates, finite also in the treated cells that are to be predicted.
    """

    y: Floats
    untreated: Mask
    treated_from: Ints
    x: Floats | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of units and of periods."""
        return self.y.shape[0], self.y.shape[1]

    @cached_property
    def controls(self) -> Mask:
        """Units that are never treated (n,)."""
        return np.asarray(self.treated_from >= self.y.shape[1])

    @cached_property
    def covariates(self) -> Floats:
        """x, or an array of no covariates (0, n, t)."""
        return np.zeros((0, *self.shape)) if self.x is None else self.x

    @cached_property
    def event_time(self) -> Ints:
        """Period minus the first treated period (n, t); means nothing for controls."""
        return np.arange(self.y.shape[1]) - self.treated_from[:, None]

    @cached_property
    def treated_cells(self) -> Mask:
        """Observed cells of treated units from the first treated period on (n, t)."""
        return np.isfinite(self.y) & (self.event_time >= 0) & ~self.controls[:, None]

    @cached_property
    def pre_cells(self) -> Mask:
        """Usable untreated cells of units that are treated later (n, t)."""
        return self.untreated & ~self.controls[:, None] & (self.event_time < 0)

    def take(self, units: Ints | Mask) -> FactorPanel:
        """The panel of some units, which may be repeated."""
        x = None if self.x is None else self.x[:, units]
        return FactorPanel(self.y[units], self.untreated[units], self.treated_from[units], x)

    def starting(self, treated_from: Ints) -> FactorPanel:
        """The same data as if units were treated from other (earlier) periods on: later cells are hidden."""
        before = np.arange(self.y.shape[1]) < treated_from[:, None]
        return replace(self, untreated=self.untreated & before, treated_from=treated_from)

    def hiding(self, cells: Mask) -> FactorPanel:
        """The panel with some outcomes missing."""
        return replace(self, y=np.where(cells, np.nan, self.y), untreated=self.untreated & ~cells)


class Additive:
    """Least squares on the cells of a mask: unit effects, time effects (as `force` says) and covariates.

    mask (n, t) with at least one cell; x (c, n, t) is not read off the mask. Exact: unit effects
    are eliminated, the time effects' normal equations are solved by a pseudo-inverse, so that effects of
    separate blocks of the panel (or of empty units and periods) take the smallest values that fit.
    Covariates that the effects explain, or other covariates repeat, get the smallest coefficients.
    """

    def __init__(self, mask: Mask, force: Force, x: Floats | None = None) -> None:
        self.mask = mask
        self.weight = mask.astype(float)
        self.unit, self.time = force in ("unit", "two-way"), force in ("time", "two-way")
        self.per_unit = np.maximum(self.weight.sum(axis=1), 1.0)
        self.per_time = np.maximum(self.weight.sum(axis=0), 1.0)
        self.flipped = mask.shape[1] > mask.shape[0]
        self.complete = bool(mask.all())
        coupled = self.unit and self.time and not self.complete
        self.inverse = self._inverse() if coupled else np.zeros((0, 0))
        self.x = np.zeros((0, *mask.shape)) if x is None else np.where(mask, x, 0.0)
        self.within, self.x_inverse = self._partial_out()

    def _inverse(self) -> Floats:
        """Pseudo-inverse of the normal equations of the shorter side's effects, the others eliminated."""
        weight = self.weight.T if self.flipped else self.weight
        long, short = (self.per_time, self.per_unit) if self.flipped else (self.per_unit, self.per_time)
        normal = np.diag(weight.sum(axis=0)) - weight.T @ (weight / long[:, None])
        scale = np.sqrt(short)
        return pseudo_inverse(normal / np.outer(scale, scale)) / np.outer(scale, scale)

    def _partial_out(self) -> tuple[Floats, Floats]:
        """Covariates without effects (c, n, t), and the pseudo-inverse of their gram matrix."""
        within = np.array([self.without_effects(one) for one in self.x]).reshape(self.x.shape)
        before, after = np.sqrt((self.x**2).sum(axis=(1, 2))), np.sqrt((within**2).sum(axis=(1, 2)))
        kept = after > ABSORBED * before
        within[~kept] = 0.0
        scale = np.where(kept, after, 1.0)
        flat = within.reshape(len(within), self.mask.size) / scale[:, None]
        return within, pseudo_inverse(flat @ flat.T) / np.outer(scale, scale)

    def effects(self, values: Floats) -> tuple[Floats, Floats]:
        """Unit effects (n,) and time effects (t,) of finite values (n, t); zeros where `force` has none."""
        masked = values * self.weight
        by_unit, by_time = masked.sum(axis=1), masked.sum(axis=0)
        if not self.time:
            return (by_unit / self.per_unit if self.unit else np.zeros(by_unit.size)), np.zeros(by_time.size)
        if not self.unit:
            return np.zeros(by_unit.size), by_time / self.per_time
        if self.complete:
            return by_unit / self.per_unit - values.mean(), by_time / self.per_time
        if self.flipped:
            unit = self.inverse @ (by_unit - self.weight @ (by_time / self.per_time))
            return unit, (by_time - unit @ self.weight) / self.per_time
        time = self.inverse @ (by_time - (by_unit / self.per_unit) @ self.weight)
        return (by_unit - self.weight @ time) / self.per_unit, time

    def without_effects(self, values: Floats) -> Floats:
        """Residuals of values (n, t) once the effects are out; zero off the mask."""
        unit, time = self.effects(values)
        left = values - unit[:, None]
        left -= time
        left *= self.weight
        return left

    def coefficients(self, values: Floats) -> Floats:
        """Coefficients of the covariates (c,) given the effects."""
        flat = self.within.reshape(len(self.within), self.mask.size)
        return self.x_inverse @ (flat @ values.ravel())

    def residual(self, values: Floats) -> Floats:
        """Residuals of values (n, t) once effects and covariates are out; zero off the mask."""
        out = self.without_effects(values)
        if len(self.within):
            out -= np.tensordot(self.coefficients(out), self.within, axes=1)
        return out


def pseudo_inverse(gram: Floats) -> Floats:
    """Pseudo-inverse of a symmetric non-negative matrix of moderate scale (k, k)."""
    if not gram.size:
        return gram
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    kept = values > SINGULAR * max(float(values.max()), SINGULAR)
    return np.asarray((vectors[:, kept] / values[kept]) @ vectors[:, kept].T)


def leading(matrix: Floats, count: int) -> Floats:
    """The first `count` right singular vectors of a matrix (n, t) as columns (t, count), largest first."""
    n, t = matrix.shape
    if not count:
        return np.zeros((t, 0))
    if t <= n:
        return np.asarray(np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, :count])
    left = np.linalg.eigh(matrix @ matrix.T)[1][:, ::-1][:, :count]
    return np.asarray(np.linalg.qr(matrix.T @ left)[0])
