"""Micro synthetic control: many small control units weighted so that their totals equal those of the
treated."""

from qieval.methods.donors.assumptions import MICRO as ASSUMPTIONS
from qieval.methods.micro_synthetic_control.design import MicroSyntheticControl
from qieval.methods.micro_synthetic_control.effect import estimate
from qieval.methods.micro_synthetic_control.study import blind, parse

__all__ = ["ASSUMPTIONS", "MicroSyntheticControl", "blind", "estimate", "parse"]
