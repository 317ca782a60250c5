"""The one gate through which everything passes that a report prints."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Checks
from qieval.errors import DataError
from qieval.reports.disclosure import PLAIN, counts_in_frame, frame_as_text
from qieval.reports.flow import Flow, flow_columns, guarded_flows, loss_sentence
from qieval.reports.rule import SuppressionRule
from qieval.reports.wording import Who, counts_in_text, sentence, words_of
from qieval.result import Result
from qieval.text import Count, Counted
from qieval.verbs import Variation

NOT_SHOWN = "not shown"
MEANS = frozenset(
    {
        "treated",
        "comparison",
        "observed",
        "counterfactual",
        "mean",
        "mean_treated",
        "mean_comparison",
        "effective_size",
    }
)
"""Columns of tables that hold the mean of one group."""

LEVELS_OF_GROUPS = (
    "expected level",
    "outcome with the intervention",
    "outcome expected without it",
    "effective size",
)
"""Parts of the names of facts that hold the mean, or the size, of one group."""

MEAN_PICTURES = frozenset({"trajectory", "trends"})
"""Pictures that show the mean of one group."""

COUNT_PICTURES = frozenset({"chart", "making data count", "observed and expected"})
"""Pictures from which the count of each period can be read."""
SMALLEST_COUNT = "smallest count above zero"

ONE_PERSON_OUT = "leave one out"
SENTENCES = re.compile(r"(?<=[.!?])\s+")
LEVEL = re.compile(r"\blevels?\b")
ONE_OUT_RANGE = re.compile(r"the estimate runs from \S+ to \S+ \(all: [^)]*\)")
NO_MEAN = "(A mean of fewer people than the threshold is not shown.)"
SHARES = re.compile(r"\b\d+(?:\.\d+)?%(?= (?:of the (?:treated|comparison)|is missing|are missing))")


@dataclass(frozen=True)
class Findings:
    """What a report is about."""

    result: Result
    checks: Checks
    variation: Variation | None = None
    design_checks: Checks | None = None

    @property
    def every_check(self) -> tuple[Check, ...]:
        """All checks, those before the outcome first."""
        return (*(self.design_checks or ()), *self.checks)

    @property
    def facts(self) -> pd.Series[Any]:
        """The facts of the result, perhaps none."""
        return pd.Series(dtype=object) if self.result.facts is None else self.result.facts

    @property
    def who(self) -> Who:
        """Whether units and clusters are people, and how many rows a person may have."""
        design: Any = self.result.design
        people = getattr(design, "units_are", "people") == "people"
        own = getattr(design, "cluster", None) in (None, getattr(design, "unit", None))
        return Who(units=people, clusters=people and own, rows_each=_rows_each(self) if people else 1)


class Gate:
    """Prints counts, sentences, values and tables as a rule allows, and keeps a log of what it withheld.

    The rule is made for the whole report: one small count anywhere makes all counts bands (see
    `SuppressionRule`), and a chain of small losses that could still be narrowed makes all steps of all
    attrition tables one. Values of a kind that the gate does not know raise DataError.
    """

    def __init__(self, findings: Findings, rule: SuppressionRule) -> None:
        self.who = findings.who
        self._facts = findings.facts
        self.small_groups = self.who.units and rule.active and _small_groups(findings, rule)
        hidden = self.who.hides(rule, _every_count(findings, self.who))
        band = max((flow.band(own) for flow, own in _flows(findings, rule, self.who)), default=0)
        self.rule = replace(rule, band=max(band, int(hidden > 0)) if rule.active else 0)
        self.log: Counter[tuple[str, str]] = Counter()

    @property
    def steps_together(self) -> bool:
        """Whether the steps of attrition tables are put together, because several of them lost few people."""
        return self.rule.band > 1

    def text(self, said: str, where: str) -> str:
        """A sentence as it may be printed."""
        hidden = self.who.hides(self.rule, counts_in_text(said, self.who))
        self._note(where, "counts hidden", hidden)
        if isinstance(said, Counted):
            text = loss_sentence(said, self.rule, self.who)
        else:
            text = sentence(said, self.rule, self.who)
        if self.rule.band and self.who.units:
            text, times = SHARES.subn("a share (not shown)", text)
            self._note(where, "shares hidden", times)
        if self.who.clusters and self.rule.active:
            text, times = ONE_OUT_RANGE.subn("the estimate was made again (its range is not shown)", text)
            self._note(where, "ranges hidden", times)
        return self._without_levels(text, where) if self.small_groups else text

    def value(self, held: Any, name: str, where: str) -> Any:
        """A value as it may be printed: text for counts and sentences, numbers and dates as they are."""
        if not isinstance(held, PLAIN):
            raise DataError(
                f"{name}: a {type(held).__name__} cannot be printed safely in a report. Use text, numbers or "
                "dates."
            )
        if isinstance(held, str):
            return self.text(held, where)
        if self.small_groups and any(part in name for part in LEVELS_OF_GROUPS):
            self._note(where, "means hidden", 1)
            return NOT_SHOWN
        if not _counts_people(name, held, self.who):
            return held
        count = int(str(held))
        rule = self.who.rule(self.rule, name)
        self._note(where, "counts hidden", int(rule.hides(count)))
        return rule.show(count)

    def table(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """A table as it may be printed."""
        self._note(where, "counts hidden", self.who.hides(self.rule, counts_in_frame(frame, self.who)))
        if self.steps_together and len(frame) > 2 and flow_columns(frame):
            self._note(where, "attrition steps put together", 1)
        shown = frame_as_text(frame, self.rule, self.who)
        for name in shown.columns:
            if self.small_groups and str(name) in MEANS:
                shown[name] = self._blank(shown[name], "means hidden", where)
            elif self.rule.band and self.who.units and str(name).startswith("share"):
                shown[name] = self._blank(shown[name], "shares hidden", where)
        return shown

    def withholds(self, check: Check) -> str:
        """Why the table and the picture of a check are left out; empty when they may be shown."""
        if check.name == ONE_PERSON_OUT and self.who.clusters and self.rule.active:
            self._note(check.name, "tables or pictures left out", 1)
            return (
                "Each line of this table differs from the estimate by one person, whose data it would give"
                " away, so it is left out."
            )
        return self.withholds_picture(check.picture or "", check.name)

    def withholds_picture(self, picture: str, where: str) -> str:
        """Why a picture is left out; empty when it may be shown."""
        if picture.replace("_", " ") in COUNT_PICTURES and self._small_counts():
            self._note(where, "tables or pictures left out", 1)
            return (
                f"The picture is left out because it shows counts below {self.rule.threshold}, period by"
                " period. Use longer periods, or set the rule of the report aside with a reason."
            )
        if not self.small_groups or picture.replace(" ", "_") not in MEAN_PICTURES:
            return ""
        self._note(where, "tables or pictures left out", 1)
        return (
            "The means of the groups over time are left out because a group has fewer than "
            f"{self.rule.threshold} people, or because the result does not say how many it has."
        )

    def _small_counts(self) -> bool:
        smallest = self._facts.get(SMALLEST_COUNT)
        return smallest is not None and self.rule.hides(int(smallest))

    def _without_levels(self, text: str, where: str) -> str:
        """The text without sentences that give the level of a group in numbers."""
        parts = SENTENCES.split(text)
        told = [bool(LEVEL.search(part)) and any(sign.isdigit() for sign in part) for part in parts]
        self._note(where, "means hidden", sum(told))
        return " ".join(NO_MEAN if level else part for part, level in zip(parts, told, strict=True))

    def _blank(self, column: pd.Series[Any], what: str, where: str) -> pd.Series[Any]:
        """Everything but zero, one and missing values is replaced."""
        withheld = [not (pd.isna(item) or (what == "shares hidden" and item in (0, 1))) for item in column]
        self._note(where, what, sum(withheld))
        shown = ["" if pd.isna(item) else f"{item:.0%}" for item in column.where(~pd.Series(withheld))]
        return pd.Series([NOT_SHOWN if gone else item for gone, item in zip(withheld, shown, strict=True)])

    def _note(self, where: str, what: str, times: int) -> None:
        if times and self.rule.active:
            self.log[(where, what)] += times


def _every_count(findings: Findings, who: Who) -> Iterator[tuple[int, str]]:
    result = findings.result
    for said in (result.headline, *result.notes, *(check.text for check in findings.every_check)):
        yield from counts_in_text(said, who)
    for name, held in findings.facts.items():
        if isinstance(held, str):
            yield from counts_in_text(held, who)
        elif _counts_people(str(name), held, who):
            yield int(held), str(name)
    for frame in _frames(findings):
        yield from counts_in_frame(frame, who)
    if (flow := _rows_of_study(findings)) is not None:
        yield from ((count, "rows") for count in (*flow.left, *flow.losses))


def _frames(findings: Findings) -> Iterator[pd.DataFrame]:
    yield from (check.table for check in findings.every_check if check.table is not None)
    record = findings.result.record
    if record is not None and record.attrition is not None:
        yield record.attrition
    if findings.variation is not None:
        yield findings.variation.table


def _flows(findings: Findings, rule: SuppressionRule, who: Who) -> Iterator[tuple[Flow, SuppressionRule]]:
    for frame in _frames(findings):
        yield from guarded_flows(frame, rule, who)
    if (flow := _rows_of_study(findings)) is not None:
        yield flow, who.rule(rule, "rows")


def _rows_each(findings: Findings) -> int:
    """The most rows that a person has: one per period, or more where the record says so."""
    result = findings.result
    if getattr(result.design, "data", "panel") == "repeated cross-sections":
        return 1
    most = 1 if result.series is None else int(result.series["time"].nunique())
    steps = None if result.record is None else result.record.attrition
    if steps is None or "people" not in steps:
        return most
    known = steps[["rows", "people"]].dropna().astype(float)
    each = (known["rows"] / known["people"])[known["people"] > 0]
    return most if each.empty else max(most, math.ceil(each.max()))


def _rows_of_study(findings: Findings) -> Flow | None:
    """From extract to estimate: steps of the attrition table, losses in the notes, rows used at the end."""
    record = findings.result.record
    if record is None:
        return None
    left = [record.rows] if record.attrition is None else [int(rows) for rows in record.attrition["rows"]]
    for note in findings.result.notes:
        if isinstance(note, Counted) and "rows" in note.counts:
            left.append(max(left[-1] - int(note.counts["rows"]), 0))
    used: Any = findings.facts.get("rows used")
    if _whole(used):
        left.append(min(int(used), left[-1]))
    return Flow.of(left)


def _small_groups(findings: Findings, rule: SuppressionRule) -> bool:
    """Whether a group is too small for its mean to be shown, or its size unknown."""
    sizes: list[Any] = [findings.facts.get(f"{group} units") for group in ("treated", "comparison")]
    return any(not _whole(size) or int(size) < rule.threshold for size in sizes)


def _counts_people(name: str, held: Any, who: Who) -> bool:
    """Whether a fact counts people: by its kind, or by a word in its name."""
    return isinstance(held, Count) or (_whole(held) and bool(who.words & words_of(name)))


def _whole(held: Any) -> bool:
    return isinstance(held, (int, np.integer)) and not isinstance(held, bool)
