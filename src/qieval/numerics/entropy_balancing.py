"""Entropy balancing: weights as even as possible whose weighted means equal those of a target population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.estimated_weights import (
    ROWS,
    Block,
    Estimand,
    Standardised,
    Status,
    Weights,
    checked,
    standardise,
)
from qieval.numerics.tilting import Tilt, tilt
from qieval.numerics.two_way import Codes, Floats, Mask


@dataclass(frozen=True, eq=False, kw_only=True)
class Entropy:
    """Options of `entropy_balance`.

    base (n,) are sampling weights; prior (n,) the positive weights to stay close to (Hainmueller's base
    weights). tolerance is the allowed distance of each weighted mean from its target in SDs of all rows, one
    number or (k,); for the ATE both arms may be off by it. target_known takes the target means as known
    constants in standard errors instead of as estimates from the sample.
    """

    base: Floats | None = None
    prior: Floats | None = None
    tolerance: float | Floats = 0.0
    target_known: bool = False


@dataclass(frozen=True, eq=False)
class Arm:
    """Rows of one arm tilted to the means of the target rows.

    share (n,) sums to one over the arm (base weights included), 0 elsewhere.
    """

    rows: Mask
    target: Mask
    design: Standardised
    share: Floats
    solution: Tilt

    def coefficients(self, total: float, prior: Floats) -> Floats:
        """Constant and multipliers: weight = exp(index) where prior = base, for weights that sum to total."""
        constant = np.log(total / prior[self.rows].sum()) - self.solution.log_total
        return np.append(constant, self.solution.multipliers)

    def second_moments(self) -> Floats:
        """Share-weighted mean of the outer product of the columns with their constant (q, q)."""
        mean, second = self.solution.mean, self.solution.second
        return np.block([[np.ones((1, 1)), mean[None, :]], [mean[:, None], second]])


def entropy_balance(
    x: Floats, treated: Mask, estimand: Estimand = "ATT", options: Entropy | None = None
) -> Weights:
    """Entropy balancing weights (Hainmueller 2012) for ATT, ATC or ATE.

    Each arm that is weighted gets weights that average 1 in it (with base weights: base * weights sum to
    the arm's base weight); the arm that the effect is for has weight 1. ATE: both arms are tilted to the
    means of all rows. x (n, k) without constant: give squares and products as columns (`powers`). Constant
    columns and those in the span of earlier ones are left out.

    Estimating functions: the target means count as estimated, psi = target share - tilted share. WeightIt up
    to 1.5 takes them as known (target_known; its standard errors are then too small by the variance of the
    target, or too large where outcome and target move together), later versions do as here. With a tolerance
    there are none.

    >>> x = np.array([[0.0], [1.0], [0.0], [0.0], [1.0]])
    >>> found = entropy_balance(x, np.array([True, True, False, False, False]))
    >>> print(found.weights.round(6))
    [1.   1.   0.75 0.75 1.5 ]
    """
    if estimand not in ("ATT", "ATC", "ATE"):
        raise ValueError("entropy balancing is for ATT, ATC or ATE")
    options = options or Entropy()
    x, treated, base = checked(x, treated, options.base)
    design = standardise(x, base)
    everybody = np.ones(treated.size, bool)
    plan = {"ATT": ((~treated, treated),), "ATC": ((treated, ~treated),)}.get(
        estimand, ((treated, everybody), (~treated, everybody))
    )
    slack = np.broadcast_to(np.asarray(options.tolerance, dtype=float), (x.shape[1],))[design.columns]
    prior = base if options.prior is None else base * options.prior
    arms = [tilt_arm(design, (rows, target), base, prior, slack) for rows, target in plan]
    weights = np.ones(treated.size)
    for arm in arms:
        weights[arm.rows] = per_base(arm.share, base)[arm.rows] * base[arm.rows].sum()
    blocks = () if slack.any() else tuple(_block(arm, base, prior, options.target_known) for arm in arms)
    return collected(Weights(weights, treated, base, estimand, blocks, "converged", 0, 0.0, 0.0), arms)


def tilt_arm(
    design: Standardised, masks: tuple[Mask, Mask], base: Floats, prior: Floats, slack: Floats | None = None
) -> Arm:
    """Tilt the rows of the first mask to the base-weighted means of the second; prior (n,) includes base."""
    rows, target = masks
    used = rows & (prior > 0)
    centre = _mean(design, base * target)
    shifted = Standardised(design.x, design.columns, design.centre + design.scale * centre, design.scale)
    c = _rows(shifted, np.flatnonzero(used))
    solution = tilt(c, prior[used], slack)
    share = np.zeros(rows.size)
    share[used] = solution.share
    return Arm(rows, target, shifted, share, solution)


def collected(found: Weights, arms: Sequence[Arm]) -> Weights:
    """The weights with status, number of iterations and imbalance of the tilted arms."""
    worst: Status = "converged"
    for arm in arms:
        if worst == "converged" or arm.solution.status == "infeasible":
            worst = arm.solution.status
    imbalance = max((arm.solution.imbalance for arm in arms), default=0.0)
    iterations = max((arm.solution.iterations for arm in arms), default=0)
    return replace(found, status=worst, iterations=iterations, residual=imbalance, imbalance=imbalance)


def powers(x: Floats, highest: int) -> Floats:
    """x (n, k) with the powers 2..highest of its standardised columns of more than two values (n, m).

    Means of powers of standardised columns are balanced exactly when those of the raw powers are.
    """
    extra = []
    for column in x.T:
        sd = column.std()
        if sd > 0 and not ((column == column.min()) | (column == column.max())).all():
            extra += [((column - column.mean()) / sd) ** power for power in range(2, highest + 1)]
    return np.column_stack([x, *extra])


def _block(arm: Arm, base: Floats, prior: Floats, target_known: bool) -> Block:
    """Equations target share - tilted share = 0 in columns less their target, for weights averaging 1."""
    total = float(base[arm.rows].sum())
    slope = total * per_base(arm.share, base)
    if target_known:
        design = Standardised(arm.design.x, arm.design.columns, arm.design.centre, arm.design.scale, False)
        return Block(design, arm.solution.multipliers, -arm.share[:, None], slope, -arm.solution.second)
    to = base * arm.target
    residual = (to / to.sum() - arm.share)[:, None]
    return Block(arm.design, arm.coefficients(total, prior), residual, slope, -arm.second_moments())


def _rows(design: Standardised, rows: Codes) -> Floats:
    """Standardised columns of some rows, without the constant (m, k)."""
    out = np.empty((rows.size, design.columns.size))
    factors = np.tile(1 / design.scale, (ROWS, 1))
    for start in range(0, rows.size, ROWS):
        piece = design.centred(rows[start : start + ROWS])
        np.multiply(piece, factors[: piece.shape[0]], out=out[start : start + ROWS])
    return out


def _mean(design: Standardised, by: Floats) -> Floats:
    return np.asarray(design.totals(by)[1:] / by.sum())


def per_base(share: Floats, base: Floats) -> Floats:
    """share / base (n,), 0 where base is 0."""
    return np.divide(share, base, out=np.zeros(share.size), where=base > 0)
