"""Checks: evidence for or against an assumption, and the ledger that shows all assumptions of a method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from qieval import markup

Verdict = Literal["supports", "concern", "information", "untestable"]
WEIGHT: Mapping[str, int] = {"concern": 3, "information": 2, "supports": 1}
"""The verdict on an assumption is the most cautious one of its checks: it is supported only if every check
supports it."""


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """What a method takes for granted.

    name: short, the key under which a design's `arguments` are written. testable: whether any data can
    speak against it; an assumption that is not testable is shown as untestable whatever the checks say.
    consequence: what goes wrong when it fails. source: where the literature says so.
    """

    name: str
    statement: str
    consequence: str
    source: str
    testable: bool
    prompt: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Check:
    """One examination of one assumption: verdict, one plain sentence, evidence table and the name of its
    picture.

    The table may be None when the sentence says everything. `picture` names a plot of the method that shows
    the same.
    """

    name: str
    assumption: str
    verdict: Verdict
    text: str
    table: pd.DataFrame | None = None
    picture: str | None = None

    def __post_init__(self) -> None:
        if self.verdict not in markup.BADGES:
            raise ValueError(f"{self.verdict!r} is not a verdict; use one of {', '.join(markup.BADGES)}")

    def __repr__(self) -> str:
        return f"{self.name} [{self.verdict}] {self.text}"

    def _repr_html_(self) -> str:
        body = f"<p>{markup.badge(self.verdict)} {markup.escape(self.text)}</p>"
        if self.table is not None:
            body += markup.frame_table(self.table)
        return markup.card(self.name.capitalize(), body)


@dataclass(frozen=True, eq=False, repr=False)
class Checks:
    """All checks of a study with the assumptions that they speak to. Iterate over it, or take one by name.

    `ledger` has one row per assumption: assumption, verdict, text, argument, checks, statement,
    consequence, source.
    """

    checks: tuple[Check, ...]
    assumptions: tuple[Assumption, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    title: str = "Assumption ledger"

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def __getitem__(self, name: str) -> Check:
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(
            f"there is no check '{name}'; there are: {', '.join(check.name for check in self.checks)}"
        )

    @property
    def ledger(self) -> pd.DataFrame:
        """One row per assumption of the method, tested or not."""
        rows = [self._row(assumption) for assumption in self.assumptions]
        return pd.DataFrame(
            rows,
            columns=[
                "assumption",
                "verdict",
                "text",
                "argument",
                "checks",
                "statement",
                "consequence",
                "source",
            ],
        )

    @property
    def concerns(self) -> tuple[Check, ...]:
        """The checks that speak against an assumption."""
        return tuple(check for check in self.checks if check.verdict == "concern")

    def _row(self, assumption: Assumption) -> dict[str, str]:
        found = [check for check in self.checks if check.assumption == assumption.name]
        argument = dict(self.arguments).get(assumption.name, "")
        return {
            "assumption": assumption.name,
            "verdict": _verdict(assumption, found),
            "text": _sentence(assumption, found),
            "argument": argument or ("" if assumption.testable else "No argument has been given yet."),
            "checks": ", ".join(check.name for check in found),
            "statement": assumption.statement,
            "consequence": assumption.consequence,
            "source": assumption.source,
        }

    def __repr__(self) -> str:
        if not self.assumptions:
            return "\n".join([self.title, *(f"  {check!r}" for check in self.checks)])
        rows = self.ledger.itertuples(index=False)
        return "\n".join([self.title, *(f"  {row.assumption} [{row.verdict}] {row.text}" for row in rows)])

    def _repr_html_(self) -> str:
        return markup.card(self.title, ledger_html(self) if self.assumptions else checks_html(self))


def ledger_html(checks: Checks) -> str:
    """The ledger as a table: verdict with sign, what is assumed, what was seen, the user's argument."""
    body = "".join(_ledger_row(row, _seen(checks, row)) for _, row in checks.ledger.iterrows())
    head = "<th>Verdict</th><th>What is assumed</th><th>What was seen</th>"
    note = (
        "An argument is the evaluator's reasoning, not evidence. Untestable assumptions can never be"
        " supported by data."
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p class='qieval-note'>{note}</p>"
    )


def checks_html(checks: Checks) -> str:
    """Each check on a row: verdict, name and sentence."""
    rows = "".join(
        f"<tr><td>{markup.badge(check.verdict)}</td><td><b>{markup.escape(check.name)}</b></td>"
        f"<td>{markup.escape(check.text)}</td></tr>"
        for check in checks
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _seen(checks: Checks, row: pd.Series[str]) -> str:
    """What each check of an assumption says, on a line of its own and under its name where there are
    several."""
    found = [check for check in checks if check.assumption == row["assumption"]]
    if len(found) < 2:
        return markup.escape(row["text"])
    ordered = sorted(found, key=lambda check: -WEIGHT.get(check.verdict, 0))
    said = (f"<li><b>{markup.escape(check.name)}:</b> {markup.escape(check.text)}</li>" for check in ordered)
    return f"<ul style='margin:0 0 .3em;padding-left:1.1em'>{''.join(said)}</ul>"


def _ledger_row(row: pd.Series[str], told: str) -> str:
    argued = ""
    if row["argument"]:
        argued = f"<div class='qieval-note'><i>Argument:</i> {markup.escape(row['argument'])}</div>"
    escape = markup.escape
    assumed = f"<b>{escape(row['assumption'])}</b><div class='qieval-note'>{escape(row['statement'])}</div>"
    otherwise = f"If it fails: {escape(row['consequence'])} ({escape(row['source'])})"
    seen = f"{told}{argued}<div class='qieval-note'>{otherwise}</div>"
    return f"<tr><td>{markup.badge(row['verdict'])}</td><td>{assumed}</td><td>{seen}</td></tr>"


def _verdict(assumption: Assumption, found: list[Check]) -> str:
    if not assumption.testable:
        return "untestable"
    return max(
        (check.verdict for check in found), key=lambda verdict: WEIGHT.get(verdict, 0), default="information"
    )


def _sentence(assumption: Assumption, found: list[Check]) -> str:
    if found:
        ordered = sorted(found, key=lambda check: -WEIGHT.get(check.verdict, 0))
        return " ".join(str(check.text) for check in ordered)
    return assumption.prompt or "No check of this assumption was made."
