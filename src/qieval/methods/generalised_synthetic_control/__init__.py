"""Generalised synthetic control: common factors, or a completed matrix, in place of weights of donors."""

from qieval.methods.donors.assumptions import GENERALISED as ASSUMPTIONS
from qieval.methods.generalised_synthetic_control.design import GeneralisedSyntheticControl
from qieval.methods.generalised_synthetic_control.effect import estimate
from qieval.methods.generalised_synthetic_control.ground import blind, parse

__all__ = ["ASSUMPTIONS", "GeneralisedSyntheticControl", "blind", "estimate", "parse"]
