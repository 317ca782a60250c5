"""qieval: from a question and a routine-data extract to a defensible estimate of whether a change in health
care worked."""

from qieval import charts, data, markup, sensitivity
from qieval.arms import compare_arms
from qieval.catalogue import CATALOGUE, CHARTS, Method, method_named, method_of, methods
from qieval.chaining import matched
from qieval.chart_design import ChartDesign
from qieval.check import Assumption, Check, Checks
from qieval.cohort_design import CohortDesign
from qieval.covariate_balance import BalanceTable, balance
from qieval.data import (
    Extract,
    example,
    examples,
    read,
    simulate,
    simulate_charts,
    simulate_panel,
    simulate_rollout,
    simulate_series,
)
from qieval.design import Design
from qieval.donor_design import DonorDesign
from qieval.each import Each, each
from qieval.errors import DataError, DependencyError, DesignError, EstimationError, QievalError
from qieval.fields import declared as fields_of
from qieval.methods.before_after import BeforeAfter
from qieval.methods.control_charts import ControlChart, RunChart
from qieval.methods.difference_in_differences import DifferenceInDifferences
from qieval.methods.generalised_synthetic_control import GeneralisedSyntheticControl
from qieval.methods.instrumental_variables import InstrumentalVariables
from qieval.methods.interrupted_time_series import InterruptedTimeSeries
from qieval.methods.matching import GeneticMatching, Matching
from qieval.methods.micro_synthetic_control import MicroSyntheticControl
from qieval.methods.regression_adjustment import RegressionAdjustment
from qieval.methods.regression_discontinuity import RegressionDiscontinuity
from qieval.methods.staggered_adoption import StaggeredAdoption, aggregate
from qieval.methods.synthetic_control import SyntheticControl
from qieval.methods.synthetic_did import SyntheticDifferenceInDifferences
from qieval.methods.weighting import Weighting
from qieval.own_distances import MatrixRule, match_matrix
from qieval.periods import periods_of
from qieval.planning import PlannedPower, rollout_power
from qieval.provenance import Protocol, lock
from qieval.reports import disclosure
from qieval.reports.report import Report, report
from qieval.result import Result
from qieval.rollout.schedules import SteppedWedge, Waves
from qieval.rollout_design import RolloutDesign
from qieval.row_design import RowDesign
from qieval.series_design import SeriesDesign
from qieval.series_tuning import SeriesTrial, SeriesTuning
from qieval.specifications import SideBySide, specifications, ways_of
from qieval.tuning import DonorTrial, DonorTuning, Trial, Tuning, tuning
from qieval.verbs import Variation, design_checks, diagnose, estimate, plot, plots_of, vary

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "CHARTS",
    "Assumption",
    "BalanceTable",
    "BeforeAfter",
    "ChartDesign",
    "Check",
    "Checks",
    "CohortDesign",
    "ControlChart",
    "DataError",
    "DependencyError",
    "Design",
    "DesignError",
    "DifferenceInDifferences",
    "DonorDesign",
    "DonorTrial",
    "DonorTuning",
    "Each",
    "EstimationError",
    "Extract",
    "GeneralisedSyntheticControl",
    "GeneticMatching",
    "InstrumentalVariables",
    "InterruptedTimeSeries",
    "Matching",
    "MatrixRule",
    "Method",
    "MicroSyntheticControl",
    "PlannedPower",
    "Protocol",
    "QievalError",
    "RegressionAdjustment",
    "RegressionDiscontinuity",
    "Report",
    "Result",
    "RolloutDesign",
    "RowDesign",
    "RunChart",
    "SeriesDesign",
    "SeriesTrial",
    "SeriesTuning",
    "SideBySide",
    "StaggeredAdoption",
    "SteppedWedge",
    "SyntheticControl",
    "SyntheticDifferenceInDifferences",
    "Trial",
    "Tuning",
    "Variation",
    "Waves",
    "Weighting",
    "aggregate",
    "balance",
    "charts",
    "compare_arms",
    "data",
    "design_checks",
    "diagnose",
    "disclosure",
    "each",
    "estimate",
    "example",
    "examples",
    "fields_of",
    "lock",
    "markup",
    "match_matrix",
    "matched",
    "method_named",
    "method_of",
    "methods",
    "periods_of",
    "plot",
    "plots_of",
    "read",
    "report",
    "rollout_power",
    "sensitivity",
    "simulate",
    "simulate_charts",
    "simulate_panel",
    "simulate_rollout",
    "simulate_series",
    "specifications",
    "tuning",
    "vary",
    "ways_of",
]
