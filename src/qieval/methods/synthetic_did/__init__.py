"""Synthetic difference-in-differences: donors and periods are weighted so that changes are compared
fairly."""

from qieval.methods.donors.assumptions import SYNTHETIC_DID as ASSUMPTIONS
from qieval.methods.synthetic_did.design import SyntheticDifferenceInDifferences
from qieval.methods.synthetic_did.effect import blind, estimate, parse

__all__ = ["ASSUMPTIONS", "SyntheticDifferenceInDifferences", "blind", "estimate", "parse"]
