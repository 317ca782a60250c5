"""What the result of many small units hangs on: the way of judging it, of weighting, what is matched, and
neighbours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.errors import QievalError
from qieval.progress import progress
from qieval.result import NO_FIGURES, Result, Study, figures, main_estimates, overall
from qieval.text import number, plural

if TYPE_CHECKING:
    from qieval.methods.micro_synthetic_control.study import Calibrated

UNCERTAINTY = "the statement of uncertainty is approximate"
CHOICE, BESIDE = "the result does not hang on how donors are weighted", "no spillover to the donors"
MANY_TREATED = 20
"""With fewer treated units the linearised interval is too narrow."""
CHECK_DRAWS = 99
"""Random groups in the comparison of ways; the interval of the result has its own number."""
WIDER = 1.5
MOST_LEFT_OUT = 20


def ways_to_judge(study: Study) -> Check:
    """The interval by linearisation, random groups and the jackknife, side by side."""
    treated = int(study.panel.data.treated.sum())
    used = str(study.facts["interval by"])
    rows = [_from(f"as designed: {used}", study.result)]
    ways = {
        "linearised": replace(study.design, inference="linearised"),
        "permuted groups of units": replace(study.design, inference="permutation", draws=CHECK_DRAWS),
        "jackknife": replace(study.design, inference="jackknife"),
    }
    for label, design in progress(ways.items(), "ways to judge"):
        if label != used:
            rows.append(_tried(study, label, design))
    table = pd.DataFrame(rows)
    width = (table["conf_high"] - table["conf_low"]).where(lambda held: np.isfinite(held))
    wider = bool(width.max() > WIDER * width.iloc[0])
    excluded = (table["p_value"] < 1 - study.design.level)[table["p_value"].notna()]
    differ = excluded.nunique() > 1
    few = treated < MANY_TREATED
    text = f"{plural(treated, 'unit')} {'was' if treated == 1 else 'were'} treated."
    if few:
        text += f" With fewer than {MANY_TREATED} the linearised interval and the jackknife are too narrow."
    text += f" The interval is {number(float(width.iloc[0]))} wide; other ways make it " + (
        f"{number(float(width.iloc[1:].min()))} to {number(float(width.iloc[1:].max()))}."
        if width.iloc[1:].notna().any()
        else "without limits."
    )
    if differ:
        text += " They disagree on whether no effect at all is compatible with the data."
    text += (
        " All of them take units as varying one by one; units that lie together vary together, which they"
        " cannot see."
    )
    return Check(
        name="ways to judge the estimate",
        assumption=UNCERTAINTY,
        verdict="concern" if wider or differ else "information",
        text=text,
        table=table,
        picture="intervals",
    )


def several_outcomes(study: Study) -> Check:
    """All outcomes with their p-values, and those that allow for their number (Holm)."""
    name = "effects on all outcomes"
    found = main_estimates(study.result)
    if found is None or len(found) < 2:
        text = "One outcome was evaluated, so no p-value has to allow for others."
        return Check(name=name, assumption=UNCERTAINTY, verdict="information", text=text)
    table = pd.DataFrame(
        {
            "outcome": list(study.panel.outcomes),
            **{key: found[key].to_numpy() for key in ("observed", "expected", "estimate", "p_value")},
            "p_value_allowing_for_all": holm(found["p_value"].to_numpy(dtype=float)),
        }
    )
    joint = study.facts["p-value of no effect on any outcome"]
    clear = table["p_value_allowing_for_all"] < 1 - study.design.level
    text = (
        f"Of {len(table)} outcomes {int(clear.sum())} differ by more than chance would explain when their"
        f" number is allowed for. The p-value of no effect on any of them is {number(float(joint))}"
        f" ({study.facts['that p-value by']})."
    )
    return Check(name=name, assumption=UNCERTAINTY, verdict="information", text=text, table=table)


def holm(p: np.ndarray) -> np.ndarray:
    """P-values (m,) that allow for m tests (Holm 1979); NaN stays.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3)
    array([0.03, 0.06, 0.06])
    """
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def other_weights(study: Study) -> Check:
    """The estimate with the other kind of weights, and from the past of the outcome alone."""
    design = study.design
    rows = [_stated(study)]
    kinds = ("minimum norm", "raking")
    changes = {kind: replace(design, weighting=kind) for kind in kinds if kind != design.weighting}
    if design.other_outcomes:
        changes["without the other outcomes"] = _less(design, other_outcomes=())
    if design.match_on:
        changes["without any characteristic"] = _less(design, match_on=())
    if design.match_on and design.other_outcomes:
        changes["the outcome alone"] = _less(design, match_on=(), other_outcomes=())
    for label, changed in progress(changes.items(), "other weights"):
        rows.append(_tried(study, label, replace(changed, inference="linearised")))
    return _compared(study, rows, "other ways of weighting the units")


def without_each(study: Study) -> Check:
    """The estimate without each characteristic and each other outcome in turn."""
    design, name = study.design, "without each characteristic"
    parts = [("match_on", held) for held in design.match_on]
    parts += [("other_outcomes", held) for held in design.other_outcomes]
    if not parts:
        text = "Only the past of the outcome is matched; no characteristic can be left out."
        return Check(name=name, assumption=CHOICE, verdict="information", text=text)
    rows = [_stated(study)]
    for field, held in progress(parts[:MOST_LEFT_OUT], name):
        kept = tuple(other for other in getattr(design, field) if other != held)
        changed = replace(_less(design, **{field: kept}), inference="linearised")
        rows.append(_tried(study, f"without {held}", changed))
    return _compared(study, rows, name)


def neighbours(study: Study) -> Check:
    """What happens in the units that the intervention may have reached, and with them as control units."""
    design, name = study.design, "neighbouring units"
    made: Calibrated = study.panel
    if design.spillover is None:
        text = (
            "No control unit is named as reached by the intervention (`spillover`). Small units lie next to"
            " one another, so displacement and spread are the main threat: name the neighbours, and they are"
            " kept out of the pool and examined here."
        )
        return Check(name=name, assumption=BESIDE, verdict="information", text=text)
    beside = pd.to_numeric(study.frame[design.spillover]) == 1
    treated = pd.to_numeric(study.frame[design.treated]) == 1
    if not (beside & ~treated).any():
        text = f"'{design.spillover}' marks no control unit, so no neighbour can be examined."
        return Check(name=name, assumption=BESIDE, verdict="information", text=text)
    plain = replace(design, spillover=None, inference="linearised")
    moved = study.frame[~treated].assign(**{design.treated: (beside & ~treated)[~treated].astype(int)})
    rows = [
        _stated(study),
        _tried(study, "neighbours among the control units", plain),
        _tried(study, "effect on the neighbours themselves", plain, moved),
    ]
    table = pd.DataFrame(rows)
    stated, inside, own = (table.iloc[place] for place in range(3))
    units = study.frame.loc[beside & ~treated, design.unit].nunique()
    text = (
        f"{plural(units, 'neighbour')} of the {plural(int(made.data.treated.sum()), 'treated unit')} stay out"
        f" of the pool. With them as control units the estimate is {number(float(inside['estimate']))} (as"
        f" designed: {number(float(stated['estimate']))})."
    )
    text += (
        f" In the neighbours themselves the difference is {number(float(own['estimate']))}"
        f" ({number(float(own['conf_low']))} to {number(float(own['conf_high']))}, linearised)."
        if pd.notna(own["estimate"])
        else " The effect on the neighbours themselves cannot be estimated; the table says why."
    )
    return Check(
        name=name, assumption=BESIDE, verdict="information", text=text, table=table, picture="intervals"
    )


def _less(design: Any, **changes: Any) -> Any:
    """The design with less to match, and without what is gone among the approximate."""
    held = replace(design, approximately=(), **changes)
    kept = {*held.every_outcome, *held.match_on}
    return replace(held, approximately=tuple(name for name in design.approximately if name in kept))


def _stated(study: Study) -> dict[str, Any]:
    return _from("as designed", study.result)


def _tried(study: Study, label: str, design: Any, frame: pd.DataFrame | None = None) -> dict[str, Any]:
    try:
        return _from(label, study.refit(design, study.frame if frame is None else frame))
    except QievalError as cause:
        return {"label": label, **NO_FIGURES, "note": str(cause)}


def _from(label: str, result: Result) -> dict[str, Any]:
    row = overall(result)
    made: Calibrated = result.kernel
    return {
        "label": label,
        **figures(row),
        "percent_change": row.get("percent_change", np.nan),
        "effective_units": made.found.effective_units,
        "note": "" if made.found.feasible else "not all totals could be matched",
    }


def _compared(study: Study, rows: list[dict[str, Any]], name: str) -> Check:
    table = pd.DataFrame(rows)
    effect = float(study.overall["estimate"])
    good = table["estimate"].dropna()
    low, high = float(good.min()), float(good.max())
    turned, halved = low * high < 0, bool(effect and ((good / effect < 0.5) | (good / effect > 2)).any())
    text = f"The estimate runs from {number(low)} to {number(high)} (as designed: {number(effect)})"
    if turned:
        text += ": its direction depends on the choice."
    elif halved:
        text += ": its size depends on the choice."
    else:
        text += "; the choice does not decide it."
    if failed := int(table["estimate"].isna().sum()):
        text += f" {plural(failed, 'choice')} could not be estimated; the table says why."
    return Check(
        name=name,
        assumption=CHOICE,
        verdict="concern" if turned or halved else "supports",
        text=text,
        table=table,
        picture="intervals",
    )
