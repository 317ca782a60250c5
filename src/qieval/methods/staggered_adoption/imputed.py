"""Outcomes without the intervention predicted from untreated rows: imputation and two-stage estimates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.rows import cell_weights, regressors, treated_and_control, used_rows
from qieval.numerics.imputation import Averages, averages, by_cell, overall
from qieval.numerics.imputation_model import ImputationRows, Imputed, impute
from qieval.numerics.imputation_pretrends import Pretrends, pretrends
from qieval.numerics.two_stage import by_event_time, two_stage
from qieval.rollout.effects import Average, Effects, linear_averages
from qieval.rollout.panel import Rollout


def imputation_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """Effects as outcomes less their imputed values (Borusyak, Jaravel and Spiess 2024)."""
    used, imputed = _imputed(design, rollout)
    rows = imputed.rows
    made = _cells(design, used, averages(imputed, by_cell(rows), used.cluster))
    before = pretrends(rows, None, used.cluster)
    if isinstance(before, str):
        return replace(made, notes=(*made.notes, f"Nothing is known about trends before the start: {before}"))
    dynamic = _with_leads(made.averages["dynamic"], before)
    return replace(made, averages={**made.averages, "dynamic": dynamic})


def two_stage_fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """The same estimates by a regression on the residuals, with its standard errors (Gardner 2022)."""
    used, imputed = _imputed(design, rollout)
    rows, cluster = imputed.rows, used.cluster
    made = _cells(design, used, two_stage(imputed, by_cell(rows), cluster))
    factor = _factor(design, used)
    whole = two_stage(imputed, overall(rows), cluster)
    events = two_stage(imputed, by_event_time(rows), cluster)
    after = replace(made.averages["simple"], overall_error=float(np.sqrt(whole.covariance[0, 0] * factor)))
    at = np.ravel(events.label)
    plain = (at >= 0) & np.isfinite(events.estimate)
    weight = plain / max(plain.sum(), 1)
    covariance = events.covariance * factor
    by_time = Average(
        at=at,
        estimate=events.estimate,
        covariance=covariance,
        overall=float(weight @ np.where(plain, events.estimate, 0.0)),
        overall_error=float(np.sqrt(weight @ covariance @ weight)),
    )
    return replace(
        made,
        averages={**made.averages, "simple": after, "dynamic": by_time},
        label="two-stage regression (Gardner)",
        reference=None,
        notes=(
            "Differences before the start are mean residuals of the first stage, which was fitted to the same"
            " periods, so they are drawn towards zero; approach='imputation' has a test of them.",
        ),
    )


def _imputed(design: StaggeredAdoption, rollout: Rollout) -> tuple[Rollout, Imputed]:
    used = used_rows(design.unbalanced, rollout)
    rows = ImputationRows(
        unit=used.unit,
        time=used.time,
        times=used.times,
        first=used.first,
        y=used.outcome,
        x=regressors(used),
        weights=used.weights,
        anticipation=design.anticipation,
    )
    imputed = impute(rows)
    if isinstance(imputed, str):
        raise EstimationError(f"data: {imputed[0].lower()}{imputed[1:]}")
    return used, imputed


def _factor(design: StaggeredAdoption, rollout: Rollout) -> float:
    clusters = len(np.unique(rollout.cluster))
    return clusters / (clusters - 1) if design.small_sample == "clusters" else 1.0


def _cells(design: StaggeredAdoption, used: Rollout, found: Averages) -> Effects:
    """Effects by cohort and period, and their averages."""
    cohort, time = found.label[:, 0], found.label[:, 1].astype(np.int64)
    n_treated, n_control = treated_and_control(used, cohort, time)
    size = cell_weights(used, cohort, time, found.n_rows)
    covariance = found.covariance * _factor(design, used)
    variance = np.diag(covariance)
    return Effects(
        cohort=cohort,
        time=time,
        estimate=found.estimate,
        std_error=np.sqrt(np.where(variance > 0, variance, np.nan)),
        n_treated=n_treated,
        n_control=n_control,
        reason=found.reason,
        averages=linear_averages(cohort, time, size, found.estimate, covariance),
        df=np.inf,
        clusters=len(np.unique(used.cluster)),
        label="imputation (Borusyak, Jaravel and Spiess)",
        reference=-1 - design.anticipation,
    )


def _with_leads(after: Average, before: Pretrends) -> Average:
    """The effects by time since the start, with the differences before it in front.

    Those come from a regression on untreated rows alone, and are taken as independent of the effects, as they
    are when errors are equal (Borusyak, Jaravel and Spiess 2024, proposition 5).
    """
    kept = np.isfinite(before.estimate) & np.isfinite(before.std_error)
    n = int(kept.sum())
    leads = before.covariance.matrix[: len(kept), : len(kept)][np.ix_(kept, kept)]
    covariance = np.zeros((n + len(after.at), n + len(after.at)))
    covariance[:n, :n], covariance[n:, n:] = leads, after.covariance
    return Average(
        at=np.append(before.lead[kept], after.at),
        estimate=np.append(before.estimate[kept], after.estimate),
        covariance=covariance,
        overall=after.overall,
        overall_error=after.overall_error,
    )
