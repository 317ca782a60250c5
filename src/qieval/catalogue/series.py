"""Methods for one series over time."""

from __future__ import annotations

from functools import partial

from qieval.catalogue.entry import Method
from qieval.diagnostics import (
    both_stages,
    series_change_point,
    series_dates,
    series_errors_compared,
    series_form,
    series_others,
    series_periods,
    series_power,
    series_residuals,
    series_spread,
)
from qieval.methods import interrupted_time_series
from qieval.plots import interrupted, interrupted_residuals

SERIES: tuple[Method, ...] = (
    Method(
        design=interrupted_time_series.InterruptedTimeSeries,
        estimate=interrupted_time_series.estimate,
        refit=partial(interrupted_time_series.estimate, brief=True),
        parse=interrupted_time_series.parse,
        blind=interrupted_time_series.blind,
        assumptions=interrupted_time_series.ASSUMPTIONS,
        checks=(
            both_stages.after(series_periods.enough_periods),
            series_periods.too_early,
            series_periods.recent_data,
            both_stages.after(series_form.linear_trend),
            series_form.other_forms,
            series_form.other_timing,
            series_change_point.change_point_search,
            series_dates.placebo_dates,
            series_dates.reaction_before,
            series_residuals.residual_autocorrelation,
            series_residuals.autocorrelation_tests,
            series_errors_compared.ways_of_allowing,
            series_errors_compared.delta_and_simulation,
            series_spread.over_dispersion,
            series_spread.influential_values,
            series_others.composition,
            series_others.control_outcomes,
            series_others.control_series,
            series_others.co_occurring_events,
        ),
        design_checks=(
            series_periods.enough_periods,
            series_form.linear_trend,
            series_power.minimum_detectable_change,
        ),
        plots=(
            interrupted.observed_and_expected,
            interrupted.effect_over_time,
            interrupted_residuals.residuals_over_time,
            interrupted_residuals.residual_autocorrelation,
        ),
        together=(interrupted_time_series.can_share, interrupted_time_series.many),
        stem="interrupted_time_series",
        question="Did the level or the trend of a series change when the intervention came?",
        strengths=(
            "Needs no comparison group and only one value a period, allows for the trend and the season that"
            " were there before, and shows how the effect comes and goes over time."
        ),
        limits=(
            "Cannot exclude that something else happened at the same time; needs many points before and"
            " after; values near in time are alike, which misleads about chance unless it is allowed for."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Wagner et al. 2002; Bernal et al. 2017",
    ),
)
