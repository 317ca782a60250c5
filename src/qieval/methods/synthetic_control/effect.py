"""The effect: the treated series less its synthetic control, and everything a result says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from qieval.donors import DonorPool, blind_pool, donor_pool
from qieval.methods.donors.events import events_row
from qieval.methods.donors.words import interval, share_of_expected, signed
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.methods.synthetic_control.fit import fitter
from qieval.methods.synthetic_control.inference import Inference, Path, average_path, infer, overall
from qieval.methods.synthetic_control.placebos import placebos, quick_placebos
from qieval.methods.synthetic_control.pooling import pooled_fits
from qieval.methods.synthetic_control.problem import problems, require_predictors, with_predictors
from qieval.numerics.short_series import naive_rmspe
from qieval.progress import progress
from qieval.result import Result
from qieval.synthetic import Synthetic
from qieval.text import number as shown
from qieval.text import plural

ROUNDING = 1e-9


def parse(design: SyntheticControl, frame: pd.DataFrame) -> Synthetic:
    """The data as treated series, donors and predictors, with the fits (no placebos)."""
    require_predictors(design, frame)
    return _fitted(design, donor_pool(design, frame), frame)


def blind(design: SyntheticControl, frame: pd.DataFrame) -> Synthetic:
    """The same without any outcome after the start: weights and fit before it."""
    require_predictors(design, frame)
    return _fitted(design, blind_pool(design, frame), frame)


def _fitted(design: SyntheticControl, pool: DonorPool, frame: pd.DataFrame) -> Synthetic:
    pool, predictors = with_predictors(design, pool, frame)
    stated, weight = problems(design, pool, predictors)
    fit, pooled = fitter(design), design.several == "partially pooled" and len(stated) > 1
    if pooled:
        fits = pooled_fits(design, stated)
    else:
        fits = tuple(fit(problem) for problem in progress(stated, "treated units"))
    return Synthetic(
        pool=pool,
        problems=stated,
        fits=fits,
        placebos=None,
        weight=weight,
        fit=fit,
        per=design.per,
        spread=partial(quick_placebos, design),
        together=partial(pooled_fits, design) if pooled else None,
    )


def estimate(design: SyntheticControl, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the mean effect on the treated and the effect in each period; see `SyntheticControl`.

    `brief` leaves out intervals that take long by period, for loops that only need the average.
    """
    made = with_placebos(design, parse(design, frame))
    inference = infer(design, made, brief=brief)
    path = average_path(made, [fit.gaps for fit in made.fits])
    effect = overall(made, path)
    facts = _facts(design, made, inference, effect)
    return Result(
        design=design,
        headline=_headline(design, made, inference, effect, facts),
        estimates=_estimates(made, inference, path, effect),
        series=_series(made, path, inference),
        weights=_weights(made),
        facts=pd.Series(facts, dtype=object),
        notes=(*made.pool.notes, *_notes(made), *inference.notes),
        kernel=made,
    )


def with_placebos(design: SyntheticControl, made: Synthetic) -> Synthetic:
    """With every donor of each series in turn as if it had been treated."""
    found = [placebos(design, problem, made.fit) for problem in made.problems]
    complete = tuple(held for held in found if held is not None)
    return replace(made, placebos=complete if len(complete) == len(found) else None)


def _estimates(made: Synthetic, inference: Inference, path: Path, effect: float) -> pd.DataFrame:
    whole = _row("ATT", effect, inference.low, inference.high, inference.p_value)
    rows = [whole]
    if (events := events_row(made, effect, inference.low, inference.high)) is not None:
        rows.append(events)
    before, after = path.at < 0, path.at >= 0
    early = pd.DataFrame(
        {"term": "gap before the start", "at": path.at[before].astype(float), "estimate": path.gap[before]}
    )
    late = pd.DataFrame(
        {
            "term": "effect in period",
            "at": path.at[after].astype(float),
            "estimate": path.gap[after],
            "conf_low": inference.lows,
            "conf_high": inference.highs,
            "p_value": inference.p_values,
        }
    )
    table = pd.concat([pd.DataFrame(rows), early.dropna(subset=["estimate"]), late], ignore_index=True)
    return table.assign(std_error=np.nan)[
        ["term", "at", "estimate", "std_error", "conf_low", "conf_high", "p_value"]
    ]


def _row(term: str, estimate: float, low: float, high: float, p_value: float) -> dict[str, Any]:
    return {
        "term": term,
        "at": np.nan,
        "estimate": estimate,
        "conf_low": low,
        "conf_high": high,
        "p_value": p_value,
    }


def _series(made: Synthetic, path: Path, inference: Inference) -> pd.DataFrame:
    """Observed and synthetic path, with the interval of what would have been; and the plain mean of
    donors."""
    rows = path.at >= 0
    observed = average_path(made, [problem.target for problem in made.problems])
    donors = average_path(made, [problem.donors.mean(axis=1) for problem in made.problems])
    low, high = np.full(len(path.at), np.nan), np.full(len(path.at), np.nan)
    finite = np.isfinite(inference.lows) & np.isfinite(inference.highs)
    low[rows] = np.where(finite, observed.gap[rows] - inference.highs, np.nan)
    high[rows] = np.where(finite, observed.gap[rows] - inference.lows, np.nan)
    time = made.pool.panel.periods.axis() if len(made.problems) == 1 else pd.Index(path.at)
    treated = {
        "time": time,
        "group": "treated",
        "observed": observed.gap,
        "counterfactual": observed.gap - path.gap,
        "conf_low": low,
        "conf_high": high,
    }
    comparison = {"time": time, "group": "comparison", "observed": donors.gap}
    return pd.concat([pd.DataFrame(treated), pd.DataFrame(comparison)], ignore_index=True)


def _weights(made: Synthetic) -> pd.DataFrame:
    problem = made.problems[0]
    return pd.DataFrame(
        {"row": list(problem.names), "group": "donor", "weight": made.donor_weights}
    ).sort_values("weight", ascending=False, ignore_index=True, kind="stable")


def _facts(design: SyntheticControl, made: Synthetic, inference: Inference, effect: float) -> dict[str, Any]:
    pool, problem = made.pool, made.problems[0]
    labels = pool.labels
    path = average_path(made, [fit.gaps for fit in made.fits])
    expected = overall(made, average_path(made, [held.target for held in made.problems])) - effect
    naive = naive_fit(made)
    facts: dict[str, Any] = {
        "treated units": int(pool.treated.sum()),
        "donors": len(problem.names),
        "periods fitted": problem.stop - problem.begin,
        "periods from the start on": pool.n_periods - pool.start,
        "first period fitted": labels[problem.begin],
        "start": labels[pool.start],
        "last period": labels[-1],
        "root mean squared gap before the start": path.rmspe,
        "the same of the plain mean of the donors": naive["mean of the donors"],
        "the same of that mean at the level of the treated": naive["mean of the donors, level shifted"],
        "fits better than the shifted mean": path.rmspe
        <= naive["mean of the donors, level shifted"] * (1 + ROUNDING),
        "effective number of donors": effective(made.donor_weights),
        "largest weight": float(np.abs(made.donor_weights).max()),
        "expected level without the intervention": expected,
        "effect as share of the expected level": effect / expected if expected > 0 else np.nan,
        "effect added up over the periods": float(path.gap[path.at >= 0].sum()),
        **(
            {"rank among all units": inference.rank, "units ranked": inference.units}
            if inference.units > 1
            else {}
        ),
        "interval by": inference.label,
    }
    return facts


def naive_fit(made: Synthetic) -> Mapping[str, float]:
    """Root mean squared gaps of simpler predictions before the start, over all treated series."""
    found = [
        naive_rmspe(
            problem.target[problem.begin :], problem.donors[problem.begin :], problem.stop - problem.begin
        )
        for problem in made.problems
    ]
    return {name: float(np.sqrt(np.mean([held[name] ** 2 for held in found]))) for name in found[0]}


def effective(weights: np.ndarray) -> float:
    """How many equally weighted donors the weights amount to: 1 / sum of squares."""
    return float(1 / (weights**2).sum())


def _notes(made: Synthetic) -> tuple[str, ...]:
    found = list(dict.fromkeys(note for fit in made.fits for note in fit.notes))
    if not all(fit.identified for fit in made.fits):
        if made.problems[0].predictors is None:
            found.append(
                "weights: other weights of the donors fit as well (more donors than fitted periods); those"
                " with the smallest sum of squares were taken."
            )
            return tuple(found)
        found.append(
            "weights: other weights of the donors fit the predictors as well (the treated unit lies inside"
            " what the donors span); those that fit the outcome before the start best were taken."
        )
    return tuple(found)


def _headline(
    design: SyntheticControl, made: Synthetic, inference: Inference, effect: float, facts: Mapping[str, Any]
) -> str:
    quantity = design.measured_in or design.outcome.replace("_", " ")
    whose = made.problems[0].label if len(made.problems) == 1 else plural(len(made.problems), "treated unit")
    if not facts["fits better than the shifted mean"]:
        return (
            f"The donors do not reproduce {quantity} of {whose} before the start: the root mean squared gap"
            f" is {shown(facts['root mean squared gap before the start'])}, no better than the"
            f" {shown(facts['the same of that mean at the level of the treated'])} of the plain mean of the"
            " donors moved to its level. No effect is stated; find closer donors, or let a constant"
            " distance remain (method='demeaned')."
        )
    ends = interval(inference.low, inference.high, design.level, inference.label)
    share = share_of_expected(facts["effect as share of the expected level"])
    return (
        f"From {made.pool.labels[made.pool.start]} on, {quantity} of {whose}: on average {signed(effect)}"
        f" ({ends}) compared with its synthetic control.{share}{_ranked(inference)}"
    )


def _ranked(inference: Inference) -> str:
    if inference.units < 2:
        return ""
    return f" Its change in fit ranks {inference.rank} of {inference.units} units."
