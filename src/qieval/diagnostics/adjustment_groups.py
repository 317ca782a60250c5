"""What the models of an adjustment have to bridge: differences between the groups, extrapolation, size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from qieval.adjusted import interacted
from qieval.check import Check, Verdict
from qieval.compared import Compared
from qieval.covariate_balance import balance_of
from qieval.diagnostics import similar_people
from qieval.diagnostics.similar_people import FEWEST_DESCRIBED, UNEQUAL_SPREAD, _without_few
from qieval.numerics.adjustment_checks import extrapolation
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.overlap import c_statistic
from qieval.text import listed, number, plural

ALIKE = "the groups are alike enough for a regression"
OVERLAP = "overlap"
SCORE = "the score is well estimated"
FAR_APART = 0.25
"""Groups further apart than a quarter of a standard deviation leave the answer to the form of the regression
(Rubin 2001; Imbens and Rubin 2015, section 14.2)."""

MUCH_OUTSIDE = 0.1
SOME_OUTSIDE = 0.01
ROWS_PER_COEFFICIENT = 10
SHOWN = [
    "characteristic",
    "sample",
    "mean_treated",
    "mean_comparison",
    "standardised_difference",
    "variance_ratio",
]


def differences_before(compared: Compared) -> Check:
    """How unlike the groups are before any adjustment."""
    table = balance_of(compared).table
    before = table[table["sample"] == "before"]
    apart = before["standardised_difference"].abs()
    ranked = before.assign(size=apart).sort_values("size", ascending=False, kind="stable")
    worst = ranked.iloc[0]
    far = ranked[ranked["size"] > FAR_APART]
    ratios = before["variance_ratio"]
    spread = before.loc[(ratios > UNEQUAL_SPREAD) | (ratios < 1 / UNEQUAL_SPREAD), "characteristic"]
    rule = compared.design.balance_rule
    text = (
        f"Before adjustment the groups differ by up to {number(float(worst['size']), 2)} standard deviations"
        f" ({worst['characteristic']})."
    )
    if len(far):
        text += (
            f" In {plural(len(far), 'characteristic')} they differ by more than {FAR_APART:g}, so the answer"
            " leans on the form of the regression: " + listed(_sizes(far), 3) + "."
        )
    if len(spread):
        text += f" The spread differs by more than a factor of 2 in {listed(spread, 3)}."
    close = bool(worst["size"] <= rule and not len(spread))
    verdict: Verdict = (
        "concern" if len(far) or not np.isfinite(worst["size"]) else "supports" if close else "information"
    )
    shown = _without_few(compared, before)[[name for name in SHOWN if name in before]]
    return Check(
        name="differences before adjustment",
        assumption=ALIKE,
        verdict=verdict,
        text=text,
        table=shown,
        picture="love",
    )


def _estimator(compared: Compared) -> str:
    return str(getattr(compared.design, "estimator", ""))


def _sizes(table: pd.DataFrame) -> list[str]:
    held = zip(table["characteristic"], table["size"], strict=True)
    return [f"{name} ({number(float(size), 2)})" for name, size in held]


def overlap(compared: Compared) -> Check:
    """Whether there are similar people in both groups, by the score; without weights there is no after."""
    found = similar_people.overlap(compared)
    if _estimator(compared) != "g-computation" or found.table is None:
        return found
    probability = compared.found.probability
    assert probability is not None
    said = (
        " The score tells the groups apart with a C-statistic of"
        f" {number(c_statistic(probability, compared.cohort.treated))} (0.5: it cannot)."
    )
    text = str(found.text).split(" The score tells")[0] + said
    return replace(found, text=text, table=found.table.drop(columns="share_after"))


def weighted_differences(compared: Compared) -> Check:
    """How alike the weights of the score make the groups, where the estimator uses them."""
    name = "balance after weighting"
    if _estimator(compared) == "g-computation":
        text = "The estimate uses no weights; the score is shown for overlap only."
        return Check(name=name, assumption=SCORE, verdict="information", text=text)
    found = balance_of(compared)
    rule = compared.design.balance_rule
    broken, worst = found.rule(max_smd=rule), found.worst(1).iloc[0]
    size = number(abs(float(worst["standardised_difference"])), 2)
    text = (
        f"With the weights every standardised difference is at most {rule:g} (largest {size}:"
        f" {worst['characteristic']})."
        if broken.empty
        else f"With the weights {plural(len(broken), 'characteristic')} still"
        f" {'differs' if len(broken) == 1 else 'differ'} by more than {rule:g} standard deviations (largest"
        f" {size}: {worst['characteristic']}), so the score does not make the groups alike."
    )
    return Check(
        name=name,
        assumption=SCORE,
        verdict="supports" if broken.empty else "concern",
        text=text,
        table=_without_few(compared, found.table)[SHOWN],
        picture="love",
    )


def score_model(compared: Compared) -> Check:
    """How extreme the scores are that the estimate divides by."""
    if _estimator(compared) != "g-computation":
        return similar_people.score_model(compared)
    text = "The estimate rests on the regression of the outcome and uses no score."
    return Check(name="score model", assumption=SCORE, verdict="information", text=text)


def extrapolated(compared: Compared) -> Check:
    """For how many people the regression of the other group answers beyond its own people."""
    cohort, design = compared.cohort, compared.design
    found = extrapolation(Sample(y=np.zeros(len(cohort)), treated=cohort.treated, x=cohort.x))
    outside = {"treated": found.treated, "comparison": found.control}
    asked = {"ATT": ["treated"], "ATC": ["comparison"]}.get(design.estimand, ["treated", "comparison"])
    share = max(outside[group] for group in asked)
    beyond = pd.DataFrame(
        {
            "characteristic": cohort.x_names,
            "share_of_treated_outside": found.range_treated,
            "share_of_comparison_outside": found.range_control,
        }
    )
    order = beyond[["share_of_treated_outside", "share_of_comparison_outside"]].max(axis=1)
    beyond = beyond.loc[order.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)
    many = {"treated": int(cohort.treated.sum()), "comparison": int((~cohort.treated).sum())}
    few = [
        (beyond[f"share_of_{group}_outside"] > 0)
        & (beyond[f"share_of_{group}_outside"] * n < FEWEST_DESCRIBED)
        for group, n in many.items()
    ]
    for group, hidden in zip(many, few, strict=True):
        beyond.loc[hidden, f"share_of_{group}_outside"] = np.nan
    said = (
        f"{_share(found.treated, many['treated'])} of the treated and"
        f" {_share(found.control, many['comparison'])} of the comparison group have characteristics that"
        " lie outside those of the other group, taken together (by leverage; within it there may still be"
        " gaps). For them the regression extrapolates."
    )
    text = said[0].upper() + said[1:]
    most = float(order.max())
    if most > SOME_OUTSIDE and len(beyond) > 1:
        text += (
            f" By single characteristics most are outside the range in {beyond['characteristic'].iloc[0]}."
        )
    verdict: Verdict = "concern" if share > MUCH_OUTSIDE else "information" if share > 0 else "supports"
    return Check(name="extrapolation", assumption=OVERLAP, verdict=verdict, text=text, table=beyond)


def _share(share: float, people: int) -> str:
    """A share in words; that of fewer than ten people is not told."""
    if share == 0:
        return "none"
    return "few (under ten)" if share * people < FEWEST_DESCRIBED else f"{share:.1%}"


def size_of_the_model(compared: Compared) -> Check:
    """Whether there are enough people for the coefficients."""
    cohort, design = compared.cohort, compared.design
    smaller = int(min(cohort.treated.sum(), (~cohort.treated).sum()))
    held = interacted(design, cohort)
    own = cohort.x.shape[1] if held is True else int(np.sum(held))
    apart = _estimator(compared) in ("g-computation", "doubly robust", "TMLE") and own > 0
    many = 1 + (own if apart else 0)
    whole = 2 + cohort.x.shape[1] + (own if apart else 0)
    each = min(smaller / many, len(cohort) / whole)
    text = f"{plural(whole, 'coefficient')}{f', {many} of them of each group alone' if apart else ''}"
    text += (
        f": at least {number(each, 2)} people for each."
        if smaller >= FEWEST_DESCRIBED
        else "; one of the groups has fewer than ten people."
    )
    thin = each < ROWS_PER_COEFFICIENT
    if thin:
        text += (
            " That is few: a regression may follow chance. Use fewer covariates, or one slope for both"
            " groups (treatment_interactions='no')."
        )
    return Check(
        name="size of the model",
        assumption="the outcome model has the right form",
        verdict="concern" if thin else "information",
        text=text,
    )
