"""Counts of people in sentences: marked as counts, or standing before a noun for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from qieval.reports.rule import SuppressionRule
from qieval.text import Counted

ALWAYS_PEOPLE = frozenset(
    ("rows", "row", "people", "person", "persons", "patients", "patient", "n", "count", "counts", "lost")
)
UNITS = frozenset(("units", "unit"))
CLUSTERS = frozenset(("clusters", "cluster"))
TIMES = (
    "at",
    "time",
    "times",
    "period",
    "periods",
    "start",
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "date",
)
NOT_PEOPLE = frozenset((*TIMES, "step", "lag", "lead", "rank", "df", "draws", "seed", "reference", "events"))
"""Words in names of whole-number columns that count no people. Other whole numbers are taken for counts."""

ROWS = frozenset(("rows", "row", "values", "value"))
START = re.compile(r"(^|[.!?] )(fewer than|some(?= (?:rows?|people|units?|clusters?)))")


@dataclass(frozen=True)
class Who:
    """Whether units and clusters are people, and how many rows a person may have (`rows_each`).

    Rows are always taken to be about people. Where a person has several rows, a count of rows says as much as
    a count of people that is `rows_each` times smaller, so its threshold and its bands are that much wider.
    """

    units: bool = True
    clusters: bool = True
    rows_each: int = 1

    @property
    def words(self) -> frozenset[str]:
        """Words in names and sentences that mark counts of people."""
        units = UNITS if self.units else frozenset()
        clusters = CLUSTERS if self.clusters else frozenset()
        return ALWAYS_PEOPLE | units | clusters

    @property
    def harmless(self) -> frozenset[str]:
        """Words in names of whole-number columns that may be printed."""
        return (NOT_PEOPLE | UNITS | CLUSTERS) - self.words

    @property
    def pattern(self) -> re.Pattern[str]:
        """A number and a noun for people in a plain sentence; rates ('per 1,000 people') are left alone."""
        nouns = ["rows?", "people", "persons?", "patients?", "values?"]
        nouns += ["units?"] * self.units + ["clusters?"] * self.clusters
        noun = rf"(?:(?:treated|comparison|other|more) )?(?:{'|'.join(nouns)})"
        alone = "|treated|comparison" if self.units else ""
        derived = r"|is treated|degrees? of freedom|(?:possible )?assignments|possible \w+ draws"
        return re.compile(
            rf"(?<!per )(?<![\d.,])(\d[\d,]*) ((?:{noun}{alone}{derived if self.clusters else ''})\b)"
        )

    def rule(self, rule: SuppressionRule, name: str) -> SuppressionRule:
        """The rule for a count by its name or noun: wider for rows where a person has several."""
        several = self.rows_each > 1 and bool(ROWS & words_of(name))
        return replace(rule, threshold=rule.threshold * self.rows_each) if several else rule

    def hides(self, rule: SuppressionRule, counts: Iterable[tuple[int, str]]) -> int:
        """How many of the named counts are small."""
        return sum(self.rule(rule, name).hides(count) for count, name in counts)


Show = Callable[[int, str], str]
"""Prints a count; the text is its name or noun."""


def words_of(name: str) -> frozenset[str]:
    """The words of a name such as 'rows_left'."""
    return frozenset(re.split(r"[\W_]+", name.lower()))


def sentence(text: str, rule: SuppressionRule, who: Who | None = None) -> str:
    """A sentence with its counts of people as they may be printed.

    Counts that the sentence marks (`Counted`) are always replaced. Numbers that stand before a noun such as
    'rows' or 'people' are replaced as well; other numbers in a plain string cannot be recognised as counts.

    >>> from qieval.text import Count
    >>> sentence(Counted("{lost} rows were left out.", lost=Count(3)), SuppressionRule())
    'Fewer than 10 rows were left out.'
    >>> sentence("Filled in for 1 person of 2,000 people.", SuppressionRule())
    'Filled in for fewer than 10 people of 2,000 people.'
    """
    whose = who or Who()
    return reworded(text, lambda count, noun: whose.rule(rule, noun).show(count), whose)


def reworded(text: str, show: Show, who: Who) -> str:
    """A sentence with each count of people passed through `show`."""

    def replaced(found: re.Match[str]) -> str:
        count = _whole(found[1])
        shown = show(count, found[2])
        return f"{shown} {_plural(found[2]) if count == 1 and shown != '1' else found[2]}"

    if not isinstance(text, Counted):
        return _started(who.pattern.sub(replaced, str(text)))
    shown = {key: show(int(count), _noun(text, key)) for key, count in text.counts.items()}
    return _started(who.pattern.sub(replaced, text.template).format(**shown))


def counts_in_text(text: str, who: Who) -> list[tuple[int, str]]:
    """The counts of people in a sentence, each with its noun."""
    marked: list[tuple[int, str]] = []
    if isinstance(text, Counted):
        marked = [(int(count), _noun(text, key)) for key, count in text.counts.items()]
        text = text.template
    return marked + [(_whole(digits), noun) for digits, noun in who.pattern.findall(str(text))]


def _noun(text: Counted, key: str) -> str:
    """The word after a marked count, with the name of the count."""
    found = re.search(rf"\{{{key}\}} (\w+)", text.template)
    return f"{key} {found[1]}" if found else key


def _whole(digits: str) -> int:
    return int(digits.replace(",", ""))


def _plural(noun: str) -> str:
    if noun.endswith("person"):
        return noun.removesuffix("person") + "people"
    return f"{noun}s" if noun.endswith(("row", "patient", "value", "unit", "cluster")) else noun


def _started(text: str) -> str:
    """Sentences that begin with a hidden number begin with a capital letter."""
    return START.sub(lambda found: found[1] + found[2].capitalize(), text)
