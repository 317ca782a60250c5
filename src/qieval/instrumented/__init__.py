"""People with an instrument and the fit to them: what estimates, checks and pictures share."""

from qieval.instrumented.fit import Fitted, Way, fitted_first_stage, variance_kind
from qieval.instrumented.people import Instrumented, read
from qieval.instrumented.words import set_in_words

__all__ = [
    "Fitted",
    "Instrumented",
    "Way",
    "fitted_first_stage",
    "read",
    "set_in_words",
    "variance_kind",
]
