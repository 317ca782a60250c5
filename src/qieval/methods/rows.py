"""Rows of the table of estimates, the same for every method."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.numerics.contrasts import Contrast


def row_of(item: Contrast, term: str = "") -> dict[str, Any]:
    """A comparison as a row; term: what it is called, where that is not the contrast's name."""
    return {
        "term": term or item.name,
        "at": np.nan,
        "estimate": item.estimate,
        "std_error": item.std_error,
        "conf_low": item.low,
        "conf_high": item.high,
        "p_value": item.p_value,
    }
