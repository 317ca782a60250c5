"""How well the donors reproduce the treated unit before the start, and whether that means anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.numerics.short_series import naive_rmspe, simulated_bias
from qieval.numerics.simplex import is_inside_hull
from qieval.shapes import Panel
from qieval.synthetic import Fitted, Problem, Synthetic
from qieval.text import listed, number, plural

GOOD_FIT, LONG_ENOUGH = (
    "the donors reproduce the treated unit before the start",
    "enough periods before the start",
)
POOL = "no donor had a shock or programme of its own"
FEW_PERIODS = 10
"""Fewer fitted periods are a red flag whatever the number of donors (Abadie 2021 asks for a sizable
number)."""
LARGE_BIAS = 2.0
"""Where simulated gaps after the start are that many times those before it, the fit follows noise."""

OnFit = Callable[[Any, Synthetic], Check]


def on_panel(check: Callable[[Any, Panel], Check]) -> Callable[[Any, Synthetic], Check]:
    """A check of the parsed rows as a check of a synthetic control."""

    def made(design: Any, synthetic: Synthetic) -> Check:
        return check(design, synthetic.pool.panel)

    made.__name__, made.__doc__ = check.__name__, check.__doc__
    return made


def fit_before(design: Any, made: Synthetic) -> Check:
    """The root mean squared gap before the start beside those of simpler predictions."""
    rows = []
    for problem, fit in zip(made.problems, made.fits, strict=True):
        found = _naive(problem)
        rows.append({"synthetic control": _rmspe(problem, fit), **found})
    mean = np.sqrt((pd.DataFrame(rows) ** 2).mean())
    spread = float(np.std(np.concatenate([problem.target[problem.fitted] for problem in made.problems])))
    table = pd.DataFrame({"prediction": mean.index, "root_mean_squared_gap": mean.to_numpy()})
    own, plain, shifted = (
        float(mean.iloc[0]),
        float(mean["mean of the donors"]),
        float(mean["mean of the donors, level shifted"]),
    )
    text = (
        f"Over {plural(made.problems[0].stop - made.problems[0].begin, 'fitted period')} the root mean"
        f" squared gap is {number(own)}; the plain mean of the donors misses by {number(plain)}, moved to"
        f" the level of the treated by {number(shifted)}."
    )
    poor = own > shifted
    if poor:
        text += (
            " The weights are worse than moving the plain mean, so the gap after the start is not an"
            " effect. Find closer donors or let a constant distance remain (method='demeaned')."
        )
    elif own < 1e-10 * max(spread, 1e-300):
        text += " A perfect fit is a sign of too many donors for too few periods, not of a good one."
        poor = True
    return Check(
        name="fit before the start",
        assumption=GOOD_FIT,
        verdict="concern" if poor else "supports",
        text=text,
        table=table,
    )


def inside_the_donors(design: Any, made: Synthetic) -> Check:
    """Whether positive weights can reach the treated unit at all, predictor by predictor and jointly."""
    problem = at_one_level(design, made.worst[0])
    names, x = _to_share(problem)
    outside = [
        name
        for name, row in zip(names, x, strict=True)
        if not row[1:].min() - 1e-12 <= row[0] <= row[1:].max() + 1e-12
    ]
    distance, _ = is_inside_hull(x[:, 0], x[:, 1:])
    what = "predictors" if problem.predictors is not None else "fitted periods"
    table = pd.DataFrame(
        {
            "what": names,
            "treated": _raw(problem)[:, 0],
            "lowest_donor": _raw(problem)[:, 1:].min(axis=1),
            "highest_donor": _raw(problem)[:, 1:].max(axis=1),
        }
    ).head(40)
    if outside:
        return Check(
            name="within reach of the donors",
            assumption=GOOD_FIT,
            verdict="concern",
            text=(
                f"In {len(outside)} of {len(names)} {what} the treated unit is higher or lower than every"
                f" donor ({listed(outside)}): no weights can reproduce it there without extrapolation."
            ),
            table=table,
        )
    levels = " once each unit's own mean is taken off" if problem is not made.worst[0] else ""
    text = (
        f"The treated unit lies between the lowest and the highest donor in each of the {len(names)}"
        f" {what}{levels}."
    )
    if distance > 1e-8:
        text += " Taken together the donors come near but do not reach it exactly, as is usual."
    else:
        text += " Some weights reproduce all of them exactly, so these alone do not determine the weights."
    return Check(
        name="within reach of the donors",
        assumption=GOOD_FIT,
        verdict="supports" if distance > 1e-8 else "information",
        text=text,
        table=table,
    )


def predictor_balance(design: Any, made: Synthetic) -> Check:
    """Treated, synthetic and donor means of what the weights should share."""
    problem, fit = made.worst
    names = _to_share(problem)[0]
    raw = _raw(problem)
    spread = raw.std(axis=1, ddof=1)
    synthetic, plain = (
        raw[:, 1:] @ fit.weights + fit.shift * (problem.predictors is None),
        raw[:, 1:].mean(axis=1),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(spread > 0, (raw[:, 0] - synthetic) / spread, 0.0)
        before = np.where(spread > 0, (raw[:, 0] - plain) / spread, 0.0)
    table = pd.DataFrame(
        {
            "what": names,
            "treated": raw[:, 0],
            "synthetic": synthetic,
            "mean_of_donors": plain,
            "difference_before": before,
            "difference_after": left,
        }
    )
    if fit.predictor_weights is not None:
        table["weight_of_predictor"] = fit.predictor_weights
    worst = int(np.argmax(np.abs(left)))
    text = (
        f"After weighting the largest difference is {number(abs(float(left[worst])), 2)} standard deviations"
        f" of the units ({names[worst]}); for the plain mean of the donors it was"
        f" {number(float(np.abs(before).max()), 2)}."
    )
    if len(made.problems) > 1:
        text = f"Of the treated units {problem.label} fits worst. {text}"
    far = bool(np.abs(left[worst]) > 0.5)
    return Check(
        name="balance of what is shared",
        assumption=GOOD_FIT,
        verdict="concern" if far else "supports",
        text=text,
        table=table,
        picture="shared",
    )


def enough_periods(design: Any, made: Synthetic) -> Check:
    """A short time before the start, or many donors for it, fits noise: the error is shown by simulation."""
    shortest = min(made.problems, key=lambda held: held.stop - held.begin)
    problem = at_one_level(design, shortest)
    fitted, donors = problem.stop - problem.begin, len(problem.names)
    before = problem.donors[problem.fitted]
    table, text = None, f"There are {plural(fitted, 'fitted period')} and {plural(donors, 'donor')}."
    large = 0.0
    if fitted >= 4 and donors >= 2:
        found = simulated_bias(before, problem.target[problem.fitted], seed=design.seed)
        table = pd.DataFrame(found.columns())
        now = table.loc[table["periods_before"] == fitted].iloc[0]
        large = float(now["rmse"]) / max(float(now["rmse_before"]), 1e-300)
        text += (
            " In series simulated like these donors, without any effect, a synthetic control from that many"
            f" periods misses by {number(float(now['rmse']))} on average after the start"
            f" ({number(float(now['rmse_before']))} before it)."
        )
    short, many = fitted < FEW_PERIODS, donors > fitted
    if short:
        text += f" Fewer than {FEW_PERIODS} periods are a short time: estimates from it are biased."
    if many:
        text += " There are more donors than periods, so part of the fit is chance; leave out unlike donors."
    return Check(
        name="length of the time before the start",
        assumption=LONG_ENOUGH,
        verdict="concern" if short or large > LARGE_BIAS else "information" if many else "supports",
        text=text,
        table=table,
    )


def pool_of_donors(design: Any, made: Synthetic) -> Check:
    """How the donor pool came about: each rule with the donors that it leaves."""
    rules = made.pool.rules
    last = int(rules["donors"].iloc[-1])
    text = f"The pool is {plural(last, 'donor')} of {plural(int(rules['donors'].iloc[0]), 'untreated unit')}."
    judged = (design.donors, design.not_donors, design.similar_intervention, design.spillover)
    unsaid = not any(judged) and POOL not in design.arguments
    if unsaid:
        text += (
            " No unit was kept out by judgement: say which had a similar intervention, were reached by this"
            " one, or are quite unlike."
        )
    if last == 1:
        text += " A single donor is no synthetic control; this is a comparison of two units."
    return Check(
        name="donor pool",
        assumption=POOL,
        verdict="concern" if last == 1 else "information",
        text=text,
        table=rules,
    )


def at_one_level(design: Any, problem: Problem) -> Problem:
    """Each series less its own mean over the fitted periods, for methods that let a distance remain."""
    if not design.levels_may_differ:
        return problem
    rows = problem.fitted
    return replace(
        problem,
        target=problem.target - problem.target[rows].mean(),
        donors=problem.donors - problem.donors[rows].mean(axis=0),
    )


def _rmspe(problem: Problem, fit: Fitted) -> float:
    return float(np.sqrt(fit.mspe(problem.fitted)))


def _naive(problem: Problem) -> dict[str, float]:
    rows = problem.fitted
    return dict(naive_rmspe(problem.target[rows], problem.donors[rows], problem.stop - problem.begin))


def _raw(problem: Problem) -> np.ndarray:
    """What the weights should share in its own units (k, 1 + j)."""
    if problem.predictors is not None:
        return problem.predictors.means()
    return np.column_stack([problem.target[problem.fitted], problem.donors[problem.fitted]])


def _to_share(problem: Problem) -> tuple[list[str], np.ndarray]:
    """Names and values in units of their spread over all units (k, 1 + j)."""
    raw = _raw(problem)
    spread = raw.std(axis=1, ddof=1)
    spread = np.where(spread > 0, spread, 1.0)
    if problem.predictors is not None:
        return list(problem.predictors.names), raw / spread[:, None]
    return [f"period {code - problem.start}" for code in range(problem.begin, problem.stop)], raw / spread[
        :, None
    ]
