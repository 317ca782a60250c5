"""Regression discontinuity: people just on either side of a cutoff that decides who receives something."""

from functools import partial

from qieval.discontinuous.read import read as parse
from qieval.methods.regression_discontinuity.assumptions import ASSUMPTIONS
from qieval.methods.regression_discontinuity.design import RegressionDiscontinuity
from qieval.methods.regression_discontinuity.effect import estimate

blind = partial(parse, blind=True)

__all__ = ["ASSUMPTIONS", "RegressionDiscontinuity", "blind", "estimate", "parse"]
