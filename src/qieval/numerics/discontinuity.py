"""Regression discontinuity by local polynomials: the jump (or kink) at a cutoff with robust bias correction.

Sharp, fuzzy, kink and fuzzy kink designs, with covariates, clusters and weights. Sources: Calonico, Cattaneo
and Titiunik (2014); Calonico, Cattaneo, Farrell and Titiunik (2019) for covariates; Calonico, Cattaneo and
Farrell (2020) for bandwidths and intervals. Checked against rdrobust (R 4.0.0 and Python 2.1.1): to 1e-9 at
given bandwidths and to 1e-6 where the data choose them; the nearest-neighbour variance follows Python's rule
for ties (see `discontinuity_neighbours`). rdrobust for R 3.0.0 has other cluster corrections. Differences by
intent: fewer than 20 rows need a given bandwidth (rdrobust then takes the whole range); collinear
covariates are dropped whatever their units; there is no option to standardise, as the answers do not depend
on the units of measurement; with clusters, q > p + 1 and h = b the robust standard error is that of the
estimate (rdrobust switches there to the regression of order q, a different estimate, and its standard error
jumps when b changes in the seventh digit); cr2 with h > b uses rows beyond b as any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.discontinuity_adjust import Adjusted, adjust, ratio_gradient
from qieval.numerics.discontinuity_bandwidths import Bandwidths, bandwidths, choose
from qieval.numerics.discontinuity_fit import covariance, fit
from qieval.numerics.discontinuity_results import METHODS, Discontinuity, Estimates, Jumps, three_rows
from qieval.numerics.discontinuity_rows import Local, Scored, Side, Sides, split
from qieval.numerics.two_way import Codes, Floats

__all__ = [
    "METHODS",
    "Bandwidths",
    "Discontinuity",
    "Estimates",
    "Jumps",
    "Local",
    "Scored",
    "bandwidths",
    "discontinuity",
    "discontinuity_many",
]

ROUNDING = 1e-12
"""A jump, or its standard error, below this share of what the size of the values could make of it is zero."""


def discontinuity(rows: Scored, local: Local) -> Discontinuity:
    """The jump at the cutoff, or with deriv=1 the kink, of y, or in a fuzzy design per unit of uptake.

    Raises EstimationError where it cannot be had: too few distinct scores or clusters within the bandwidth,
    an outcome without variation, no jump in uptake.

    >>> score = np.linspace(-1, 1, 400)
    >>> y = 2.0 * (score >= 0) + score + np.sin(37 * np.arange(400))
    >>> found = discontinuity(Scored(score=score, y=y), Local(h=0.5))
    >>> found.estimate.round(2).tolist(), round(float(found.std_error[2]), 2), found.n_h.tolist()
    ([1.94, 1.89, 1.89], 0.21, [100, 100])
    """
    return _estimate(split(rows), local)


def discontinuity_many(rows: Scored, ys: Floats, local: Local) -> Iterator[Discontinuity | EstimationError]:
    """`discontinuity` for each outcome in ys (n, m) in place of rows.y, one at a time; bandwidths for each.

    The rows are sorted, and their neighbours found, only once. An outcome for which there is no estimate
    gives the EstimationError that says why, so that the others go on.
    """
    sides = split(rows)
    for y in ys.T:
        found: Discontinuity | EstimationError
        try:
            found = _estimate(sides.with_outcome(y), local)
        except EstimationError as refusal:
            found = refusal
        yield found


def _estimate(sides: Sides, local: Local) -> Discontinuity:
    chosen = choose(sides, local)
    cuts = [_Cut(side, local, h, b) for side, h, b in zip(sides.both, chosen.h, chosen.b, strict=True)]
    targets = 1 + sides.fuzzy
    adjusted = adjust([cut.narrow for cut in cuts], targets)
    outcomes = [cut.outcomes(adjusted) for cut in cuts]
    jumps = _judge_noise(_jumps(cuts, outcomes, _level(sides, cuts, adjusted), local), cuts, outcomes)
    effect, bias = _effect(jumps, local.level)
    both = sides.both
    return Discontinuity(
        **effect.__dict__,
        outcome=_single(jumps, 0, local.level),
        uptake=_single(jumps, 1, local.level) if sides.fuzzy else None,
        sides=jumps,
        h=chosen.h,
        b=chosen.b,
        n=_whole(side.score.size for side in both),
        n_h=_whole(cut.narrow_rows for cut in cuts),
        n_b=_whole(side.within(b, local.kernel) for side, b in zip(both, chosen.b, strict=True)),
        support=chosen.support,
        support_h=_whole(cut.side.neighbours.distinct(cut.narrow_rows) for cut in cuts),
        groups=_whole(cut.side.groups(cut.narrow.m) for cut in cuts),
        bias=bias,
        mass_points=chosen.mass_points,
        covariates=np.where(adjusted.kept[:, None], adjusted.gamma, np.nan),
        kept=adjusted.kept,
        rule=chosen.rule,
        variance=local.spread(sides.clustered),
    )


def _whole(values: Iterator[int]) -> Codes:
    return np.array(list(values), dtype=np.intp)


class _Cut:
    """The two fits of one side, on the rows within the wider of h and b, and the weights of its estimates."""

    def __init__(self, side: Side, local: Local, h: float, b: float) -> None:
        self.side, self.local = side, local
        self.narrow_rows = side.within(h, local.kernel)
        rows = max(self.narrow_rows, side.within(b, local.kernel))
        self._demand(h, local.p + 1)
        self._demand(b, local.bias_order + 1)
        self.narrow = fit(side, local.p, h, local.kernel, rows)
        self.wide = fit(side, local.bias_order, b, local.kernel, rows)
        self.omega = math.factorial(local.deriv) * self.narrow.omega(local.deriv)
        power = (side.sign * side.distance[:rows]) ** (local.p + 1)
        self.corrected = self.omega - float(self.omega @ power) * self.wide.omega(local.p + 1)

    def _demand(self, width: float, wanted: int) -> None:
        found = self.side.neighbours.distinct(self.side.within(width, self.local.kernel))
        if found < wanted:
            raise EstimationError(
                f"Different scores on the {self.side.name} of the cutoff within bandwidth {width:.4g}: "
                f"{found}. At least {wanted} are needed. Choose a wider bandwidth, a lower order, or a way "
                "for scores with few values (local randomisation, or intervals that bound the curvature)."
            )

    def outcomes(self, adjusted: Adjusted) -> Floats:
        """The adjusted outcome and uptake (m, 1 + t)."""
        return np.asarray(self.side.columns[: self.narrow.m] @ adjusted.combination)

    def spread(self, outcomes: Floats) -> tuple[Floats, Floats]:
        """Covariances (t, t) of the conventional and of the bias-corrected limits."""
        variance = self.local.spread(self.side.clusters is not None)
        near = self.local.neighbours
        return (
            covariance(self.narrow, self.omega, outcomes, variance, near),
            covariance(self.wide, self.corrected, outcomes, variance, near),
        )


def _jumps(cuts: list[_Cut], outcomes: list[Floats], raised: Floats, local: Local) -> Jumps:
    spreads = [cut.spread(a) for cut, a in zip(cuts, outcomes, strict=True)]
    lines = np.stack([cut.narrow.coefficients(a).T for cut, a in zip(cuts, outcomes, strict=True)], axis=1)
    value = np.stack([cut.omega @ a for cut, a in zip(cuts, outcomes, strict=True)], axis=1)
    corrected = np.stack([cut.corrected @ a for cut, a in zip(cuts, outcomes, strict=True)], axis=1)
    level = raised[:, None] if local.deriv == 0 else 0.0
    lines[:, :, 0] += raised[:, None]
    return Jumps(
        value=value + level,
        corrected=corrected + level,
        variance=np.stack([spread[0] for spread in spreads]),
        robust=np.stack([spread[1] for spread in spreads]),
        polynomials=lines,
    )


def _level(sides: Sides, cuts: list[_Cut], adjusted: Adjusted) -> Floats:
    """What the limits (1 + t,) lack: the means taken off, and the part of the average covariates."""
    targets = adjusted.combination.shape[1]
    weight = sum(float(cut.narrow.weight.sum()) for cut in cuts)
    columns = sum(cut.narrow.weight @ cut.side.columns[: cut.narrow.m, targets:] for cut in cuts)
    return np.asarray(sides.means[:targets] + (columns / weight) @ adjusted.gamma)


def _judge_noise(jumps: Jumps, cuts: list[_Cut], outcomes: list[Floats]) -> Jumps:
    """Refuse an outcome without noise, or uptake without a jump; uptake without noise gets variance zero.

    Noise is compared with the size of the values, so that rounding counts as none.
    """
    held = np.concatenate(outcomes)
    flat, size = np.ptp(held, axis=0) == 0, np.max(np.abs(held), axis=0)
    weight = np.sqrt(sum(float(cut.omega @ cut.omega) for cut in cuts))
    covariances = (jumps.jump_covariance, jumps.robust_covariance)
    noisy = np.min([np.sqrt(np.diag(spread)) for spread in covariances], axis=0) > ROUNDING * weight * size
    if flat[0]:
        raise EstimationError("The outcome is the same for everybody near the cutoff.")
    if not noisy[0]:
        raise EstimationError(
            "The outcome does not vary around its fitted line near the cutoff, so its standard error is "
            "zero: check that it is the right column."
        )
    if size.size == 1:
        return jumps
    if flat[1] or not np.all(np.abs([jumps.jump[1], jumps.corrected_jump[1]]) > ROUNDING * weight * size[1]):
        raise EstimationError("Uptake does not jump at the cutoff: a fuzzy design has no estimate.")
    if noisy[1]:
        return jumps
    only = np.outer([1.0, 0.0], [1.0, 0.0])
    return replace(jumps, variance=jumps.variance * only, robust=jumps.robust * only)


def _effect(jumps: Jumps, level: float) -> tuple[Estimates, Floats]:
    """The estimate and its bias on each side (2,); a ratio is corrected along its gradient."""
    gradient = np.ones(1)
    estimate = float(jumps.jump[0])
    if jumps.jump.size > 1:
        gradient = ratio_gradient(float(jumps.jump[0]), float(jumps.jump[1]))
        estimate = float(jumps.jump[0] / jumps.jump[1])
    bias = gradient @ (jumps.value - jumps.corrected)
    corrected = estimate - float(gradient @ (jumps.jump - jumps.corrected_jump))
    variances = [
        float(gradient @ held @ gradient) for held in (jumps.jump_covariance, jumps.robust_covariance)
    ]
    return three_rows((estimate, corrected), (variances[0], variances[1]), level), np.asarray(bias)


def _single(jumps: Jumps, which: int, level: float) -> Estimates:
    values = float(jumps.jump[which]), float(jumps.corrected_jump[which])
    held = (jumps.jump_covariance, jumps.robust_covariance)
    return three_rows(values, (float(held[0][which, which]), float(held[1][which, which])), level)
