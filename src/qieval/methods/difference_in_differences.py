"""Difference-in-differences with two groups: the change in the treated against the change in the comparison
units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from qieval import shapes
from qieval.design import PanelDesign
from qieval.errors import DataError, EstimationError
from qieval.fields import choice, number
from qieval.methods.difference_in_differences_assumptions import ASSUMPTIONS
from qieval.methods.difference_in_differences_inference import Inference, infer
from qieval.numerics.absorb import Fit, TwoWay, fit_event, fit_static, two_way, within
from qieval.numerics.covariance import covariance, t_interval
from qieval.numerics.joint import sup_t
from qieval.result import EventStudy, Result
from qieval.shapes import Panel
from qieval.text import Count, Counted, plural
from qieval.text import number as shown

LARGEST_SHARE = 3.0
"""Beyond three times the expected level that level is near zero and a percentage of it means nothing."""

__all__ = ["ASSUMPTIONS", "DifferenceInDifferences", "blind", "estimate", "parse"]


@dataclass(frozen=True, kw_only=True, repr=False)
class DifferenceInDifferences(PanelDesign):
    """Compare the change over time in treated units with the change in comparison units.

    The effect is the average effect on the treated (ATT): the coefficient of treated x after in a
    regression with unit and period effects (two-way fixed effects), exact for one common start. Periods
    within `anticipation` of the start count neither as before nor as after. The event study gives the
    effect in each period relative to the last period before the start (less `anticipation`).

    Intervals: `inference='analytic'` uses `variance` (by default cluster-robust, t with G-1 degrees of
    freedom, small sample factor as in fixest); 'wild cluster bootstrap' and 'permutation' are valid with
    few clusters; 'automatic' chooses by the number of clusters and says so. With `data='repeated cross-
    sections'` other people are sampled in each period and the effects of the two groups take the place of
    unit effects; with 'repeated cross- sections of units' people are sampled within units (practices,
    sites) that keep their own effects.

    Missing values: see `missing`. Raises DesignError when fields contradict each other.
    Source: Angrist and Pischke 2009, chapter 5; checked against fixest 0.14 and linearmodels.

    >>> DifferenceInDifferences(outcome="y", unit="id", time="month", treated="pilot", start="2022-04")
    DifferenceInDifferences(outcome='y', unit='id', time='month', treated='pilot', start='2022-04')
    """

    method: ClassVar[str] = "Difference-in-differences"

    data: str = choice(
        ("panel", "repeated cross-sections", "repeated cross-sections of units"),
        "whether the same units are followed (panel) or other people are sampled in each period",
        default="panel",
    )
    anticipation: int = number(
        "how many periods before the start may already be affected", low=0, high=120, default=0, whole=True
    )
    inference: str = choice(
        ("automatic", "analytic", "wild cluster bootstrap", "permutation"),
        "how the interval is made; automatic uses a method that is valid with few clusters where there"
        " are few",
        default="automatic",
    )
    variance: str = choice(
        ("cluster", "hc1", "iid"),
        "which errors the analytic standard error allows for: dependent within clusters, unequal, or equal"
        " variance",
        default="cluster",
    )
    small_sample: str = choice(
        ("fixest", "stata", "areg", "none"),
        "the small-sample factor of the standard error, named after the software that uses it",
        default="fixest",
    )
    draws: int = number(
        "random draws of the bootstrap or the permutation", low=99, high=99999, default=1999, whole=True
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.variance != "cluster" and self.inference in ("wild cluster bootstrap", "permutation"):
            found.append(
                f"inference, variance: '{self.inference}' works on clusters, but variance is"
                f" '{self.variance}'. Set variance='cluster', or inference='analytic'."
            )
        return found

    @property
    def repeats(self) -> bool:
        """Whether a unit may have several rows in a period."""
        return self.data != "panel"


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
    rows = _without_anticipation(design, panel, notes)
    fit = _fit_average(design, rows, notes)
    inference = infer(design, fit, rows, rows.after)
    expected = _expected_level(fit, rows)
    event, estimates, series = None, _overall_row(fit, inference), None
    if not brief:
        event = _event_study(design, panel, last_before)
        periods = _event_rows(design, event, bands=not inference.for_few)
        if inference.for_few:
            _for_few_clusters(design, panel, event, periods)
        estimates = pd.concat([estimates, periods], ignore_index=True)
        series = _series(design, panel, event, analytic=not inference.for_few)
    return Result(
        design=design,
        headline=_headline(design, panel, inference, float(fit.beta[0]), expected),
        estimates=estimates,
        series=series,
        facts=_facts(design, panel, fit, inference, expected, last_before),
        notes=(*notes, *inference.notes),
        kernel=event,
    )


def _groups(design: DifferenceInDifferences, panel: Panel) -> np.ndarray:
    """The factor whose effects are removed: units, or the two groups when people are sampled anew."""
    return panel.treated.astype(np.intp) if design.data == "repeated cross-sections" else panel.unit


def _covariates(design: DifferenceInDifferences, panel: Panel) -> np.ndarray | None:
    """Covariates (n, k): as they are, and each baseline covariate once per period but the first."""
    columns = [panel.x]
    for j, name in enumerate(panel.baseline_names):
        if not design.repeats:
            _require_fixed(panel, j, name)
        columns += [
            np.where(panel.time == t, panel.baseline[:, j], 0.0)[:, None] for t in range(1, panel.n_periods)
        ]
    stacked = np.hstack(columns) if len(columns) > 1 else columns[0]
    return stacked if stacked.shape[1] else None


def _require_fixed(panel: Panel, j: int, name: str) -> None:
    column = panel.baseline[:, j]
    first = np.zeros(len(panel.units))
    first[panel.unit[::-1]] = column[::-1]
    changing = np.unique(panel.unit[first[panel.unit] != column]).size
    if changing:
        raise DataError(
            f"baseline_covariates: '{name}' changes over time in {plural(changing, 'unit')}, but a baseline"
            " covariate is fixed before the start. Use its value before the start, or list it under"
            " covariates."
        )


def _without_anticipation(design: DifferenceInDifferences, panel: Panel, notes: list[str]) -> Panel:
    """The rows that count as before or after."""
    anticipated = (panel.time < panel.start) & (panel.time >= panel.start - design.anticipation)
    if not anticipated.any():
        return panel
    notes.append(
        f"anticipation: the {plural(design.anticipation, 'period')} before the start count neither as before"
        " nor as after."
    )
    return panel.where(~anticipated)


def _fit_average(design: DifferenceInDifferences, rows: Panel, notes: list[str]) -> Fit:
    """The regression for the average effect."""
    effects = two_way(_groups(design, rows), rows.time, rows.weights)
    fit = fit_static(
        within(effects, rows.outcome, _covariates(design, rows)), (rows.treated & rows.after).astype(float)
    )
    _require_identified(fit, effects)
    if effects.n_singletons:
        said = (
            "{rows} rows that are alone in their unit or period say nothing about change and were not used."
        )
        notes.append(Counted(said, rows=Count(effects.n_singletons)))
    constant = [name for name, gone in zip(rows.x_names, fit.base.dropped, strict=False) if gone]
    notes += [
        f"covariates: '{name}' does not change within units (or repeats other covariates), so the unit"
        " effects already adjust for it and it was left out. To let its association with the outcome change,"
        " use baseline_covariates."
        for name in constant
    ]
    return fit


def _require_identified(fit: Fit, effects: TwoWay) -> None:
    if fit.collinear[0]:
        raise EstimationError(
            "treated, start: being treated after the start cannot be told apart from the unit effects, the"
            " period effects and the covariates, so there is no estimate. Look for a covariate that equals"
            " it, or for units seen only before or only after the start."
        )
    if effects.n <= effects.n_units + effects.n_times + fit.n_slopes - 1:
        raise EstimationError(
            f"data: {plural(effects.n, 'row')} cannot carry {plural(effects.n_units, 'unit')},"
            f" {plural(effects.n_times, 'period')} and {plural(fit.n_slopes, 'coefficient')}; nothing is left"
            " to judge uncertainty by. Add units or use fewer covariates."
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


def _event_study(design: DifferenceInDifferences, panel: Panel, reference: int) -> EventStudy:
    """The effect in each period relative to `reference`, with its covariance."""
    code = np.where(panel.treated & (panel.time != reference), panel.time - (panel.time > reference), -1)
    effects = two_way(_groups(design, panel), panel.time, panel.weights)
    base = within(effects, panel.outcome, _covariates(design, panel))
    fit = fit_event(base, code, panel.n_periods - 1)
    found = covariance(fit, design.variance, panel.cluster, design.small_sample)  # type: ignore[arg-type]
    m = panel.n_periods - 1
    at = np.delete(np.arange(panel.n_periods), reference) - panel.start
    return EventStudy(
        at, fit.beta, found.matrix[:m, :m], found.df, reference - panel.start, found.degenerate[:m]
    )


def _event_rows(design: DifferenceInDifferences, event: EventStudy, *, bands: bool) -> pd.DataFrame:
    variance = np.where(event.degenerate, np.nan, np.diag(event.covariance))
    std_error = np.sqrt(np.where(variance > 0, variance, np.nan))
    pointwise = t_interval(event.estimate, std_error, event.df, design.level)
    estimable = np.isfinite(std_error)
    critical = np.nan
    if bands and estimable.any():
        critical = sup_t(event.covariance[np.ix_(estimable, estimable)], event.df, design.level)
    return pd.DataFrame(
        {
            "term": "effect in period",
            "at": event.at.astype(float),
            "estimate": event.estimate,
            "std_error": std_error,
            "conf_low": pointwise.low,
            "conf_high": pointwise.high,
            "p_value": pointwise.p_value,
            "band_low": event.estimate - critical * std_error,
            "band_high": event.estimate + critical * std_error,
        }
    )


def _for_few_clusters(
    design: DifferenceInDifferences, panel: Panel, event: EventStudy, rows: pd.DataFrame
) -> None:
    """Put intervals made for few clusters in place of the analytic ones; there are no bands then.

    Each comes from its period and the reference period alone and is centred at the estimate of the full
    event study.
    """
    for row, at in enumerate(event.at + panel.start):
        two = panel.where((panel.time == at) | (panel.time == event.reference + panel.start))
        now = two.time == at
        effects = two_way(_groups(design, two), two.time, two.weights)
        rows.loc[row, ["conf_low", "conf_high", "p_value"]] = np.nan
        if effects.n == 0:
            continue
        fit = fit_static(
            within(effects, two.outcome, _covariates(design, two)), (two.treated & now).astype(float)
        )
        if fit.collinear[0]:
            continue
        found = infer(design, fit, two, now)
        shift = float(event.estimate[row] - fit.beta[0])
        rows.loc[row, ["conf_low", "conf_high", "p_value"]] = [
            found.low + shift,
            found.high + shift,
            found.p_value,
        ]


def _series(design: DifferenceInDifferences, panel: Panel, event: EventStudy, analytic: bool) -> pd.DataFrame:
    """Weighted group means by period, and what the treated would have shown had they changed as the others
    did.

    The counterfactual takes the groups' mean distance before the start as the distance that would have
    lasted, as the average effect does. Its band is pointwise, and left out where clusters are too few for
    it.
    """
    weight = np.ones(len(panel.unit)) if panel.weights is None else panel.weights
    cell = panel.treated * panel.n_periods + panel.time
    total = np.bincount(cell, weight, 2 * panel.n_periods)
    with np.errstate(invalid="ignore"):
        mean = (np.bincount(cell, weight * panel.outcome, 2 * panel.n_periods) / total).reshape(2, -1)
    gap, std_error = _distance_from_before(panel, event)
    half = (
        t_interval(gap, std_error, event.df, design.level).high - gap
        if analytic
        else np.full(len(gap), np.nan)
    )
    axis = panel.periods.axis()
    nothing = np.full(panel.n_periods, np.nan)
    expected = mean[1] - gap
    treated = _series_rows(axis, "treated", mean[1], (expected, expected - half, expected + half))
    return pd.concat([treated, _series_rows(axis, "comparison", mean[0], (nothing,) * 3)], ignore_index=True)


def _distance_from_before(panel: Panel, event: EventStudy) -> tuple[np.ndarray, np.ndarray]:
    """Effects by period less their mean over the periods before the start (T,), with standard errors."""
    reference = event.reference + panel.start
    effect = np.insert(event.estimate, reference, 0.0)
    covariance = np.insert(np.insert(event.covariance, reference, 0.0, axis=0), reference, 0.0, axis=1)
    known = np.isfinite(effect)
    before = known & (np.arange(panel.n_periods) <= reference)
    contrast = np.eye(panel.n_periods) - before / before.sum()
    gap = np.where(known, contrast @ np.where(known, effect, 0.0), np.nan)
    variance = np.einsum(
        "ij,jk,ik->i", contrast, np.where(np.isfinite(covariance), covariance, 0.0), contrast
    )
    return gap, np.sqrt(np.where(known & (variance > 0), variance, np.nan))


def _series_rows(
    axis: Any, group: str, observed: np.ndarray, expected: tuple[np.ndarray, ...]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": axis,
            "group": group,
            "observed": observed,
            "counterfactual": expected[0],
            "conf_low": expected[1],
            "conf_high": expected[2],
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
