"""Regression adjustment: the outcome, the treatment, or both are modelled, and everybody is predicted both
ways."""

from qieval.methods.comparison.study import parse
from qieval.methods.regression_adjustment.assign import assign
from qieval.methods.regression_adjustment.assumptions import ASSUMPTIONS
from qieval.methods.regression_adjustment.design import RegressionAdjustment
from qieval.methods.regression_adjustment.estimate import blind, estimate

__all__ = ["ASSUMPTIONS", "RegressionAdjustment", "assign", "blind", "estimate", "parse"]
