"""The effect under unit and time weights, and everything a result says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from qieval.donors import DonorPool, blind_pool, by_unit, donor_pool
from qieval.errors import EstimationError
from qieval.methods.donors.events import events_row
from qieval.methods.donors.words import interval, share_of_expected, signed
from qieval.methods.synthetic_did.design import SyntheticDifferenceInDifferences
from qieval.numerics.synthetic_did import Study as Waves
from qieval.numerics.synthetic_did import SyntheticDid, adjusted_outcomes, fit_study
from qieval.numerics.synthetic_did_covariates import Covariates
from qieval.numerics.synthetic_did_errors import Errors, bootstrap_errors, jackknife_errors, placebo_errors
from qieval.numerics.synthetic_did_weights import AS_R, EXACT
from qieval.result import Result
from qieval.synthetic import Fitted, Problem, Synthetic
from qieval.text import number as shown
from qieval.text import plural

MANY_TREATED = 5
"""With more treated units the bootstrap is the default (Arkhangelsky et al. 2021, section 4)."""
MOST_PLACEBOS = 500
"""Up to that many donors each takes the place of a single treated unit; beyond, `draws` of them do."""
ROUNDING = 1e-9


def parse(design: SyntheticDifferenceInDifferences, frame: pd.DataFrame) -> Synthetic:
    """The data as waves of treated units and donors, with their fits."""
    return _made(design, donor_pool(design, frame), frame)


def blind(design: SyntheticDifferenceInDifferences, frame: pd.DataFrame) -> Synthetic:
    """The same without any outcome after the start: unit weights, which need none."""
    return _made(design, blind_pool(design, frame), frame)


def estimate(design: SyntheticDifferenceInDifferences, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the mean effect on the treated; see `SyntheticDifferenceInDifferences`."""
    made = parse(design, frame)
    waves = _waves(design, made.pool, frame)
    fitted = fit_study(waves)
    errors = _errors(design, waves, fitted)
    facts = _facts(design, made, waves, fitted, errors)
    return Result(
        design=design,
        headline=_headline(design, made, fitted.estimate, errors, facts),
        estimates=_estimates(made, fitted, errors),
        series=_series(made),
        weights=_weights(made),
        facts=pd.Series(facts, dtype=object),
        notes=(*made.pool.notes, *_notes(errors)),
        kernel=made,
    )


def _waves(design: SyntheticDifferenceInDifferences, pool: DonorPool, frame: pd.DataFrame) -> Waves:
    """The table that is estimated: from the first fitted period on, without periods of anticipation."""
    columns = _used(pool)
    covariates = None
    if design.covariates:
        values = np.array(
            [
                by_unit(pool.panel, frame, name, "covariates").loc[pool.names].to_numpy()
                for name in design.covariates
            ]
        )[:, :, columns]
        if np.isnan(values).any():
            raise EstimationError(
                "covariates: some cells have no value. Fill them in or leave the covariate out."
            )
        covariates = Covariates(values, design.adjust)  # type: ignore[arg-type]
    plain = _unordered(pool, columns)
    waves = replace(plain, covariates=covariates, optimiser=_optimiser(design))
    order = _data_order(waves)
    return waves.sample(order, plain.first_treated[order])


def _unordered(pool: DonorPool, columns: np.ndarray) -> Waves:
    """The table that is estimated, in the order of the units' names and without covariates."""
    return Waves(np.ascontiguousarray(pool.y[:, columns]), np.searchsorted(columns, pool.first))


def _data_order(waves: Waves) -> np.ndarray:
    """Units in the order of their outcomes before any start, so that names do not matter to random draws."""
    before = waves.outcomes[:, : int(waves.first_treated.min())]
    return np.lexsort(before.T[::-1])


def _used(pool: DonorPool) -> np.ndarray:
    """The codes of the periods that are estimated."""
    return np.concatenate([np.arange(pool.begin, pool.stop), np.arange(pool.start, pool.n_periods)])


def _optimiser(design: SyntheticDifferenceInDifferences) -> Any:
    return EXACT if design.optimiser == "exact" else AS_R


def _made(design: SyntheticDifferenceInDifferences, pool: DonorPool, frame: pd.DataFrame) -> Synthetic:
    """One problem per wave (the mean of its units), on outcomes adjusted for covariates once they are
    seen."""
    starts = np.unique(pool.first[pool.treated])
    adjusted = _adjusted(design, pool, frame)
    problems = tuple(_problem(design, adjusted.get(int(start), pool), int(start)) for start in starts)
    cells = np.array([problem.units * (pool.n_periods - problem.start) for problem in problems], dtype=float)
    fit = partial(fit_wave, design)
    return Synthetic(
        pool=pool,
        problems=problems,
        fits=tuple(fit(problem) for problem in problems),
        placebos=None,
        weight=cells / cells.sum(),
        fit=fit,
        per=design.per,
    )


def _adjusted(
    design: SyntheticDifferenceInDifferences, pool: DonorPool, frame: pd.DataFrame
) -> dict[int, DonorPool]:
    """By start of each wave the pool with outcomes less what the covariates explain; empty without any."""
    if not (pool.seen and design.covariates):
        return {}
    waves = _waves(design, pool, frame)
    columns = _used(pool)
    back = np.argsort(_data_order(_unordered(pool, columns)))
    found = {}
    for start, cohort in zip(waves.starts, fit_study(waves).cohorts, strict=True):
        y = pool.y.copy()
        y[:, columns] = adjusted_outcomes(waves, cohort)[back]
        found[int(columns[start])] = replace(pool, y=y)
    return found


def _problem(design: SyntheticDifferenceInDifferences, pool: DonorPool, start: int) -> Problem:
    wave = pool.treated & (pool.first == start)
    many = int(wave.sum())
    return Problem(
        target=pool.y[wave].mean(axis=0),
        donors=np.ascontiguousarray(pool.y[pool.donors].T),
        names=tuple(pool.names[pool.donors]),
        begin=pool.begin,
        stop=min(start - design.anticipation, pool.n_periods if pool.seen else pool.stop),
        start=start,
        label=str(pool.names[wave][0]) if many == 1 else f"mean of {plural(many, 'treated unit')}",
        members=tuple(int(unit) for unit in np.flatnonzero(wave)),
    )


def fit_wave(design: SyntheticDifferenceInDifferences, problem: Problem) -> Fitted:
    """Unit and time weights of one wave. Without outcomes after the start only the unit weights mean
    anything."""
    columns = np.r_[problem.begin : problem.stop, problem.start : len(problem.target)]
    outcomes = np.column_stack([problem.donors, *([problem.target] * problem.units)])[columns].T
    seen = bool(np.isfinite(outcomes).all())
    pre, donors = problem.stop - problem.begin, len(problem.names)
    first = np.full(len(outcomes), outcomes.shape[1])
    first[donors:] = pre
    waves = Waves(np.where(np.isfinite(outcomes), outcomes, 0.0), first, optimiser=_optimiser(design))
    found = fit_study(waves).cohorts[0]
    weights = found.unit_weights[:donors]
    raw = problem.target - problem.donors @ weights
    shift = float(found.time_weights @ raw[problem.fitted]) if seen else float(raw[problem.fitted].mean())
    return Fitted(
        weights=weights,
        gaps=problem.rounded(raw - shift),
        shift=shift,
        certificate=found.unit_gap,
        more={"time weights": found.time_weights, "fit": found},
    )


def _errors(design: SyntheticDifferenceInDifferences, waves: Waves, fitted: Any) -> Errors:
    treated = int((waves.first_treated < waves.outcomes.shape[1]).sum())
    kind = design.inference
    if kind == "automatic":
        kind = "bootstrap" if treated > MANY_TREATED else "placebo"
    if kind == "jackknife":
        return jackknife_errors(waves, fitted, level=design.level)
    if kind == "bootstrap":
        return bootstrap_errors(waves, fitted, draws=design.draws, seed=design.seed, level=design.level)
    donors = len(waves.first_treated) - treated
    if donors <= treated:
        raise EstimationError(
            f"inference: {plural(donors, 'donor')} cannot take the place of"
            f" {plural(treated, 'treated unit')} as placebos, so no interval can be made. Add donors"
            + ("." if treated == 1 else ", or set inference='bootstrap' or 'jackknife'.")
        )
    draws = None if treated == 1 and donors <= MOST_PLACEBOS else design.draws
    return placebo_errors(waves, fitted, draws=draws, seed=design.seed, level=design.level)


def _estimates(made: Synthetic, fitted: Any, errors: Errors) -> pd.DataFrame:
    at = np.arange(len(fitted.event_effects), dtype=float)
    late = pd.DataFrame(
        {
            "term": "effect in period",
            "at": at,
            "estimate": fitted.event_effects,
            "std_error": errors.event_std_error,
            "conf_low": errors.event_intervals[:, 0],
            "conf_high": errors.event_intervals[:, 1],
            "p_value": errors.event_p_values,
        }
    )
    whole = pd.DataFrame(
        [
            {
                "term": "ATT",
                "at": np.nan,
                "estimate": fitted.estimate,
                "std_error": errors.std_error,
                "conf_low": errors.interval[0],
                "conf_high": errors.interval[1],
                "p_value": errors.p_value,
            }
        ]
    )
    before = [
        pd.DataFrame(
            {
                "at": np.arange(held.begin, held.stop) - held.start,
                "sum": fit.gaps[held.fitted] * held.units,
                "units": held.units,
            }
        )
        for held, fit in zip(made.problems, made.fits, strict=True)
    ]
    early = pd.concat(before).groupby("at", as_index=False).sum()
    early = early.assign(
        term="gap before the start", at=early["at"].astype(float), estimate=early["sum"] / early["units"]
    ).drop(columns=["sum", "units"])
    if (events := events_row(made, fitted.estimate, *errors.interval)) is not None:
        whole = pd.concat([whole, pd.DataFrame([events])], ignore_index=True)
    found = pd.concat([whole, early, late], ignore_index=True)
    figures = ["std_error", "conf_low", "conf_high", "p_value"]
    found[figures] = found[figures].astype(float)
    ordered: pd.DataFrame = found[["term", "at", "estimate", *figures]]
    return ordered


def _series(made: Synthetic) -> pd.DataFrame:
    """Treated and synthetic path of the first wave in calendar time; of all waves by time since their
    start."""
    frames = []
    for held, fit in zip(made.problems, made.fits, strict=True):
        at = np.arange(len(held.target)) - held.start
        frames.append(
            pd.DataFrame(
                {
                    "at": at,
                    "treated": made.pool.y[list(held.members)].mean(axis=0),
                    "gap": fit.gaps,
                    "donors": made.pool.y[made.pool.donors].mean(axis=0),
                    "n": held.units,
                }
            )
        )
    every = pd.concat(frames)
    names = ["treated", "gap", "donors"]
    total = every[names].mul(every["n"], axis=0).assign(at=every["at"]).groupby("at").sum(min_count=1)
    mean = total.div(every.groupby("at")["n"].sum(), axis=0)
    time = made.pool.panel.periods.axis() if len(made.problems) == 1 else mean.index
    treated = pd.DataFrame(
        {
            "time": time,
            "group": "treated",
            "observed": mean["treated"].to_numpy(),
            "counterfactual": (mean["treated"] - mean["gap"]).to_numpy(),
            "conf_low": np.nan,
            "conf_high": np.nan,
        }
    )
    donors = pd.DataFrame({"time": time, "group": "comparison", "observed": mean["donors"].to_numpy()})
    return pd.concat([treated, donors], ignore_index=True)


def _weights(made: Synthetic) -> pd.DataFrame:
    rows = pd.DataFrame({"row": list(made.problems[0].names), "group": "donor", "weight": made.donor_weights})
    rows = rows.sort_values("weight", ascending=False, ignore_index=True, kind="stable")
    problem, fit = made.only
    labels = made.pool.labels[problem.begin : problem.stop]
    periods = pd.DataFrame({"row": labels, "group": "period", "weight": fit.more["time weights"]})
    return pd.concat([rows, periods], ignore_index=True)


def _facts(
    design: SyntheticDifferenceInDifferences, made: Synthetic, waves: Waves, fitted: Any, errors: Errors
) -> dict[str, Any]:
    pool = made.pool
    after = [float(pool.y[list(held.members), held.start :].mean()) for held in made.problems]
    expected = float(made.weight @ np.array(after)) - fitted.estimate
    weights = made.donor_weights
    wave: SyntheticDid = fitted.cohorts[0]
    return {
        "treated units": int(pool.treated.sum()),
        "donors": len(pool.donors),
        "waves": len(made.problems),
        "periods fitted": pool.stop - pool.begin,
        "periods from the start on": pool.n_periods - pool.start,
        "first period fitted": pool.labels[pool.begin],
        "start": pool.labels[pool.start],
        "last period": pool.labels[-1],
        "root mean squared gap before the start": float(
            np.sqrt(np.mean([f.mspe(p.fitted) for p, f in zip(made.problems, made.fits, strict=True)]))
        ),
        "effective number of donors": float(1 / (weights**2).sum()),
        "effective number of periods before the start": float(1 / (wave.time_weights**2).sum()),
        "penalty of the unit weights": wave.penalties.zeta_omega,
        "noise level": wave.penalties.noise_level,
        "expected level without the intervention": expected,
        "effect as share of the expected level": fitted.estimate / expected if expected > 0 else np.nan,
        **_rank(made, errors),
        "normal interval, low": errors.normal_interval[0],
        "normal interval, high": errors.normal_interval[1],
        "interval by": errors.method,
    }


def _rank(made: Synthetic, errors: Errors) -> dict[str, int]:
    """The rank of a single treated unit among the donors, each of which took its place."""
    if made.pool.treated.sum() > 1 or not errors.enumerated or not np.isfinite(errors.p_value):
        return {}
    units = len(errors.effects) + 1
    return {"rank among all units": round(errors.p_value * units), "units ranked": units}


def _notes(errors: Errors) -> tuple[str, ...]:
    found = []
    if errors.monte_carlo > 0:
        found.append(
            f"standard error: it comes from {plural(len(errors.effects), 'random draw')}; its own random"
            f" error is {shown(errors.monte_carlo)}."
        )
    if errors.smallest_p > 1 - errors.level + ROUNDING:
        found.append(
            f"interval: with so few placebos no p-value can be below {shown(errors.smallest_p)}, so a"
            f" {errors.level:.0%} interval has no limits. Use a lower level or find more donors."
        )
    if errors.method == "jackknife":
        found.append("interval: the jackknife interval takes the estimate to be normally distributed.")
    return tuple(found)


def _headline(
    design: SyntheticDifferenceInDifferences,
    made: Synthetic,
    effect: float,
    errors: Errors,
    facts: Mapping[str, Any],
) -> str:
    quantity = design.measured_in or design.outcome.replace("_", " ")
    whose = (
        made.problems[0].label
        if len(made.problems) == 1
        else plural(int(made.pool.treated.sum()), "treated unit")
    )
    low, high = errors.interval
    share = share_of_expected(facts["effect as share of the expected level"])
    ends = interval(low, high, design.level, errors.method)
    return (
        f"From {made.pool.labels[made.pool.start]} on, {quantity} of {whose}: on average {signed(effect)}"
        f" ({ends}) compared with weighted donors whose level may differ.{share}"
    )
