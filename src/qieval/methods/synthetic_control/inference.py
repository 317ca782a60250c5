"""p-values and intervals: permutation of the intervention over the donors, or over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.numerics import conformal, placebo_inversion, prediction_intervals
from qieval.numerics.synthetic_did_errors import assignments, n_assignments
from qieval.progress import progress
from qieval.synthetic import Placebos, Problem, Synthetic, reaches, times
from qieval.text import plural

PERFECT = 1e-20
"""A mean squared gap before the start below this share of the overall one is a perfect fit."""


@dataclass(frozen=True, eq=False)
class Inference:
    """What can be said about chance: p-value and interval of the average effect, and by relative period.

    at (m,): periods relative to the start; low, high, p_value of each (NaN where there is none); rank: the
    place of the treated among all units by the ratio of mean squared gaps, of `units` units.
    """

    p_value: float
    low: float
    high: float
    at: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    p_values: np.ndarray
    label: str
    rank: int = 0
    units: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Path:
    """The gaps of all series lined up by time since their start, and averaged.

    at (m,); gap (m,): mean over the series seen then, by their share; rmspe: root mean squared gap of the
    fitted periods, over all series.
    """

    at: np.ndarray
    gap: np.ndarray
    rmspe: float


def average_path(made: Synthetic, gaps: list[np.ndarray]) -> Path:
    """Line up gaps (T,) of each series (fitted or placebo) by the time since its start."""
    starts = [problem.start for problem in made.problems]
    length = made.pool.n_periods
    at = np.arange(min(-start for start in starts), max(length - start for start in starts))
    table = np.full((len(starts), len(at)), np.nan)
    for row, (start, gap) in enumerate(zip(starts, gaps, strict=True)):
        table[row, -start - at[0] : length - start - at[0]] = gap
    known = ~np.isnan(table)
    weight = known / np.maximum(known.sum(axis=0), 1)
    mean = np.where(known.any(axis=0), (np.where(known, table, 0.0) * weight).sum(axis=0), np.nan)
    squares = [np.mean(gap[problem.fitted] ** 2) for problem, gap in zip(made.problems, gaps, strict=True)]
    return Path(at, mean, float(np.sqrt(np.mean(squares))))


def infer(design: SyntheticControl, made: Synthetic, *, brief: bool) -> Inference:
    """The inference that the design asks for; 'automatic' takes the first that can reach the level."""
    kind = _settled(design, made)
    path = average_path(made, [fit.gaps for fit in made.fits])
    at = path.at[path.at >= 0]
    by_placebo = _by_placebo(design, made, path, at)
    if kind == "placebo":
        return by_placebo
    problem = made.problems[0]
    if kind == "conformal":
        return _by_conformal(design, problem, by_placebo, at, brief)
    if kind == "prediction":
        return _by_prediction(design, problem, by_placebo, at)
    note = (
        f"interval: with {plural(len(problem.names), 'donor')} and"
        f" {plural(problem.stop - problem.begin, 'fitted period')} no test can reach a level of"
        f" {design.level:.0%}, so there is no interval."
    )
    none = np.full(len(at), np.nan)
    return Inference(
        by_placebo.p_value,
        -np.inf,
        np.inf,
        at,
        none,
        none,
        none,
        "none possible",
        by_placebo.rank,
        by_placebo.units,
        (note,),
    )


def _settled(design: SyntheticControl, made: Synthetic) -> str:
    """Which kind of inference is used."""
    single, outcomes = len(made.problems) == 1, _refits_outcomes(design)
    if design.inference in ("conformal", "prediction") and not single:
        raise EstimationError(
            f"inference: '{design.inference}' works on one treated series, and there are"
            f" {len(made.problems)}. Set several='average' or inference='placebo'."
        )
    if design.inference == "prediction" and not (design.method == "classic" and not design.predictors):
        raise EstimationError(
            "inference: prediction intervals are worked out for method='classic' without predictors. Choose"
            " inference='placebo' or 'conformal'."
        )
    if design.inference != "automatic":
        return design.inference
    if made.placebos is not None and _placebos_reach(design, made):
        return "placebo"
    problem = made.problems[0]
    if single and outcomes and reaches(problem.stop - problem.begin + 1, design.level):
        return "conformal"
    return "none"


def _placebos_reach(design: SyntheticControl, made: Synthetic) -> bool:
    """Whether the permutation test over donors can reject at the level of the design."""
    donors, groups = len(made.problems[0].names), _group_sizes(made)
    if sum(groups) > donors:
        return False
    possible = donors if len(made.problems) == 1 else n_assignments(donors, groups)
    return reaches(min(possible, max(design.draws, donors)) + 1, design.level)


def _group_sizes(made: Synthetic) -> list[int]:
    """How many treated series start together, in the order of their starts."""
    starts = [problem.start for problem in made.problems]
    return [starts.count(start) for start in sorted(set(starts))]


def _refits_outcomes(design: SyntheticControl) -> bool:
    """Whether the weights come from outcomes, so that a test over time can fit them again under each null."""
    return design.method in ("classic", "demeaned") and not design.predictors


def ratios(made: Synthetic, series: int = 0) -> np.ndarray:
    """Mean squared gap after over before of the treated series (first) and its placebos (1 + m,)."""
    problem, fit, others = made.problems[series], made.fits[series], _placebos(made)[series]
    return problem.change_in_fit(np.column_stack([fit.gaps, others.gaps]))


def _placebos(made: Synthetic) -> tuple[Placebos, ...]:
    if made.placebos is None:
        raise EstimationError(
            "inference: placebos need at least two donors, since each donor is compared with the others."
            " Add donors or choose inference='conformal'."
        )
    return made.placebos


def _by_placebo(design: SyntheticControl, made: Synthetic, path: Path, at: np.ndarray) -> Inference:
    if made.placebos is None:
        none = np.full(len(at), np.nan)
        return Inference(np.nan, -np.inf, np.inf, at, none, none, none, "none possible")
    if len(made.problems) > 1:
        return _by_groups(design, made, path, at)
    problem, fit = made.only
    others = made.placebos[0]
    ratio = ratios(made)
    rank = 1 + int((ratio[1:] >= ratio[0]).sum())
    gaps = np.column_stack([fit.gaps, others.gaps])
    exact = (gaps[problem.fitted] ** 2).mean(axis=0) <= PERFECT * (gaps[problem.begin :] ** 2).mean()
    if exact[0] or exact[1:].all():
        return _without_interval(rank, len(ratio), at)
    low, high, notes = _inverted(design, problem, gaps, exact)
    if np.isnan([low, high]).all():
        notes = (*notes, "interval: no constant effect is compatible with the data; it changes over time.")
    spread = times(
        np.abs(others.gaps[problem.after]),
        np.broadcast_to(
            np.sqrt((others.gaps[problem.fitted] ** 2).mean(axis=0)), others.gaps[problem.after].shape
        ),
    )
    lows, highs, p_values = _pointwise(path.gap[path.at >= 0], path.rmspe, spread, 1 - design.level)
    return Inference(
        rank / len(ratio),
        low,
        high,
        at,
        lows,
        highs,
        p_values,
        "placebos in space",
        rank,
        len(ratio),
        notes,
    )


def _inverted(
    design: SyntheticControl, problem: Problem, gaps: np.ndarray, exact: np.ndarray
) -> tuple[float, float, tuple[str, ...]]:
    """The constant effects that the permutation test does not reject: low, high, notes.

    gaps (T, 1 + m): the treated unit first. Placebos that are reproduced exactly before the start (`exact`)
    have an infinite ratio, so they always count against a rejection, or no gap at all, so they never do; the
    test is inverted over the others with as many as may still be at least as large.
    """
    units, kept = gaps.shape[1], ~exact
    always = int((problem.change_in_fit(gaps[:, exact]) > 0).sum())
    allowed = int(np.floor((1 - design.level) * units + 1e-9)) - always
    notes: tuple[str, ...] = ()
    if exact.any():
        notes = (
            f"interval: {plural(int(exact.sum()), 'donor')} can be reproduced exactly before the start by the"
            " others (a copy, or more donors than periods).",
        )
    if allowed < 1:
        return -np.inf, np.inf, notes
    found = placebo_inversion.confidence_set(
        gaps[problem.begin :, kept],
        0,
        problem.stop - problem.begin,
        1 - allowed / kept.sum(),
        start=problem.start - problem.begin,
    )
    return found.low, found.high, notes


def _without_interval(rank: int, units: int, at: np.ndarray) -> Inference:
    note = (
        "interval: the treated unit (or every donor) is reproduced exactly before the start, so ratios of"
        " gaps are not defined and the test cannot be inverted. Use fewer donors or more periods before the"
        " start."
    )
    none = np.full(len(at), np.nan)
    return Inference(
        rank / units, -np.inf, np.inf, at, none, none, none, "none possible", rank, units, (note,)
    )


def _by_groups(design: SyntheticControl, made: Synthetic, path: Path, at: np.ndarray) -> Inference:
    """Groups of donors in place of the treated units, each with the start of the unit it stands for.

    All groups where there are no more of them than draws, else random ones. Donors are drawn in the order of
    their data, so that their names do not matter. Partially pooled weights are compared with groups fitted
    unit by unit.
    """
    others, sizes = _placebos(made), _group_sizes(made)
    none = np.full(len(at), np.nan)
    if len(others[0].names) < len(others):
        note = "interval: there are fewer donors than treated units, so no placebo group can be formed."
        return Inference(np.nan, -np.inf, np.inf, at, none, none, none, "none possible", notes=(note,))
    if path.rmspe == 0:
        note = "interval: the treated units are reproduced exactly, so ratios of gaps are not defined."
        return Inference(np.nan, -np.inf, np.inf, at, none, none, none, "none possible", notes=(note,))
    by_start = np.argsort([problem.start for problem in made.problems], kind="stable")
    drawn = []
    for chosen in progress(_groups(design, made, sizes), "placebo groups"):
        gaps: list[np.ndarray] = [np.empty(0)] * len(others)
        for series, donor in zip(by_start, chosen, strict=True):
            gaps[int(series)] = others[int(series)].gaps[:, donor]
        drawn.append(average_path(made, gaps))
    errors = np.array([group.rmspe for group in drawn])
    later = np.column_stack([np.abs(group.gap[group.at >= 0]) for group in drawn])
    spread = times(later, np.broadcast_to(errors, later.shape))
    effects = times(np.array([np.abs(overall(made, group)) for group in drawn]), errors)
    low, high, p_value = _pointwise(
        np.array([overall(made, path)]), path.rmspe, effects[None], 1 - design.level
    )
    lows, highs, p_values = _pointwise(path.gap[path.at >= 0], path.rmspe, spread, 1 - design.level)
    notes = (
        ()
        if made.together is None
        else (
            "interval: placebo groups are fitted unit by unit, the treated units together, so the test is"
            " approximate.",
        )
    )
    return Inference(
        float(p_value[0]),
        float(low[0]),
        float(high[0]),
        at,
        lows,
        highs,
        p_values,
        "placebo groups of donors",
        notes=notes if made.together else (),
    )


def _groups(design: SyntheticControl, made: Synthetic, sizes: list[int]) -> list[tuple[int, ...]]:
    """Donors for each start in turn: all assignments, or `draws` random ones."""
    problem = made.problems[0]
    order = np.lexsort(problem.donors[problem.fitted][::-1])
    if n_assignments(len(order), sizes) <= design.draws:
        return list(assignments([int(donor) for donor in order], sizes))
    random = np.random.default_rng(design.seed)
    return [
        tuple(int(donor) for donor in order[random.choice(len(order), sum(sizes), replace=False)])
        for _ in range(design.draws)
    ]


def overall(made: Synthetic, path: Path) -> float:
    """The mean gap over all periods with the intervention; each series weighs by its periods."""
    after = path.at >= 0
    seen = np.array(
        [sum(problem.start + step < made.pool.n_periods for problem in made.problems) for step in path.at]
    )
    return float(np.average(path.gap[after], weights=seen[after]))


def _pointwise(
    gap: np.ndarray, rmspe: float, spread: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects that a permutation test of |gap| / rmspe does not reject: low, high, p-value of none (m,).

    spread (m, placebos): the same ratio of each placebo. Where the level cannot be reached limits are
    infinite.
    """
    needed = int(np.floor(alpha * (spread.shape[1] + 1) + 1e-9))
    p_value = (1 + (spread >= (np.abs(gap) / rmspe)[:, None]).sum(axis=1)) / (spread.shape[1] + 1)
    if needed < 1:
        return np.full(len(gap), -np.inf), np.full(len(gap), np.inf), p_value
    half = rmspe * np.sort(spread, axis=1)[:, -needed]
    return gap - half, gap + half, p_value


def _by_conformal(
    design: SyntheticControl, problem: Problem, placebo: Inference, at: np.ndarray, brief: bool
) -> Inference:
    if not _refits_outcomes(design):
        raise EstimationError(
            "inference: the conformal test fits the weights to outcomes again under each hypothesis, which is"
            " defined for method='classic' without predictors and 'demeaned'. Choose inference='placebo'."
        )
    rows = np.r_[problem.begin : problem.stop, problem.start : len(problem.target)]
    target, donors, pre = problem.target[rows], problem.donors[rows], problem.stop - problem.begin
    how: Literal["demeaned", "simplex"] = "demeaned" if design.method == "demeaned" else "simplex"
    average = conformal.conformal_average(target, donors, pre, design.level, how)
    none = np.full(len(at), np.nan)
    lows, highs, p_values = none, none, none
    notes = [] if not average.reason else [f"interval: {average.reason}"]
    if np.isnan(average.low):
        notes.append(
            "interval: no constant effect is compatible with the data, so there is no interval of the mean"
            " effect; it changes over time."
        )
    if not brief:
        periods = conformal.conformal_intervals(target, donors, pre, design.level, how)
        lows, highs, p_values = periods.low, periods.high, periods.p_value
        notes += [f"interval by period: {periods.reason}"] if periods.reason else []
    return Inference(
        p_value=average.p_value,
        low=average.low,
        high=average.high,
        at=at,
        lows=lows,
        highs=highs,
        p_values=p_values,
        label="conformal test over time",
        rank=placebo.rank,
        units=placebo.units,
        notes=tuple(notes),
    )


def _by_prediction(
    design: SyntheticControl, problem: Problem, placebo: Inference, at: np.ndarray
) -> Inference:
    """Prediction intervals by period; the mean over the periods is treated as one more period to predict.

    Noise of a single period is added to the mean too, which makes its interval wide rather than narrow.
    """
    rows = np.r_[problem.begin : problem.stop, problem.start : len(problem.target)]
    target, donors, pre = problem.target[rows], problem.donors[rows], problem.stop - problem.begin
    alpha = (1 - design.level) / 2
    model = prediction_intervals.PredictionModel(
        alpha_in=alpha, alpha_out=alpha, draws=design.draws, seed=design.seed
    )
    found = prediction_intervals.prediction_intervals(target, donors, pre, model)
    mean = np.append(target[:pre], target[pre:].mean())
    means = np.vstack([donors[:pre], donors[pre:].mean(axis=0)])
    whole = prediction_intervals.prediction_intervals(mean, means, pre, replace(model, e_order=0))
    low, high = whole.effects(mean, "gaussian")[0]
    bounds = found.effects(target, "gaussian")
    notes = [
        "interval: p-values come from placebos in space, intervals from a model of the noise before the"
        " start."
    ]
    if any(found.simplified):
        notes.append("interval: there are too few periods for the model of the noise; a constant was used.")
    return replace(
        placebo,
        low=float(low),
        high=float(high),
        lows=bounds[:, 0],
        highs=bounds[:, 1],
        label="prediction intervals",
        notes=tuple(notes),
    )
