"""The smallest and largest prediction among all simplex weights that fit simulated data well enough.

max or min p'w over w >= floor, sum w = 1, |z (w - w0) - e|^2 <= |e|^2: a linear aim over a simplex cut by one
ellipsoid. Its Lagrangian is simplex least squares with a linear term, whose solution is piecewise linear in
the multiplier; the multiplier at which the quadratic constraint binds is found by Newton steps that are exact
within a piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.two_way import Floats
from qieval.progress import progress

NO_CHOICE = 1e-9
"""Floors that leave less than this of the weight free: the estimate is the only weight vector."""


@dataclass(frozen=True, eq=False)
class WeightSet:
    """Estimated weights w0 (j,), the floor (j,) of each weight (at most w0), and the donors z (m, j)."""

    weights: Floats
    floor: Floats
    z: Floats


def extreme_predictions(allowed: WeightSet, aims: Floats, errors: Floats) -> tuple[Floats, bool]:
    """Extreme values (2, n, d) of aims (n, j) @ (w - w0) for d draws errors (d, m): smallest and largest.

    The estimate itself is always allowed, so that the smallest is at most and the largest at least zero.
    The second value tells whether all problems were solved to the end.
    """
    from qieval.numerics.kernels.weight_range import farthest_all

    n = aims.shape[0]
    room = 1.0 - float(allowed.floor.sum())
    out = np.zeros((2, n, errors.shape[0]))
    if room <= NO_CHOICE or allowed.weights.size == 1:
        return out, True
    low, spread = aims.min(axis=1)[:, None], np.ptp(aims, axis=1)[:, None]
    lean = (aims - low) / np.where(spread > 0, spread, 1.0)
    sides = np.ascontiguousarray(np.concatenate([lean, 1.0 - lean]))
    taus, weights = np.full(2 * n, 0.1), np.tile(allowed.weights, (2 * n, 1))
    both, offset = np.concatenate([aims, aims]), aims @ (allowed.floor - allowed.weights)
    converged = True
    for draw, error in enumerate(progress(errors, "simulated fits")):
        fitted = allowed.z @ (allowed.weights - allowed.floor) + error
        misfit = room * allowed.z - fitted[:, None]
        size = float(np.sqrt(np.mean(misfit**2))) or 1.0
        done = farthest_all(
            np.ascontiguousarray(misfit / size), sides, float(error @ error) / size**2, taus, weights
        )
        converged &= bool(done)
        out[:, :, draw] = offset + room * np.sum(both * weights, axis=1).reshape(2, n)
    return out, converged
