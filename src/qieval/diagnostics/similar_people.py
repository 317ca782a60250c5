"""What is known about a comparison of similar people before any outcome: balance, overlap, who was left
out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.cohort import Cohort
from qieval.compared import Compared, estimand_reached
from qieval.covariate_balance import UNMEASURED, balance_of, scores_of
from qieval.numerics.overlap import c_statistic, common_support, equipoise, preference_score
from qieval.numerics.pairs import effective_size
from qieval.result import Study
from qieval.text import Count, Counted, listed, number, plural

AsCheck = Callable[[Compared], Check]

UNEQUAL_SPREAD = 2.0
"""Variance ratios beyond 2 or below a half are usually called unbalanced (Rubin 2001)."""

MUCH_LEFT_OUT = 0.1
SOME_LEFT_OUT = 0.02
ROUNDED = 5
FEWEST_DESCRIBED = 10
"""Means of fewer people than this are not shown, since they would describe persons."""

HEAVY = 0.05
HEAVY_TIMES = 5.0
"""One person who carries more than a twentieth of a group and five times the mean decides too much."""

SMALL_EQUIPOISE = 0.5
DIFFERENT = 0.2


def before(check: AsCheck) -> Callable[[Any, Compared], Check]:
    """A check of the comparison as a design check."""

    def made(design: Any, compared: Compared) -> Check:
        return check(compared)

    made.__name__, made.__doc__ = check.__name__, check.__doc__
    return made


def after(check: AsCheck) -> Callable[[Study], Check]:
    """A check of the comparison as a check of the result."""

    def made(study: Study) -> Check:
        return check(study.compared)

    made.__name__, made.__doc__ = check.__name__, check.__doc__
    return made


def balance_reached(compared: Compared) -> Check:
    """Whether the groups are alike in what was measured, by the rule of the design."""
    name, assumption = "balance", "balance on what was measured"
    if not compared.design.covariates:
        text = "People were matched exactly, and no further characteristic was named to compare them by."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    found = balance_of(compared)
    rule = compared.design.balance_rule
    broken = found.rule(max_smd=rule)
    worst = found.worst(1).iloc[0]
    spread = found.rule(max_smd=np.inf, max_variance_ratio=UNEQUAL_SPREAD)
    text = (
        f"Every standardised difference is at most {rule:g} (largest {_size(worst)}:"
        f" {worst['characteristic']})."
        if broken.empty
        else f"{plural(len(broken), 'characteristic')} of {len(found.worst(10**6))} still"
        f" {'differs' if len(broken) == 1 else 'differ'} by more than {rule:g} standard deviations: "
        + listed((f"{row.characteristic} ({_size(row)})" for row in broken.itertuples()), 3)
        + "."
    )
    if len(spread):
        text += f" The spread differs by more than a factor of 2 in {listed(spread['characteristic'], 3)}."
    return Check(
        name=name,
        assumption=assumption,
        verdict="supports" if broken.empty else "concern",
        text=f"{text} {UNMEASURED}",
        table=_without_few(compared, found.table)[
            [
                "characteristic",
                "sample",
                "mean_treated",
                "mean_comparison",
                "standardised_difference",
                "variance_ratio",
                "ecdf_max",
            ]
        ].rename(columns={"ecdf_max": "largest_gap"}),
        picture="love",
    )


def _without_few(compared: Compared, table: pd.DataFrame) -> pd.DataFrame:
    """The balance table without means of levels that fewer than ten people of a group have (or lack)."""
    few = np.zeros(len(table), dtype=bool)
    treated = compared.cohort.treated
    for sample, weights in (("before", np.ones(len(treated))), ("after", compared.found.weights)):
        for name, arm in (("mean_treated", treated), ("mean_comparison", ~treated)):
            size = int((weights[arm] > 0).sum())
            count = table[name].to_numpy(dtype=float) * size
            rare = ((count > 0) & (count < FEWEST_DESCRIBED)) | (
                (size - count > 0) & (size - count < FEWEST_DESCRIBED)
            )
            few |= ((table["sample"] == sample) & (table["kind"] == "binary")).to_numpy() & rare
    few = table["characteristic"].isin(table.loc[few, "characteristic"]).to_numpy()
    shown = table.copy()
    shown.loc[few, ["mean_treated", "mean_comparison", "ecdf_max"]] = np.nan
    return shown


def _size(row: Any) -> str:
    return number(abs(float(row.standardised_difference)), 2)


def _part(share: float, people: int) -> str:
    """A share in words that does not count fewer than ten people."""
    if 0 < share * people < FEWEST_DESCRIBED:
        return "Few (under ten)"
    return f"{share:.1%}" if share else "None"


def overlap(compared: Compared) -> Check:
    """Whether there are similar people in both groups, by the propensity score."""
    name, assumption = "overlap", "overlap"
    probability, treated = compared.found.probability, compared.cohort.treated
    if probability is None:
        text = "No propensity score was estimated, so overlap shows only in who found a partner."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    support = common_support(probability, treated)
    share = equipoise(preference_score(np.clip(probability, 1e-12, 1 - 1e-12), treated.mean()), treated)
    outside = support.outside_treated / max(treated.sum(), 1)
    text = (
        f"{_part(outside, int(treated.sum()))} of the treated have a score beyond the range of the comparison"
        " group."
        f" {share.treated:.0%} of the treated and {share.control:.0%} of the comparison group lie in"
        " equipoise (preference score 0.3 to 0.7). The score tells the groups apart with a C-statistic of"
        f" {number(c_statistic(probability, treated))} before and"
        f" {number(c_statistic(probability, treated, compared.found.weights))} after (0.5: it cannot)."
    )
    concern = outside > MUCH_LEFT_OUT or share.share < SMALL_EQUIPOISE / 2
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if concern else "information" if outside else "supports",
        text=text,
        table=_shares(scores_of(compared)),
        picture="mirror",
    )


def _shares(scores: pd.DataFrame | None) -> pd.DataFrame | None:
    """Binned scores as shares of their group, from numbers rounded to fives, since a bin may hold few
    people."""
    if scores is None:
        return None
    shares = {}
    for name in ("weight_before", "weight_after"):
        total = scores.groupby("group")[name].transform("sum")
        rounded = np.where(scores[name] > 0, np.maximum((scores[name] / ROUNDED).round(), 1) * ROUNDED, 0)
        shares[name.replace("weight", "share")] = rounded / total
    return scores[["bin", "group"]].assign(**shares)


def weights_spread(compared: Compared) -> Check:
    """Whether a few people stand for many."""
    found, treated = compared.found, compared.cohort.treated
    rows = []
    for group, arm in (("treated", treated), ("comparison", ~treated)):
        weights = found.weights[arm & found.used]
        if weights.size:
            rows.append(
                {
                    "group": group,
                    "effective_size": effective_size(weights),
                    "effective_share": effective_size(weights) / weights.size,
                    "largest_weight": float(weights.max() / weights.mean()),
                    "largest_part": float(weights.max() / weights.sum()),
                }
            )
    table = pd.DataFrame(rows)
    worst = table.iloc[int(table["effective_share"].to_numpy().argmin())]
    heavy = bool(((table["largest_part"] > HEAVY) & (table["largest_weight"] > HEAVY_TIMES)).any())
    text = (
        "Everybody who is compared counts the same."
        if worst["effective_share"] > 0.999
        else f"In the {worst['group']} group the weights leave the precision of"
        f" {number(worst['effective_size'])} equally weighted ({worst['effective_share']:.0%}); the largest"
        f" weight is {number(worst['largest_weight'])} times the mean."
    )
    if heavy:
        text += f" One row carries more than {HEAVY:.0%} of its group."
    thin = heavy or worst["effective_share"] < MUCH_LEFT_OUT
    verdict: Any = "concern" if thin else "supports" if worst["effective_share"] > 0.5 else "information"
    return Check(name="weights", assumption="overlap", verdict=verdict, text=text, table=table)


def left_out(compared: Compared) -> Check:
    """Who of those whose effect is asked for takes no part, and how they differ."""
    design, cohort, found = compared.design, compared.cohort, compared.found
    name, assumption = "who was left out", "the estimate speaks for the people it is meant for"
    gone = found.focal & ~found.used
    if not gone.any():
        text = f"Nobody whose effect is asked for was left out: {estimand_reached(design, found)}."
        return Check(name=name, assumption=assumption, verdict="supports", text=text)
    count = Count(int(gone.sum()))
    ending = f"no counterpart and are left out. The estimate is the {estimand_reached(design, found)}."
    if min(count, int((found.focal & found.used).sum())) < FEWEST_DESCRIBED:
        text = Counted("{gone} people whose effect is asked for have " + ending, gone=count)
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    table = _left_out_and_kept(cohort, gone, found.focal & found.used)
    share, most = float(gone.sum() / found.focal.sum()), table.iloc[0] if len(table) else None
    said = f"({share:.1%} of the group) have {ending}"
    if most is not None and np.isfinite(most["standardised_difference"]):
        said += (
            f" They differ most in {most['characteristic']} (standardised difference"
            f" {number(most['standardised_difference'], 2)})."
        )
    apart = float(table["standardised_difference"].abs().max()) if len(table) else 0.0
    concern = share > MUCH_LEFT_OUT or (apart > DIFFERENT and share > SOME_LEFT_OUT)
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if concern else "information",
        text=Counted("{gone} people whose effect is asked for " + said, gone=count),
        table=table,
        picture="differences",
    )


def _left_out_and_kept(cohort: Cohort, gone: np.ndarray, kept: np.ndarray) -> pd.DataFrame:
    """Means of those left out and of those compared, by how far they lie apart."""
    spread = cohort.x[gone | kept].std(axis=0)
    means = [cohort.x[rows].mean(axis=0) if rows.any() else spread * np.nan for rows in (gone, kept)]
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (means[0] - means[1]) / spread
    table = pd.DataFrame(
        {
            "characteristic": cohort.x_names,
            "mean_left_out": means[0],
            "mean_compared": means[1],
            "standardised_difference": apart,
        }
    )
    return table.sort_values(
        "standardised_difference", key=lambda held: -held.abs(), kind="stable", ignore_index=True
    )


def flow(compared: Compared) -> Check:
    """From the rows of the data to the people compared, step by step."""
    cohort, found = compared.cohort, compared.found
    table = cohort.losses[["step", "reason", "rows"]]
    last = {"step": "compared", "reason": f"take part: {found.kind}", "rows": Count(int(found.used.sum()))}
    return Check(
        name="flow",
        assumption="the estimate speaks for the people it is meant for",
        verdict="information",
        text=Counted(
            "Of {rows} rows in the data {used} take part in the comparison.",
            rows=Count(int(table["rows"].iloc[0])),
            used=Count(int(found.used.sum())),
        ),
        table=pd.concat([table, pd.DataFrame([last])], ignore_index=True),
    )


def score_model(compared: Compared) -> Check:
    """Whether the propensity score could be estimated, and how extreme it is."""
    name, assumption = "score model", "the score is well estimated"
    if compared.found.probability is None:
        text = "No score was estimated."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    probability = compared.found.probability
    extreme = float(np.mean((probability < 0.01) | (probability > 0.99)))
    text = (
        f"Estimated by {compared.found.facts.get('score model', 'a model')}; scores run from"
        f" {number(float(probability.min()), 2)} to {number(float(probability.max()), 2)}, and {extreme:.1%}"
        " lie within 0.01 of 0 or 1. Whether the model is right shows in the balance that it brings, not in"
        " its fit."
    )
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if extreme > MUCH_LEFT_OUT else "information",
        text=text,
    )


def measured_before(compared: Compared) -> Check:
    """Whether it is known that characteristics were measured before the start."""
    design = compared.design
    dated = [name for name in design.covariates if name in design.measured]
    if len(dated) == len(design.covariates) and dated:
        text = (
            f"All characteristics were measured before '{design.start}' (their dates were compared with it)."
        )
        verdict: Any = "supports"
    else:
        undated = [name for name in design.covariates if name not in design.measured]
        text = (
            f"No date of measurement is known for {listed(undated, 3)}: say when they were recorded (fields"
            " start and measured), so that it can be checked."
        )
        verdict = "information"
    return Check(
        name="time of measurement",
        assumption="characteristics were measured before the intervention",
        verdict=verdict,
        text=text,
    )


def interval_kind(study: Study) -> Check:
    """How the standard error was made, and whether there are enough groups for it."""
    found, cohort = study.compared.found, study.compared.cohort
    text = f"Standard error: {study.facts.get('standard error', 'not made')}."
    verdict: Any = "information"
    if cohort.cluster is not None and cohort.n_clusters < FEW_GROUPS:
        text += f" Only {cohort.n_clusters} groups of '{study.design.cluster}': it is probably too small."
        verdict = "concern"
    elif found.sets is not None or found.estimated is not None or found.pairs is not None:
        text += " It takes into account how the groups were made."
        verdict = "supports"
    if study.design.cluster is None and study.design.units_are == "people":
        text += " If outcomes hang together within hospitals or practices, name that column as cluster."
    return Check(
        name="standard error",
        assumption="the interval allows for how the groups were made",
        verdict=verdict,
        text=text,
    )


FEW_GROUPS = 40


def subgroups(study: Study) -> Check:
    """Effects in the subgroups that the design names."""
    name, assumption = "subgroups", "the estimate speaks for the people it is meant for"
    table = study.compared.found.subgroups
    if table is None:
        text = (
            "No subgroups were named; the estimate is an average over people who may differ in their effect."
        )
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    planned = "planned before" if study.design.subgroups_planned == "yes" else "NOT planned: exploratory"
    smallest = table["p_equal"].min()
    tested = table["p_equal"].nunique()
    text = f"Effects in {plural(len(table), 'subgroup')} ({planned})."
    if np.isfinite(smallest):
        text += (
            " The smallest p-value that a characteristic's subgroups all have the same effect is"
            f" {number(smallest)} ({plural(tested, 'test')})."
        )
    if "largest_difference" in table and (table["largest_difference"] > study.design.balance_rule).any():
        text += " In some of them the groups are less alike than the balance rule allows."
    return Check(
        name=name, assumption=assumption, verdict="information", text=text, table=table, picture="intervals"
    )
