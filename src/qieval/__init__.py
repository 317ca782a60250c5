"""qieval: from a question and a routine-data extract to a defensible estimate of whether a change in health care worked."""

from qieval import data
from qieval.catalogue import method_named, method_of, methods
from qieval.check import Assumption, Check, Checks
from qieval.data import Extract, example, examples, read, simulate, simulate_panel
from qieval.design import Design
from qieval.errors import DataError, DependencyError, DesignError, EstimationError, QievalError
from qieval.fields import declared as fields_of
from qieval.methods.difference_in_differences import DifferenceInDifferences
from qieval.provenance import Protocol, lock
from qieval.result import Result
from qieval.verbs import Variation, design_checks, diagnose, estimate, plot, plots_of, vary

__version__ = "0.1.0"

__all__ = [
    "Assumption",
    "Check",
    "Checks",
    "DataError",
    "DependencyError",
    "Design",
    "DesignError",
    "DifferenceInDifferences",
    "EstimationError",
    "Extract",
    "Protocol",
    "QievalError",
    "Result",
    "Variation",
    "data",
    "design_checks",
    "diagnose",
    "estimate",
    "example",
    "examples",
    "fields_of",
    "lock",
    "method_named",
    "method_of",
    "methods",
    "plot",
    "plots_of",
    "read",
    "simulate",
    "simulate_panel",
    "vary",
]
