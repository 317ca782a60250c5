"""Effects of a fitted panel and how uncertain they are, or why that cannot be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.methods.generalised_synthetic_control.design import GeneralisedSyntheticControl
from qieval.numerics.factor_inference import (
    FEWEST_CONTROLS,
    EffectInference,
    Effects,
    block_bootstrap,
    effects,
    jackknife,
    parametric_bootstrap,
)
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.factor_study import PanelFit
from qieval.numerics.resampling import Resampling
from qieval.text import number as shown
from qieval.text import plural

MANY_TREATED = 40
"""From so many treated units on units are resampled by default (manual of R gsynth)."""
NO_WIDTH = 1e-9
"""Errors below this share of the outcome's standard deviation are rounding."""
FEW_DONORS = (
    f"interval: with fewer than {FEWEST_CONTROLS} donors their prediction errors say next to nothing about"
    " how large errors are, so no interval is given. Find more donors."
)
NO_ERRORS = (
    "interval: the donors are predicted without any error (copies of one series, or data made by a formula),"
    " so they say nothing about how large errors are, and no interval is given."
)
OFTEN = 0.05
"""A larger share of draws that cannot be estimated deserves a note."""


@dataclass(frozen=True, eq=False)
class Uncertain:
    """The average effect with its interval, effects by period since the start, and what was drawn.

    std_error, low, high, p_value: of the average. periods (k,), att, errors (k,), lows, highs, p_values: by
    period relative to the start. label: how the interval was made. drawn: the inference itself, None where
    none could be made. monte_carlo: random error of the limits of the average, 0 without draws.
    """

    average: float
    std_error: float
    low: float
    high: float
    p_value: float
    periods: np.ndarray
    att: np.ndarray
    errors: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    p_values: np.ndarray
    label: str
    drawn: EffectInference | None
    monte_carlo: float
    notes: tuple[str, ...]


def infer(design: GeneralisedSyntheticControl, fit: PanelFit) -> Uncertain:
    """Effects with intervals as the design asks for them; without where there are too few donors."""
    panel = fit.panel.take(np.flatnonzero(fit.estimable))
    kind, found = design.inference, effects(fit.panel, fit.counterfactual)
    if kind == "automatic":
        treated = int((~panel.controls).sum())
        kind = "bootstrap" if treated >= MANY_TREATED else "parametric bootstrap"
        if kind == "parametric bootstrap" and int(panel.controls.sum()) < FEWEST_CONTROLS:
            return _unknown(found, FEW_DONORS)
    drawn = draw(design, panel, fit, kind)
    if drawn.average_se <= NO_WIDTH * float(panel.y[panel.untreated].std()):
        return _unknown(found, NO_ERRORS)
    return _known(drawn, design.level)


def draw(
    design: GeneralisedSyntheticControl, panel: FactorPanel, fit: PanelFit, kind: str
) -> EffectInference:
    """The inference of one kind, with the choice of factors or penalty kept."""
    estimate = fit.recipe.estimator
    if kind == "jackknife":
        return jackknife(panel, estimate, design.level)
    resampling = Resampling(draws=design.draws, seed=design.seed, level=design.level)
    resample = block_bootstrap if kind == "bootstrap" else parametric_bootstrap
    return resample(panel, estimate, resampling)


def _unknown(found: Effects, why: str) -> Uncertain:
    nothing = np.full(len(found.periods), np.nan)
    return Uncertain(
        average=found.average,
        std_error=np.nan,
        low=np.nan,
        high=np.nan,
        p_value=np.nan,
        periods=found.periods,
        att=found.att,
        errors=nothing,
        lows=nothing,
        highs=nothing,
        p_values=nothing,
        label="no interval",
        drawn=None,
        monte_carlo=0.0,
        notes=(why,),
    )


def _known(drawn: EffectInference, level: float) -> Uncertain:
    found = drawn.effects
    return Uncertain(
        average=found.average,
        std_error=drawn.average_se,
        low=drawn.average_low,
        high=drawn.average_high,
        p_value=drawn.p_value,
        periods=found.periods,
        att=found.att,
        errors=drawn.se,
        lows=drawn.low,
        highs=drawn.high,
        p_values=_p_values(drawn),
        label=drawn.method,
        drawn=drawn,
        monte_carlo=limits_error(drawn.errors, level),
        notes=tuple(_notes(drawn, level)),
    )


def _p_values(drawn: EffectInference) -> np.ndarray:
    """By period: the share of drawn errors at least as large as the effect; of the jackknife from t."""
    att = drawn.effects.att
    if not len(drawn.errors):
        treated = int(np.nanmax(drawn.effects.n_units))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(drawn.se > 0, -np.abs(att) / drawn.se, np.nan)
        return np.asarray(2 * scipy.special.stdtr(max(treated - 1, 1), ratio))
    errors = drawn.errors[:, 1:]
    known = np.isfinite(errors)
    extreme = (np.abs(errors) >= np.abs(att)) & known
    p_values = (1 + extreme.sum(axis=0)) / (1 + known.sum(axis=0))
    return np.where(known.any(axis=0) & np.isfinite(att), p_values, np.nan)


def limits_error(errors: np.ndarray, level: float) -> float:
    """The random error of the limits of the average: half the distance of the order statistics one binomial
    standard error either side of each quantile, averaged over both. 0 without draws."""
    used = np.sort(errors[:, 0][np.isfinite(errors[:, 0])]) if len(errors) else np.zeros(0)
    if len(used) < 2:
        return 0.0
    tail = (1 - level) / 2
    reach = np.sqrt(tail * (1 - tail) / len(used))
    low, high = np.clip([tail - reach, tail + reach], 0, 1)
    ends = np.quantile(used, [low, high, 1 - high, 1 - low])
    return float((ends[1] - ends[0] + ends[3] - ends[2]) / 4)


def _notes(drawn: EffectInference, level: float) -> list[str]:
    notes = []
    if drawn.method == "jackknife":
        notes.append("interval: the jackknife interval takes the estimate to follow a t distribution.")
        if not np.isfinite(drawn.average_se):
            notes.append(
                "interval: without one of the units the model could not be fitted, so the jackknife gives no"
                " interval. Take the bootstrap."
            )
        return notes
    draws = len(drawn.errors)
    notes.append(
        f"interval: the estimate less quantiles of the errors in {plural(draws, 'random draw')}; the random"
        f" error of its limits is about {shown(limits_error(drawn.errors, level), 2)}."
    )
    if drawn.n_failed > OFTEN * draws:
        notes.append(
            f"interval: {plural(drawn.n_failed, 'draw')} of {draws:,} could not be estimated; the interval"
            " rests on the others. Take fewer factors."
        )
    return notes


def facts(found: Uncertain) -> Mapping[str, object]:
    """What is to be known about the interval."""
    return {
        "interval by": found.label,
        "random draws": 0 if found.drawn is None else len(found.drawn.errors),
        "random error of the limits": found.monte_carlo,
    }
