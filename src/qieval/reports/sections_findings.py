"""The sections on what was found: design checks, estimate, ledger, evidence, sensitivity."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import pandas as pd

from qieval.check import Check
from qieval.plots.variation import no_effect
from qieval.reports.blocks import (
    Block,
    Bullets,
    Figure,
    Finding,
    Heading,
    Ledger,
    LedgerRow,
    Paragraph,
    Section,
)
from qieval.reports.cells import facts, grid
from qieval.reports.gate import Findings, Gate
from qieval.reports.pictures import picture
from qieval.reports.tracks import words
from qieval.result import headlines, main_estimates
from qieval.text import number, plural
from qieval.verbs import plot, plots_of

PICTURE_ONLY = frozenset(("mirror", "search"))
"""Pictures whose tables are only the bins or steps that are drawn."""

ARGUMENT_NOTE = (
    "An argument is the evaluator's reasoning, not evidence. Assumptions that no data can test are never"
    " supported by data."
)


def design_checks(findings: Findings, gate: Gate) -> Section:
    """What was known before outcomes from the start on were looked at."""
    title = "Design checks"
    if findings.design_checks is None:
        return Section(title, (Paragraph("No design checks were given to this report."),))
    blocks: list[Block] = [Paragraph(words(findings).blind)]
    for check in findings.design_checks:
        blocks += _check(check, gate)
    return Section(title, tuple(blocks))


def estimate(findings: Findings, gate: Gate) -> Section:
    """The estimates with their intervals, facts, notes and pictures."""
    result = findings.result
    title = words(findings).section
    blocks: list[Block] = [Paragraph(gate.text(result.headline, title), "lead")]
    overall = main_estimates(result)
    if overall is not None:
        units = result.design.measured_in
        shown = gate.table(_named(overall, findings), title)
        blocks.append(grid(shown, f"In units of: {units}." if units else ""))
    if len(findings.facts):
        blocks.append(
            facts({str(name): gate.value(held, str(name), title) for name, held in findings.facts.items()})
        )
    if result.notes:
        blocks += [Heading("Notes"), Bullets(tuple(gate.text(note, title) for note in result.notes))]
    for name, drawn in plots_of(result).items():
        why_not = gate.withholds_picture(name, title)
        blocks.append(
            Paragraph(why_not, "note") if why_not else picture(drawn, name, _CAPTIONS.get(name, ""))
        )
    if (by_period := _positioned(result.estimates)) is not None:
        blocks += [Heading("Estimates by period"), grid(gate.table(by_period, title), folded=True)]
    return Section(title, tuple(blocks))


_CAPTIONS = {
    "trajectory": "Each group over time, and what the treated would have shown without the intervention.",
    "event study": "The difference between the groups in each period, relative to one before the start.",
    "observed and expected": "The series as it was, and as expected without the intervention.",
    "effects over time": "Effects by periods since the start, over all units that began.",
    "cohorts over time": "Each cohort over time, and what it would have shown without the intervention.",
    "effects by cohort": "The mean effect in each group of units that began together.",
    "effects by cohort and period": "The effect in each cohort and period; before the start, a test of"
    " trends.",
    "chart": "The measure over time with centre line and limits; signals have their own shape and colour.",
    "making data count": "The same with the icons of NHS Making Data Count.",
}


def _named(table: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """The table with the column of estimates named as the track calls them."""
    return table.rename(columns={"estimate": words(findings).figure.replace(" ", "_")})


def _positioned(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The estimates that belong to a period or another position."""
    held = None if table is None else table.dropna(subset=["at"])
    if held is None or held.empty:
        return None
    return held.drop(columns=["std_error"] + (["term"] if held["term"].nunique() == 1 else []))


def ledger(findings: Findings, gate: Gate) -> Section:
    """All assumptions of the method, tested or not."""
    title = "Assumption ledger"
    rows = [
        LedgerRow(
            verdict=row["verdict"],
            assumption=row["assumption"],
            statement=row["statement"],
            seen=_seen(findings, gate, row),
            argument=row["argument"],
            consequence=f"If it fails: {row['consequence']} ({row['source']})",
        )
        for row in findings.checks.ledger.astype(str).to_dict("records")
    ]
    return Section(title, (Ledger(tuple(rows)), Paragraph(ARGUMENT_NOTE, "note")))


def _seen(findings: Findings, gate: Gate, row: Mapping[Hashable, str]) -> str:
    """What the checks of an assumption say, or what the evaluator still has to say.

    Each sentence goes through the gate on its own, since joined text no longer knows its counts.
    """
    found = [check for check in findings.checks if check.assumption == row["assumption"]]
    ordered = sorted(found, key=lambda check: check.verdict != "concern")
    if found:
        return " ".join(gate.text(check.text, "Assumption ledger") for check in ordered)
    argued = row["assumption"] in findings.result.design.argued()
    return "" if argued else row["text"]


def evidence(findings: Findings, gate: Gate) -> Section:
    """Each check with its sentence, picture and table."""
    blocks: list[Block] = []
    for check in findings.checks:
        blocks += _check(check, gate)
    return Section("Evidence for each check", tuple(blocks))


def _check(check: Check, gate: Gate) -> list[Block]:
    where = check.name
    blocks: list[Block] = [Finding(check.verdict, check.name, gate.text(check.text, where))]
    if check.table is None or check.table.empty:
        return blocks
    if why_not := gate.withholds(check):
        return [*blocks, Paragraph(why_not, "note")]
    if check.picture is not None:
        blocks.append(picture(plot(check), check.name, f"Evidence of the check '{check.name}'."))
    if check.picture in PICTURE_ONLY:
        return blocks
    return [*blocks, grid(gate.table(check.table, where), folded=check.picture is not None)]


def sensitivity(findings: Findings, gate: Gate) -> Section:
    """The estimate under altered designs."""
    title = "Sensitivity"
    if findings.variation is None:
        return Section(title, (Paragraph("No sensitivity analysis was made."),))
    table = findings.variation.table
    many = "term" in table and table["term"].nunique() > MOST_TERMS
    shown = (headlines(table) if many else table)[[name for name in _VARIATION if name in table.columns]]
    if "term" in shown and shown["term"].nunique() <= 1:
        shown = shown.drop(columns="term")
    blocks: list[Block] = [
        Paragraph(_range(table, words(findings).figure)),
        *_variation_picture(findings),
        grid(gate.table(_named(shown, findings), title)),
    ]
    return Section(title, tuple(blocks))


MOST_TERMS = 4
"""With more quantities than these only the first of each altered design is shown."""
_VARIATION = (
    "label",
    "term",
    "estimate",
    "conf_low",
    "conf_high",
    "lower_limit",
    "upper_limit",
    "points",
    "signals",
    "p_value",
    "p_holm",
    "largest_difference",
    "comparison_effective",
    "estimand",
    "rank",
    "units",
    "gap_before",
    "averaged",
    "rows_used",
    "units_compared",
    "share_negative",
    "note",
)


def _range(table: pd.DataFrame, figure: str) -> str:
    """How far the first figures of the altered designs lie apart."""
    if "term" in table and table["term"].nunique() > 1:
        table = headlines(table)
    held = table["estimate"].dropna() if "estimate" in table else pd.Series(dtype=float)
    failed = table["label"].nunique() - table.loc[held.index, "label"].nunique()
    if held.empty:
        return "None of the altered designs gave an estimate; the table says why."
    said = (
        f"Over {plural(table.loc[held.index, 'label'].nunique(), 'design')} the {figure} runs from"
        f" {number(held.min())} to {number(held.max())}"
    )
    none = no_effect(table.loc[held.index])
    same = "the same" if (held > none).all() or (held < none).all() else "not the same"
    said += f"; its direction is {same} in all of them." if figure == "estimate" else "."
    return said + (f" {plural(failed, 'design')} gave no estimate." if failed else "")


def _variation_picture(findings: Findings) -> list[Figure]:
    variation = findings.variation
    if variation is None or "estimate" not in variation.table or variation.table["estimate"].isna().all():
        return []
    return [
        picture(
            plot(variation), "sensitivity", "Estimates under altered designs, the design as stated first."
        )
    ]
