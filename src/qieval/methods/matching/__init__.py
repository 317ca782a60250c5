"""Matching: partners who were alike before the intervention; genetic matching searches for the distance."""

from functools import partial

from qieval.methods.comparison.assumptions import GENETIC as GENETIC_ASSUMPTIONS
from qieval.methods.comparison.assumptions import MATCHING as ASSUMPTIONS
from qieval.methods.comparison.study import compared_blind, estimated, parse
from qieval.methods.matching.assign import assign
from qieval.methods.matching.design import GeneticMatching, Matching
from qieval.methods.matching.genetic import assign_genetic

estimate = partial(estimated, assign)
blind = partial(compared_blind, assign)
estimate_genetic = partial(estimated, assign_genetic)
blind_genetic = partial(compared_blind, assign_genetic)

__all__ = [
    "ASSUMPTIONS",
    "GENETIC_ASSUMPTIONS",
    "GeneticMatching",
    "Matching",
    "assign",
    "assign_genetic",
    "blind",
    "blind_genetic",
    "estimate",
    "estimate_genetic",
    "parse",
]
