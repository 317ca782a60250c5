"""Whether people on either side of the cutoff are alike in what the intervention cannot have changed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import (
    ALIKE,
    AS_DESIGNED,
    Row,
    agreement,
    attempted,
    conclusion,
    fitted,
    holm,
    imprecise,
    jump_words,
    not_made,
    row_of,
    said,
    sign_of,
    small_p,
    stated,
    tabled,
)
from qieval.discontinuous.local import Discontinuous, fit_anyway, local_of, narrowest
from qieval.errors import EstimationError
from qieval.numerics.discontinuity import Local, Scored, discontinuity_many
from qieval.progress import progress
from qieval.result import NO_FIGURES, Study
from qieval.text import listed, number

EXTRA = 4
"""Different scores on a side beyond the bias order that a rule needs to choose a bandwidth."""
INFORMATIVE = 0.5
"""Where typical intervals reach further than this many standard deviations, no jump seen says little."""


def covariates(design: Any, made: Discontinuous) -> Check:
    """The jump of each covariate at the cutoff, as if it were the outcome, each with its own bandwidth.

    Source: Lee 2008; Cattaneo, Idrobo and Titiunik 2020, section 5.1. Intervals are robust; p-values are
    shown alone and allowing for their number (Holm 1979).
    """
    name = "covariates at the cutoff"
    if not made.data.x.shape[1]:
        text = "No covariates are named, so nobody can see whether people on either side are alike."
        return Check(name=name, assumption=ALIKE, verdict="information", text=text)
    table = _jumps(design, made)
    known = table.dropna(subset=["estimate"])
    if known.empty:
        text = "No covariate could be compared at the cutoff; the table says why."
        return Check(name=name, assumption=ALIKE, verdict="information", text=text, table=table)
    apart = known[known["p_value_holm"] < small_p(design)]
    reach = known[["sd_low", "sd_high"]].abs().max(axis=1)
    verdict: Verdict = "supports" if float(reach.median()) <= INFORMATIVE else "information"
    if len(apart):
        verdict = "concern"
    return Check(
        name=name,
        assumption=ALIKE,
        verdict=verdict,
        text=_covariate_words(design, known, apart, reach) + not_made(table),
        table=table,
        picture="jumps of covariates",
    )


def _covariate_words(design: Any, known: pd.DataFrame, apart: pd.DataFrame, reach: pd.Series[Any]) -> str:
    what = jump_words(design)
    if len(apart):
        each = [f"{row['label']} (by {said(row)})" for _, row in apart.iterrows()]
        return f"At the cutoff there is a {what} in {listed(each, 3)}, also allowing for {len(known)} tests."
    lowest = known.iloc[int(known["p_value"].to_numpy().argmin())]
    text = (
        f"None of {len(known)} covariates shows a {what} at the cutoff, allowing for their number (smallest"
        f" p-value by itself {number(float(lowest['p_value']), 2)}: {lowest['label']})."
    )
    middle = float(reach.median())
    text += f" Differences of {number(middle, 2)} standard deviations are not excluded for half of them."
    if middle > INFORMATIVE:
        text += " That is little evidence that people are alike."
    return text


def _jumps(design: Any, made: Discontinuous) -> pd.DataFrame:
    """One row per covariate: the jump in its units and in standard deviations, and its bandwidth."""
    used, x = made.kept, made.data.x[made.kept]
    scored = Scored(
        score=made.s[used],
        y=x[:, 0],
        weights=None if made.data.weights is None else made.data.weights[used],
        clusters=None if made.data.cluster is None else made.data.cluster[used],
    )
    rows = []
    found = progress(discontinuity_many(scored, x, _own(design, made)), "covariates at the cutoff")
    for label, values, item in zip(made.data.x_names, x.T, found, strict=True):
        if isinstance(item, EstimationError):
            held = {"label": label, **NO_FIGURES, "note": str(item)}
            rows.append({**held, "bandwidth": np.nan, **_in_deviations(held, 1.0)})
        else:
            row = row_of(label, item, made.turn)
            rows.append({**row, "bandwidth": float(item.h[0]), **_in_deviations(row, float(values.std()))})
    table = tabled(rows)
    return table.assign(p_value_holm=holm(table["p_value"].to_numpy()))


def _own(design: Any, made: Discontinuous) -> Local:
    """Bandwidths by the rule, or the nearest scores where the score has too few values for one."""
    few = narrowest(made, EXTRA + int(design.q)) is None
    h = narrowest(made, int(design.q) + 1) if few else None
    pair = None if h is None else (h, h)
    return local_of(design, h=pair, b=pair, rho=None, sharp_bandwidth=False)


def _in_deviations(row: Row, spread: float) -> Row:
    ends = {"sd_estimate": "estimate", "sd_low": "conf_low", "sd_high": "conf_high"}
    return {name: row[held] / spread for name, held in ends.items()}


def placebo_outcomes(study: Study) -> Check:
    """The jump of outcomes that the intervention cannot have changed."""
    name, made = "placebo outcomes", study.panel
    names = study.design.negative_controls
    if not names:
        text = (
            "No outcome is named that the intervention cannot have changed (negative_controls): one that"
            " other changes at the cutoff would move shows them."
        )
        return Check(name=name, assumption=ALIKE, verdict="information", text=text)
    held = list(zip(names, made.data.controls.T, strict=True))
    rows = [attempted(label, partial(_placebo, study, label, y)) for label, y in progress(held, name)]
    table = tabled(rows)
    table = table.assign(p_value_holm=holm(table["p_value"].to_numpy()))
    moved = table[table["p_value_holm"] < small_p(study.design)]
    if len(moved):
        each = [f"{row['label']} (by {said(row)})" for _, row in moved.iterrows()]
        text = f"At the cutoff {listed(each, 3)} changes, which the intervention cannot have done."
    else:
        each = [f"{row['label']}: {said(row)}" for _, row in table.iterrows()]
        text = f"No change at the cutoff beyond chance in {listed(each, 3)}."
    if made.data.person_time is not None:
        text += " Like the outcome, these are taken per person-time."
    verdict: Verdict = "concern" if len(moved) else "information"
    if not len(moved) and _rules_out(study, table):
        verdict = "supports"
    elif not len(moved):
        text += (
            " Not all intervals rule out a change as large, in standard deviations, as that of the outcome."
        )
    return Check(
        name=name,
        assumption=ALIKE,
        verdict=verdict,
        text=text + not_made(table),
        table=table,
        picture="intervals",
    )


def _placebo(study: Study, label: str, y: np.ndarray) -> Row:
    """The jump of another outcome, treated less other side; per person-time where the outcome is."""
    made = study.panel
    held = _like_outcome(made, y)
    found, _ = fit_anyway(study.design, made, y=held, parts=("covariates",))
    return row_of(label, found, made.turn)


def _like_outcome(made: Discontinuous, y: np.ndarray) -> np.ndarray:
    return y if made.data.person_time is None else y / made.data.person_time


def _rules_out(study: Study, table: pd.DataFrame) -> bool:
    """Whether each interval leaves out changes as large as the outcome's, both in standard deviations."""
    made = study.panel
    spreads = [float(_like_outcome(made, y)[made.kept].std()) for y in made.data.controls.T]
    reach = table[["conf_low", "conf_high"]].abs().max(axis=1, skipna=False).to_numpy(dtype=float)
    size = abs(row_of("", fitted(study).fit.outcome, made.turn)["estimate"]) / float(made.y[made.kept].std())
    return bool((reach < size * np.array(spreads)).all())


def without_covariates(study: Study) -> Check:
    """The effect with and without adjustment: covariates should make it more precise, not another one."""
    name, design, made = "with and without covariates", study.design, study.panel
    if not made.data.x.shape[1]:
        text = "No covariates are named, so the estimate is not adjusted."
        return Check(name=name, assumption=ALIKE, verdict="information", text=text)

    def plain() -> Row:
        found, _ = fit_anyway(design, made, parts=("received",))
        return row_of("without covariates", found, sign_of(made, found))

    rows = [stated(study), attempted("without covariates", plain)]
    table = tabled(rows)
    widths = (table["conf_high"] - table["conf_low"]).to_numpy(dtype=float)
    text = f"The effect is {said(rows[0])} with the covariates and {said(rows[1])} without."
    if np.isfinite(widths).all():
        text += f" They make the interval {number(widths[0] / widths[1], 2)} times as wide."
    held = fitted(study).fit
    if len(held.kept) and not held.kept.all():
        gone = [label for label, kept in zip(made.data.x_names, held.kept, strict=True) if not kept]
        text += f" {listed(gone, 3)} could not be used: the other columns explain it near the cutoff."
    verdict = agreement(table, design.level)
    text += imprecise(table, design.level)
    moved = np.isfinite(widths).all() and conclusion(rows[0]) != conclusion(rows[1])
    text += " The conclusion depends on them." if moved else ""
    return Check(
        name=name,
        assumption=ALIKE,
        verdict=verdict,
        text=text,
        table=table.assign(label=[f"{AS_DESIGNED} (with covariates)", "without covariates"]),
        picture="intervals",
    )
