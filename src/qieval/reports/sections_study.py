"""The sections on what was asked, planned and read: question, answer in brief, design, protocol, data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from qieval import markup
from qieval.catalogue import method_of
from qieval.fields import declared
from qieval.reports.blocks import Block, Bullets, Facts, Grid, Heading, Paragraph, Section
from qieval.reports.cells import facts, grid, heading
from qieval.reports.gate import Findings, Gate
from qieval.reports.tracks import words
from qieval.text import Count, plural

LEDGER_WORDS = {
    "supports": "fit what was seen",
    "concern": "with evidence against",
    "information": "not put to a test",
    "untestable": "that no data can test",
}


def question(findings: Findings, gate: Gate) -> Section:
    """What the study asks, and with which kind of method."""
    method = method_of(findings.result.design)
    asked = (
        findings.result.design.question or "No question was written down (field 'question' of the design)."
    )
    return Section(
        "Question",
        (
            Paragraph(asked, "lead"),
            Paragraph(f"Method: {method.title}. It asks: {method.question}"),
            Paragraph(f"Strengths: {method.strengths} Source: {method.source}.", "note"),
        ),
    )


def answer(findings: Findings, gate: Gate) -> Section:
    """The headline, how it stands to the protocol, and what speaks against it."""
    where = "Answer in brief"
    ledger = findings.checks.ledger
    counted = Counter(ledger["verdict"])
    said = "; ".join(
        f"{counted[verdict]} {words}" for verdict, words in LEDGER_WORDS.items() if counted[verdict]
    )
    blocks: list[Block] = [
        Paragraph(gate.text(findings.result.headline, where), "lead"),
        Paragraph(f"Protocol: {findings.result.standing}."),
        Paragraph(f"The {words(findings).thing} rests on {plural(len(ledger), 'assumption')}: {said}."),
    ]
    if findings.checks.concerns:
        blocks += [
            Paragraph("What speaks against it:"),
            Bullets(
                tuple(
                    f"{_start(check.name)}: {gate.text(check.text, where)}"
                    for check in findings.checks.concerns
                )
            ),
        ]
    return Section(where, tuple(blocks))


def design(findings: Findings, gate: Gate) -> Section:
    """Every field that the user set, with its meaning; arguments and events in tables of their own."""
    held = findings.result.design
    spec = declared(type(held))
    apart = ("question", "arguments", "events")
    rows = [
        (heading(name), markup.words(item), spec[name].help)
        for name, item in held.stated().items()
        if name not in apart
    ]
    kept = [name for name in spec if name not in held.stated() and spec[name].role in ("choice", "number")]
    defaults = "; ".join(f"{name.replace('_', ' ')}: {markup.words(getattr(held, name))}" for name in kept)
    blocks: list[Block] = [Grid(("Field", "Value", "Meaning"), tuple(rows), (False,) * 3)]
    if defaults:
        blocks.append(Paragraph(f"Left as they are by default: {defaults}.", "note"))
    blocks += _words(
        "Arguments for assumptions that no data can test", ("Assumption", "Argument"), held.arguments
    )
    blocks += _words("Other events", ("When", "What happened"), held.events)
    if not held.events:
        blocks.append(Paragraph("No other event was entered in the register of events."))
    return Section("Design", tuple(blocks))


def protocol(findings: Findings, gate: Gate) -> Section:
    """Whether the design was locked beforehand, and each field that was changed since."""
    result = findings.result
    if result.protocol is None:
        said = (
            "No protocol was locked before this estimate, so a reader cannot tell whether the design was"
            " chosen after the outcomes were seen. Read it as exploratory."
        )
        return Section("Protocol", (Paragraph(said),))
    locked = Facts(
        (("Locked (UTC)", result.protocol.locked), ("SHA-256 of the design", result.protocol.sha256))
    )
    if not result.changes:
        return Section("Protocol", (Paragraph("The design is as it was locked."), locked))
    rows = tuple((heading(name), markup.words(old), markup.words(new)) for name, old, new in result.changes)
    said = f"Exploratory: {plural(len(rows), 'field')} of the design changed after the protocol was locked."
    return Section(
        "Protocol", (Paragraph(said), Grid(("Field", "As locked", "As now"), rows, (False,) * 3), locked)
    )


def data(findings: Findings, gate: Gate) -> Section:
    """Where the data came from, what was lost on the way, and their fingerprint."""
    where = "Data and attrition"
    record = findings.result.record
    if record is None:
        return Section(where, (Paragraph("This result carries no record of its data."),))
    held: dict[str, Any] = {
        "source": record.source or "not stated",
        "rows in the data": gate.value(Count(record.rows), "rows in the data", where),
        "columns used": ", ".join(record.columns),
        "missing values": _MISSING.get(
            str(findings.result.design.missing), str(findings.result.design.missing)
        ),
        "fingerprint (SHA-256)": record.fingerprint,
    }
    if (used := findings.facts.get("rows used")) is not None:
        held["rows used in the estimate"] = gate.value(used, "rows used", where)
    blocks: list[Block] = [facts(held)]
    blocks += _attrition(record.attrition, gate, where)
    if notes := [gate.text(note, where) for note in findings.result.notes if getattr(note, "counts", None)]:
        blocks += [Paragraph("Left out when the data were read for the estimate:"), Bullets(tuple(notes))]
    return Section(where, tuple(blocks))


_MISSING = {
    "refuse": "refused: the estimate is not made while a column that must be complete is empty anywhere",
    "complete cases": "rows with an empty used column are left out and counted",
}


def _attrition(steps: pd.DataFrame | None, gate: Gate, where: str) -> list[Block]:
    if steps is None:
        return [Paragraph("The data came without a table of the steps that made them.")]
    return [grid(gate.table(steps, where), "Steps that made the data, and what each of them lost.")]


def _words(title: str, head: tuple[str, str], held: Any) -> list[Block]:
    if not held:
        return []
    return [
        Heading(title),
        Grid(head, tuple((str(key), str(said)) for key, said in held.items()), (False, False)),
    ]


def _start(name: str) -> str:
    return name[:1].upper() + name[1:]
