"""What the effect would be with other bandwidths, orders, kernels and rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qieval.check import Check
from qieval.diagnostics.cutoff_rows import (
    FORM,
    Row,
    agreement,
    attempted,
    fitted,
    imprecise,
    not_made,
    row_of,
    sign_of,
    span,
    stated,
    tabled,
)
from qieval.discontinuous.local import fit, fit_anyway
from qieval.progress import progress
from qieval.result import Study
from qieval.text import number

FACTORS = (0.5, 0.6, 0.7, 0.85, 1.2, 1.4, 1.7, 2.0)
"""Bandwidths tried, as multiples of that of the design."""
KERNELS = ("triangular", "epanechnikov", "uniform")
RULES = ("mserd", "msetwo", "msesum", "cerrd", "certwo")
HIGHEST = 3
DISAGREE = " They do not agree: say beforehand which one counts, and why."


def bandwidths(study: Study) -> Check:
    """The effect from half to double the bandwidth; the bias is looked for as much nearer or wider."""
    held = fitted(study)
    width, wide = held.fit.h, held.fit.b
    rows: list[Row] = [{**stated(study), "at": float(width[0]), "times": 1.0}]
    for factor in progress(FACTORS, "bandwidths"):
        h, b = ((float(factor * pair[0]), float(factor * pair[1])) for pair in (width, wide))
        label = f"{number(factor)} times the bandwidth"
        row = _tried(study, label, {"h": h, "b": b, "rho": None})
        rows.append({**row, "at": h[0], "times": factor})
    text = f"From half to double the bandwidth ({_pair(width)}) the effect runs {{span}}."
    return _check(study, rows, "bandwidth", text)


def orders_and_kernels(study: Study) -> Check:
    """The effect with means, lines and curves on either side, and with other kernels."""
    design = study.design
    rows = [stated(study)]
    words = ("means", "lines", "curves (order 2)", "curves (order 3)")
    for order in progress(range(design.derivative, HIGHEST + 1), "orders"):
        if order != design.order:
            rows.append(_tried(study, words[order], {"p": order, "q": order + 1}))
    rows += [
        _tried(study, f"{kernel} kernel", {"kernel": kernel}) for kernel in KERNELS if kernel != design.kernel
    ]
    return _check(study, rows, "order and kernel", "With other orders and kernels the effect runs {span}.")


def selectors(study: Study) -> Check:
    """The effect with bandwidths chosen by other rules."""
    design = study.design
    given = bool(design.bandwidth)
    rows = [stated(study)]
    for rule in progress(RULES, "bandwidth rules"):
        if given or rule != design.bandwidth_rule:
            rows.append(_chosen(study, rule))
    text = "With bandwidths chosen by other rules the effect runs {span}."
    return _check(study, rows, "rule for the bandwidth", text)


def _tried(study: Study, label: str, changes: Mapping[str, Any]) -> Row:
    """The effect with other settings of the local polynomial, and its bandwidth."""

    def make() -> Row:
        found, _ = fit_anyway(study.design, study.panel, **changes)
        return row_of(label, found, sign_of(study.panel, found))

    return attempted(label, make)


def _chosen(study: Study, rule: str) -> Row:
    """The effect with bandwidths that a rule chooses; without an estimate where no rule can."""

    def make() -> Row:
        found = fit(study.design, study.panel, rule=rule, h=None, b=None)
        return row_of(rule, found, sign_of(study.panel, found))

    return attempted(rule, make)


def _check(study: Study, rows: list[Row], name: str, text: str) -> Check:
    table, level = tabled(rows), study.design.level
    verdict = agreement(table, level)
    end = DISAGREE if verdict == "concern" else imprecise(table, level)
    return Check(
        name=name,
        assumption=FORM,
        verdict=verdict,
        text=text.format(span=span(table)) + end + not_made(table),
        table=table,
        picture="bandwidths" if name == "bandwidth" else "intervals",
    )


def _pair(widths: np.ndarray) -> str:
    left, right = (number(float(width)) for width in widths)
    return left if left == right else f"{left} and {right}"
