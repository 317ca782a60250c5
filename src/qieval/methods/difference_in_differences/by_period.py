"""The effect in each period (event study), its intervals, and the groups over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.methods.difference_in_differences.design import DifferenceInDifferences
from qieval.methods.difference_in_differences.inference import infer
from qieval.methods.difference_in_differences.regression import covariates, groups
from qieval.numerics.absorb import fit_event, fit_static, two_way, within
from qieval.numerics.covariance import covariance, t_interval
from qieval.numerics.joint import sup_t
from qieval.result import EventStudy
from qieval.shapes import Panel


def event_study(design: DifferenceInDifferences, panel: Panel, reference: int) -> EventStudy:
    """The effect in each period relative to `reference`, with its covariance."""
    code = np.where(panel.treated & (panel.time != reference), panel.time - (panel.time > reference), -1)
    effects = two_way(groups(design, panel), panel.time, panel.weights)
    base = within(effects, panel.outcome, covariates(design, panel))
    fit = fit_event(base, code, panel.n_periods - 1)
    found = covariance(fit, design.variance, panel.cluster, design.small_sample)  # type: ignore[arg-type]
    m = panel.n_periods - 1
    at = np.delete(np.arange(panel.n_periods), reference) - panel.start
    return EventStudy(
        at, fit.beta, found.matrix[:m, :m], found.df, reference - panel.start, found.degenerate[:m]
    )


def event_rows(design: DifferenceInDifferences, event: EventStudy, df: float, *, bands: bool) -> pd.DataFrame:
    """One row per period: estimate, pointwise interval, simultaneous band (or NaN); t with df."""
    variance = np.where(event.degenerate, np.nan, np.diag(event.covariance))
    std_error = np.sqrt(np.where(variance > 0, variance, np.nan))
    pointwise = t_interval(event.estimate, std_error, df, design.level)
    estimable = np.isfinite(std_error)
    critical = np.nan
    if bands and estimable.any():
        critical = sup_t(event.covariance[np.ix_(estimable, estimable)], df, design.level)
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


def for_few_clusters(
    design: DifferenceInDifferences, panel: Panel, event: EventStudy, rows: pd.DataFrame
) -> None:
    """Put intervals made for few clusters in place of the analytic ones; there are no bands then.

    Each comes from its period and the reference period alone and is centred at the estimate of the full
    event study.
    """
    for row, at in enumerate(event.at + panel.start):
        two = panel.where((panel.time == at) | (panel.time == event.reference + panel.start))
        now = two.time == at
        effects = two_way(groups(design, two), two.time, two.weights)
        rows.loc[row, ["conf_low", "conf_high", "p_value"]] = np.nan
        if effects.n == 0:
            continue
        fit = fit_static(
            within(effects, two.outcome, covariates(design, two)), (two.treated & now).astype(float)
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


def group_series(design: DifferenceInDifferences, panel: Panel, event: EventStudy, df: float) -> pd.DataFrame:
    """Weighted group means by period, and what the treated would have shown had they changed as the others
    did.

    The counterfactual takes the groups' mean distance before the start as the distance that would have
    lasted, as the average effect does. Its band is pointwise, by t with df; NaN leaves it out.
    """
    weight = np.ones(len(panel.unit)) if panel.weights is None else panel.weights
    cell = panel.treated * panel.n_periods + panel.time
    total = np.bincount(cell, weight, 2 * panel.n_periods)
    with np.errstate(invalid="ignore"):
        mean = (np.bincount(cell, weight * panel.outcome, 2 * panel.n_periods) / total).reshape(2, -1)
    gap, std_error = _distance_from_before(panel, event)
    half = t_interval(gap, std_error, df, design.level).high - gap
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
