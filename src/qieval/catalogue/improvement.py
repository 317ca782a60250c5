"""Charts that follow a measure: they say that something changed, not why."""

from __future__ import annotations

from qieval.catalogue.entry import Method
from qieval.methods import control_charts
from qieval.plots import charts

LIMITS = (
    "Says that something changed, not why. A chart has no comparison, and its limits assume values that do not"
    " hang together. For what an intervention did, use a method of evaluation."
)

IMPROVEMENT: tuple[Method, ...] = (
    Method(
        design=control_charts.RunChart,
        estimate=control_charts.estimate,
        refit=control_charts.estimate,
        parse=control_charts.parse,
        blind=control_charts.parse,
        assumptions=control_charts.RUN_CHART_ASSUMPTIONS,
        checks=(),
        design_checks=(),
        plots=(charts.chart,),
        stem="run_chart",
        question="Has a measure shifted against its median?",
        strengths="Needs no distribution and about a dozen points; everybody can read it.",
        limits=LIMITS,
        source="Perla, Provost and Murray 2011; Anhoej and Olesen 2014",
        track="improvement",
    ),
    Method(
        design=control_charts.ControlChart,
        estimate=control_charts.estimate,
        refit=control_charts.estimate,
        parse=control_charts.parse,
        blind=control_charts.parse,
        assumptions=control_charts.ASSUMPTIONS,
        checks=(),
        design_checks=(),
        plots=(charts.chart,),
        stem="control_chart",
        question="Does a measure vary more than chance alone would make it?",
        strengths="Tells changes from chance as they come, with limits from the process itself.",
        limits=LIMITS,
        source="Provost and Murray 2011; Mohammed, Worthington and Woodall 2008; NHS England",
        track="improvement",
    ),
)
