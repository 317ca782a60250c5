"""Placebos of a synthetic control: other units, earlier dates, other times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.numerics.conformal import conformal_average
from qieval.numerics.placebo_inversion import tilt_to_change
from qieval.progress import progress
from qieval.result import Study
from qieval.synthetic import Placebos, Problem, Synthetic, reaches
from qieval.text import number, plural

UNCERTAINTY = "the statement of uncertainty is approximate"
FILTERS = (float("inf"), 20.0, 5.0, 2.0)
"""Placebos whose mean squared gap before the start is more than this many times the treated unit's are left
out
(Abadie, Diamond and Hainmueller 2010)."""
BEST_FITS = 0.25
"""A treated unit that fits better than three quarters of the placebos makes the test of ratios too eager."""
MOST_DATES = 8
FEWEST_FITTED = 4


def placebo_units(study: Study) -> Check:
    """Every donor in turn as if treated: where does the treated unit rank, with and without poor fits?"""
    made: Synthetic = study.result.kernel
    name = "placebos in space"
    if made.placebos is None:
        text = "There is a single donor, so no other unit has donors: there is no permutation test."
        return Check(name=name, assumption=UNCERTAINTY, verdict="concern", text=text)
    table = pd.concat([_ranks(study, series) for series in range(len(made.problems))], ignore_index=True)
    first = table.iloc[0]
    text = (
        "The ratio of mean squared gaps after and before the start of the treated unit ranks"
        f" {first['rank']} of {first['units']} (p = {number(float(first['p_value']))})."
    )
    if len(made.problems) > 1:
        text = f"Ranks of each treated unit among {first['units']} units are in the table."
    elif len(table) > 1 and table["units"].iloc[-1] > 1:
        last = table.iloc[-1]
        text += f" Among the units that fit about as well it ranks {last['rank']} of {last['units']}."
    text += (
        f" With {plural(int(first['units']), 'unit')} no p-value can be below"
        f" {number(1 / int(first['units']))}; the test takes the intervention as if it had been drawn by"
        " lot, which it was not."
    )
    unclear = int(sum((~held.identified).sum() for held in made.placebos))
    if unclear:
        text += f" The weights of {plural(unclear, 'placebo')} are not determined by the predictors."
    flattered = _fits_better(made)
    if flattered < BEST_FITS:
        text += (
            f" Only {flattered:.0%} of the placebos fit better before the start than the treated unit does."
            " Such units have large ratios without any effect: in simulations the test then rejects up to"
            " twice as often as it should. Read the conformal test beside it."
        )
    floor = not reaches(int(first["units"]), study.design.level)
    return Check(
        name=name,
        assumption=UNCERTAINTY,
        verdict="concern" if floor or flattered < BEST_FITS else "information",
        text=text,
        table=table,
    )


def _fits_better(made: Synthetic) -> float:
    """The share of placebos that fit better before the start than the treated unit; 1 for several units."""
    if made.placebos is None or len(made.problems) > 1:
        return 1.0
    problem, fit = made.only
    theirs = (made.placebos[0].gaps[problem.fitted] ** 2).mean(axis=0)
    return float((theirs < fit.mspe(problem.fitted)).mean())


def unequal_chances(study: Study) -> Check:
    """How unequal the chances of the units must have been to change the verdict of the permutation test."""
    made: Synthetic = study.result.kernel
    name = "unequal chances of the intervention"
    if made.placebos is None or len(made.problems) > 1:
        text = "This is worked out for the permutation test of one treated series and several donors."
        return Check(name=name, assumption=UNCERTAINTY, verdict="information", text=text)
    problem, fit = made.only
    gaps = np.column_stack([fit.gaps, made.placebos[0].gaps])
    ratios = problem.change_in_fit(gaps)
    found = tilt_to_change(ratios, 0, study.design.level)
    verdict = "rejects" if found.rejected else "does not reject"
    text = f"At a level of {study.design.level:.0%} the test {verdict}"
    text += " no effect when all units had the same chance of the intervention."
    if np.isfinite(found.phi):
        who = "the treated unit and units like it" if found.rejected else "all other units"
        text += f" It would be the other way round had {who} been {number(found.times, 2)} times as"
        text += " likely to get it."
    else:
        text += " No difference in chances would change that."
    return Check(name=name, assumption=UNCERTAINTY, verdict="information", text=text)


def _ranks(study: Study, series: int) -> pd.DataFrame:
    made: Synthetic = study.result.kernel
    problem, fit, others = made.problems[series], made.fits[series], (made.placebos or ())[series]
    own, theirs = fit.mspe(problem.fitted), (others.gaps[problem.fitted] ** 2).mean(axis=0)
    ratio, ratios = float(problem.change_in_fit(fit.gaps)), problem.change_in_fit(others.gaps)
    rows = []
    for limit in FILTERS:
        kept = (theirs <= limit * own) if np.isfinite(limit) else np.ones(len(theirs), dtype=bool)
        rank = 1 + int((ratios[kept] >= ratio).sum())
        rows.append(
            {
                "label": problem.label if len(made.problems) > 1 else "treated unit",
                "placebos_kept": "all" if limit == float("inf") else f"fit at most {limit:g} times worse",
                "ratio": ratio,
                "rank": rank,
                "units": int(kept.sum()) + 1,
                "p_value": rank / (int(kept.sum()) + 1),
            }
        )
    return pd.DataFrame(rows if len(made.problems) == 1 else rows[:1])


def placebo_dates(study: Study) -> Check:
    """Pretend the intervention began earlier: the synthetic control should follow the unit up to the real
    start."""
    made: Synthetic = study.result.kernel
    name, assumption = "backdating", "no anticipation"
    problem = made.problems[0]
    first = problem.begin + FEWEST_FITTED
    if first >= problem.stop:
        text = f"With {plural(problem.stop - problem.begin, 'fitted period')} no earlier date can be tried."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    middle = max(first, (problem.begin + problem.stop) // 2)
    codes = np.unique(np.linspace(middle, problem.stop - 1, MOST_DATES).round().astype(int))
    labels = made.pool.labels
    table = pd.DataFrame([_backdated(study, int(code), labels) for code in progress(codes, "earlier dates")])
    tried = table.dropna(subset=["gap_after"])
    if tried.empty:
        text = "No earlier date could be tried; the table says why."
        return Check(name=name, assumption=assumption, verdict="information", text=text, table=table)
    worst = tried.iloc[int(tried["gap_after"].abs().to_numpy().argmax())]
    effect = float(made.fits[0].gaps[problem.after].mean())
    least = tried["p_value"].min() * len(tried)
    alarm = bool(least < 1 - study.design.level)
    text = (
        f"At {plural(len(tried), 'earlier date')} the mean gap up to the real start is at most"
        f" {number(abs(float(worst['gap_after'])))} in size ({worst['label']}); the estimate is"
        f" {number(effect)}."
    )
    if alarm:
        text += " Already then the unit left its synthetic control by more than the placebos do."
    elif abs(float(worst["gap_after"])) > 0.5 * abs(effect):
        alarm = True
        text += " A gap of that size appeared where there was no intervention."
    else:
        text += " Nothing of that size appeared where there was no intervention."
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if alarm else "supports",
        text=text,
        table=table,
        picture="dates",
    )


def _backdated(study: Study, code: int, labels: list[str]) -> dict[str, Any]:
    made: Synthetic = study.result.kernel
    earlier = made.problems[0].backdated(code)
    label = f"start at {labels[code]}"
    try:
        fit = made.fit(earlier)
        gaps = _placebo_gaps(made, earlier)
    except QievalError as cause:
        return {
            "label": label,
            "gap_before": np.nan,
            "gap_after": np.nan,
            "p_value": np.nan,
            "note": str(cause),
        }
    p_value = np.nan
    if gaps is not None:
        own, ratio = earlier.change_in_fit(fit.gaps), earlier.change_in_fit(gaps)
        p_value = (1 + int((ratio >= own).sum())) / (1 + gaps.shape[1])
    return {
        "label": label,
        "gap_before": float(np.sqrt(fit.mspe(earlier.fitted))),
        "gap_after": float(fit.gaps[earlier.after].mean()),
        "p_value": p_value,
        "note": ""
        if made.problems[0].predictors is None or earlier.predictors is not None
        else "outcomes only",
    }


def _placebo_gaps(made: Synthetic, earlier: Problem) -> np.ndarray | None:
    """Gaps of placebos at an earlier date (T, m), where they cost little (weights from outcomes alone)."""
    if made.spread is None:
        return None
    found: Placebos | None = made.spread(earlier)
    return None if found is None else found.gaps


def over_time(study: Study) -> Check:
    """The test of Chernozhukov, Wüthrich and Zhu: are the gaps after the start unusual among all periods?"""
    made: Synthetic = study.result.kernel
    name = "conformal test over time"
    problem, _ = made.only
    if len(made.problems) > 1:
        text = "The test over time is made for one treated series; there are several."
        return Check(name=name, assumption=UNCERTAINTY, verdict="information", text=text)
    rows = np.r_[problem.begin : problem.stop, problem.start : len(problem.target)]
    pre = problem.stop - problem.begin
    found = conformal_average(
        problem.target[rows],
        problem.donors[rows],
        pre,
        study.design.level,
        "demeaned" if study.design.method == "demeaned" else "simplex",
    )
    table = pd.DataFrame(
        [
            {
                "label": "constant effect, weights fitted to outcomes of all periods",
                "estimate": float(study.overall["estimate"]),
                "conf_low": found.low,
                "conf_high": found.high,
                "p_value": found.p_value,
            }
        ]
    )
    share = f"{found.p_value:.1%}"
    text = f"If there is no effect, {share} of all shifts in time have gaps as large after the start."
    if np.isnan(found.low):
        text += " No constant effect is compatible with the data: it changes over time, or the fit is poor."
    elif not np.isfinite([found.low, found.high]).all():
        text += f" {found.reason}" if found.reason else " The interval has no limit."
    else:
        text += f" Constant effects from {number(found.low)} to {number(found.high)} are not rejected."
    if problem.predictors is not None:
        text += " Predictors are not used in this test."
    return Check(name=name, assumption=UNCERTAINTY, verdict="information", text=text, table=table)
