"""What a change of the same people may come from other than the intervention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.numerics.few_clusters import FEW_CLUSTERS
from qieval.paired import Paired
from qieval.result import Study
from qieval.text import Count, Counted, listed, number, plural

MEAN = "no regression to the mean"
TREND = "no secular trend"
LOST = "those lost are like those kept"
INTERVAL = "the interval allows for shared places"
STANDING = "the result is a hypothesis"
NAME = "expected regression to the mean"
MUCH_LOST = 0.05
GROUPS = 4
FEWEST_IN_GROUP = 10
"""Means of fewer people than this are not shown, since they would describe persons."""


def regression_to_the_mean(study: Study) -> Check:
    """How much of the change regression to the mean alone would be expected to bring: always a concern."""
    design, expected = study.design, study.result.kernel.expected
    if expected is not None:
        change = float(study.facts["outcome after"] - study.facts["outcome before"])
        share = expected.change / change if change else np.nan
        part = f", {share:.0%} of the change that was seen" if 0 < share < 1 else ""
        text = (
            f"People were picked by {_high(design)} values, and with nothing done their mean would be"
            " expected to"
            f" change by {number(expected.change)}{part} ({expected.how})."
        )
        table = pd.DataFrame({"what": list(expected.inputs), "value": list(expected.inputs.values())})
        return Check(
            name="expected regression to the mean", assumption=MEAN, verdict="concern", text=text, table=table
        )
    if design.selected == "no":
        text = (
            "The design says that people were not picked by a high or low value. If they came to the"
            " service when"
            " they were at their worst, they were: say so under `selected`, and the regression to the mean"
            " that is"
            " to be expected is shown beside the change."
        )
    else:
        text = (
            f"People were picked by {_high(design)} values, so part of the change is regression to the"
            " mean. How"
            " much cannot be said without the mean and spread of that measurement in everybody and its"
            " reliability: give population_mean, population_sd and reliability."
        )
    return Check(name=NAME, assumption=MEAN, verdict="concern", text=text)


def _reach(design: Any) -> float:
    """How many standard errors an interval of the design's level reaches."""
    return float(scipy.special.ndtri((1 + design.level) / 2))


def _high(design: Any) -> str:
    return "high" if design.selected == "high values" else "low"


def change_by_value_before(study: Study) -> Check:
    """Whether those furthest from the mean before changed most, as regression to the mean would have it."""
    design, pairs = study.design, study.panel
    name = "change by the value before"
    before, change = pairs.rate_before, pairs.rate_after - pairs.rate_before
    edges = np.unique(np.quantile(before, np.linspace(0, 1, GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, before, side="left")
    group = np.unique(group, return_inverse=True)[1]
    counts = np.bincount(group)
    if np.ptp(before) == 0 or len(counts) < 2 or counts.min() < FEWEST_IN_GROUP:
        text = (
            "There are too few people, or too few different values before, to compare the change of those"
            " who were"
            " high with that of those who were low."
        )
        return Check(name=name, assumption=MEAN, verdict="concern", text=text)
    means = [np.bincount(group, values) / counts for values in (before, change)]
    reach = _reach(design)
    errors = np.sqrt(np.bincount(group, (change - means[1][group]) ** 2) / (counts - 1) / counts)
    table = pd.DataFrame(
        {
            "label": [f"{_rank(at, len(counts))} values before" for at in range(len(counts))],
            "people": [Count(int(count)) for count in counts],
            "before": means[0],
            "estimate": means[1],
            "conf_low": means[1] - reach * errors,
            "conf_high": means[1] + reach * errors,
        }
    )
    towards = means[1][0] > means[1][-1]
    text = (
        f"Those with the lowest values before changed by {number(means[1][0])}, those with the highest by"
        f" {number(means[1][-1])}."
    )
    text += (
        " Those who were higher came down more (or rose less), as happens by itself when measurements vary."
        if towards
        else " Those who were higher did not come down more, which speaks against regression to the mean as"
        " the whole story, but does not exclude it."
    )
    return Check(name=name, assumption=MEAN, verdict="concern", text=text, table=table, picture="intervals")


def _rank(at: int, groups: int) -> str:
    if at in (0, groups - 1):
        return "highest" if at else "lowest"
    return "middle" if groups == 3 else ("lower", "higher")[at - 1]


def secular_trend(design: Any, pairs: Paired) -> Check:
    """What the periods before the start say about a trend; without them nothing can: always a concern."""
    name = "change before the start"
    k = pairs.earlier.shape[1]
    said = (
        f" A change of {number(design.expected_change)} was expected anyway and is taken off in a row of"
        " its own."
        if design.expected_change
        else ""
    )
    if k < 2:
        text = (
            "There is one value before, so nobody can see whether the outcome was changing already. What"
            " was going"
            f" to change anyway is part of the change.{said} A comparison group"
            " (difference-in-differences) or more"
            " periods (interrupted time series) would show it."
        )
        return Check(name=name, assumption=TREND, verdict="concern", text=text)
    first, last = pairs.earlier[:, 0], pairs.earlier[:, -1]
    both = np.isfinite(first) & np.isfinite(last)
    table = pd.DataFrame({"period before the start": range(-k, 0), "mean": np.nanmean(pairs.earlier, axis=0)})
    text = f"Between the first and the last of the {k} periods before the start the mean "
    if both.sum() < 2:
        text = (
            "No unit has a value in both the first and the last period before the start, so no change before"
        )
        text += f" can be seen.{said}"
        return Check(name=name, assumption=TREND, verdict="concern", text=text)
    moved = last[both] - first[both]
    error = float(np.std(moved, ddof=1) / np.sqrt(both.sum()))
    reach = _reach(design)
    text += (
        f"changed by {number(float(moved.mean()))} (95% interval"
        f" {number(float(moved.mean()) - reach * error)} to"
        f" {number(float(moved.mean()) + reach * error)}) with nothing done.{said} A trend before would be"
        " expected to go"
        " on; none before does not promise none after."
    )
    return Check(name=name, assumption=TREND, verdict="concern", text=text, table=table)


def lost_people(study: Study) -> Check:
    """How many rows were left out because one side was missing."""
    losses = study.panel.losses
    start, end = int(losses["rows"].iloc[0]), int(losses["rows"].iloc[-1])
    share = 1 - end / start
    name = "who was lost"
    if end == start:
        text = (
            "Everybody in the data has a value before and after. Whether others left before the data were"
            " made,"
            " the data cannot say."
        )
        return Check(name=name, assumption=LOST, verdict="information", text=text)
    text = (
        f"{share:.1%} of the rows were left out because a value is missing on one side. If they left"
        " because they"
        " were ill, died or moved, the change is that of the others."
    )
    verdict: Verdict = "concern" if share > MUCH_LOST else "information"
    return Check(name=name, assumption=LOST, verdict=verdict, text=text, table=losses)


def shared_places(study: Study) -> Check:
    """Whether the interval allows for places that people share."""
    design, pairs = study.design, study.panel
    name = "places that people share"
    if pairs.cluster is None:
        text = (
            f"Changes of {plural(len(pairs), 'unit')} are taken as independent. If people share a hospital"
            " or a"
            " team, name it under cluster; the interval is too narrow otherwise."
        )
        return Check(name=name, assumption=INTERVAL, verdict="information", text=text)
    few = pairs.n_clusters < FEW_CLUSTERS
    text = f"The interval allows for {plural(pairs.n_clusters, 'cluster')} of '{design.cluster}'."
    text += " That is few, so it is still too narrow." if few else ""
    return Check(name=name, assumption=INTERVAL, verdict="concern" if few else "supports", text=text)


def what_it_is_for(study: Study) -> Check:
    """That the result is a hypothesis, and which designs would answer the question."""
    text = (
        "One group before and after cannot tell the intervention from everything else that changed. The"
        " routes"
        " to an answer: the same two measurements in people who did not receive it"
        " (difference-in-differences),"
        " the outcome of successive cohorts over many periods (interrupted time series), or similar people"
        " who"
        " did not receive it (matching, weighting)."
    )
    table = pd.DataFrame(
        {
            "add this": [
                "people who did not receive it, measured before and after",
                "the same outcome for successive cohorts, over at least a dozen periods before",
                "similar people who did not receive it",
            ],
            "and use": ["DifferenceInDifferences", "InterruptedTimeSeries", "Matching or Weighting"],
        }
    )
    return Check(name="what it is for", assumption=STANDING, verdict="concern", text=text, table=table)


def values_before(design: Any, pairs: Paired) -> Check:
    """What is known before any value after is looked at: who was picked, and how values before spread."""
    picked = pairs.picked
    text: str = Counted("{units} units have a value before.", units=Count(len(pairs)))
    if len(pairs) >= FEWEST_IN_GROUP:
        text = (
            f"{plural(len(pairs), 'unit')} have a value before (mean"
            f" {number(float(pairs.rate_before.mean()))},"
            f" standard deviation {number(float(np.std(pairs.rate_before, ddof=1)))})."
        )
    wrong = 0
    if design.threshold is not None and design.selected != "no":
        beyond = (
            picked >= design.threshold if design.selected == "high values" else picked <= design.threshold
        )
        wrong = int((~beyond).sum())
        text += (
            f" All of them lie beyond the threshold of {number(float(design.threshold))}."
            if not wrong
            else f" {wrong / len(picked):.1%} of them do not lie beyond the threshold of"
            f" {number(float(design.threshold))} that they are said to have been picked by."
        )
    if pairs.losses["rows"].iloc[0] != pairs.losses["rows"].iloc[-1]:
        text += " Left out so far: " + listed(pairs.losses["reason"].iloc[1:]) + "."
    return Check(
        name="who was picked", assumption=MEAN, verdict="concern" if wrong else "information", text=text
    )
