"""Many synthetic controls on outcomes alone: every unit in turn, without a donor, with an earlier start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.simplex import SimplexFit, simplex_least_squares
from qieval.numerics.threads import in_threads
from qieval.numerics.two_way import Codes, Floats, Mask
from qieval.progress import progress

CHUNK = 64
"""Units fitted between two moments at which the work can be interrupted."""

TIES = 1e-10
"""Ratios that differ by less (relative) are tied."""


@dataclass(frozen=True, eq=False)
class PlaceboUnits:
    """Each unit (m of them) as if treated: gaps (t, m), outcome minus synthetic control.

    mspe_pre and mspe_post (m,) are the mean squared gaps before and from the start (NaN without periods);
    gap_certificate (m,) the relative duality gap of each fit, converged (m,) whether it is below 1e-8; unit
    (m,) the columns of the outcomes.
    """

    gaps: Floats
    mspe_pre: Floats
    mspe_post: Floats
    gap_certificate: Floats
    converged: Mask
    unit: Codes


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits with one thing changed each: weights (r, j), gaps (t, r), mspe_pre (r,); changed says what, (r,).

    changed holds the donor that is left out, or the number of periods before the start. gap_certificate
    (r,) as in PlaceboUnits.
    """

    changed: Codes
    weights: Floats
    gaps: Floats
    mspe_pre: Floats
    gap_certificate: Floats


@dataclass(frozen=True, eq=False)
class RatioRanks:
    """Ratio (n,) of the mean squared gap after the start to that before, and the rank of the treated unit.

    rank counts the units whose ratio is at least the treated unit's, itself included, so ties count against
    it; p_value = rank / n_units. kept (n,) are the units that were compared.
    """

    ratio: Floats
    rank: int
    n_units: int
    p_value: float
    kept: Mask


def placebo_units(
    outcomes: Floats,
    pre: int,
    *,
    exclude: Sequence[int] | Codes = (),
    demeaned: bool = False,
    include_treated_in_pools: bool = False,
    which: Sequence[int] | Codes | None = None,
) -> PlaceboUnits:
    """Fit a synthetic control for every unit of outcomes (t, n) (or for `which`), the other units as donors.

    The first `pre` rows are fitted. exclude: treated units; they are donors to nobody, unless
    include_treated_in_pools, but have a fit themselves. demeaned: of each unit's deviations from its mean
    before the start (an intercept). Finite values only. Uses as many threads as numba may
    (`numba.set_num_threads`), and the numbers do not depend on how many those are; memory beyond the answer
    is a few copies of the outcomes. A unit without any donor raises ValueError.
    """
    from numba import get_num_threads

    from qieval.numerics.kernels.placebo_units import fit_units

    n = outcomes.shape[1]
    units = np.arange(n) if which is None else np.asarray(which, dtype=np.intp)
    pool = np.ones(n, dtype=bool)
    if not include_treated_in_pools:
        pool[np.asarray(exclude, dtype=np.intp)] = False
    if units.size and (pool.sum() - pool[units]).min() < 1:
        raise ValueError("every unit needs at least one donor")
    rows = _rows(outcomes, pre, demeaned)
    fitted = np.ascontiguousarray(rows[:, :pre])
    chunks = [units[at : at + CHUNK] for at in range(0, max(units.size, 1), CHUNK)]
    found = in_threads(
        lambda chunk: fit_units(rows, fitted, pool, chunk), chunks, get_num_threads(), "placebo donors"
    )
    gaps = np.ascontiguousarray(np.concatenate([part[0] for part in found]).T)
    return PlaceboUnits(
        gaps=gaps,
        mspe_pre=_mean_square(gaps[:pre]),
        mspe_post=_mean_square(gaps[pre:]),
        gap_certificate=np.concatenate([part[1] for part in found]),
        converged=np.concatenate([part[2] for part in found]),
        unit=units,
    )


def leave_one_out(target: Floats, donors: Floats, pre: int, *, demeaned: bool = False) -> Refits:
    """Fit again without each donor that has weight; leaving out any other donor changes nothing.

    target (t,), donors (t, j), the first `pre` rows are fitted. Empty if there is one donor only.
    """
    start = _fit(target, donors, pre, demeaned).weights
    left_out = np.flatnonzero(start > 0) if start.size > 1 else np.empty(0, dtype=np.intp)
    fits = [
        _fit(target, donors, pre, demeaned, np.delete(np.arange(start.size), donor))
        for donor in progress(left_out, "leaving out donors")
    ]
    return _refits(target, donors, (left_out, fits), np.full(len(fits), pre), demeaned)


def leave_heaviest_out(
    target: Floats, donors: Floats, pre: int, most: int, *, demeaned: bool = False
) -> Refits:
    """Leave out the heaviest donor, fit, leave out the heaviest of the rest too, and so on, `most` times.

    Fewer times if no donor would be left. Of donors with the same weight the first goes first.
    """
    left, dropped, fits = np.arange(donors.shape[1]), [], []
    weights = _fit(target, donors, pre, demeaned).weights
    for _ in progress(range(min(most, donors.shape[1] - 1)), "leaving out the heaviest donors"):
        dropped.append(int(np.argmax(weights)))
        left = left[left != dropped[-1]]
        fits.append(_fit(target, donors, pre, demeaned, left))
        weights = fits[-1].weights
    changed = np.array(dropped, dtype=np.intp)
    return _refits(target, donors, (changed, fits), np.full(len(fits), pre), demeaned)


def in_time(
    target: Floats, donors: Floats, starts: Sequence[int] | Codes, *, demeaned: bool = False
) -> Refits:
    """Pretend that the start was earlier: fit the first `start` rows only, for each of starts (r,).

    Gaps are of all rows: those from each start to the true start are what is found where there is no effect.
    """
    earlier = np.asarray(starts, dtype=np.intp)
    fits = [_fit(target, donors, int(start), demeaned) for start in progress(earlier, "placebos in time")]
    return _refits(target, donors, (earlier, fits), earlier, demeaned)


def ratio_ranks(
    placebo: PlaceboUnits, treated: int, *, squared: bool = True, limit: float = np.inf
) -> RatioRanks:
    """How the treated unit's ratio of errors after and before the start ranks among all units.

    treated is its position among the units of `placebo`; squared: ratio of mean squared gaps (Abadie, Diamond
    and Hainmueller 2010), else of their roots, which ranks alike. Units whose mean squared gap before the
    start is above limit times the treated unit's are left out (they used 2, 5 and 20). A ratio 0/0 counts as
    infinite, so against the treated unit; its own then makes rank and p-value those of no evidence.

    >>> gaps = np.array([[1.0, 2.0, 1.0], [5.0, 4.0, 5.0]])
    >>> found = PlaceboUnits(gaps, gaps[0] ** 2, gaps[1] ** 2, np.zeros(3), np.ones(3, bool), np.arange(3))
    >>> ratio_ranks(found, 0).ratio, ratio_ranks(found, 0).rank, round(ratio_ranks(found, 0).p_value, 3)
    (array([25.,  4., 25.]), 2, 0.667)
    """
    before, after = placebo.mspe_pre, placebo.mspe_post
    ratio = np.full(before.size, np.inf)
    np.divide(after, before, out=ratio, where=before > 0)
    kept = before <= limit * before[treated] if np.isfinite(limit) else np.ones(before.size, dtype=bool)
    kept[treated] = True
    as_large = kept & ((ratio >= ratio[treated] * (1 - TIES)) | np.isnan(ratio))
    undefined = before[treated] == 0 and after[treated] == 0
    rank = int(kept.sum() if undefined or np.isnan(ratio[treated]) else as_large.sum())
    return RatioRanks(
        ratio=ratio if squared else np.sqrt(ratio),
        rank=rank,
        n_units=int(kept.sum()),
        p_value=rank / int(kept.sum()),
        kept=kept,
    )


def _fit(target: Floats, donors: Floats, pre: int, demeaned: bool, among: Codes | None = None) -> SimplexFit:
    """Weights for all donors (j,), zero for those not `among` the allowed."""
    if pre < 1 or pre > target.size:
        raise ValueError("at least one period before the start is needed, and no more than there are")
    used = np.arange(donors.shape[1]) if among is None else among
    both = np.column_stack([target[:pre], donors[:pre, used]])
    if demeaned:
        both = both - both.mean(axis=0)
    fit = simplex_least_squares(both[:, 1:], both[:, 0])
    weights = np.zeros(donors.shape[1])
    weights[used] = fit.weights
    return replace(fit, weights=weights)


def _refits(
    target: Floats, donors: Floats, made: tuple[Codes, list[SimplexFit]], pre: Codes, demeaned: bool
) -> Refits:
    """Gaps of fits; pre (r,) are the periods that each was fitted to."""
    changed, fits = made
    weights = np.array([fit.weights for fit in fits]).reshape(len(fits), donors.shape[1])
    gaps = target[:, None] - donors @ weights.T
    if demeaned:
        gaps = gaps - np.array([gaps[:p, at].mean() for at, p in enumerate(pre)])
    return Refits(
        changed=changed,
        weights=weights,
        gaps=gaps,
        mspe_pre=np.array([np.mean(gaps[:p, at] ** 2) for at, p in enumerate(pre)]),
        gap_certificate=np.array([fit.gap for fit in fits]),
    )


def _rows(outcomes: Floats, pre: int, demeaned: bool) -> Floats:
    """Units in rows (n, t), in deviations from the mean of all units (which weights with sum one cancel)."""
    if pre < 1 or pre > outcomes.shape[0]:
        raise ValueError("at least one period before the start is needed, and no more than there are")
    made = outcomes - outcomes[:pre].mean(axis=0) if demeaned else outcomes
    return np.ascontiguousarray((made - made.mean(axis=1, keepdims=True)).T)


def _mean_square(gaps: Floats) -> Floats:
    if gaps.shape[0] == 0:
        return np.full(gaps.shape[1], np.nan)
    return np.asarray(np.mean(gaps**2, axis=0))
