"""Difference-in-differences with two groups: the change in the treated against that in the others."""

from qieval.methods.difference_in_differences.assumptions import ASSUMPTIONS
from qieval.methods.difference_in_differences.design import DifferenceInDifferences
from qieval.methods.difference_in_differences.effect import blind, estimate, parse

__all__ = ["ASSUMPTIONS", "DifferenceInDifferences", "blind", "estimate", "parse"]
