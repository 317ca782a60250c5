"""The effect by instruments: reduced form, first stage, then the effect with an interval that suits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DesignError
from qieval.instrumented import Fitted, Instrumented, Way, fitted_first_stage, read
from qieval.instrumented.fit import FirstStage
from qieval.instrumented.intervals import LEAST_SQUARES, WALD, Point, chosen, point, quantile, ways_of
from qieval.methods.instrumental_variables.design import EXCLUSION, InstrumentalVariables
from qieval.methods.instrumental_variables.inclusion import included
from qieval.methods.instrumental_variables.sentences import facts_of, headline_of, notes_of
from qieval.methods.rows import row_of
from qieval.numerics.contrasts import Contrast
from qieval.numerics.instruments_sets import ConfidenceSet
from qieval.result import Result


def estimate(design: InstrumentalVariables, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """The effect by instruments. `brief` gives the headline row only."""
    if not design.argued().get(EXCLUSION, "").strip():
        raise DesignError(
            "exclusion: the argument is missing. Write down why the instrument acts on the outcome only"
            " through the intervention: no data can show it, and without it the estimate means nothing, so"
            " none is made. The design checks work without it."
        )
    made = read(design, frame)
    first = fitted_first_stage(design, made)
    fitted, contrasts = _fitted(design, first)
    rows = [_headline_row(fitted), *map(row_of, contrasts[1:])]
    if not brief:
        rows += _by_instrument(first, design.level)
        rows += [] if fitted.inclusion is not None else [_way_row(fitted, way) for way in fitted.ways]
        plain = point(design, first, LEAST_SQUARES)
        rows.append(_row(f"{fitted.term}, {LEAST_SQUARES}", plain, plain.ends(design.level), plain.p_value))
    return Result(
        design=design,
        headline=headline_of(design, fitted),
        estimates=pd.DataFrame(rows),
        facts=pd.Series(facts_of(design, fitted), dtype=object),
        notes=(*made.notes, *first.notes, *notes_of(design, fitted)),
        kernel=fitted,
    )


def _fitted(design: InstrumentalVariables, first: FirstStage) -> tuple[Fitted, list[Contrast]]:
    """The fit with its headline; the contrasts of residual inclusion, where that is the estimator."""
    if design.estimator == "residual inclusion":
        found, contrasts = included(design, first)
        shown = contrasts[0]
        way = Way(
            kind=WALD,
            words="from both stages",
            held=ConfidenceSet(((shown.low, shown.high),)),
            p_value=shown.p_value,
        )
        fitted = Fitted(
            first=first,
            term=shown.name,
            estimate=shown.estimate,
            std_error=shown.std_error,
            way=way,
            ways=(way,),
            inclusion=found,
        )
        return fitted, contrasts
    made_by = point(design, first, design.estimator)
    ways = ways_of(design, first, made_by)
    fitted = Fitted(
        first=first,
        term=_term(first.made),
        estimate=made_by.estimate,
        std_error=made_by.std_error,
        way=chosen(design, first, ways),
        ways=ways,
    )
    return fitted, []


def _term(made: Instrumented) -> str:
    """What the effect is called: a difference, of risks where the outcome is 0 or 1."""
    return "difference" if made.kind == "mean" else f"{made.kind} difference"


def _row(term: str, shown: Point, ends: tuple[float, float], p_value: float) -> dict[str, Any]:
    return {
        "term": term,
        "at": np.nan,
        "estimate": shown.estimate,
        "std_error": shown.std_error,
        "conf_low": ends[0],
        "conf_high": ends[1],
        "p_value": p_value,
    }


def _headline_row(fitted: Fitted) -> dict[str, Any]:
    row = _way_row(fitted, fitted.way)
    return {**row, "term": fitted.term}


def _way_row(fitted: Fitted, way: Way) -> dict[str, Any]:
    """The effect with one of its intervals, by its outermost ends; the set itself is among the facts."""
    kind = "conditional likelihood ratio test" if way.kind.endswith("ratio") else way.kind
    shown = Point(fitted.estimate, fitted.std_error)
    return _row(f"{fitted.term}, {kind}", shown, (way.held.low, way.held.high), way.p_value)


def _by_instrument(first: FirstStage, level: float) -> list[dict[str, Any]]:
    """Reduced form and first stage of every instrument, given the covariates and the other instruments."""
    rows = []
    for at, what in enumerate(("reduced form", "first stage")):
        found = first.reduced.equation(at)
        for name, value, error in zip(first.names, found.coefficients, found.errors, strict=True):
            shown = Point(float(value), float(error))
            half = quantile(level) * shown.std_error
            ends = (shown.estimate - half, shown.estimate + half)
            rows.append(_row(f"{what}: {name}", shown, ends, shown.p_value))
    return rows
