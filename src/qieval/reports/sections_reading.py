"""The sections that help to read a report: limitations, reading aid, checklist, reproducibility."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

from qieval.catalogue import method_of
from qieval.design import Design
from qieval.markup import BADGES
from qieval.reports.blocks import Block, Bullets, Code, Facts, Grid, Heading, Paragraph, Section
from qieval.reports.cells import facts
from qieval.reports.gate import Findings, Gate
from qieval.reports.tracks import words
from qieval.text import Count

FOR_AUTHORS = "for the authors to write"

VERDICTS = {
    "supports": "What was seen fits the assumption. It is not proof of it.",
    "concern": "What was seen speaks against the assumption. Read the {thing} with that in mind.",
    "information": "Something to know that neither supports nor speaks against the assumption.",
    "untestable": "No data can test it. It rests on the argument that is given beside it.",
}


def limitations(findings: Findings, gate: Gate) -> Section:
    """What the method cannot do, and what stays open in this study."""
    title = "Limitations"
    result = findings.result
    method = method_of(result.design)
    blocks: list[Block] = [Paragraph(f"{method.title}: {method.limits} ({method.source})")]
    blocks += _listed(
        "Open: assumptions that no data can test and for which no argument was given", _open(findings)
    )
    argued = [f"{_start(name)}: {said}" for name, said in _argued(findings)]
    blocks += _listed("Resting on an argument alone", argued)
    concerns = [
        f"{_start(check.name)}: {gate.text(check.text, title)}"
        for check in findings.every_check
        if check.verdict == "concern"
    ]
    blocks += _listed("Concerns raised by checks", concerns)
    if result.protocol is None or result.changes:
        blocks.append(Paragraph(f"The analysis does not follow a locked protocol: {result.standing}."))
    if findings.variation is None:
        blocks.append(Paragraph("Whether the answer depends on choices in the design was not examined."))
    return Section(title, tuple(blocks))


def _open(findings: Findings) -> list[str]:
    arguments = findings.result.design.argued()
    return [
        f"{_start(assumption.name)}: {assumption.statement} If it fails, {assumption.consequence}."
        for assumption in findings.checks.assumptions
        if not assumption.testable and not arguments.get(assumption.name, "").strip()
    ]


def _argued(findings: Findings) -> list[tuple[str, str]]:
    arguments = findings.result.design.argued()
    untestable = [assumption.name for assumption in findings.checks.assumptions if not assumption.testable]
    return [(name, arguments[name]) for name in untestable if arguments.get(name, "").strip()]


def _listed(title: str, items: list[str]) -> list[Block]:
    return [Heading(title), Bullets(tuple(items))] if items else []


def how_to_read(findings: Findings, gate: Gate) -> Section:
    """What an interval (or a signal) and a verdict mean."""
    level = f"{findings.result.design.level:.0%}"
    spoken = words(findings)
    said = (text.format(level=level) for text in spoken.reading)
    verdicts = Facts(
        tuple((BADGES[verdict], told.format(thing=spoken.thing)) for verdict, told in VERDICTS.items())
    )
    return Section("How to read this report", (*(Paragraph(text) for text in said), verdicts))


def checklist(findings: Findings, gate: Gate) -> Section:
    """Where items of the reporting guidelines are answered."""
    if words(findings).thing == "chart":
        said = "A chart is part of improvement work; report that by SQUIRE 2.0 (Ogrinc et al. 2016)."
        return Section("Reporting checklist", (Paragraph(said),))
    stored = json.loads(
        importlib.resources.files("qieval.reports").joinpath("checklist.json").read_text("utf-8")
    )
    there = _present(findings)
    rows = tuple(
        (item["guideline"], item["item"], item["asks"], _answered(item, there)) for item in stored["items"]
    )
    sources = "; ".join(f"{name}: {source}" for name, source in stored["sources"].items())
    note = f"A selection in our own words, no substitute for the guidelines. {sources}."
    head = ("Guideline", "Item", "Asks for", "Answered in")
    return Section("Reporting checklist", (Grid(head, rows, (False,) * 4), Paragraph(note, "note")))


def _present(findings: Findings) -> set[str]:
    """What there is to answer items with."""
    result, record = findings.result, findings.result.record
    there = {
        "protocol": result.protocol is not None,
        "measured_in": bool(result.design.measured_in),
        "design_checks": findings.design_checks is not None,
        "variation": findings.variation is not None,
        "source": record is not None and bool(record.source),
        "attrition": record is not None and record.attrition is not None,
    }
    return {name for name, found in there.items() if found}


def _answered(item: dict[str, str], there: set[str]) -> str:
    if "section" in item and item.get("needs", "") in {"", *there}:
        return f"Section '{item['section']}'"
    return FOR_AUTHORS


def small_numbers(findings: Findings, gate: Gate) -> Section:
    """The rule that was applied, and where something was withheld."""
    blocks: list[Block] = [Paragraph(gate.rule.sentence())]
    if not gate.rule.active:
        return Section("Small numbers", tuple(blocks))
    if gate.who.rows_each > 1:
        said = (
            f"A person has up to {gate.who.rows_each} rows, so counts of rows are treated like counts of"
            f" people that are {gate.who.rows_each} times smaller."
        )
        blocks.append(Paragraph(said))
    if gate.steps_together:
        blocks.append(
            Paragraph(
                "Several steps lost few people, so steps are put together and their losses are not printed "
                "one by one."
            )
        )
    if not gate.log:
        return Section("Small numbers", (*blocks, Paragraph("Nothing had to be withheld.")))
    rows = tuple((_start(where), what, f"{times:,}") for (where, what), times in gate.log.items())
    note = (
        "What was withheld, by section or check. Counts in sentences that were not marked as counts of"
        " people by the maker of the sentence are recognised only in front of words such as 'rows' or"
        " 'people'."
    )
    return Section(
        "Small numbers",
        (*blocks, Grid(("Where", "What", "Times"), rows, (False, False, True)), Paragraph(note, "note")),
    )


def reproducibility(findings: Findings, gate: Gate) -> Section:
    """The record of the result and the Python that repeats it."""
    title = "Reproducibility"
    record = findings.result.record
    blocks: list[Block] = []
    if record is None:
        blocks.append(Paragraph("This result carries no record of its data and versions."))
    else:
        held: dict[str, Any] = {str(name): item for name, item in record.to_series().items()}
        held["rows in the data"] = gate.value(Count(record.rows), "rows in the data", title)
        blocks.append(facts(held | {"seed": str(record.seed)}))
    blocks += [Heading("Python that repeats it"), Code(_python(findings.result.design, findings))]
    return Section(title, tuple(blocks))


def _python(design: Design, findings: Findings) -> str:
    inside = "".join(f"    {name}={held!r},\n" for name, held in design.stated().items())
    lines = [
        "import qieval as qe",
        "",
        f"design = qe.{type(design).__name__}(\n{inside})",
        "result = qe.estimate(design, data)",
        "checks = qe.diagnose(result, data)",
    ]
    return "\n".join(lines)


def _start(name: str) -> str:
    return name[:1].upper() + name[1:]
