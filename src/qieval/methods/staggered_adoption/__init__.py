"""Difference-in-differences for roll-outs: units begin at different times."""

from qieval.methods.staggered_adoption.again import aggregate
from qieval.methods.staggered_adoption.assumptions import ASSUMPTIONS
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.effect import blind, estimate, parse

__all__ = ["ASSUMPTIONS", "StaggeredAdoption", "aggregate", "blind", "estimate", "parse"]
