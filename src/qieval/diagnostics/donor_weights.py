"""Which donors carry the result, whether the weights are the only ones, and whether a donor broke away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.donor_fit import at_one_level
from qieval.errors import QievalError
from qieval.numerics.placebo_units import placebo_units
from qieval.numerics.simplex import other_weights
from qieval.progress import progress
from qieval.result import Study
from qieval.synthetic import Fitted, Placebos, Problem, Synthetic
from qieval.text import listed, number, plural

SINGLE, IDENTIFIED = "no single donor decides the result", "the weights are determined by the data"
CLEAN, ALIKE = (
    "no donor had a shock or programme of its own",
    "the donors are like the treated unit one by one",
)
HEAVY = 1e-3
"""Donors below this weight are not left out one by one; together they carry next to nothing."""
MOST_LEFT_OUT = 40
MOST_TOGETHER = 5
BREAK = 4.0
"""A donor whose gap after the start is this many times the typical one of donors, and its own before, has
broken away: in simulated panels without a shock 1 to 7 % of ledgers name one; 3 would name 6 to 12 %."""
FEWEST_FOR_BREAKS = 4
"""Among fewer donors one that breaks away moves what is usual."""
AGREEMENT = 3
"""In a search that is not complete, fewer agreeing starts than this leave doubt whether the best was
found."""


def leave_one_donor_out(study: Study) -> Check:
    """Fit again without each donor that has weight, and without the heaviest ones together."""
    made: Synthetic = study.result.kernel
    heavy = _heaviest(made)
    effect = float(study.overall["estimate"])
    if len(made.problems[0].names) == 1:
        text = "There is one donor; the estimate rests on it entirely."
        return Check(name="leave one donor out", assumption=SINGLE, verdict="concern", text=text)
    rows = [_row("all donors", made.fits, made)]
    for place in progress(heavy[:MOST_LEFT_OUT], "leave one donor out"):
        rows.append(_left_out(study, made, [int(place)]))
    for many in range(2, min(MOST_TOGETHER, len(heavy), len(made.problems[0].names) - 1) + 1):
        rows.append(_left_out(study, made, [int(place) for place in heavy[:many]]))
    table = pd.DataFrame(rows)
    single = table.iloc[1 : 1 + len(heavy[:MOST_LEFT_OUT])].dropna(subset=["estimate"])
    if single.empty:
        text = "No donor carries enough weight alone to matter, or none can be left out; the table says why."
        return Check(
            name="leave one donor out", assumption=SINGLE, verdict="information", text=text, table=table
        )
    low, high = float(single["estimate"].min()), float(single["estimate"].max())
    turned = min(low, high, effect) < 0 < max(low, high, effect)
    changed = (
        bool(((single["estimate"] / effect < 0.5) | (single["estimate"] / effect > 2)).any())
        if effect
        else False
    )
    text = (
        f"Without one donor ({plural(len(single), 'donor')} with weight tried in turn) the estimate runs from"
        f" {number(low)} to {number(high)} (all: {number(effect)})"
    )
    if turned:
        text += ": leaving out one donor is enough to change its direction."
    elif changed:
        text += ": leaving out one donor more than halves or doubles it."
    else:
        text += "."
    return Check(
        name="leave one donor out",
        assumption=SINGLE,
        verdict="concern" if turned or changed else "supports",
        text=text,
        table=table,
        picture="dots",
    )


def _heaviest(made: Synthetic) -> np.ndarray:
    weights = np.abs(made.donor_weights)
    order = np.argsort(-weights, kind="stable")
    heavy: np.ndarray = order[weights[order] > HEAVY]
    return heavy


def _left_out(study: Study, made: Synthetic, donors: list[int]) -> dict[str, Any]:
    names = [str(made.problems[0].names[place]) for place in donors]
    label = f"without {names[0]}" if len(names) == 1 else f"without the {len(names)} heaviest"
    try:
        fits = made.again(tuple(problem.without(donors) for problem in made.problems))
    except QievalError as cause:
        return {"label": label, "estimate": np.nan, "gap_before": np.nan, "note": str(cause)}
    return _row(label, fits, made)


def _row(label: str, fits: tuple[Fitted, ...], made: Synthetic) -> dict[str, Any]:
    return {"label": label, "estimate": effect_of(made, fits), "gap_before": rmspe_of(made, fits), "note": ""}


def effect_of(made: Synthetic, fits: tuple[Fitted, ...]) -> float:
    """The mean gap after the start over all treated series, each by its share."""
    found = [fit.gaps[problem.after].mean() for problem, fit in zip(made.problems, fits, strict=True)]
    return float(made.weight @ np.array(found))


def rmspe_of(made: Synthetic, fits: tuple[Fitted, ...]) -> float:
    """The root mean squared gap over the fitted periods of all treated series."""
    found = [fit.mspe(problem.fitted) for problem, fit in zip(made.problems, fits, strict=True)]
    return float(np.sqrt(np.mean(found)))


def donor_weights(design: Any, made: Synthetic) -> Check:
    """Who is in the synthetic control: the weights, and how many donors they amount to."""
    weights = made.donor_weights
    effective = float(1 / (weights**2).sum())
    order = np.argsort(-np.abs(weights), kind="stable")
    kept = [place for place in order if abs(weights[place]) > 1e-6]
    table = pd.DataFrame(
        {"donor": [str(made.problems[0].names[place]) for place in kept[:40]], "weight": weights[kept[:40]]}
    )
    text = (
        f"The weights lie on {plural(len(kept), 'donor')} of {len(weights)}, as much as"
        f" {number(effective, 2)} equally weighted donors. The largest weight is"
        f" {number(float(weights.max()), 2)}."
    )
    if (weights < -1e-6).any():
        text += " Some weights are negative: the synthetic control extrapolates beyond the donors."
    alone = bool(weights.max() > 0.9)
    if alone:
        text += " Nearly all weight lies on one donor, so this is a comparison of two units."
    return Check(
        name="weights of the donors",
        assumption=SINGLE,
        verdict="concern" if alone else "information",
        text=text,
        table=table,
        picture="weights",
    )


def weights_determined(design: Any, made: Synthetic) -> Check:
    """Are the weights optimal, the only ones, and did independent searches find the same?"""
    problem, fit = made.worst
    rows: list[dict[str, Any]] = [
        {"quantity": "relative duality gap of the weights", "value": fit.certificate}
    ]
    text = ""
    verdict = "supports"
    if np.isfinite(fit.certificate):
        bound = max(float(fit.certificate), 1e-15)
        text += f"The weights are optimal up to a relative duality gap of {bound:.0e}."
    search = fit.more.get("search")
    if search is not None and search.starts:
        rows += [
            {"quantity": "mean squared gap reached", "value": search.loss_v},
            {"quantity": "no weights of predictors reach less than", "value": search.lower_bound},
            {"quantity": "no weights of donors reach less than", "value": search.outcome_bound},
            {"quantity": "independent searches", "value": float(search.starts)},
            {"quantity": "searches that reached it", "value": float(search.agreeing)},
        ]
        text += (
            f" The mean squared gap is {number(search.loss_v, 5)}; no weights of donors whatever can reach"
            f" less than {number(search.outcome_bound, 5)}."
        )
        if search.complete:
            text += (
                " The search went through all weights of predictors: this is the best that any of them reach."
            )
        else:
            verdict = "concern" if search.agreeing < AGREEMENT else "information"
            text += (
                f" The search was not complete; {search.agreeing} of"
                f" {plural(search.starts, 'independent start')} reached this value."
            )
    if not fit.identified and problem.predictors is not None:
        verdict = "concern"
        text += (
            " The treated unit lies inside what the donors span in the predictors, so many weights share them"
            " exactly; of those, the ones that fit the outcome best were taken. Add predictors, or fit"
            " outcomes."
        )
    elif not fit.identified:
        verdict = "concern"
        text += (
            " There are more donors than fitted periods, so many weights fit as well; those with the smallest"
            " sum of squares were taken."
        )
    if _several_optima(design, problem, fit):
        verdict = "concern"
        text += " Other weights fit the outcome before the start as well (too many donors for the periods)."
    if not text:
        verdict, text = (
            "information",
            "No optimum of weights is defined, or looked for, in this way of weighting.",
        )
    return Check(
        name="optimum and uniqueness of the weights",
        assumption=IDENTIFIED,
        verdict=verdict,  # type: ignore[arg-type]
        text=text.strip(),
        table=pd.DataFrame(rows),
    )


def _several_optima(design: Any, problem: Problem, fit: Fitted) -> bool:
    """Whether other positive weights fit the outcome as well (classic and demeaned weights of one series)."""
    method = getattr(design, "method", "")
    if method not in ("classic", "demeaned") or fit.more.get("pooled") or problem.predictors is not None:
        return False
    target, donors = problem.target[problem.fitted], problem.donors[problem.fitted]
    if method == "demeaned":
        target, donors = target - target.mean(), donors - donors.mean(axis=0)
    return other_weights(donors, target, fit.weights) > 0


def donor_breaks(study: Study) -> Check:
    """Does a donor with weight leave the other donors after the start by more than donors usually do?"""
    made: Synthetic = study.result.kernel
    name = "donors that broke away"
    problem = made.problems[0]
    if len(problem.names) < FEWEST_FOR_BREAKS:
        text = "There are too few donors to tell which of them broke away from the others."
        return Check(name=name, assumption=CLEAN, verdict="information", text=text)
    others = made.placebos[0] if made.placebos else _placebos(problem)
    before = np.sqrt((others.gaps[problem.fitted] ** 2).mean(axis=0))
    growth = np.abs(others.gaps[problem.after].mean(axis=0))
    usual = float(np.median(growth))
    weights = made.donor_weights
    column = {donor: place for place, donor in enumerate(others.names)}
    heavy = [
        (donor, weight, column[donor])
        for donor, weight in zip(problem.names, weights, strict=True)
        if abs(weight) > 0.05 and donor in column
    ]
    broke = [
        donor
        for donor, _, place in heavy
        if growth[place] > BREAK * max(usual, 1e-300) and growth[place] > BREAK * before[place]
    ]
    places = [place for _, _, place in heavy]
    table = pd.DataFrame(
        {
            "label": [str(donor) for donor, _, _ in heavy],
            "weight": [weight for _, weight, _ in heavy],
            "mean_gap_after": others.gaps[problem.after].mean(axis=0)[places],
            "root_mean_squared_gap_before": before[places],
        }
    )
    if broke:
        named = listed(broke)
        text = (
            f"{named} left their own synthetic control after the start by more than {BREAK:g} times what"
            " donors usually do: something may have happened there. Find out, and leave them out if so"
            " (not_donors)."
        )
    else:
        text = (
            "No donor with a weight above 0.05 left its own synthetic control after the start by more than"
            " donors usually do. A programme that started earlier cannot be seen this way."
        )
    return Check(
        name=name, assumption=CLEAN, verdict="concern" if broke else "supports", text=text, table=table
    )


def _placebos(problem: Problem) -> Placebos:
    """Each donor against the others by outcomes alone, for methods that have no placebos of their own."""
    found = placebo_units(problem.donors[problem.begin :], problem.stop - problem.begin, demeaned=True)
    gaps = np.vstack([np.full((problem.begin, len(problem.names)), np.nan), found.gaps])
    return Placebos(names=problem.names, gaps=gaps, identified=np.ones(len(problem.names), dtype=bool))


def interpolation(design: Any, made: Synthetic) -> Check:
    """How far the donors with weight lie from the treated unit, beside its nearest donors."""
    problem, fit = made.worst
    problem = at_one_level(design, problem)
    if problem.predictors is not None:
        raw = problem.predictors.means()
    else:
        raw = np.column_stack([problem.target[problem.fitted], problem.donors[problem.fitted]])
    spread = raw.std(axis=1, ddof=1)
    x = raw / np.where(spread > 0, spread, 1.0)[:, None]
    distance = np.sqrt(((x[:, 1:] - x[:, :1]) ** 2).mean(axis=0))
    weight = np.abs(fit.weights) / np.abs(fit.weights).sum()
    own = float(weight @ distance)
    nearest = float(np.sort(distance)[: max(1, int((weight > HEAVY).sum()))].mean())
    every = float(distance.mean())
    table = pd.DataFrame(
        {
            "donors": ["those with weight, by weight", "as many nearest donors", "all donors"],
            "distance": [own, nearest, every],
        }
    )
    far = own > every
    text = (
        f"The donors with weight lie {number(own, 2)} standard deviations from the treated unit on average,"
        f" its nearest donors {number(nearest, 2)}, all donors {number(every, 2)}."
    )
    text += (
        " They are farther than donors in general: the fit averages units that are unlike the treated one"
        " on opposite sides. Compare with method='penalised'."
        if far
        else " The fit averages donors that are no farther than the pool in general."
    )
    return Check(
        name="distance of the donors used",
        assumption=ALIKE,
        verdict="concern" if far else "supports",
        text=text,
        table=table,
    )
