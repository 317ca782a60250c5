"""Does one choice decide the answer: other models, other splits, single rows, and when they were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.adjusted import Adjusted
from qieval.check import Check, Verdict
from qieval.cohort import is_amount
from qieval.diagnostics.other_choices import ASSUMPTION, FAR, _on_scale, _row, _stated
from qieval.diagnostics.similar_people import FEW_GROUPS
from qieval.diagnostics.unmeasured import negative_controls as plain_controls
from qieval.errors import QievalError
from qieval.numerics.adjustment_checks import influential_rows
from qieval.numerics.contrasts import Precision, all_contrasts
from qieval.numerics.means import covariance, weighted_means
from qieval.progress import progress
from qieval.result import NO_FIGURES, Study
from qieval.text import number, plural

INTERVAL = "the interval allows for how the estimate was made"
CHOSEN = "the model was chosen without looking at its answer"
MOVES = 0.5
"""A single row that moves the estimate by half a standard error decides too much of it."""

MANY_FROM_FEW = 0.5
SPREAD = 1.0
"""Splits that lie further apart than one standard error make the answer one of the draw."""

PLAIN: Mapping[str, Any] = {
    "inference": "automatic",
    "treatment_interactions": "yes",
    "interacted_with": (),
    "effect_at": {},
    "own_learners": {},
    "subgroups": (),
    "negative_controls": (),
}


def other_models(study: Study) -> Check:
    """The estimate by other estimators and terms, and without any adjustment."""
    rows = [_stated(study)]
    rows += [_row(study, label, changes) for label, changes in progress(_ways(study).items(), "other models")]
    table = pd.DataFrame(rows)
    known = table.dropna(subset=["estimate"])
    size, error = _on_scale(study, known["estimate"]), float(study.overall["std_error"])
    distance = (size - size.iloc[0]).abs() / error if error > 0 else size * np.nan
    apart = bool((distance > FAR).any())
    excluded = known["conf_low"].gt(_nothing(study)) | known["conf_high"].lt(_nothing(study))
    turned = bool((np.sign(size) != np.sign(size.iloc[0])).any() and excluded.any())
    shown = pd.concat([table, pd.DataFrame([_unadjusted(study)])], ignore_index=True)
    values = known["estimate"].to_numpy(dtype=float)
    text = (
        f"Over {plural(len(known), 'model')} the estimate runs from {number(values.min())} to"
        f" {number(values.max())} (as designed: {number(values[0])}); without adjustment it is"
        f" {number(float(shown['estimate'].iloc[-1]))}."
    )
    if apart and len(distance):
        far = known["label"].iloc[int(distance.to_numpy().argmax())]
        text += f" Furthest away: {far}, by {number(float(distance.max()), 2)} standard errors."
    if turned:
        text += " Its direction is not the same in all of them."
    if failed := len(table) - len(known):
        text += f" {plural(failed, 'model')} could not be fitted; the table says why."
    verdict: Verdict = "concern" if apart or turned else "supports" if len(known) > 2 else "information"
    return Check(
        name="other models",
        assumption=ASSUMPTION,
        verdict=verdict,
        text=text,
        table=shown,
        picture="intervals",
    )


def _nothing(study: Study) -> float:
    """No effect, in the units of the estimates."""
    return 1.0 if str(study.overall["term"]).endswith("ratio") else 0.0


def _ways(study: Study) -> dict[str, dict[str, Any]]:
    design = study.design
    ways: dict[str, dict[str, Any]] = {
        "g-computation": {**PLAIN, "estimator": "g-computation"},
        "g-computation, one slope for both groups": {
            **PLAIN,
            "estimator": "g-computation",
            "treatment_interactions": "no",
        },
        "weighting": {**PLAIN, "estimator": "weighting"},
        "doubly robust": {**PLAIN, "estimator": "doubly robust"},
    }
    if not design.person_time:
        ways["TMLE"] = {**PLAIN, "estimator": "TMLE"}
    curved = _amounts(study)
    if curved and set(curved) - set(design.squares):
        own = {name: getattr(design, name) for name in ("treatment_interactions", "interacted_with")}
        ways["as designed, with squares"] = {**PLAIN, **own, "squares": curved}
    if design.squares or design.interactions:
        ways["without squares and products"] = {**PLAIN, "squares": (), "interactions": ()}
    return {label: changes for label, changes in ways.items() if not _same(design, changes)}


def _same(design: Any, changes: Mapping[str, Any]) -> bool:
    """Whether the changes change no model."""
    told = ("inference", "effect_at", "own_learners", "subgroups", "negative_controls")
    return all(getattr(design, name) == value for name, value in changes.items() if name not in told)


def _amounts(study: Study) -> tuple[str, ...]:
    """Covariates that are amounts with more than two values."""
    rows = study.compared.cohort.rows
    return tuple(
        name
        for name in study.design.covariates
        if is_amount(rows[name]) and name not in study.design.categories and rows[name].nunique() > 2
    )


def _unadjusted(study: Study) -> dict[str, Any]:
    """The plain comparison of the groups, for scale."""
    held, term = _models(study), str(study.overall["term"])
    label = "for comparison: no adjustment"
    rate = held.sample.y / held.sample.time
    means = weighted_means(rate, held.sample.treated, held.sample.time)
    kind: Any = "risk" if "risk" in term or "odds" in term else "rate" if "rate" in term else "mean"
    precision = Precision(level=study.design.level)
    for item in all_contrasts(means, covariance(means, held.cluster), kind, precision):
        if item.name == term:
            return {
                "label": label,
                "term": term,
                "estimate": item.estimate,
                "conf_low": item.low,
                "conf_high": item.high,
                "p_value": item.p_value,
                "note": "",
            }
    return {"label": label, "term": term, **NO_FIGURES, "note": "not made for this effect"}


def splits_of_the_data(study: Study) -> Check:
    """How much of a cross-fitted estimate hangs on how the rows were cut into folds."""
    name, held = "splits of cross-fitting", _models(study)
    if not held.splits:
        text = "No random split takes part: the same data give the same answer."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    if len(held.splits) == 1:
        text = (
            "The rows were cut into folds once, so it is not known how much hangs on it. Set splits=5 or"
            " more."
        )
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    differences = [one.mean1 - one.mean0 for one in held.means()]
    table = pd.DataFrame({"split": np.arange(1, len(differences) + 1), "difference": differences})
    spread = float(np.ptp(differences))
    both = covariance(held.means()[0], held.cluster)
    error = float(np.sqrt(np.array([1, -1]) @ both @ np.array([1, -1])))
    text = (
        f"Over {plural(len(differences), 'split')} the difference runs from"
        f" {number(min(differences))} to {number(max(differences))}: a range of"
        f" {number(spread / error if error else np.nan, 2)} standard errors, by nothing but the folds."
    )
    wide = bool(spread > SPREAD * error)
    if wide:
        text += " Use more splits, or learners that are less wiggly."
    verdict: Verdict = "concern" if wide else "supports"
    return Check(name=name, assumption=ASSUMPTION, verdict=verdict, text=text, table=table)


def single_rows(study: Study) -> Check:
    """How much of the estimate single people decide, by their influence."""
    name, held = "influence of single people", _models(study)
    found = influential_rows(held.means()[0], 1)
    if not np.isfinite(found.in_errors).all():
        text = "The outcome does not vary, so nobody's influence can be told."
        return Check(name=name, assumption=INTERVAL, verdict="information", text=text)
    most = abs(float(found.in_errors[0]))
    text = (
        f"Without the one person who moves it most the difference would change by about {number(most, 2)}"
        f" standard errors; {found.top_share:.0%} of its variance comes from the one per cent with the most"
        " influence."
    )
    strong = most > MOVES
    if strong:
        text += (
            " Look whether that outcome or those characteristics are right, and what the answer is without."
        )
    verdict: Verdict = (
        "concern" if strong else "information" if found.top_share > MANY_FROM_FEW else "supports"
    )
    return Check(name=name, assumption=INTERVAL, verdict=verdict, text=text)


def interval_kind(study: Study) -> Check:
    """How the standard error was made, and whether there are enough groups for it."""
    design, cohort = study.design, study.compared.cohort
    text = f"Standard error: {study.facts.get('standard error', 'not made')}."
    verdict: Verdict = "supports" if design.inference in ("automatic", "bootstrap") else "information"
    if design.estimator == "TMLE" and design.inference == "automatic":
        text += " It is right if both models are; if one is wrong it is only approximate."
        verdict = "information"
    if cohort.cluster is not None and cohort.n_clusters < FEW_GROUPS:
        text += f" Only {cohort.n_clusters} groups of '{design.cluster}': it is probably too small."
        verdict = "concern"
    if design.cluster is None and design.units_are == "people":
        text += " If outcomes hang together within hospitals or practices, name that column as cluster."
    return Check(name="standard error", assumption=INTERVAL, verdict=verdict, text=text)


def when_chosen(study: Study) -> Check:
    """Whether the design was locked before the estimate, and what changed since."""
    result = study.result
    name = "locked beforehand"
    if result.protocol is None:
        text = (
            "No protocol was locked (qe.lock), so nothing shows that this model was settled before its answer"
            " was known. See how far other models lead."
        )
        return Check(name=name, assumption=CHOSEN, verdict="information", text=text)
    if result.changes:
        changed = "; ".join(f"{field} was {old!r}, now {new!r}" for field, old, new in result.changes)
        text = f"Changed since the protocol was locked: {changed}. Report it as exploratory."
        return Check(name=name, assumption=CHOSEN, verdict="concern", text=text)
    text = f"The design is as it was locked on {result.protocol.locked}."
    return Check(name=name, assumption=CHOSEN, verdict="supports", text=text)


def negative_controls(study: Study) -> Check:
    """Effects on outcomes that the intervention cannot have changed, each with the model that suits it."""
    eased = replace(
        study.design, outcome_model="automatic", inference="automatic", effect_at={}, subgroups=()
    )
    try:
        return plain_controls(replace(study, result=replace(study.result, design=eased)))
    except QievalError as cause:
        text = f"A negative control outcome could not be compared: {str(cause).rstrip('.')}."
        return Check(
            name="negative control outcomes",
            assumption="no unmeasured confounding",
            verdict="information",
            text=text,
        )


def _models(study: Study) -> Adjusted:
    held: Adjusted = study.compared.found.estimated
    return held
