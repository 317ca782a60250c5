"""Several cutoffs: the estimate at each of them beside the one for all."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.discontinuous.local import Discontinuous, fit
from qieval.errors import EstimationError
from qieval.methods.regression_discontinuity.design import RegressionDiscontinuity
from qieval.progress import progress

MOST_CUTOFFS = 50


def at_each_cutoff(design: RegressionDiscontinuity, made: Discontinuous, name: str) -> list[dict[str, Any]]:
    """The robust estimate at every cutoff (`at`); rows without an estimate where there are too few people."""
    rows = []
    for place, cutoff in progress(list(enumerate(made.cutoffs))[:MOST_CUTOFFS], "cutoffs"):
        row: dict[str, Any] = {"term": f"{name} at this cutoff", "at": float(cutoff)}
        try:
            found = fit(design, made, rows=made.kept & (made.at == place))
        except EstimationError as cause:
            rows.append({**row, **dict.fromkeys(FIGURES, np.nan), "note": str(cause)})
            continue
        sign = made.turn if found.uptake is None else 1
        low, high = np.sort([sign * found.low[2], sign * found.high[2]])
        figures = (sign * found.estimate[2], found.std_error[2], low, high, found.p_value[2])
        rows.append({**row, **dict(zip(FIGURES, map(float, figures), strict=True)), "note": ""})
    return rows


FIGURES = ("estimate", "std_error", "conf_low", "conf_high", "p_value")
