"""Sizes of effects in words, for headlines of every method."""

from __future__ import annotations

import numpy as np

from qieval.text import number


def amount(value: float, percent: bool = False) -> str:
    """How much higher or lower; percent: as percentage points.

    >>> amount(-0.031, percent=True), amount(2.0), amount(0.0), amount(float("inf"))
    ('3.1 percentage points lower', '2 higher', 'no difference', 'any amount higher')
    """
    if np.isnan(value):
        return "not available"
    if np.isinf(value):
        return f"any amount {'higher' if value > 0 else 'lower'}"
    if value == 0:
        return "no difference"
    size = f"{number(abs(100 * value))} percentage points" if percent else number(abs(value))
    return f"{size} {'higher' if value > 0 else 'lower'}"


def between(low: float, high: float, percent: bool = False) -> str:
    """An interval of differences in words."""
    return f"{amount(low, percent)} to {amount(high, percent)}"
