"""From a routine-data extract to the frame that a method reads."""

from qieval.data.describe import describe
from qieval.data.examples import example, examples
from qieval.data.extract import Extract
from qieval.data.identifiers import find_identifiers, pseudonymise
from qieval.data.panel import panel
from qieval.data.read import read
from qieval.data.scenario import Scenario
from qieval.data.simulate import Simulation, simulate
from qieval.data.simulate_panel import simulate_panel

__all__ = [
    "Extract",
    "Scenario",
    "Simulation",
    "describe",
    "example",
    "examples",
    "find_identifiers",
    "panel",
    "pseudonymise",
    "read",
    "simulate",
    "simulate_panel",
]
