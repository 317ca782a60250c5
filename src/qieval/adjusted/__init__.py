"""Regression adjustment of a cohort: which models, fitted to whom, and the two means that follow.

Read by the method, by its checks and by its pictures, which may not import one another.
"""

from qieval.adjusted.fit import Adjusted, How, Split, fitted
from qieval.adjusted.inference import Estimated, estimated, many_estimated
from qieval.adjusted.models import cross_fitting, how_to_adjust, interacted, learned_scores, sample_of

__all__ = [
    "Adjusted",
    "Estimated",
    "How",
    "Split",
    "cross_fitting",
    "estimated",
    "fitted",
    "how_to_adjust",
    "interacted",
    "learned_scores",
    "many_estimated",
    "sample_of",
]
