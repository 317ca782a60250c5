"""Trend, season and form of the change: whether others fit, and what the effect is under each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.diagnostics.series_before import before_start
from qieval.diagnostics.series_rows import (
    COUNTS,
    FORM,
    PROPORTIONS,
    TIMING,
    Changes,
    all_tried,
    fitted,
    on_one_scale,
    verdicts,
)
from qieval.interrupted import Interrupted
from qieval.numerics import series_terms
from qieval.result import Study
from qieval.text import listed, number, plural

SMALL_P = 0.05
FEWEST = 12
"""Fewer values before the start cannot show a bend."""
MOST_SHIFT, NEARBY = 6, 3
"""Timings up to six periods are shown; the verdict rests on those up to three."""
FEWEST_PER_SEASON = 2
WANDERING = "0,1,1"
"""The ARIMA model whose level wanders, tried where the design states no order."""


def linear_trend(design: Any, made: Interrupted) -> Check:
    """Whether the trend before the start bends: a parabola and a spline against a straight line.

    Wald tests with F distribution in a regression with AR(1) errors by REML, on values before the start only;
    counts are linearised at their fit.
    """
    name = "bend of the trend before the start"
    if int(made.before.sum()) < FEWEST:
        text = f"Fewer than {FEWEST} periods before the start cannot show whether the trend bends."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    try:
        table = pd.DataFrame(_bends(design, made))
    except ValueError as cause:
        text = f"It cannot be judged before the start: {cause}."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    smallest = float(table["p_value"].min())
    bent = smallest < SMALL_P / len(table)
    said = (
        "a bent trend fits better than a straight line"
        if bent
        else "nothing speaks for a bent trend against a straight line"
    )
    text = f"Before the start {said} (smallest p-value {number(smallest, 2)})."
    if bent and design.trend == "linear" and design.model == "segmented regression":
        text += (
            " A straight line carried past the start may then be wrong: look at trend='quadratic' or"
            " 'spline', a model whose level moves by itself, or a shorter time before the start"
            " (first_period)."
        )
        return Check(name=name, assumption=FORM, verdict="concern", text=text, table=table)
    if bent:
        text += f" The design allows for that (trend: {design.trend}, model: {design.model})."
    return Check(name=name, assumption=FORM, verdict="supports", text=text, table=table)


def _bends(design: Any, made: Interrupted) -> list[dict[str, Any]]:
    held = before_start(design, made)
    at = made.series.at.astype(float)
    knots = np.quantile(held.rows, np.linspace(0, 1, 4))
    middle, spread = held.rows.mean(), held.rows.std()
    forms = {
        "parabola": (((at - middle) / spread) ** 2)[:, None],
        "spline with 3 columns": series_terms.trend_spline(at, knots)[:, 1:],
    }
    rows = []
    for form, extra in forms.items():
        fit = held.errors(extra)
        size = extra.shape[1]
        last, between = fit.coefficients[-size:], fit.covariance[-size:, -size:]
        statistic = float(last @ np.linalg.solve(between, last)) / size
        df = len(held.rows) - len(fit.coefficients)
        rows.append(
            {
                "form": form,
                "f_statistic": statistic,
                "df": size,
                "df_residual": df,
                "p_value": float(scipy.special.fdtrc(size, df, statistic)),
                "autocorrelation": float(fit.phi[0]),
            }
        )
    return rows


def other_forms(study: Study) -> Check:
    """The effect under other seasons, trends, forms of the change and models of the level."""
    table = all_tried(study, _forms(study), "other forms")
    text, moved = _range(table, "reasonable form")
    return Check(
        name="other forms of trend and season",
        assumption=FORM,
        verdict=_verdict(table, moved),
        text=text,
        table=table,
        picture="intervals",
    )


def _forms(study: Study) -> dict[str, Changes]:
    """Altered designs by name; those equal to the design itself are left out."""
    design = study.design
    ways: dict[str, Changes] = {
        "trend: linear": {"trend": "linear"},
        "trend: quadratic": {"trend": "quadratic"},
        "trend: spline": {"trend": "spline", "trend_df": 3},
    }
    ways |= _seasons(study)
    if design.change in ("level and slope", "level"):
        other = "level" if design.change == "level and slope" else "level and slope"
        ways[f"change: {other}"] = {"change": other}
    amounts: dict[str, Any] = {}
    if fitted(study).family in COUNTS + PROPORTIONS:
        amounts = {"family": "gaussian", "scale": "logarithm"}
    if not (design.controls and design.controlled_by == "comparative model"):
        ways[f"model: ARIMA({design.arima or WANDERING})"] = {
            "model": "ARIMA",
            "arima": design.arima or WANDERING,
            **amounts,
        }
        ways["model: structural time series"] = {"model": "structural time series", **amounts}
    return {label: changes for label, changes in ways.items() if not _same(design, changes)}


def _seasons(study: Study) -> dict[str, Changes]:
    season, used = study.panel.season, int(study.panel.used.sum())
    ways: dict[str, Changes] = {"season: none": {"seasonality": "none"}}
    if season is None or used < FEWEST_PER_SEASON * season:
        return ways if study.design.seasonality != "none" else {}
    for pairs in range(1, min(3, int(season // 2)) + 1):
        words = "1 pair of harmonics" if pairs == 1 else f"{pairs} pairs of harmonics"
        ways[f"season: {words}"] = {"seasonality": "harmonics", "harmonics": pairs}
    if season == round(season) and used > 3 * season and season <= 24:
        ways["season: one value for each part"] = {"seasonality": "one per season"}
    if season >= 5:
        ways["season: spline"] = {"seasonality": "spline"}
    return ways


def _same(design: Any, changes: Changes) -> bool:
    """Whether an altered design is the one that was stated."""
    if changes.get("seasonality") == "none" and design.seasonality == "none":
        return True
    return all(getattr(design, field) == value for field, value in changes.items())


def other_timing(study: Study) -> Check:
    """The effect with other lengths of phasing in, and with other lags before the effect begins."""
    design, word = study.design, study.panel.series.rhythm
    later = int(study.panel.series.at[study.panel.used].max()) - study.panel.start
    most = min(MOST_SHIFT, max(later - 3, 0))
    ways: dict[str, Changes] = {
        f"phasing in over {plural(held, word)}": {"phase_in": held, "phase_in_as": "left out"}
        for held in range(most + 1)
    }
    ways |= {f"effect begins {plural(held, word)} later": {"lag": held} for held in range(1, most + 1)}
    ways = {label: changes for label, changes in ways.items() if not _same_timing(design, changes)}
    if not ways:
        text = "There are too few periods after the start to try a phasing in or a lag."
        return Check(name="other timing of the change", assumption=TIMING, verdict="information", text=text)
    table = all_tried(study, ways, "other timing")
    text, _ = _range(table, "timing")
    _, moved = _range(table[~table["label"].isin(_far(word, most))], "timing")
    text += " The mean is over the periods after phasing in and lag, which are not the same ones."
    return Check(
        name="other timing of the change",
        assumption=TIMING,
        verdict=_verdict(table, moved),
        text=text,
        table=table,
        picture="intervals",
    )


def _far(word: str, most: int) -> list[str]:
    """The names of timings so far from the design that an effect at once would be blurred by them."""
    far = [plural(held, word) for held in range(NEARBY + 1, most + 1)]
    return [name for said in far for name in (f"phasing in over {said}", f"effect begins {said} later")]


def _same_timing(design: Any, changes: Changes) -> bool:
    if "phase_in" in changes and not changes["phase_in"]:
        return not design.phase_in
    return _same(design, changes)


def _verdict(table: pd.DataFrame, moved: bool) -> Verdict:
    """What a table of altered designs says; nothing where none of them could be estimated."""
    if int(table["estimate"].notna().sum()) < 2:
        return "information"
    return "concern" if moved else "supports"


def _range(table: pd.DataFrame, noun: str) -> tuple[str, bool]:
    """The range of the effects in words, and whether the conclusion (lower, higher, not told) changes."""
    found = table.dropna(subset=["estimate"])
    if len(found) < 2:
        return f"No other {noun} could be estimated; the table says why.", False
    estimate = found["estimate"].astype(float)
    low, high = found.iloc[int(estimate.to_numpy().argmin())], found.iloc[int(estimate.to_numpy().argmax())]
    text = (
        f"Over {plural(len(found) - 1, f'other {noun}', f'other {noun}s')} the effect runs from"
        f" {number(float(low['estimate']))} ({low['label']}) to {number(float(high['estimate']))}"
        f" ({high['label']}); as designed it is {number(float(estimate.iloc[0]))}."
    )
    size, held = on_one_scale(found, "estimate"), verdicts(found)
    other = found.loc[held != held.iloc[0], "label"]
    if len(other):
        text += (
            f" Whether its interval leaves no effect out is not the same in all of them (different:"
            f" {listed(other, 3)})."
        )
        if (np.sign(size) != np.sign(size.iloc[0])).any():
            text += " Nor is its direction."
    failed = len(table) - len(found)
    if failed:
        text += f" {failed} could not be estimated; the table says why."
    return text, bool(len(other))
