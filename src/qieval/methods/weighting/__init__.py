"""Weighting: people count for more or less so that the groups are alike."""

from functools import partial

from qieval.methods.comparison.assumptions import WEIGHTING as ASSUMPTIONS
from qieval.methods.comparison.study import compared_blind, estimated, parse
from qieval.methods.weighting.assign import assign
from qieval.methods.weighting.design import Weighting

estimate = partial(estimated, assign)
blind = partial(compared_blind, assign)

__all__ = ["ASSUMPTIONS", "Weighting", "assign", "blind", "estimate", "parse"]
