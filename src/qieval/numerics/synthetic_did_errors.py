"""How far synthetic difference-in-differences may be off by chance: placebo, bootstrap and jackknife.

Arkhangelsky et al. (2021), algorithms 2 to 4, for any number of cohorts as in Clarke et al. (2023). As in R
synthdid 0.0.9 a resampled panel keeps the penalties of the original one, and its weights begin from the
original ones, scaled to sum to 1. Unlike there, projected covariates are projected again in each panel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.synthetic_did import Known, StaggeredDid, Study, adjusted_outcomes, fit_study
from qieval.numerics.synthetic_did_weights import Codes, Floats
from qieval.progress import progress

DRAWS = 200
TIES = 1e-10
TRIES = 100
"""Resamples that cannot be estimated are drawn again, but no more than this many times the draws."""

Panels = Iterable[tuple[Codes, Codes]]
"""Resampled panels: units (m,), which may repeat, and their starts (m,)."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Spread of the estimate, and of the h effects by time since the start.

    std_error is R's: the standard deviation of `effects` (B,) with divisor B, or the jackknife's; monte_carlo
    is its own standard error where draws are random, otherwise 0. interval: placebo: the null values that
    `p_value` does not reject; bootstrap: percentiles; jackknife: the normal one, there being no other.
    normal_interval trusts in a normal distribution with that standard error, which few treated units do not
    warrant. p_value (placebo only, else NaN): (1 + placebo effects at least as large as the estimate) divided
    by (1 + B), in absolute value; smallest_p is the least it can be; above 1 - level interval is infinite.
    by_event (B, h): effects by time since the start, NaN where a resample has none. event_std_error (h,),
    event_intervals (h, 2) and event_p_values (h,), each for itself. converged: all weights of all resamples.
    """

    method: str
    level: float
    std_error: float
    monte_carlo: float
    interval: tuple[float, float]
    normal_interval: tuple[float, float]
    p_value: float
    smallest_p: float
    effects: Floats
    by_event: Floats
    event_std_error: Floats
    event_intervals: Floats
    event_p_values: Floats
    enumerated: bool
    converged: bool


@dataclass(frozen=True, eq=False)
class _Inference:
    """All about the estimate and the effects by time, in this order (1 + h,); intervals (1 + h, 2)."""

    method: str
    level: float
    values: Floats
    std_error: Floats
    intervals: Floats
    p_values: Floats
    enumerated: bool
    converged: bool


def placebo_errors(
    study: Study, fitted: StaggeredDid, *, draws: int | None = None, seed: int = 0, level: float = 0.95
) -> Errors:
    """Units never treated take the places of the treated, who are left out (algorithm 4).

    Every assignment is used once, and nothing is random, if there are no more of them than draws, and with
    one treated unit unless fewer draws are asked for. (R draws the same few units again and again.) draws
    None: 200. Needs more units never treated than treated. Takes the treated to be as noisy as the others.
    """
    t = study.outcomes.shape[1]
    pool = np.flatnonzero(study.first_treated >= t)
    first = study.first_treated[study.first_treated < t]
    if pool.size <= first.size:
        raise EstimationError(
            f"inference: placebos need more units never treated ({pool.size}) than treated ({first.size}). "
            "Use the bootstrap or the jackknife."
        )
    groups = fitted.n_treated.tolist()
    total = n_assignments(pool.size, groups)
    enumerated = total <= (draws or DRAWS) or (draws is None and first.size == 1)
    if enumerated:
        chosen = [np.array(units) for units in assignments(pool.tolist(), groups)]
    else:
        total = draws or DRAWS
        generator = np.random.default_rng(seed)
        chosen = [generator.permutation(pool)[: first.size] for _ in range(total)]
    starts = np.concatenate([np.full(pool.size - first.size, t), np.sort(first)])
    panels = ((_at_the_end(pool, units), starts) for units in progress(chosen, "placebo draws"))
    values, converged = _replicates(study, fitted, panels, total)
    points, wide = _points(fitted), _reach(values, level)
    extreme = np.count_nonzero(np.abs(values) >= np.abs(points) * (1 - TIES), axis=0)
    return _errors(
        fitted,
        _Inference(
            method="placebo",
            level=level,
            values=values,
            std_error=values.std(axis=0),
            intervals=np.column_stack([points - wide, points + wide]),
            p_values=(1 + extreme) / (1 + total),
            enumerated=enumerated,
            converged=converged,
        ),
    )


def bootstrap_errors(
    study: Study, fitted: StaggeredDid, *, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Errors:
    """Whole units drawn with replacement, treated or not (algorithm 2); refused with one treated unit.

    Drawn again where no unit is treated, or a cohort has no controls. A cohort that is not drawn is left out
    of that draw's average.
    """
    _refuse_one_treated(study)
    panels = progress(_resampled(study, draws, seed), "bootstrap draws")
    values, converged = _replicates(study, fitted, panels, draws)
    tail = (1 - level) / 2
    return _errors(
        fitted,
        _Inference(
            method="bootstrap",
            level=level,
            values=values,
            std_error=np.nanstd(values, axis=0),
            intervals=np.nanquantile(values, [tail, 1 - tail], axis=0).T,
            p_values=np.full(values.shape[1], np.nan),
            enumerated=False,
            converged=converged,
        ),
    )


def jackknife_errors(study: Study, fitted: StaggeredDid, *, level: float = 0.95) -> Errors:
    """One unit left out after the other, with weights fixed but scaled to sum to 1 (algorithm 3).

    Coefficients of covariates stay fixed too. Refused where leaving out one unit leaves nothing: a cohort
    with one treated unit, or with all weight on one control. R advises against it for "sc".
    """
    _refuse_one_treated(study)
    n, h = study.first_treated.size, fitted.event_effects.size
    totals, units = np.zeros((n, h)), np.zeros((n, h))
    for k, start in enumerate(fitted.starts.tolist()):
        effects, count = _left_out(study, fitted, k, start)
        totals[:, : effects.shape[1]] += count[:, None] * effects
        units[:, : effects.shape[1]] += count[:, None]
    values = np.column_stack([totals.sum(axis=1) / units.sum(axis=1), totals / units])
    std_error = np.sqrt((n - 1) ** 2 / n * values.var(axis=0, ddof=1))
    points, wide = _points(fitted), NormalDist().inv_cdf((1 + level) / 2) * std_error
    return _errors(
        fitted,
        _Inference(
            method="jackknife",
            level=level,
            values=values,
            std_error=std_error,
            intervals=np.column_stack([points - wide, points + wide]),
            p_values=np.full(1 + h, np.nan),
            enumerated=True,
            converged=fitted.converged,
        ),
    )


def _refuse_one_treated(study: Study) -> None:
    if np.count_nonzero(study.first_treated < study.outcomes.shape[1]) < 2:
        raise EstimationError(
            "inference: one treated unit cannot be resampled, so the bootstrap and the jackknife have "
            "nothing to say about it. Use placebos."
        )


def n_assignments(n: int, groups: Sequence[int]) -> int:
    """In how many ways cohorts of these sizes can be picked from n units."""
    count = 1
    for size in groups:
        count *= math.comb(n, size)
        n -= size
    return count


def assignments(pool: Sequence[int], groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All ways to pick cohorts of these sizes: units, those of the first cohort first.

    >>> list(assignments([4, 5, 6], [1, 1]))
    [(4, 5), (4, 6), (5, 4), (5, 6), (6, 4), (6, 5)]
    """
    if not groups:
        yield ()
        return
    for picked in itertools.combinations(pool, groups[0]):
        rest = [unit for unit in pool if unit not in picked]
        for others in assignments(rest, groups[1:]):
            yield picked + others


def _at_the_end(pool: Codes, units: Codes) -> Codes:
    """The pool with some of its units moved to its end; both hold each unit once, the pool in order."""
    keep = np.ones(pool.size, dtype=bool)
    keep[np.searchsorted(pool, units)] = False
    return np.append(pool[keep], units)


def _resampled(study: Study, draws: int, seed: int) -> Iterator[tuple[Codes, Codes]]:
    """Panels of units drawn with replacement that can be estimated."""
    generator = np.random.default_rng(seed)
    n, t = study.outcomes.shape
    left = draws
    for _ in range(TRIES * draws):
        units = np.sort(generator.integers(n, size=n))
        first = study.first_treated[units]
        starts = np.unique(first[first < t]).tolist()
        if starts and all((first >= study.end(start)).any() for start in starts):
            yield units, first
            left -= 1
            if not left:
                return
    raise EstimationError(
        "inference: most bootstrap samples hold no treated unit or no controls; there are too few units."
    )


def _replicates(study: Study, fitted: StaggeredDid, panels: Panels, total: int) -> tuple[Floats, bool]:
    """Estimate and effects by time (total, 1 + h) of resampled panels, and whether all weights converged."""
    values = np.full((total, 1 + fitted.event_effects.size), np.nan)
    converged = True
    for row, (units, first) in zip(values, panels, strict=True):
        again = fit_study(study.sample(units, first), _known(fitted, units))
        row[0] = again.estimate
        row[1 : 1 + again.event_effects.size] = again.event_effects
        converged &= again.converged
    return values, converged


def _known(fitted: StaggeredDid, units: Codes) -> dict[int, Known]:
    """What cohorts of a resampled panel take over from the original fit."""
    return {
        start: Known(cohort.penalties, cohort.unit_weights[units], cohort.time_weights)
        for start, cohort in zip(fitted.starts.tolist(), fitted.cohorts, strict=True)
    }


def _left_out(study: Study, fitted: StaggeredDid, k: int, start: int) -> tuple[Floats, Floats]:
    """Effects by period (n, window) and treated units (n,) of cohort k when each unit in turn is left out."""
    cohort = fitted.cohorts[k]
    treated = study.first_treated == start
    weight = cohort.unit_weights
    if treated.sum() < 2 or np.count_nonzero(weight) < 2:
        raise EstimationError(
            "inference: the jackknife leaves out one unit after the other, and here one of them is the only "
            f"treated unit or the only control with weight (start in period {start}, counted from 0). "
            "Use placebos or the bootstrap."
        )
    outcomes = adjusted_outcomes(study, cohort)[:, : study.end(start)]
    after = outcomes[:, start:] - (outcomes[:, :start] @ cohort.time_weights)[:, None]
    count = treated.sum() - treated.astype(float)
    of_treated = (after[treated].sum(axis=0) - after * treated[:, None]) / count[:, None]
    of_controls = (weight @ after - after * weight[:, None]) / (weight.sum() - weight)[:, None]
    return of_treated - of_controls, count


def _points(fitted: StaggeredDid) -> Floats:
    return np.append(fitted.estimate, fitted.event_effects)


def _reach(values: Floats, level: float) -> Floats:
    """Distance to the outermost null value that is not rejected, for each column of placebo effects (B, q).

    A null value is kept if 1 + (placebo effects at least as far out) exceeds (1 - level) (1 + B).
    """
    needed = math.floor((1 - level) * (1 + len(values)) + TIES)
    if needed < 1:
        return np.full(values.shape[1], np.inf)
    return np.asarray(np.sort(np.abs(values), axis=0)[-needed])


def _errors(fitted: StaggeredDid, found: _Inference) -> Errors:
    wide = NormalDist().inv_cdf((1 + found.level) / 2) * float(found.std_error[0])
    effects = found.values[:, 0]
    placebo = found.method == "placebo"
    return Errors(
        method=found.method,
        level=found.level,
        std_error=float(found.std_error[0]),
        monte_carlo=0.0 if found.enumerated else _error_of_deviation(effects),
        interval=(float(found.intervals[0, 0]), float(found.intervals[0, 1])),
        normal_interval=(fitted.estimate - wide, fitted.estimate + wide),
        p_value=float(found.p_values[0]),
        smallest_p=1 / (1 + effects.size) if placebo else np.nan,
        effects=effects,
        by_event=found.values[:, 1:],
        event_std_error=found.std_error[1:],
        event_intervals=found.intervals[1:],
        event_p_values=found.p_values[1:],
        enumerated=found.enumerated,
        converged=found.converged,
    )


def _error_of_deviation(effects: Floats) -> float:
    """Standard error of the standard deviation of independent draws, from their fourth moment."""
    squares = (effects - effects.mean()) ** 2
    variance = float(squares.mean())
    return float(squares.std() / (2 * np.sqrt(variance * effects.size))) if variance > 0 else 0.0
