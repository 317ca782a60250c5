"""From findings to sections: what a report holds, in its order. Nothing is rendered here."""

from __future__ import annotations

from dataclasses import replace

from qieval import fields
from qieval.catalogue import method_of
from qieval.design import Design
from qieval.errors import DesignError
from qieval.progress import progress
from qieval.reports import sections_findings, sections_reading, sections_study
from qieval.reports.blocks import Section
from qieval.reports.gate import Findings, Gate
from qieval.reports.rule import SuppressionRule
from qieval.text import listed, plural

IN_ORDER = (
    sections_study.question,
    sections_study.answer,
    sections_study.design,
    sections_study.protocol,
    sections_study.data,
    sections_findings.design_checks,
    sections_findings.estimate,
    sections_findings.ledger,
    sections_findings.evidence,
    sections_findings.sensitivity,
    sections_reading.limitations,
    sections_reading.how_to_read,
    sections_reading.checklist,
    sections_reading.small_numbers,
    sections_reading.reproducibility,
)
"""The order of the report. `small_numbers` tells what the sections before it withheld."""


def sections(findings: Findings, rule: SuppressionRule) -> tuple[Section, ...]:
    """All sections of a report, free of small numbers.

    The ledger is part of every report: DesignError when the checks lack an assumption or a check of the
    method, and when the variation was made from another design.
    """
    _require_complete(findings)
    settled = replace(findings, checks=replace(findings.checks, arguments=findings.result.design.argued()))
    gate = Gate(settled, rule)
    return tuple(part(settled, gate) for part in progress(IN_ORDER, "report"))


def _require_complete(findings: Findings) -> None:
    method = method_of(findings.result.design)
    held = {assumption.name for assumption in findings.checks.assumptions}
    lacking = [assumption.name for assumption in method.assumptions if assumption.name not in held]
    problems = []
    if lacking:
        problems.append(
            f"checks: the ledger lacks {plural(len(lacking), 'assumption')} of {method.title}"
            f" ({listed(lacking, 3)}). A report shows all assumptions, tested or not. Give what"
            " diagnose(result, data) returned."
        )
    elif len(findings.checks) < len(method.checks):
        problems.append(
            f"checks: {len(findings.checks)} of the {plural(len(method.checks), 'check')} of {method.title}"
            " are given. A report shows every check, also those that raise concerns. Give what"
            " diagnose(result, data) returned."
        )
    if findings.variation is not None and _analysis(findings.variation.design) != _analysis(
        findings.result.design
    ):
        problems.append(
            "variation: it was made from another design than the result, so it says nothing about this"
            " estimate. Call vary(result.design, data, ...) again."
        )
    if problems:
        raise DesignError(problems)


def _analysis(design: Design) -> dict[str, object]:
    """The design without the words around it, which change no number."""
    declared = fields.declared(type(design))
    return {
        name: held
        for name, held in design.to_dict().items()
        if name not in declared or declared[name].role not in ("text", "texts")
    }
