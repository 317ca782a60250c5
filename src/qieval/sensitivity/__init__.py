"""How strong something unmeasured would have to be to explain an estimate away.

Every function gives a `Sensitivity`: one or two plain sentences (`text`), a tidy `table`, and further tables
in `details`. None of them shows that there is, or is not, unmeasured confounding: they say how much of it a
conclusion can bear. Missing or infinite values are refused (DataError).
"""

from qieval.sensitivity.base import Sensitivity
from qieval.sensitivity.controls import negative_controls
from qieval.sensitivity.matched import rosenbaum
from qieval.sensitivity.ratios import MEASURES, e_value, e_value_from_counts, tipping_point
from qieval.sensitivity.regression import omitted_variable, oster

__all__ = [
    "MEASURES",
    "Sensitivity",
    "e_value",
    "e_value_from_counts",
    "negative_controls",
    "omitted_variable",
    "oster",
    "rosenbaum",
    "tipping_point",
]
