"""Before and after: the same people once before and once after, with nobody to compare."""

from functools import partial

from qieval.methods.before_after.assumptions import ASSUMPTIONS
from qieval.methods.before_after.design import BeforeAfter
from qieval.methods.before_after.effect import estimate
from qieval.paired import read_paired as parse

blind = partial(parse, blind=True)

__all__ = ["ASSUMPTIONS", "BeforeAfter", "blind", "estimate", "parse"]
