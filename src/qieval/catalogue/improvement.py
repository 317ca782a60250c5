"""Charts that follow a measure: they say that something changed, not why."""

from __future__ import annotations

from qieval.catalogue.entry import Method
from qieval.diagnostics import chart_chance, chart_checks
from qieval.methods import control_charts
from qieval.plots import charts

LIMITS = (
    "Says that something changed, never why: it compares with nobody. Neighbouring points that resemble one"
    " another, moved lines and many charts make signals by themselves."
)
CHECKS = (
    chart_checks.enough_points,
    chart_checks.baseline_stable,
    chart_checks.independent_points,
    chart_checks.moved_lines,
    chart_checks.sizes,
    chart_chance.false_alarms,
)
BEFORE = (chart_checks.points_before, chart_checks.sizes_before)

IMPROVEMENT: tuple[Method, ...] = (
    Method(
        design=control_charts.RunChart,
        estimate=control_charts.estimate,
        refit=control_charts.estimate,
        parse=control_charts.parse,
        blind=control_charts.parse,
        assumptions=control_charts.RUN_CHART_ASSUMPTIONS,
        checks=CHECKS,
        design_checks=BEFORE,
        plots=(charts.chart,),
        together=(control_charts.can_share, control_charts.many),
        stem="run_chart",
        question="Did this measure shift around its median by more than chance would make it?",
        strengths="Works from about ten points of any measure and supposes no distribution.",
        limits=f"{LIMITS} Single odd points are missed.",
        source=(
            "Anhoej and Olesen 2014, PLoS ONE 9:e113825; Perla, Provost and Murray 2011, BMJ Qual Saf 20:46"
        ),
        track="improvement",
    ),
    Method(
        design=control_charts.ControlChart,
        estimate=control_charts.estimate,
        refit=control_charts.estimate,
        parse=control_charts.parse,
        blind=control_charts.parse,
        assumptions=control_charts.ASSUMPTIONS,
        checks=(*CHECKS, chart_chance.chance_variation, chart_chance.other_charts),
        design_checks=BEFORE,
        plots=(charts.chart, charts.making_data_count),
        together=(control_charts.can_share, control_charts.many),
        stem="control_chart",
        question="Did this measure change by more than chance from one point to the next would make it?",
        strengths=(
            "Needs one series only, is read as points come in, and allows for the chance variation of counts"
            " and rates."
        ),
        limits=LIMITS,
        source=(
            "Provost and Murray 2011; Mohammed, Worthington and Woodall 2008, Qual Saf Health Care 17:137"
        ),
        track="improvement",
    ),
)
