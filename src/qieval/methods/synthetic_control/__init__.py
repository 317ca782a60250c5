"""Synthetic control: a weighted mean of donors shows what would have happened without the intervention."""

from qieval.methods.donors.assumptions import SYNTHETIC_CONTROL as ASSUMPTIONS
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.methods.synthetic_control.effect import blind, estimate, parse

__all__ = ["ASSUMPTIONS", "SyntheticControl", "blind", "estimate", "parse"]
