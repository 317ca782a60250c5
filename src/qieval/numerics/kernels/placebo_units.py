"""Compiled loop over units that are, one by one, compared with a synthetic control made of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from qieval.numerics.kernels.simplex import solve_rows
from qieval.numerics.two_way import Codes, Floats


@njit(cache=True, nogil=True)
def fit_units(outcomes: Floats, fitted: Floats, pool: Any, units: Codes) -> tuple[Floats, Floats, Any]:
    """Gaps (m, t), certificates (m,) and whether converged (m,) of the units.

    outcomes (n, t), centred in every period; fitted (n, pre) its first columns; pool (n,) who may be a donor
    (a unit is never its own). Uses one vector of weights at a time.
    """
    gaps, certificate = np.empty((units.size, outcomes.shape[1])), np.empty(units.size)
    converged, nothing = np.empty(units.size, np.bool_), np.empty(0)
    for row in range(units.size):
        unit = units[row]
        usable = pool.copy()
        usable[unit] = False
        weights, certificate[row], _, converged[row] = solve_rows(
            fitted, fitted[unit], 0.0, nothing, nothing, usable
        )
        gaps[row] = outcomes[unit]
        for donor in range(weights.size):
            if weights[donor] > 0:
                gaps[row] -= weights[donor] * outcomes[donor]
    return gaps, certificate, converged
