"""Synthetic difference-in-differences: one fit per start of treatment, and their average.

Clarke, Pailanir, Athey and Imbens (2023); Stata sdid; Arkhangelsky et al. (2021), appendix A. The units
that start in the same period form a cohort, which is compared with controls not treated in its window.
Cohorts are averaged by their treated cells, effects by time since the start over the units observed then
(Ciccia 2024, sdid_event). One cohort is the ordinary estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.synthetic_did_covariates import Covariates, optimised, projected, subtract
from qieval.numerics.synthetic_did_weights import (
    AS_R,
    Block,
    Codes,
    Floats,
    Kind,
    Mask,
    Optimiser,
    Penalties,
    Weights,
    contrast,
    find_weights,
    penalties,
)


@dataclass(frozen=True, eq=False)
class Study:
    """A balanced panel and how it is to be estimated.

    outcomes (n, t), finite. first_treated (n,): index of the first treated period; t or more for units that
    never are. horizon: periods that a cohort is followed, after which its window ends; None: to the end.
    Controls of a cohort are all units that are not treated in its window, so with a horizon those treated
    later count too, and without it only those never treated.
    """

    outcomes: Floats
    first_treated: Codes
    covariates: Covariates | None = None
    kind: Kind = "sdid"
    optimiser: Optimiser = AS_R
    horizon: int | None = None

    @property
    def starts(self) -> Codes:
        """The cohorts' starts, in order."""
        first = self.first_treated
        return np.unique(first[first < self.outcomes.shape[1]])

    def end(self, start: int) -> int:
        """The period in which a cohort's window ends, itself outside."""
        t = self.outcomes.shape[1]
        return t if self.horizon is None else min(int(t), start + self.horizon)

    def controls(self, start: int) -> Mask:
        """Which units (n,) are controls of a cohort."""
        return np.asarray(self.first_treated >= self.end(start))

    def sample(self, units: Codes, first_treated: Codes) -> Study:
        """The same study of some units, which may repeat, with starts (m,) of their own."""
        covariates = None if self.covariates is None else self.covariates.sample(units)
        return replace(
            self, outcomes=self.outcomes[units], first_treated=first_treated, covariates=covariates
        )


@dataclass(frozen=True, eq=False)
class SyntheticDid:
    """One block's estimate.

    effect_by_period (post,) averages to estimate. unit_weights (n,) are zero for units that are not
    controls; time_weights (pre,) are all zero for "sc". treated_mean (t,) and synthetic (t,) are the paths
    to draw: synthetic is the weighted controls moved up by `shift`, so that their distance after the start
    is the effect. coefficients (c,) of covariates, NaN for those that could not be told apart; the paths are
    adjusted for them. Gaps, steps and converged as in `Weights`.
    """

    estimate: float
    effect_by_period: Floats
    unit_weights: Floats
    time_weights: Floats
    treated_mean: Floats
    synthetic: Floats
    shift: float
    penalties: Penalties
    coefficients: Floats
    unit_gap: float
    time_gap: float
    steps: int
    converged: bool


@dataclass(frozen=True, eq=False)
class StaggeredDid:
    """Estimates of all cohorts and their averages.

    starts, n_treated, shares (g,): each cohort's start, treated units and share of the treated cells; cohorts
    their fits, in windows that end as `Study` says. estimate is the mean of their estimates by share.
    event_effects (h,): mean effect 0, 1, ... periods after the start over the event_units (h,) treated
    units observed then.
    """

    estimate: float
    starts: Codes
    n_treated: Codes
    shares: Floats
    cohorts: tuple[SyntheticDid, ...] = field(repr=False)
    event_effects: Floats
    event_units: Codes

    @property
    def converged(self) -> bool:
        """Whether every cohort's weights did."""
        return all(cohort.converged for cohort in self.cohorts)


@dataclass(frozen=True, eq=False)
class Known:
    """What a cohort of a resampled panel takes over: its penalties, and weights to begin from.

    unit_weights (n,) of the resampled panel, scaled to sum to 1 over its controls; time_weights (pre,).
    """

    rule: Penalties
    unit_weights: Floats
    time_weights: Floats


def synthetic_did(
    outcomes: Floats,
    treated: Mask,
    pre: int,
    *,
    covariates: Covariates | None = None,
    kind: Kind = "sdid",
    optimiser: Optimiser = AS_R,
) -> SyntheticDid:
    """Estimate of one block: outcomes (n, t), treated (n,) from period `pre` on.

    >>> outcomes = np.array([[1.0, 2, 4], [2, 4, 5], [5, 6, 10]])
    >>> synthetic_did(outcomes, np.array([False, False, True]), 2, kind="did").estimate
    2.25
    """
    first = np.where(treated, pre, outcomes.shape[1])
    study = Study(outcomes, first, covariates=covariates, kind=kind, optimiser=optimiser)
    return fit_study(study).cohorts[0]


def staggered(
    outcomes: Floats,
    first_treated: Codes,
    *,
    covariates: Covariates | None = None,
    kind: Kind = "sdid",
    optimiser: Optimiser = AS_R,
    horizon: int | None = None,
) -> StaggeredDid:
    """Estimates of all cohorts; arguments as in `Study`."""
    return fit_study(Study(outcomes, first_treated, covariates, kind, optimiser, horizon))


def fit_study(study: Study, known: Mapping[int, Known] | None = None) -> StaggeredDid:
    """Fit every cohort of a study; `known` (by start) is for resampling, as R keeps penalties and weights."""
    _check(study)
    adjusted, coefficients = _project(study)
    starts = study.starts
    cohorts = []
    for start in starts.tolist():
        cohort = _fit_cohort(study, adjusted, start, (known or {}).get(start))
        cohorts.append(cohort if coefficients is None else replace(cohort, coefficients=coefficients))
    n_treated = np.array([np.count_nonzero(study.first_treated == start) for start in starts])
    return average(starts, n_treated, tuple(cohorts))


def adjusted_outcomes(study: Study, cohort: SyntheticDid) -> Floats:
    """Outcomes (n, t) less covariates times the coefficients of a cohort's fit."""
    if study.covariates is None:
        return study.outcomes
    return subtract(study.outcomes, study.covariates.values, cohort.coefficients)


def average(starts: Codes, n_treated: Codes, cohorts: tuple[SyntheticDid, ...]) -> StaggeredDid:
    """Cohorts put together: by treated cells, and by treated units at each time since the start."""
    lengths = np.array([cohort.effect_by_period.size for cohort in cohorts])
    cells = n_treated * lengths
    totals, units = np.zeros(lengths.max()), np.zeros(lengths.max(), dtype=np.intp)
    for cohort, length, count in zip(cohorts, lengths, n_treated, strict=True):
        totals[:length] += count * cohort.effect_by_period
        units[:length] += count
    shares = cells / cells.sum()
    return StaggeredDid(
        estimate=float(shares @ np.array([cohort.estimate for cohort in cohorts])),
        starts=starts,
        n_treated=n_treated,
        shares=shares,
        cohorts=cohorts,
        event_effects=totals / units,
        event_units=units,
    )


def _check(study: Study) -> None:
    starts = study.starts
    if not starts.size:
        raise EstimationError(
            "treated: no unit is treated inside the panel, so there is nothing to estimate."
        )
    if starts[0] < 1:
        raise EstimationError(
            "start: a unit is treated from the first period on and has no period before. Leave it out."
        )
    alone = [int(start) for start in starts if not study.controls(start).any()]
    if alone:
        listed = ", ".join(map(str, alone))
        raise EstimationError(
            f"treated: no control is left for those who start in period {listed} (counted from 0). "
            "Use a shorter horizon, so that units treated later can be controls, or leave that start out."
        )


def _project(study: Study) -> tuple[Floats, Floats | None]:
    """Outcomes less projected covariates, and the coefficients (None: nothing was projected)."""
    if study.covariates is None or study.covariates.how != "projected":
        return study.outcomes, None
    values = study.covariates.values
    untreated = np.arange(study.outcomes.shape[1]) < study.first_treated[:, None]
    coefficients = projected(study.outcomes, values, untreated)
    return subtract(study.outcomes, values, coefficients), coefficients


def _fit_cohort(study: Study, outcomes: Floats, start: int, known: Known | None) -> SyntheticDid:
    """One cohort's fit; outcomes (n, t) are those of the study less projected covariates."""
    end, controls, treated = study.end(start), study.controls(start), study.first_treated == start
    block = Block(outcomes[controls, :end], outcomes[treated, :end].mean(axis=0), start)
    rule = penalties(block.controls, start, int(treated.sum()), study.kind) if known is None else known.rule
    coefficients = np.empty(0)
    if study.covariates is not None and study.covariates.how == "optimised":
        values = study.covariates.values[:, :, :end]
        pair = values[:, controls], values[:, treated].mean(axis=1)
        coefficients, weights = optimised(block, pair, rule, study.kind)
        mean = block.target - np.nan_to_num(coefficients) @ pair[1]
        block = Block(subtract(block.controls, pair[0], coefficients), mean, start)
    else:
        warm = None if known is None else Weights(known.unit_weights[controls], known.time_weights)
        weights = find_weights(block, rule, study.kind, study.optimiser, warm)
    return _result(block, weights, controls, rule, coefficients)


def _result(
    block: Block, weights: Weights, controls: Mask, rule: Penalties, coefficients: Floats
) -> SyntheticDid:
    effects, shift = contrast(block, weights.units, weights.periods)
    unit_weights = np.zeros(controls.size)
    unit_weights[controls] = weights.units
    return SyntheticDid(
        estimate=float(effects.mean()),
        effect_by_period=effects,
        unit_weights=unit_weights,
        time_weights=weights.periods,
        treated_mean=block.target,
        synthetic=weights.units @ block.controls + shift,
        shift=shift,
        penalties=rule,
        coefficients=coefficients,
        unit_gap=weights.unit_gap,
        time_gap=weights.time_gap,
        steps=weights.steps,
        converged=weights.converged,
    )
