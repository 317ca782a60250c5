"""The effect against the predicted outcomes, and everything a result says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.methods.generalised_synthetic_control import inference
from qieval.methods.generalised_synthetic_control.design import COMPLETION, GeneralisedSyntheticControl
from qieval.methods.generalised_synthetic_control.ground import INFERENCE, PANEL_FIT, parse
from qieval.methods.generalised_synthetic_control.inference import Uncertain, infer
from qieval.numerics.factor_study import PanelFit, placebo_gaps
from qieval.numerics.short_series import naive_rmspe
from qieval.result import Result
from qieval.synthetic import Placebos, Problem, Synthetic
from qieval.text import number as shown
from qieval.text import plural

COLUMNS = ["term", "at", "estimate", "std_error", "conf_low", "conf_high", "p_value"]
LARGEST_SHARE = 3.0
"""Beyond three times the expected level that level is near zero and a percentage of it means nothing."""
MOST_PLACEBOS = 1000
"""With more donors times starts placebos are not made."""
ROUNDING = 1e-9
FEW_DRAWS = 99
"""Random draws for an estimate among several that are laid side by side."""


def estimate(design: GeneralisedSyntheticControl, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the mean effect on the treated and the effect in each period; see the design.

    `brief` leaves out the placebos in space, and draws less often for the interval.
    """
    if brief:
        design = replace(design, draws=min(design.draws, FEW_DRAWS))
    made = parse(design, frame)
    fit: PanelFit = made.fits[0].more[PANEL_FIT]
    found = infer(design, fit)
    made = _with(made, found, None if brief else _placebos(design, made, fit))
    facts = _facts(design, made, fit, found)
    return Result(
        design=design,
        headline=_headline(design, made, found, facts),
        estimates=_estimates(made, found),
        series=_series(made, found),
        weights=_weights(made),
        facts=pd.Series(facts, dtype=object),
        notes=(*made.pool.notes, *made.fits[0].notes, *_covariates(design, fit), *found.notes),
        kernel=made,
    )


def _with(made: Synthetic, found: Uncertain, placebos: tuple[Placebos, ...] | None) -> Synthetic:
    first = replace(made.fits[0], more={**made.fits[0].more, INFERENCE: found.drawn})
    return replace(made, fits=(first, *made.fits[1:]), placebos=placebos)


def _placebos(
    design: GeneralisedSyntheticControl, made: Synthetic, fit: PanelFit
) -> tuple[Placebos, ...] | None:
    """Every donor in turn as if treated at each start; None where there would be too many or too few."""
    pool = made.pool
    if len(pool.donors) < 2 or len(pool.donors) * len(made.problems) > MOST_PLACEBOS:
        return None
    names = np.array(made.fits[0].more["units of the panel"], dtype=object)[fit.panel.controls]
    out = []
    for problem in made.problems:
        gaps = np.full((pool.n_periods, len(names)), np.nan)
        gaps[pool.begin :] = placebo_gaps(fit, problem.start - pool.begin - design.anticipation).T
        known = np.isfinite(gaps[problem.fitted]).all(axis=0)
        kept = tuple(names[known])
        out.append(Placebos(names=kept, gaps=gaps[:, known], identified=np.ones(len(kept), dtype=bool)))
    return tuple(out) if all(held.names for held in out) else None


def _estimates(made: Synthetic, found: Uncertain) -> pd.DataFrame:
    rows = [_row("ATT", found.average, found, 1.0)]
    if made.pool.population is not None:
        rows.append(_events(made, found))
    table = pd.DataFrame(
        {
            "at": found.periods.astype(float),
            "estimate": found.att,
            "std_error": found.errors,
            "conf_low": found.lows,
            "conf_high": found.highs,
            "p_value": found.p_values,
        }
    ).dropna(subset=["estimate"])
    early = table[table["at"] < 0][["at", "estimate"]].assign(term="gap before the start")
    late = table[table["at"] >= 0].assign(term="effect in period")
    return pd.concat([pd.DataFrame(rows), early, late], ignore_index=True)[COLUMNS].astype(
        dict.fromkeys(COLUMNS[1:], float)
    )


def _row(term: str, estimate: float, found: Uncertain, per_unit: float) -> dict[str, Any]:
    """A row whose error is that of the average effect times `per_unit`."""
    return {
        "term": term,
        "at": np.nan,
        "estimate": estimate,
        "std_error": found.std_error * per_unit,
        "conf_low": estimate + (found.low - found.average) * per_unit,
        "conf_high": estimate + (found.high - found.average) * per_unit,
        "p_value": found.p_value,
    }


def _events(made: Synthetic, found: Uncertain) -> dict[str, Any]:
    """The effects in events; their error is that of the average effect times the people behind the rates."""
    fit: PanelFit = made.fits[0].more[PANEL_FIT]
    place = pd.Index(made.fits[0].more["units of the panel"]).get_indexer(made.pool.names)
    gaps, begin = fit.gaps[place], made.pool.begin
    people = np.asarray(made.pool.population)[:, begin:] / made.per
    cells = fit.panel.treated_cells[place] & np.isfinite(gaps)
    return _row("events in all", float((gaps * people)[cells].sum()), found, float(people[cells].sum()))


def _paths(made: Synthetic) -> pd.DataFrame:
    """Means over waves by period relative to the start: treated, gap, donors."""
    frames = []
    for held, fit in zip(made.problems, made.fits, strict=True):
        at = np.arange(len(held.target)) - held.start
        means = {"treated": held.target, "gap": fit.gaps, "donors": held.donors.mean(axis=1)}
        frames.append(pd.DataFrame({"at": at, "units": held.units, **means}))
    every = pd.concat(frames)
    known = every["gap"].notna() | (len(made.problems) == 1)
    every = every[known]
    names = ["treated", "gap", "donors"]
    total = every[names].mul(every["units"], axis=0).groupby(every["at"]).sum(min_count=1)
    return total.div(every.groupby("at")["units"].sum(), axis=0)


def _series(made: Synthetic, found: Uncertain) -> pd.DataFrame:
    """Observed and predicted path with the interval of what would have been, and the mean of the donors: in
    calendar time for one start, else by time since each unit's start."""
    mean = _paths(made)
    time = made.pool.panel.periods.axis() if len(made.problems) == 1 else mean.index
    late = found.periods >= 0
    lows = pd.Series(found.lows[late], index=found.periods[late]).reindex(mean.index)
    highs = pd.Series(found.highs[late], index=found.periods[late]).reindex(mean.index)
    treated = {
        "time": time,
        "group": "treated",
        "observed": mean["treated"].to_numpy(),
        "counterfactual": (mean["treated"] - mean["gap"]).to_numpy(),
        "conf_low": (mean["treated"] - highs).to_numpy(),
        "conf_high": (mean["treated"] - lows).to_numpy(),
    }
    donors = {"time": time, "group": "comparison", "observed": mean["donors"].to_numpy()}
    return pd.concat([pd.DataFrame(treated), pd.DataFrame(donors)], ignore_index=True)


def _weights(made: Synthetic) -> pd.DataFrame:
    rows = pd.DataFrame({"row": list(made.problems[0].names), "group": "donor", "weight": made.donor_weights})
    return rows.sort_values("weight", ascending=False, ignore_index=True, kind="stable")


def _naive(problem: Problem) -> float:
    """The root mean squared gap of the mean of the donors at the level of the treated."""
    fitted = problem.stop - problem.begin
    held = naive_rmspe(problem.target[problem.fitted], problem.donors[problem.fitted], fitted)
    return float(held["mean of the donors, level shifted"])


def _facts(
    design: GeneralisedSyntheticControl, made: Synthetic, fit: PanelFit, found: Uncertain
) -> dict[str, Any]:
    pool, first = made.pool, made.problems[0]
    levels = [float(held.target[held.after].mean()) for held in made.problems]
    expected = float(made.weight @ np.array(levels)) - found.average
    mean_squares = [held.mspe(problem.fitted) for problem, held in zip(made.problems, made.fits, strict=True)]
    own, plain = float(np.sqrt(np.mean(mean_squares))), [_naive(problem) for problem in made.problems]
    naive = float(np.sqrt(np.mean(np.square(plain))))
    return {
        "treated units": int(sum(problem.units for problem in made.problems)),
        "donors": len(pool.donors),
        "waves": len(made.problems),
        "periods fitted": first.stop - pool.begin,
        "periods from the start on": pool.n_periods - first.start,
        "first period fitted": pool.labels[pool.begin],
        "start": pool.labels[first.start],
        "last period": pool.labels[-1],
        **_choices(design, fit),
        "root mean squared gap before the start": own,
        "the same of the mean of the donors at the level of the treated": naive,
        "fits better than the shifted mean": own <= naive * (1 + ROUNDING),
        "expected level without the intervention": expected,
        "effect as share of the expected level": found.average / expected if expected > 0 else np.nan,
        **_rank(made),
        **inference.facts(found),
    }


def _choices(design: GeneralisedSyntheticControl, fit: PanelFit) -> dict[str, Any]:
    """What was chosen, with the cross-validated error of it."""
    if design.estimator == COMPLETION:
        error = np.nan if fit.path is None else float(np.sqrt(fit.path.mspe.min()))
        chosen: dict[str, Any] = {"penalty": fit.recipe.penalty, "rank": fit.rank}
    else:
        error = np.nan
        if fit.choice is not None:
            error = float(np.sqrt(fit.choice.mspe[fit.choice.factors == fit.choice.chosen][0]))
        chosen = {"factors": fit.recipe.factors, "factors chosen by": design.choose_factors}
    slopes = {
        f"coefficient of {name}": float(beta) for name, beta in zip(design.covariates, fit.beta, strict=True)
    }
    return {**chosen, "root mean squared error in left-out cells": error, **slopes}


def _rank(made: Synthetic) -> dict[str, Any]:
    """The rank of a single treated unit by mean squared gap after over before the start."""
    if made.placebos is None or sum(problem.units for problem in made.problems) > 1:
        return {}
    problem, fit = made.only
    gaps = made.placebos[0].gaps
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.float64(fit.mspe(problem.after)) / fit.mspe(problem.fitted)
        others = (gaps[problem.after] ** 2).mean(axis=0) / (gaps[problem.fitted] ** 2).mean(axis=0)
    return {"rank among all units": 1 + int((others >= ratio).sum()), "units ranked": 1 + gaps.shape[1]}


def _covariates(design: GeneralisedSyntheticControl, fit: PanelFit) -> tuple[str, ...]:
    idle = [name for name, beta in zip(design.covariates, fit.beta, strict=True) if beta == 0]
    if not idle:
        return ()
    return (
        f"covariates: {', '.join(idle)} took no part, because the unit and period effects explain all of it"
        " (it does not change over time, or changes alike everywhere).",
    )


def _headline(
    design: GeneralisedSyntheticControl, made: Synthetic, found: Uncertain, facts: Mapping[str, Any]
) -> str:
    quantity = design.measured_in or design.outcome.replace("_", " ")
    many = int(facts["treated units"])
    whose = made.problems[0].label if many == 1 else plural(many, "treated unit")
    if not facts["fits better than the shifted mean"]:
        return (
            f"The model does not reproduce {quantity} of {whose} before the start: the root mean squared gap"
            f" is {shown(facts['root mean squared gap before the start'])}, more than the"
            f" {shown(facts['the same of the mean of the donors at the level of the treated'])} of the mean"
            " of the donors moved to its level. No effect is stated; allow more factors, or unit and period"
            " effects (force='two-way')."
        )
    said = f"no {design.level:.0%} interval"
    if np.isfinite([found.low, found.high]).all():
        said = f"{design.level:.0%} interval {_signed(found.low)} to {_signed(found.high)}, by {found.label}"
    how = _model(design, facts)
    return (
        f"From {facts['start']} on, {quantity} of {whose}: on average {_signed(found.average)} ({said})"
        f" compared with what {how} would have led to.{_share(facts)}"
    )


def _model(design: GeneralisedSyntheticControl, facts: Mapping[str, Any]) -> str:
    if design.estimator == COMPLETION:
        return f"a completed matrix of rank {facts['rank']}"
    many = int(facts["factors"])
    return plural(many, "common factor") if many else "unit and period effects alone (no common factor)"


def _share(facts: Mapping[str, Any]) -> str:
    share = facts["effect as share of the expected level"]
    if not np.isfinite(share) or abs(share) > LARGEST_SHARE:
        return ""
    return f" That is {abs(share):.1%} {'above' if share > 0 else 'below'} the expected level."


def _signed(value: float) -> str:
    if not np.isfinite(value):
        return "no limit"
    return f"{shown(abs(value))} {'higher' if value > 0 else 'lower'}" if value else "no difference"
