"""What a factor model finds where there is no effect, and what its interval rests on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.factor_model import FITS, panel_fit
from qieval.errors import EstimationError
from qieval.numerics import factor_pretests
from qieval.numerics.factor_inference import (
    EffectInference,
    block_bootstrap,
    effects,
    jackknife,
    parametric_bootstrap,
)
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.factor_study import PanelFit
from qieval.numerics.resampling import Resampling
from qieval.result import NO_FIGURES, Study
from qieval.synthetic import Synthetic
from qieval.text import number, plural

UNCERTAINTY, ANTICIPATION = "the statement of uncertainty is approximate", "no anticipation"
LEFT_OUT = 3
"""Periods before the start that the placebo test leaves out (as R fect does), at most a quarter of them."""
DRAWS = 199
NOISIER = 1.5
"""Treated units this many times more variable than the donors make a parametric bootstrap too narrow."""
MANY_TREATED = 40
"""Resampling units needs about so many treated units (manual of R gsynth)."""
ALPHA = 0.05


def tests_before(study: Study) -> Check:
    """Are all effects before the start zero (joint test), and are they at least small (equivalence test)?"""
    made: Synthetic = study.result.kernel
    name, drawn = "tests of the gaps before the start", _drawn(made)
    if drawn is None or not len(drawn.errors):
        text = "These tests need the draws of a bootstrap; there are none (see the interval)."
        return Check(name=name, assumption=FITS, verdict="information", text=text)
    try:
        found = factor_pretests.pre_tests(_estimated(panel_fit(made)), drawn)
    except EstimationError as cause:
        return Check(name=name, assumption=FITS, verdict="information", text=str(cause))
    table = pd.DataFrame(
        {
            "at": found.periods,
            "gap": drawn.effects.att[np.isin(drawn.effects.periods, found.periods)],
            "p_value_of_more_than_the_bound": found.p_equivalence,
        }
    )
    missed, small = found.p_joint < ALPHA, found.p_value < ALPHA
    text = (
        f"That all gaps before the start are zero is compatible with the data as p ="
        f" {number(found.p_joint)}; that one is larger than {number(found.bound)} (0.36 standard deviations"
        f" of what plain effects leave) as p = {number(found.p_value)}."
    )
    if missed:
        text += " The model misses something that was there before the start."
    elif small:
        text += " Gaps of that size can be ruled out."
    else:
        text += (
            f" Gaps of that size cannot be ruled out; the smallest bound that could is"
            f" {number(found.smallest_bound)}."
        )
    text += " A flexible model passes both tests easily, since it was fitted to these periods."
    return Check(
        name=name,
        assumption=FITS,
        verdict="concern" if missed else "supports" if small else "information",
        text=text,
        table=table,
    )


def placebo_periods(study: Study) -> Check:
    """Leave out the last few periods before the start, and look for an effect in them."""
    panel = panel_fit(study.result.kernel).panel
    before = int(panel.pre_cells.sum(axis=1)[~panel.controls].min())
    left = max(1, min(LEFT_OUT, before // 4))
    what = f"the last {plural(left, 'period')} before the start"
    return _pretended(study, left, ("placebo periods", FITS, what))


def just_before_the_start(study: Study) -> Check:
    """Leave out the last period before the start: had the outcome of the treated moved by then?"""
    return _pretended(
        study, 1, ("jump just before the start", ANTICIPATION, "the last period before the start")
    )


def _pretended(study: Study, left: int, words: tuple[str, str, str]) -> Check:
    name, assumption, what = words
    made: Synthetic = study.result.kernel
    fit, drawn = panel_fit(made), _drawn(made)
    kind = "none" if drawn is None else drawn.method
    try:
        row = _placebo_row(study.design, fit, left, kind)
    except EstimationError as cause:
        text = f"An effect in {what} could not be looked for: {cause}"
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    table = pd.DataFrame([{"label": what, **row}])
    moved = bool(row["p_value"] < 1 - study.design.level)
    effect = float(study.overall["estimate"])
    text = (
        f"In {what}, which the model was not fitted to, the treated differ from their prediction by"
        f" {number(row['estimate'])}"
    )
    if np.isfinite([row["conf_low"], row["conf_high"]]).all():
        text += (
            f" ({study.design.level:.0%} interval {number(row['conf_low'])} to {number(row['conf_high'])})"
        )
    text += f"; the estimate is {number(effect)}."
    large = bool(abs(row["estimate"]) > 0.5 * abs(effect))
    if moved:
        text += (
            " That is more than chance alone would explain: the model misses something, or people reacted"
            " early."
        )
    elif large:
        text += " A gap more than half the size of the estimate appeared where there was no intervention."
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if moved else "information" if large or np.isnan(row["p_value"]) else "supports",
        text=text,
        table=table,
        picture="intervals" if np.isfinite(row["conf_low"]) else None,
    )


def _placebo_row(design: Any, fit: PanelFit, left: int, kind: str) -> dict[str, float]:
    """The placebo effect, its interval and p-value, with the choice of factors or penalty kept."""
    panel = _estimated(fit)
    earlier = np.where(panel.controls, panel.treated_from, panel.treated_from - design.anticipation)
    panel = factor_pretests.placebo_panel(replace(panel, treated_from=earlier), left)
    estimate = fit.recipe.estimator
    if kind == "none":
        return {**NO_FIGURES, "estimate": effects(panel, estimate(panel)).average}
    if kind == "jackknife":
        found = jackknife(panel, estimate, design.level)
    else:
        resample = block_bootstrap if kind == "block bootstrap" else parametric_bootstrap
        draws = min(design.draws, DRAWS)
        found = resample(panel, estimate, Resampling(draws=draws, seed=design.seed, level=design.level))
    return {
        "estimate": found.effects.average,
        "conf_low": found.average_low,
        "conf_high": found.average_high,
        "p_value": found.p_value,
    }


def uncertainty(study: Study) -> Check:
    """What the interval rests on: donors, treated units, equal noise, and the rank among placebos."""
    made: Synthetic = study.result.kernel
    fit, drawn = panel_fit(made), _drawn(made)
    name, facts = "what the interval rests on", study.facts
    if drawn is None:
        text = "The donors cannot tell how large errors of prediction are, so there is no interval."
        return Check(name=name, assumption=UNCERTAINTY, verdict="concern", text=text)
    donors, treated = int(fit.panel.controls.sum()), int(facts["treated units"])
    text, weak = f"The interval is by {drawn.method}.", False
    if drawn.method == "parametric bootstrap":
        few = donors < 1 / (1 - study.design.level)
        ratio = _noise(fit)
        text += (
            f" It takes the errors of {plural(donors, 'donor')}, each predicted as if treated, as those of"
            f" the treated; before the start the treated vary {number(ratio, 2)} times as much around their"
            " prediction as the donors do."
        )
        weak = few or ratio > NOISIER
        text += " So few donors say little about the ends of the interval." if few else ""
        text += " The interval is too narrow then." if ratio > NOISIER else ""
        text += (
            " The interval is too wide then: the model suits the treated better than the donors; compare with"
            " more factors."
            if ratio < 1 / NOISIER
            else ""
        )
    else:
        weak = treated < MANY_TREATED
        text += f" It draws on {plural(treated, 'treated unit')}."
        text += f" With fewer than about {MANY_TREATED} it is too narrow." if weak else ""
    if "units ranked" in facts.index:
        text += (
            f" By the change in fit the treated rank {facts['rank among all units']} of"
            f" {facts['units ranked']} when every donor in turn is taken as treated."
        )
    text += " The choice of factors or penalty is taken as given."
    return Check(name=name, assumption=UNCERTAINTY, verdict="concern" if weak else "information", text=text)


def _noise(fit: PanelFit) -> float:
    """Root mean squared gaps of treated units before the start over those of the donors."""
    known = np.isfinite(fit.gaps)
    own = fit.gaps[fit.panel.pre_cells & known]
    others = fit.gaps[fit.panel.untreated & fit.panel.controls[:, None] & known]
    size = float(np.sqrt(np.mean(others**2)))
    return float(np.sqrt(np.mean(own**2)) / size) if size > 0 else float("nan")


def _drawn(made: Synthetic) -> EffectInference | None:
    return made.fits[0].more.get("inference")


def _estimated(fit: PanelFit) -> FactorPanel:
    """The panel of the units that have a counterfactual: that of the interval."""
    return fit.panel.take(np.flatnonzero(fit.estimable))
