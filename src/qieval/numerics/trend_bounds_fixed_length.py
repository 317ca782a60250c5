"""Fixed-length intervals when the slope of the difference in trends changes by at most M per period.

Source: Rambachan and Roth (2023), section 4.1, after Armstrong and Kolesar (2018): the affine estimator of
the target whose interval is shortest, allowing for its largest bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy

from qieval.numerics.honest_critical import honest_critical_value
from qieval.numerics.trend_bounds_study import SortedStudy
from qieval.numerics.two_way import Floats, Mask

RIDGE = 1e-12
"""Added to the curvature of the variance (relative), so that a singular covariance has one optimum."""


@dataclass(frozen=True, eq=False)
class FixedLength:
    """The shortest interval estimate -+ half_length; bias is the largest bias, error the standard error.

    weights (k,) of the periods: those after the start are the target's.
    """

    estimate: float
    half_length: float
    bias: float
    error: float
    weights: Floats = field(repr=False)


@dataclass(frozen=True, eq=False)
class _Corners:
    """Where the optimal weights bend as bias gets dearer: prices (c,) falling, bends (c, q) at each.

    Between two corners the weights of the bends are linear in the price.
    """

    prices: Floats
    weights: Floats


def fixed_length(study: SortedStudy, magnitude: float, level: float = 0.95) -> FixedLength:
    """The optimal fixed-length interval of the target under smoothness with this M.

    A linear difference in trends is removed exactly (or the bias would have no bound), which leaves one
    weight per change of slope before the reference: `bias = M (sum |their weights| + sum |those after|)`.
    Least variance for each bias is a lasso path, followed exactly; the length is convex along it. The
    critical value is the exact quantile of the folded normal distribution. Works with one pre-period.
    """
    start, moves, after = _parameters(study)
    corners = _path(moves.T @ study.covariance @ moves, moves.T @ study.covariance @ start)

    def at(price: float) -> tuple[float, float, float, Floats]:
        bent = _weights(corners, price)
        weights = start + moves @ bent
        bias = magnitude * (after + float(np.abs(bent).sum()))
        error = float(np.sqrt(max(float(weights @ study.covariance @ weights), 0.0)))
        if error <= 0:
            return bias, bias, error, weights
        return error * float(honest_critical_value(bias / error, level)), bias, error, weights

    price = _cheapest(lambda p: at(p)[0], corners.prices)
    half_length, bias, error, weights = at(price)
    return FixedLength(float(weights @ study.estimate), half_length, bias, error, weights)


def _parameters(study: SortedStudy) -> tuple[Floats, Floats, float]:
    """Weights = start (k,) + moves (k, n_pre - 1) @ bends, and the sum of |weights of the bends after|.

    Every difference from parallel trends is its slope in the interval before the reference times the time
    since, plus the bends times how far the period lies beyond them. `start` has no weight on that slope
    nor on bends before the reference.
    """
    n_pre = study.n_pre
    before = study.slopes[n_pre - 1]  # slope just before the reference
    # Rows: the coordinates (slope, bends) of the differences; inverse: differences from coordinates.
    back = scipy.linalg.inv(np.vstack([before, study.bends]))
    target = back[n_pre:].T @ study.target
    coordinates = np.vstack([before, study.bends[: n_pre - 1]])
    # weights @ back must be 0 for the slope: the pre-periods undo what the target puts on it.
    start = np.concatenate([-target[0] * before[:n_pre], study.target])
    moves = np.zeros((study.estimate.size, n_pre - 1))
    moves[:n_pre] = coordinates[1:, :n_pre].T
    return start, moves, float(np.abs(target[n_pre:]).sum())


def _path(quadratic: Floats, linear: Floats) -> _Corners:
    """The lasso path of h'Qh / 2 + c'h + price |h|_1 from h = 0 down to price 0."""
    q = linear.size
    if q == 0:
        return _Corners(np.zeros(1), np.zeros((1, 0)))
    quadratic = quadratic + RIDGE * max(float(np.trace(quadratic)), np.finfo(float).tiny) * np.eye(q)
    price, here = float(np.abs(linear).max()), np.zeros(q)
    prices, weights = [price], [here]
    active = np.zeros(q, dtype=bool)
    sign = -np.sign(linear)
    active[int(np.abs(linear).argmax())] = True
    for _ in range(8 * q + 50):
        if price <= 0:
            break
        price, here, index = _corner(quadratic, linear, price, here, (active, sign))
        prices.append(price)
        weights.append(here)
        if index < 0:
            break
        if active[index]:
            active[index] = False
            here[index] = 0.0
        else:
            active[index] = True
            sign[index] = -np.sign(quadratic[index] @ here + linear[index])
    return _Corners(np.array(prices), np.array(weights))


def _corner(
    quadratic: Floats, linear: Floats, price: float, here: Floats, state: tuple[Mask, Floats]
) -> tuple[float, Floats, int]:
    """The next lower price at which a weight enters or leaves: price, weights and index (-1 at price 0)."""
    active, sign = state
    step = np.zeros_like(linear)  # change of weights per unit of price taken off
    step[active] = scipy.linalg.solve(quadratic[np.ix_(active, active)], sign[active], assume_a="pos")
    gradient, turn = quadratic @ here + linear, quadratic @ step
    best, index = price, -1
    for j in range(linear.size):
        if active[j]:
            far = [-here[j] / step[j]] if step[j] * here[j] < 0 else []
        else:
            # |gradient + s turn| = price - s
            far = [
                (price - side * gradient[j]) / (1 + side * turn[j])
                for side in (1.0, -1.0)
                if 1 + side * turn[j] > 0
            ]
        for s in far:
            if 1e-12 * price < s < best:
                best, index = s, j
    return price - best if index >= 0 else 0.0, here + best * step, index


def _weights(corners: _Corners, price: float) -> Floats:
    """Weights of the bends at this price (q,)."""
    rising = corners.prices[::-1]
    return np.array([np.interp(price, rising, column[::-1]) for column in corners.weights.T])


def _cheapest(length: Callable[[float], float], prices: Floats) -> float:
    """The price at which a convex length is least: a corner of the path, or a point beside the best one."""
    values = [length(price) for price in prices]
    best = int(np.argmin(values))
    found = [(values[best], float(prices[best]))]
    for i in {max(best - 1, 0), best} - {len(prices) - 1}:
        high, low = float(prices[i]), float(prices[i + 1])
        if high > low:
            near = scipy.optimize.minimize_scalar(
                length, bounds=(low, high), method="bounded", options={"xatol": 1e-10 * high}
            )
            found.append((float(near.fun), float(near.x)))
    return min(found)[1]
