"""Declared stretches of a chart: points left out, phases with lines of their own, a frozen baseline."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.chart_design import ChartDesign
from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rows import sentence
from qieval.windows import windows


def left_out(design: ChartDesign, periods: Periods) -> tuple[np.ndarray, np.ndarray]:
    """Which periods are left out (T,), and why ('' for the others). DataError for unknown periods."""
    found = np.zeros(len(periods.labels), dtype=bool)
    why = np.full(len(periods.labels), "", dtype=object)
    issues = []
    for said, reason in design.left_out.items():
        try:
            codes = np.concatenate([window.codes for window in windows(said, periods, len(found))])
        except ValueError as cause:
            issues.append(f"left_out: {sentence(cause)}")
            continue
        found[codes] = True
        why[codes] = reason.strip()
    if issues:
        raise DataError(issues)
    return found, why


def phases(
    design: ChartDesign, periods: Periods, code: np.ndarray
) -> tuple[np.ndarray, tuple[tuple[str, str], ...]]:
    """The phase of each point (n,) by the declared dates, and the label and reason of each phase.

    DataError for dates that cannot be read, that lie outside the chart, or that leave a phase empty.
    """
    issues: list[str] = []
    begins: list[tuple[int, str, str]] = []
    for moment, why in design.rebase.items():
        first = _code(periods, moment, "rebase", issues)
        if first is None:
            continue
        if not (code < first).any() or not (code >= first).any():
            issues.append(
                f"rebase: {moment} leaves no point before or none after it (the points run from"
                f" {periods.shown()[code.min()]} to {periods.shown()[code.max()]}), so there is no second"
                " phase. Correct or remove it."
            )
        elif first in [earlier for earlier, _, _ in begins]:
            issues.append(f"rebase: {moment} begins the same phase as another date. Name it once.")
        else:
            begins.append((first, moment, why))
    begins.sort()
    edges = [first for first, _, _ in begins]
    part = np.searchsorted(edges, code, side="right")
    empty = [moment for at, (_, moment, _) in enumerate(begins, start=1) if not (part == at).any()]
    issues += [f"rebase: no point lies in the phase from {moment} on. Remove the date." for moment in empty]
    if issues:
        raise DataError(issues)
    return part, (("from the beginning", ""), *((f"from {moment}", why) for _, moment, why in begins))


def baseline(design: ChartDesign, periods: Periods, code: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Which points may set the lines (n,): all, or in the first phase those up to `baseline_until`."""
    if design.baseline_until is None:
        return np.ones(len(code), dtype=bool)
    try:
        last = periods.last_at_or_before(design.baseline_until)
    except ValueError as cause:
        raise DataError(f"baseline_until: {sentence(cause)}") from cause
    inside: np.ndarray = (code <= last) | (part > 0)
    if not (inside & (part == 0)).any():
        raise DataError(
            f"baseline_until: no point lies at or before {design.baseline_until}, so nothing would set the"
            " lines. Choose a later period."
        )
    if part[code <= last].max() > 0:
        raise DataError(
            f"baseline_until: {design.baseline_until} lies in a phase that `rebase` begins, but the"
            " baseline is that of the first phase. Choose an earlier period, or remove the date of"
            " rebasing."
        )
    return inside


def _code(periods: Periods, moment: Any, role: str, issues: list[str]) -> int | None:
    try:
        return periods.first_at_or_after(moment)
    except ValueError as cause:
        issues.append(f"{role}: {sentence(cause)}")
        return None
