"""The estimate under other factor models, and without single donors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.factor_model import panel_fit
from qieval.errors import EstimationError
from qieval.numerics.factor_inference import effects
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.factor_study import PanelFit, Recipe, fit_panel
from qieval.numerics.interactive_effects import Source
from qieval.progress import progress
from qieval.result import Study
from qieval.synthetic import Synthetic
from qieval.text import number, plural

MODELS, SINGLE = "the result does not hang on the model", "no single donor decides the result"
HALF = 0.5
MOST_LEFT_OUT = 40
"""With more donors those with the largest implied weights are left out one by one."""


def other_models(study: Study) -> Check:
    """The estimate with a factor more or fewer, from other cells, by the other estimator, and without
    factors."""
    fit = panel_fit(study.result.kernel)
    rows = [
        {"label": "as designed", "rank": fit.rank, "estimate": float(study.overall["estimate"]), "note": ""}
    ]
    for label, recipe in progress(_others(fit), "other models"):
        rows.append(_row(label, fit.panel, recipe))
    table = pd.DataFrame(rows)
    compared = table[table["label"] != "no factors"]["estimate"].dropna()
    effect = float(study.overall["estimate"])
    turned = bool((compared * effect <= 0).any()) and effect != 0
    low, high = float(study.overall["conf_low"]), float(study.overall["conf_high"])
    outside = bool(((compared < low) | (compared > high)).any())
    far = bool(((compared - effect).abs() > HALF * abs(effect)).any())
    text = (
        f"Other numbers of factors and the other ways of estimating give {number(float(compared.min()))} to"
        f" {number(float(compared.max()))} (as designed: {number(effect)})"
    )
    plain = table.loc[table["label"] == "no factors", "estimate"]
    if len(plain) and np.isfinite(plain.iloc[0]):
        text += f"; without any factor, which is difference-in-differences, {number(float(plain.iloc[0]))}"
    text += "."
    if turned:
        text += " Their direction differs."
    elif outside:
        text += " Some lie outside the interval, which takes the model as given."
    elif far:
        text += " They differ by more than half of the estimate."
    return Check(
        name="other models",
        assumption=MODELS,
        verdict="concern"
        if turned and _decided(study)
        else "information"
        if turned or outside or far
        else "supports",
        text=text,
        table=table,
        picture="dots",
    )


def _others(fit: PanelFit) -> list[tuple[str, Recipe]]:
    """Recipes beside the one used, in words."""
    used = fit.recipe
    if used.completion:
        factors = replace(used, completion=False, factors=None, force="two-way")
        found = [
            ("factors from units never treated", replace(factors, source="controls")),
            ("factors from all untreated cells", replace(factors, source="untreated")),
        ]
        found += [
            (f"penalty {word}", replace(used, penalty=(used.penalty or 0.0) * times))
            for word, times in (("halved", 0.5), ("doubled", 2.0))
        ]
        return [*found, ("no factors", replace(factors, factors=0))]
    other: Source = "untreated" if used.source == "controls" else "controls"
    told = "all untreated cells" if other == "untreated" else "units never treated"
    found = [(plural(many, "factor"), replace(used, factors=many)) for many in (fit.rank - 1, fit.rank + 1)]
    found = [(label, recipe) for label, recipe in found if (recipe.factors or 0) > 0]
    found += [
        (f"factors from {told}", replace(used, source=other)),
        ("matrix completion", replace(used, completion=True, penalty=None)),
    ]
    return found + ([("no factors", replace(used, factors=0))] if fit.rank else [])


def _row(label: str, panel: FactorPanel, recipe: Recipe) -> dict[str, Any]:
    try:
        found = fit_panel(panel, recipe)
        effect = effects(panel, found.counterfactual).average
    except EstimationError as cause:
        return {"label": label, "rank": np.nan, "estimate": np.nan, "note": str(cause)}
    return {"label": label, "rank": found.rank, "estimate": effect, "note": ""}


def _decided(study: Study) -> bool:
    """Whether the estimate differs from none beyond its interval; an estimate near none may well turn."""
    p_value = float(study.overall["p_value"])
    return not p_value >= 1 - study.design.level


def leave_one_donor_out(study: Study) -> Check:
    """Fit again without each donor (at most those with the largest implied weights)."""
    made: Synthetic = study.result.kernel
    fit, name = panel_fit(made), "leave one donor out"
    donors = np.flatnonzero(fit.panel.controls)
    if len(donors) == 1:
        text = "There is one donor; the estimate rests on it entirely."
        return Check(name=name, assumption=SINGLE, verdict="concern", text=text)
    effect = float(study.overall["estimate"])
    size = np.abs(fit.donor_weights(np.flatnonzero(~fit.panel.controls & fit.estimable)))
    names = made.fits[0].more["units of the panel"]
    rows = [{"label": "all donors", "rank": fit.rank, "estimate": effect, "note": ""}]
    for place in progress(np.argsort(-size, kind="stable")[:MOST_LEFT_OUT], name):
        rest = fit.panel.take(np.delete(np.arange(len(fit.panel.y)), donors[place]))
        rows.append(_row(f"without {names[donors[place]]}", rest, fit.recipe))
    table = pd.DataFrame(rows)
    single = table.iloc[1:].dropna(subset=["estimate"])["estimate"]
    if single.empty:
        text = "No donor could be left out; the table says why."
        return Check(name=name, assumption=SINGLE, verdict="concern", text=text, table=table)
    turned = bool((single * effect <= 0).any()) and effect != 0
    halved = bool((single / effect < HALF).any()) if effect else False
    text = (
        f"Without each of {plural(len(single), 'donor')} in turn the estimate runs from"
        f" {number(float(single.min()))} to {number(float(single.max()))} (all: {number(effect)})"
    )
    text += (
        ": leaving out one donor is enough to change its direction."
        if turned
        else ": leaving out one donor more than halves it."
        if halved
        else "."
    )
    return Check(
        name=name,
        assumption=SINGLE,
        verdict="supports" if not (turned or halved) else "concern" if _decided(study) else "information",
        text=text,
        table=table,
        picture="dots",
    )
