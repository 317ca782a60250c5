"""From a routine-data extract to the frame that a method reads."""

from qieval.data.describe import describe
from qieval.data.examples import example, examples
from qieval.data.extract import Extract
from qieval.data.identifiers import find_identifiers, pseudonymise
from qieval.data.lookups import Lookup
from qieval.data.panel import panel
from qieval.data.read import read
from qieval.data.rhc import prepare_rhc
from qieval.data.risk_set_sampling import RiskSetSampling
from qieval.data.risk_sets import risk_sets
from qieval.data.scenario import Scenario
from qieval.data.series_scenario import SeriesScenario
from qieval.data.simulate import Simulation, simulate
from qieval.data.simulate_charts import ChartSimulation, simulate_charts
from qieval.data.simulate_cohort import CohortSimulation, simulate_cohort
from qieval.data.simulate_hospital import HospitalSimulation, simulate_hospital
from qieval.data.simulate_natural import (
    NaturalExperiment,
    simulate_birth_weight,
    simulate_cutoff,
    simulate_frequent_attenders,
    simulate_instrument,
)
from qieval.data.simulate_panel import simulate_panel
from qieval.data.simulate_rollout import RolloutScenario, RolloutSimulation, simulate_rollout
from qieval.data.simulate_series import SeriesSimulation, simulate_series
from qieval.data.time_series import time_series

__all__ = [
    "ChartSimulation",
    "CohortSimulation",
    "Extract",
    "HospitalSimulation",
    "Lookup",
    "NaturalExperiment",
    "RiskSetSampling",
    "RolloutScenario",
    "RolloutSimulation",
    "Scenario",
    "SeriesScenario",
    "SeriesSimulation",
    "Simulation",
    "describe",
    "example",
    "examples",
    "find_identifiers",
    "panel",
    "prepare_rhc",
    "pseudonymise",
    "read",
    "risk_sets",
    "simulate",
    "simulate_birth_weight",
    "simulate_charts",
    "simulate_cohort",
    "simulate_cutoff",
    "simulate_frequent_attenders",
    "simulate_hospital",
    "simulate_instrument",
    "simulate_panel",
    "simulate_rollout",
    "simulate_series",
    "time_series",
]
