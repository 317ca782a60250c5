"""The same generalised linear model for thousands of series at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from qieval.numerics.series_regression_families import Outcome, outcome_of
from qieval.numerics.series_regression_steps import (
    HALVINGS,
    ITERATIONS,
    RUNAWAY,
    STEP,
    Basis,
    first_share,
    orthonormal,
)
from qieval.numerics.two_way import Floats, Mask
from qieval.progress import progress

ManyFamily = Literal["gaussian", "poisson", "quasi-poisson", "binomial", "quasi-binomial"]

BLOCK = 256
"""Series handled at once, so that they stay in cache."""
SINGULAR = 1e-10
"""Smallest eigenvalue of the information, relative to the largest, of a series that can be fitted."""

RIDGE = 1e-15
"""Added to the information of a step, as a share of its trace, so that no series can stop the others."""


@dataclass(frozen=True, eq=False)
class ManyFits:
    """Fits of s series: coefficients and model standard errors (s, k); the rest (s,).

    n_used is the number of values that were not missing; dispersion, deviance and df are as in `SeriesFit`.
    A series that cannot be fitted (no events, separation, too few values) has converged False and NaN.
    """

    coefficients: Floats
    std_error: Floats
    dispersion: Floats
    deviance: Floats
    df: Floats
    n_used: Floats
    converged: Mask


@dataclass(frozen=True, eq=False)
class _Block:
    """Series (s, n) with the mask of values used as 0 and 1, and the products of basis columns (n, k * k)."""

    outcome: Outcome
    used: Floats
    q: Floats
    products: Floats

    def take(self, rows: Mask) -> _Block:
        """Some of the series."""
        held = self.outcome
        offset = held.offset[rows] if held.offset.ndim > 1 else held.offset
        trials = held.trials[rows] if held.trials.ndim > 1 else held.trials
        outcome = replace(held, y=held.y[rows], offset=offset, trials=trials)
        return replace(self, outcome=outcome, used=self.used[rows])

    def linear(self, gamma: Floats) -> Floats:
        """Linear predictors (s, n)."""
        out: Floats = self.outcome.offset + gamma @ self.q.T
        return out

    def deviance(self, linear: Floats) -> Floats:
        """Deviances (s,)."""
        return np.asarray((self.used * self.outcome.unit_deviance(linear)).sum(axis=1))

    def information(self, weights: Floats) -> Floats:
        """q' W q of each series (s, k, k)."""
        k = self.q.shape[1]
        return np.asarray(((self.used * weights) @ self.products).reshape(-1, k, k))


@dataclass(frozen=True, eq=False)
class _State:
    """Where each series of a block is: gamma (s, k), deviance (s,), converged and failed (s,)."""

    gamma: Floats
    deviance: Floats
    converged: Mask
    failed: Mask


def fit_many(
    y: Floats,
    x: Floats,
    family: ManyFamily,
    *,
    offset: Floats | None = None,
    trials: Floats | None = None,
) -> ManyFits:
    """Fit every row of y (s, n) on the same columns x (n, k); NaN in y is a missing value and is left out.

    offset and trials are (s, n) or (n,); where y is missing they may be anything finite (trials positive).
    Values and columns as in `fit_series`, which gives the same answers for one series to 1e-10.
    """
    if family not in ("gaussian", "poisson", "quasi-poisson", "binomial", "quasi-binomial"):
        raise ValueError(f"many series at once cannot be fitted with the family {family!r}")
    present = ~np.isnan(y)
    basis = orthonormal(x)
    outcome = outcome_of(np.where(present, y, 0.0), family, offset, trials)
    if outcome.y.ndim != 2 or outcome.y.shape[1] != basis.q.shape[0]:
        raise ValueError("y must be (series, n), x (n, columns)")
    q = basis.q
    products = (q[:, :, None] * q[:, None, :]).reshape(len(q), -1)
    whole = _Block(outcome, present.astype(np.float64), q, products)
    estimated = family in ("gaussian", "quasi-poisson", "quasi-binomial")
    rows = np.arange(len(outcome.y))
    starts = range(0, max(rows.size, 1), BLOCK)
    pieces = [
        _fitted(whole.take((rows >= start) & (rows < start + BLOCK)), basis, estimated)
        for start in progress(starts, "fitting series")
    ]
    return ManyFits(
        **{
            held.name: np.concatenate([getattr(piece, held.name) for piece in pieces])
            for held in fields(ManyFits)
        }
    )


def _fitted(block: _Block, basis: Basis, estimated: bool) -> ManyFits:
    """Fits of the series of a block."""
    n_used = block.used.sum(axis=1)
    state = _iterated(block)
    good = state.converged
    k = basis.q.shape[1]
    df = np.where(estimated, n_used - k, np.inf)
    linear = block.linear(state.gamma)
    mean, variance = block.outcome.mean(linear), block.outcome.variance(linear)
    pearson = (block.used * (block.outcome.y - mean) ** 2 / variance).sum(axis=1)
    spread = np.divide(pearson, df, out=np.full(df.shape, np.nan), where=df > 0)
    dispersion = spread if estimated else np.ones(df.shape)
    information = block.information(block.outcome.weights(linear))
    inverse = np.linalg.inv(np.where(good[:, None, None], information, np.eye(k)))
    unscaled = ((basis.back @ inverse) * basis.back).sum(axis=2)
    nan = np.where(good, 1.0, np.nan)
    return ManyFits(
        coefficients=state.gamma @ basis.back.T * nan[:, None],
        std_error=np.sqrt(dispersion[:, None] * unscaled) * nan[:, None],
        dispersion=dispersion * nan,
        deviance=state.deviance * nan,
        df=df,
        n_used=n_used,
        converged=good,
    )


def _iterated(block: _Block) -> _State:
    """Newton steps on all series of the block until each has settled or failed."""
    state = _started(block)
    for _ in range(ITERATIONS):
        active = ~(state.converged | state.failed)
        if not active.any():
            break
        held = _State(state.gamma[active], state.deviance[active], active[active], active[active])
        after = _stepped(block.take(active), held)
        for new, old in (
            (after.gamma, state.gamma),
            (after.deviance, state.deviance),
            (after.converged, state.converged),
            (after.failed, state.failed),
        ):
            old[active] = new
    return state


def _started(block: _Block) -> _State:
    """Weighted least squares of the transformed values; series without information have failed."""
    outcome, k = block.outcome, block.q.shape[1]
    full = (outcome.y == outcome.trials) | (block.used == 0)
    empty = ((outcome.y == 0) | (block.used == 0)).all(axis=1)
    failed = block.used.sum(axis=1) < k
    if outcome.law != "gaussian":
        failed |= empty | full.all(axis=1) if outcome.law == "binomial" else empty
    safe = replace(
        outcome, y=np.where(failed[:, None], 1.0, outcome.y), trials=np.maximum(outcome.trials, 1.0)
    )
    linear = safe.start()
    weights = safe.weights(linear)
    information = block.information(weights)
    values = np.linalg.eigvalsh(information)
    failed |= values[:, 0] <= SINGULAR * values[:, -1]
    right = (block.used * weights * (linear - outcome.offset)) @ block.q
    gamma = _solved(information, right, failed)
    return _State(gamma, block.deviance(block.linear(gamma)), np.zeros_like(failed), failed)


def _stepped(block: _Block, state: _State) -> _State:
    """One Newton step of each series, halved where the deviance would grow."""
    outcome, linear = block.outcome, block.linear(state.gamma)
    weights = outcome.weights(linear)
    level = RUNAWAY * outcome.scale[:, None]
    gone = np.any((weights < level) & outcome.edge & (block.used > 0), axis=1)
    move = _solved(block.information(weights), (block.used * outcome.score(linear)) @ block.q, gone)
    share, after, reached = _halved(block, linear, move @ block.q.T, state.deviance)
    failed = np.asarray(gone | (share == 0))
    change = np.abs(after - linear).max(axis=1)
    settled = (change <= STEP * np.maximum(1.0, np.abs(after).max(axis=1))) & (share == 1) & ~failed
    return _State(state.gamma + share[:, None] * move, reached, settled, failed)


def _halved(block: _Block, linear: Floats, move: Floats, deviance: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares of the steps (s,), 0 for none, after which no deviance has grown; predictors and deviances."""
    limit = deviance * (1 + 1e-10) + 1e-14 * np.abs(block.outcome.y).sum(axis=1)
    share = first_share(block.outcome, move)
    after = linear + share[:, None] * move
    reached = block.deviance(after)
    for _ in range(HALVINGS):
        worse = ~(reached <= limit)
        if not worse.any():
            return share, after, reached
        share[worse] /= 2
        after[worse] = linear[worse] + share[worse, None] * move[worse]
        reached[worse] = block.take(worse).deviance(after[worse])
    worse = ~(reached <= limit)
    share[worse] = 0.0
    return share, np.where(worse[:, None], linear, after), np.where(worse, deviance, reached)


def _solved(information: Floats, right: Floats, failed: Mask) -> Floats:
    """Steps (s, k), zero for series that have failed; the ridge only slows a step along a flat direction."""
    k = right.shape[1]
    ridge = RIDGE * np.trace(information, axis1=1, axis2=2)[:, None, None]
    safe = np.where(failed[:, None, None], np.eye(k), information + ridge * np.eye(k))
    out = np.linalg.solve(safe, np.where(failed[:, None], 0.0, right)[:, :, None])
    return np.asarray(out[:, :, 0])
