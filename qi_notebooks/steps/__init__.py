"""The steps of a guided study, in order. Each is a view of the study: it shows, asks and passes on."""

from collections.abc import Mapping

import qieval as qe
from qi_notebooks import layout
from qi_notebooks.steps.base import Step
from qi_notebooks.steps.before import DataStep, DesignChecks, Lock, Question
from qi_notebooks.steps.chart_views import MoreViews
from qi_notebooks.steps.charts import ChartChecks, ChartData, ChartReport, DrawChart, Measure, Signals
from qi_notebooks.steps.choose import Choose, ChooseDonors, ChooseSeries
from qi_notebooks.steps.findings import Assumptions, Estimate, Sensitivity
from qi_notebooks.steps.natural import EstimateChange, EstimateCutoff, EstimateInstrument
from qi_notebooks.steps.output import Code, ReportStep
from qi_notebooks.steps.rollout import EstimateRollout
from qi_notebooks.steps.series import EstimateSeries

EVERY: tuple[type[Step], ...] = (
    Question,
    DataStep,
    DesignChecks,
    Choose,
    Lock,
    Estimate,
    Assumptions,
    Sensitivity,
    ReportStep,
    Code,
)


OF_A_CHART: tuple[type[Step], ...] = (
    Measure,
    ChartData,
    DrawChart,
    Signals,
    ChartChecks,
    MoreViews,
    ChartReport,
    Code,
)


NATURAL: Mapping[type[qe.Design], type[Step]] = {
    qe.RegressionDiscontinuity: EstimateCutoff,
    qe.InstrumentalVariables: EstimateInstrument,
    qe.BeforeAfter: EstimateChange,
}
"""How the estimate of a natural experiment is shown."""


def steps_of(design: type[qe.Design]) -> tuple[type[Step], ...]:
    """The steps of a study with a design: only where something is tried out there is something to choose."""
    if layout.follows_a_measure(design):
        return OF_A_CHART
    own: dict[type[Step], type[Step]] = {}
    if layout.has_donors(design):
        own = {Choose: ChooseDonors}
    if issubclass(design, qe.InterruptedTimeSeries):
        own = {Choose: ChooseSeries, Estimate: EstimateSeries}
    if issubclass(design, qe.RolloutDesign):
        own = {Estimate: EstimateRollout}
    if design in NATURAL:
        own = {Estimate: NATURAL[design]}
    tried = "choose" in layout.sections(design)
    return tuple(own.get(step, step) for step in EVERY if tried or step is not Choose)


__all__ = ["Step", "steps_of"]
