"""Other series and other events: control outcomes, composition, what else happened, the control series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check
from qieval.diagnostics.series_before import plain_columns
from qieval.diagnostics.series_rows import (
    AS_DESIGNED,
    CONTROL,
    COUNTS,
    NO_OTHER_CHANGE,
    SAME_PEOPLE,
    Changes,
    counted,
    is_clear,
    periods_away,
    stated,
    tried,
)
from qieval.interrupted import Interrupted
from qieval.numerics.series_gls import gls_ar
from qieval.progress import progress
from qieval.result import Study
from qieval.text import listed, number, plural

CLOSE = 3
"""Events within so many periods of the start cannot be told from it."""
MOST_CONTROLS = 5
ROUTE = (
    "A control series hit by the same events (controls), difference-in-differences or a synthetic control can"
    " remove what one series cannot."
)
ALONE: Changes = {
    "controls": (),
    "control_denominators": (),
    "control_outcomes": (),
    "composition": (),
    "horizons": (),
    "expected_within": 0,
}


def control_outcomes(study: Study) -> Check:
    """The same analysis of outcomes that the intervention cannot have changed."""
    name, names = "control outcomes", study.design.control_outcomes
    if not names:
        text = (
            "No control outcome is named (control_outcomes): one that shares the other influences on the"
            " outcome and that the intervention cannot have changed would show events at the same time."
        )
        return Check(name=name, assumption=NO_OTHER_CHANGE, verdict="information", text=text)
    rows = [tried(study, each, {**ALONE, **_of_outcome(study, each)}) for each in progress(names, name)]
    return _changed(
        rows,
        name,
        NO_OTHER_CHANGE,
        "changed at the start although the intervention cannot have changed them, so something else happened",
    )


def _of_outcome(study: Study, name: str) -> dict[str, Any]:
    """The fields of a design that looks at another outcome in the same way."""
    changes: dict[str, Any] = {"outcome": name}
    values = study.panel.series.others[name]
    held = values[np.isfinite(values)]
    if study.design.counts and ((held < 0).any() or (held != np.round(held)).any()):
        changes["family"] = "gaussian"
    return changes


def composition(study: Study) -> Check:
    """Whether those behind the outcome changed at the start: the same regression of each column."""
    name, names = "composition of the population", study.design.composition
    if not names:
        text = (
            "No column describes who is behind the outcome (composition), such as the mean age or the share"
            " of women in each period, so a change in who is counted would not be seen."
        )
        return Check(name=name, assumption=SAME_PEOPLE, verdict="information", text=text)
    plain: dict[str, Any] = {
        **ALONE,
        "denominator": None,
        "per": 1,
        "family": "gaussian",
        "scale": "as measured",
        "days_in_period": "ignored",
        "covariates": (),
    }
    rows = [tried(study, each, {**plain, "outcome": each}) for each in progress(names, name)]
    return _changed(
        rows, name, SAME_PEOPLE, "changed at the start: part of the effect may be a change in who is counted"
    )


def _changed(rows: list[dict[str, Any]], name: str, assumption: str, consequence: str) -> Check:
    table = pd.DataFrame(rows)
    found = table.dropna(subset=["estimate"])
    moved = [str(row["label"]) for _, row in found.iterrows() if is_clear(dict(row))]
    if found.empty:
        text = "None could be analysed; the table says why."
    elif moved:
        text = f"{listed(moved)} {consequence}."
    else:
        text = f"None of {plural(len(found), 'series', 'series')} shows a change at the start beyond chance."
    same = table["term"].astype(str).str.endswith("ratio")
    return Check(
        name=name,
        assumption=assumption,
        verdict="information" if found.empty else "concern" if moved else "supports",
        text=text,
        table=table,
        picture="intervals" if not found.empty and same.nunique() == 1 else None,
    )


def co_occurring_events(study: Study) -> Check:
    """The register of other events with their distance from the start. No data can show it is complete."""
    name, made, events = "register of concurrent events", study.panel, study.design.events
    if not events:
        text = (
            "No other event has been entered in the register. That is a statement of the evaluator, not a"
            f" finding: one series does not exclude co-occurring events. {ROUTE}"
        )
        return Check(name=name, assumption=NO_OTHER_CHANGE, verdict="information", text=text)
    rows = sorted((_event(made, moment, what) for moment, what in events.items()), key=_distance)
    table = pd.DataFrame(rows)
    near = table[table["periods_from_start"].abs() <= CLOSE]
    text = f"{plural(len(rows), 'other event')} in the register."
    if len(near):
        text += (
            f" Within {plural(CLOSE, made.series.rhythm)} of the start: {listed(near['what_happened'], 3)};"
            " what that did to the outcome cannot be told from the effect by this series."
        )
    text += f" One series does not exclude co-occurring events, whatever the p-value. {ROUTE}"
    return Check(name=name, assumption=NO_OTHER_CHANGE, verdict="information", text=text, table=table)


def _event(made: Interrupted, moment: str, what: str) -> dict[str, Any]:
    """An event with its distance from the start; NaN where it lies outside the data."""
    periods, said = made.series.periods, {"when": moment, "what_happened": what}
    try:
        code = periods.last_at_or_before(moment)
        late = periods.first_at_or_after(moment) == len(periods.labels) and periods.inside(moment) is None
    except ValueError:
        return {**said, "periods_from_start": np.nan, "lies": "at a date that cannot be read"}
    if code < 0 or late:
        where = "before the data begin" if code < 0 else "after the data end"
        return {**said, "periods_from_start": np.nan, "lies": where}
    return {**said, "periods_from_start": float(code - made.start), "lies": periods_away(made, code)}


def _distance(row: dict[str, Any]) -> float:
    distance = abs(float(row["periods_from_start"]))
    return distance if np.isfinite(distance) else np.inf


def control_series(study: Study) -> Check:
    """What the control series did before and at the start, and the effect with and without it."""
    name, design = "control series", study.design
    if not design.controls:
        text = "There is no control series, so whatever else happened at the start is part of the effect."
        text += f" {ROUTE}"
        return Check(name=name, assumption=CONTROL, verdict="information", text=text)
    rows = [{**stated(study), "label": f"with control, {AS_DESIGNED}"}]
    rows.append(tried(study, "without control", ALONE))
    shown = design.controls[:MOST_CONTROLS]
    rows += [tried(study, f"control alone: {each}", {**ALONE, **_of_control(study, each)}) for each in shown]
    table = pd.DataFrame(rows)
    before, apart = _trends_apart(study)
    shocked = [dict(row) for _, row in table.iloc[2:].iterrows() if is_clear(dict(row))]
    text = f"The effect is {_said(rows[0])} with the control and {_said(rows[1])} without it. {before}"
    if shocked:
        text += (
            f" The control itself changed at the start ({_said(shocked[0])}): a common event, which the"
            " comparison removes, or an effect that spilled over, which it must not."
        )
    else:
        text += " The control shows no change of its own at the start beyond chance."
    same = table["term"].astype(str).str.endswith("ratio").nunique() == 1
    return Check(
        name=name,
        assumption=CONTROL,
        verdict="concern" if apart else "information" if shocked else "supports",
        text=text,
        table=table,
        picture="intervals" if same else None,
    )


def _of_control(study: Study, name: str) -> dict[str, Any]:
    """The fields of a design that looks at a control series alone."""
    bottoms = dict(zip(study.design.controls, _bottoms(study), strict=False))
    changes = {**_of_outcome(study, name), "denominator": bottoms.get(name)}
    return changes if changes["denominator"] is not None else {**changes, "per": 1}


def _said(row: dict[str, Any]) -> str:
    if not np.isfinite(row["estimate"]):
        return "not available"
    return f"{number(row['estimate'])} ({number(row['conf_low'])} to {number(row['conf_high'])})"


def _trends_apart(study: Study) -> tuple[str, bool]:
    """Whether series and control drifted apart before the start: a sentence, and whether it is a worry.

    The slope of their difference (of logarithms where changes are ratios), with AR(1) errors by REML.
    """
    design, made = study.design, study.panel
    own, other = _rates(study)
    logged = counted(design, made) in COUNTS or design.counts or design.scale == "logarithm"
    rows = made.before & np.isfinite(own) & np.isfinite(other)
    if logged:
        rows &= (own > 0) & (other > 0)
    codes = np.flatnonzero(rows)
    gap = np.log(own[codes]) - np.log(other[codes]) if logged else own[codes] - other[codes]
    try:
        fit = gls_ar(gap, plain_columns(design, made)[codes], codes, 1, "REML")
    except ValueError as cause:
        return f"Trends before the start could not be compared ({cause}).", False
    slope, error = float(fit.coefficients[1]), float(fit.std_error[1])
    p = float(2 * scipy.special.stdtr(float(fit.df[1]), -abs(slope) / error))
    apart = p < 1 - design.level
    yearly = slope / made.series.n_periods
    size = f"{yearly:.2%}" if logged else number(yearly, 2)
    said = "drifted apart" if apart else "ran about parallel"
    return f"Before the start the two {said} ({size} per {made.series.rhythm}, p = {number(p, 2)}).", apart


def _bottoms(study: Study) -> tuple[str, ...]:
    """The denominator of each control series; one that is named alone is that of all."""
    named: tuple[str, ...] = study.design.control_denominators
    return named * len(study.design.controls) if len(named) == 1 else named


def _rates(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """The series and its pooled control as rates where they have denominators (T,)."""
    design, series = study.design, study.panel.series
    per = design.per
    own = series.y if series.denominator is None else series.y / series.denominator * per
    tops = np.column_stack([series.others[each] for each in design.controls])
    if design.control_denominators:
        bottoms = np.column_stack([series.others[each] for each in _bottoms(study)])
        return own, tops.sum(axis=1) / bottoms.sum(axis=1) * per
    return own, tops.mean(axis=1)
