"""The average effect on the treated, and everything a result says about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval import shapes
from qieval.errors import DataError
from qieval.methods.difference_in_differences.by_period import (
    event_rows,
    event_study,
    for_few_clusters,
    group_series,
)
from qieval.methods.difference_in_differences.design import DifferenceInDifferences
from qieval.methods.difference_in_differences.inference import Inference, infer
from qieval.methods.difference_in_differences.regression import fit_average, without_anticipation
from qieval.numerics.absorb import Fit
from qieval.result import Result
from qieval.shapes import Panel
from qieval.text import Count, plural
from qieval.text import number as shown

LARGEST_SHARE = 3.0
"""Beyond three times the expected level that level is near zero and a percentage of it means nothing."""


def parse(design: DifferenceInDifferences, frame: pd.DataFrame) -> Panel:
    """The data as arrays."""
    return shapes.panel(design, frame, repeats=design.repeats)


def blind(design: DifferenceInDifferences, frame: pd.DataFrame) -> Panel:
    """The data without any outcome after the start."""
    return shapes.blind(design, frame, repeats=design.repeats, anticipation=design.anticipation)


def estimate(design: DifferenceInDifferences, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the ATT and the effect in each period; see `DifferenceInDifferences`.

    `brief` leaves out the effects by period, for loops that only need the average.
    """
    panel = parse(design, frame)
    last_before = panel.start - 1 - design.anticipation
    if last_before < 0:
        raise DataError(
            f"anticipation: with {plural(design.anticipation, 'period')} of anticipation no period before the"
            f" start is left ({plural(panel.start, 'period')} in the data). Use less, or add earlier periods."
        )
    notes = list(panel.notes)
    rows = without_anticipation(design, panel, notes)
    fit = fit_average(design, rows, notes)
    inference = infer(design, fit, rows, rows.after)
    expected = _expected_level(fit, rows)
    event, estimates, series = None, _overall_row(fit, inference), None
    if not brief:
        event = event_study(design, panel, last_before)
        periods = event_rows(design, event, inference.df, bands=not inference.for_few)
        if inference.for_few:
            for_few_clusters(design, panel, event, periods)
        estimates = pd.concat([estimates, periods], ignore_index=True)
        series = group_series(design, panel, event, np.nan if inference.for_few else inference.df)
    return Result(
        design=design,
        headline=_headline(design, panel, inference, float(fit.beta[0]), expected),
        estimates=estimates,
        series=series,
        facts=_facts(design, panel, fit, inference, expected, last_before),
        notes=(*notes, *inference.notes),
        kernel=event,
    )


def _overall_row(fit: Fit, inference: Inference) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "term": ["ATT"],
            "at": [np.nan],
            "estimate": [float(fit.beta[0])],
            "std_error": [inference.std_error],
            "conf_low": [inference.low],
            "conf_high": [inference.high],
            "p_value": [inference.p_value],
        }
    )


def _expected_level(fit: Fit, rows: Panel) -> float:
    """The mean outcome of treated units after the start, less the effect."""
    after = rows.treated & rows.after & fit.base.rows.used
    weight = None if rows.weights is None else rows.weights[after]
    return float(np.average(rows.outcome[after], weights=weight) - fit.beta[0])


def _facts(
    design: DifferenceInDifferences,
    panel: Panel,
    fit: Fit,
    inference: Inference,
    expected: float,
    last_before: int,
) -> pd.Series[Any]:
    people = Count if design.units_are == "people" else int
    labels = panel.periods.shown()
    facts: dict[str, Any] = {
        "rows used": Count(fit.base.rows.n),
        "treated units": people(np.unique(panel.unit[panel.treated]).size),
        "comparison units": people(np.unique(panel.unit[~panel.treated]).size),
        "periods before the start": last_before + 1,
        "periods from the start on": panel.n_periods - panel.start,
        "first period": labels[0],
        "start": labels[panel.start],
        "last period": labels[-1],
        "reference period": last_before - panel.start,
        "clusters": inference.clusters,
        "treated clusters": inference.treated_clusters,
        "expected level without the intervention": expected,
        "effect as share of the expected level": float(fit.beta[0]) / expected if expected > 0 else np.nan,
        "interval by": inference.label,
    }
    return pd.Series(facts, dtype=object)


def _headline(
    design: DifferenceInDifferences, panel: Panel, inference: Inference, effect: float, expected: float
) -> str:
    quantity = design.measured_in or design.outcome.replace("_", " ")
    interval = f"{design.level:.0%} interval {_signed(inference.low)} to {_signed(inference.high)}"
    if not np.isfinite([inference.low, inference.high]).any():
        interval = f"too few clusters for a bounded {design.level:.0%} interval"
    share = ""
    if expected > 0 and abs(effect / expected) <= LARGEST_SHARE:
        share = f" That is {abs(effect / expected):.1%} {_way(effect)} the expected level."
    return (
        f"From {panel.periods.shown()[panel.start]} on, {quantity} in the treated units: on average"
        f" {_signed(effect)} ({interval}) compared with what would be expected had they changed as the"
        f" comparison units did.{share}"
    )


def _signed(value: float) -> str:
    if not np.isfinite(value):
        return "no limit"
    return f"{shown(abs(value))} {'higher' if value > 0 else 'lower'}" if value else "no difference"


def _way(value: float) -> str:
    return "above" if value > 0 else "below"
