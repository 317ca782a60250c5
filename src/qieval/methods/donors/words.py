"""Effects in words, the same for all methods with donors."""

from __future__ import annotations

import numpy as np

from qieval.text import number

LARGEST_SHARE = 3.0
"""Beyond three times the expected level that level is near zero and a percentage of it means nothing."""


def signed(value: float) -> str:
    """An effect with its direction.

    >>> signed(-2.5), signed(0.0), signed(float("inf"))
    ('2.5 lower', 'no difference', 'no limit')
    """
    if not np.isfinite(value):
        return "no limit"
    return f"{number(abs(value))} {'higher' if value > 0 else 'lower'}" if value else "no difference"


def interval(low: float, high: float, level: float, by: str) -> str:
    """An interval with its level and how it was made; NaN ends mean that nothing is compatible.

    >>> interval(-3.0, -1.0, 0.95, "placebos in space")
    '95% interval 3 lower to 1 lower, by placebos in space'
    """
    if np.isnan([low, high]).all():
        return f"no constant effect is compatible with the data at {level:.0%}"
    if not np.isfinite([low, high]).any():
        return f"no bounded {level:.0%} interval"
    return f"{level:.0%} interval {signed(low)} to {signed(high)}, by {by}"


def share_of_expected(share: float) -> str:
    """A sentence on the effect as a share of the expected level; nothing where that level is near zero."""
    if not np.isfinite(share) or abs(share) > LARGEST_SHARE:
        return ""
    return f" That is {abs(share):.1%} {'above' if share > 0 else 'below'} the expected level."
