"""Confidence sets of any shape in words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qieval.numerics.instruments_sets import ConfidenceSet, Interval
from qieval.text import number


def set_in_words(found: ConfidenceSet, said: Callable[[float], str] = number) -> str:
    """What values a set holds; `said` puts a number into words.

    >>> set_in_words(ConfidenceSet(((-np.inf, -1.0), (2.0, np.inf))))
    '-1 or below, or 2 or above'
    >>> set_in_words(ConfidenceSet(((1.0, 2.5),))), set_in_words(ConfidenceSet(()))
    ('between 1 and 2.5', 'no value')
    """
    if not found.intervals:
        return "no value"
    return ", or ".join(_piece(piece, said) for piece in found.intervals)


def _piece(piece: Interval, said: Callable[[float], str]) -> str:
    low, high = piece
    if np.isinf(low) and np.isinf(high):
        return "any value"
    if np.isinf(low):
        return f"{said(high)} or below"
    if np.isinf(high):
        return f"{said(low)} or above"
    return f"between {said(low)} and {said(high)}"
