"""Whom the effect at the cutoff stands for, what else happens there, and whether single places decide it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.cutoff_rows import (
    ENOUGH,
    FEWEST_DESCRIBED,
    LOCAL,
    NOTHING_ELSE,
    Row,
    agreement,
    attempted,
    fitted,
    imprecise,
    not_made,
    row_of,
    said,
    sign_of,
    small_p,
    span,
    stated,
    tabled,
)
from qieval.discontinuous.local import Discontinuous, fit_anyway
from qieval.numerics.several_cutoffs import several_cutoffs
from qieval.progress import progress
from qieval.result import NO_FIGURES, Study
from qieval.text import listed, number

MOST_CLUSTERS, MOST_CUTOFFS = 40, 50
APART = 0.25
"""Standard deviations between people near the cutoff and all beyond which they are called different."""


def near_and_far(study: Study) -> Check:
    """Which share of people the effect speaks for, and how they differ from all: always information."""
    name, held = "people near the cutoff and all", fitted(study)
    made, found = held.made, held.fit
    near = made.kept & (made.s >= -found.h[0]) & (made.s <= found.h[1])
    text = (
        f"The estimate is the effect in people at the cutoff ({made.cutoff}), from the {near.mean():.0%} of"
        " people within the bandwidth."
    )
    text += " It is that of people whom the rule moved." if found.uptake is not None else ""
    table = _compared(made, near)
    if len(table):
        apart = table.iloc[int(table["difference_in_sd"].abs().to_numpy().argmax())]
        size = float(apart["difference_in_sd"])
        text += f" They differ most from all in {apart['characteristic']}"
        text += f" ({number(size, 2)} standard deviations)."
        if abs(size) > APART:
            text += " What it would be in others these data cannot say."
    else:
        text += " What it would be in others these data cannot say."
    return Check(
        name=name,
        assumption=LOCAL,
        verdict="information",
        text=text,
        table=table if len(table) else None,
    )


def _compared(made: Discontinuous, near: np.ndarray) -> pd.DataFrame:
    """Means of covariates near the cutoff and in all, without those that would describe single persons."""
    rows = []
    for name, values in zip(made.data.x_names, made.data.x.T, strict=True):
        if near.sum() < FEWEST_DESCRIBED or _few_levels(values[near]):
            continue
        spread = float(values.std())
        means = float(values[near].mean()), float(values.mean())
        rows.append(
            {
                "characteristic": name,
                "mean_near": means[0],
                "mean_all": means[1],
                "difference_in_sd": (means[0] - means[1]) / spread if spread > 0 else 0.0,
            }
        )
    return pd.DataFrame(rows)


def _few_levels(values: np.ndarray) -> bool:
    """Whether a yes-or-no covariate is the same in all but a few people."""
    if not np.isin(values, (0.0, 1.0)).all():
        return False
    return 0 < min(int(values.sum()), int((1 - values).sum())) < FEWEST_DESCRIBED


def competing_changes(design: Any, made: Discontinuous) -> Check:
    """What else begins or ends at the cutoff, as typed in; data cannot show that the list is complete."""
    name = "other changes at the cutoff"
    if not design.events:
        text = (
            "Nobody has written down what else begins or ends at this cutoff (events). That is no finding"
            " that there is nothing: other rules, payments and services often use the same number."
        )
        return Check(name=name, assumption=NOTHING_ELSE, verdict="information", text=text)
    table = pd.DataFrame({"where_or_when": list(design.events), "what": list(design.events.values())})
    text = (
        f"Written down beside this cutoff ({made.cutoff}): {listed(design.events.values(), 4)}. Whatever"
        " these do to the outcome is part of the estimate; placebo outcomes and other years may show how"
        " much."
    )
    return Check(name=name, assumption=NOTHING_ELSE, verdict="information", text=text, table=table)


def single_clusters(study: Study) -> Check:
    """The effect when single clusters are left out: whether one of them decides it."""
    name, held = "single clusters left out", fitted(study)
    made, code = held.made, held.made.data.cluster
    if code is None:
        text = "No clusters are named, so none is left out."
        return Check(name=name, assumption=ENOUGH, verdict="information", text=text)
    near = made.kept & (made.s >= -held.fit.h[0]) & (made.s <= held.fit.h[1])
    sizes = np.bincount(code[near], minlength=made.data.n_clusters)
    largest = [int(each) for each in np.argsort(-sizes, kind="stable")[:MOST_CLUSTERS] if sizes[each]]
    rows: list[Row] = [stated(study)]
    for place in progress(largest, name):
        rows.append(attempted("one left out", partial(_without, study, code != place)))
    table = tabled(rows)
    moved = (table["estimate"] - table["estimate"].iloc[0]).abs().max()
    text = (
        f"Leaving out each of the {len(largest)} largest clusters by itself, the effect runs {span(table)};"
        f" the largest move is {number(float(moved))}."
    )
    verdict = agreement(table, study.design.level)
    text += imprecise(table, study.design.level)
    text += " One cluster decides the answer." if verdict == "concern" else ""
    ends = table.iloc[1:].sort_values("estimate").iloc[[0, -1]].assign(label=["lowest", "highest"])
    shown = pd.concat([table.iloc[:1], ends], ignore_index=True)
    return Check(name=name, assumption=ENOUGH, verdict=verdict, text=text + not_made(table), table=shown)


def _without(study: Study, rows: np.ndarray) -> Row:
    made = study.panel
    found, _ = fit_anyway(study.design, made, rows=made.kept & rows)
    return row_of("one left out", found, sign_of(made, found))


def several_places(study: Study) -> Check:
    """Several cutoffs: whether effects differ between them (Cattaneo, Titiunik and Vazquez-Bare 2020)."""
    name, design, made = "effects by cutoff", study.design, study.panel
    if len(made.cutoffs) == 1:
        text = (
            f"There is one cutoff ({made.cutoff}), so nothing shows whether the effect is the same elsewhere."
        )
        return Check(name=name, assumption=LOCAL, verdict="information", text=text)
    rows = []
    for place, cutoff in progress(list(enumerate(made.cutoffs))[:MOST_CUTOFFS], name):
        label = f"cutoff {number(float(cutoff), 6)}"
        rows.append(attempted(label, partial(_at, study, label, made.at == place)))
    table = tabled([{"std_error": np.nan, "within": 0.0, **row} for row in rows])
    columns = [table[each].to_numpy(dtype=float) for each in ("estimate", "std_error", "within")]
    found = several_cutoffs(columns[0], columns[1], columns[2], design.level)
    if found.df == 0:
        text = "Effects by cutoff could not be compared: too few people at each." + not_made(table)
        return Check(name=name, assumption=LOCAL, verdict="information", text=text)
    differ = found.p_heterogeneity < small_p(design)
    mean = {"estimate": found.estimate, "conf_low": found.low, "conf_high": found.high}
    text = f"The average of the effects by cutoff, weighted by people near each, is {said(mean)}."
    text += f" They {'differ' if differ else 'do not differ'} beyond chance"
    text += f" (Q = {number(found.q)} on {found.df}, p = {number(found.p_heterogeneity, 2)})."
    text += " One number for all hides that." if differ else ""
    top = {"label": "average over cutoffs", **NO_FIGURES, **mean, "p_value": found.p_value}
    shown = pd.concat([pd.DataFrame([top]), table], ignore_index=True).drop(columns=["within", "std_error"])
    return Check(
        name=name,
        assumption=LOCAL,
        verdict="concern" if differ else "information",
        text=text + not_made(table),
        table=shown,
        picture="intervals",
    )


def _at(study: Study, label: str, rows: np.ndarray) -> Row:
    made = study.panel
    found, _ = fit_anyway(study.design, made, rows=made.kept & rows)
    row = row_of(label, found, sign_of(made, found))
    return {**row, "std_error": float(found.std_error[2]), "within": float(found.n_h.sum())}
