"""The bandwidth of Imbens and Kalyanaraman for a local linear regression discontinuity estimate."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

Kernel = Literal["triangular", "uniform", "epanechnikov"]
CONSTANT: dict[str, float] = {"triangular": 3.43754, "uniform": 5.40384, "epanechnikov": 3.1999}
"""C_K of the paper, to the decimals that it prints."""


def ik_bandwidth(
    score: Floats, y: Floats, cutoff: float = 0.0, kernel: Kernel = "triangular", floor: float = 0.0
) -> float:
    """Bandwidth with the least asymptotic mean squared error of the jump, regularised. score, y (n,).

    Source: Imbens and Kalyanaraman (2012, Rev. Econ. Stud. 79, section 4.2). floor is the least squared
    third derivative; R rdd sets it to 0.01, which makes its answer depend on the units, and with that value
    the two are equal within 1e-9. ValueError where there are too few rows near the cutoff.

    >>> x = np.linspace(-1, 1, 401)
    >>> y = np.sin(5 * x) + 0.3 * np.cos(900 * x**2)
    >>> bool(np.isclose(ik_bandwidth(1000 * x, y), 1000 * ik_bandwidth(x, y)))
    True
    """
    x, n = score - cutoff, score.size
    pilot = 1.84 * float(x.std(ddof=1)) * n**-0.2
    near = (-pilot <= x) & (x <= 0), (x > 0) & (x <= pilot)
    density = float(sum(side.sum() for side in near)) / (2 * n * pilot)
    if not near[0].any() or not near[1].any():
        raise ValueError("there are no rows near the cutoff on one side: no bandwidth can be chosen")
    within = sum(float(np.sum((y[side] - y[side].mean()) ** 2)) for side in near)
    variance = within / float(near[0].sum() + near[1].sum())
    if not variance > 0:
        raise ValueError("the outcome does not vary near the cutoff: no bandwidth can be chosen")
    third = max(_third_derivative(x, y) ** 2, floor)
    curves, penalty = [], 0.0
    for below in (True, False):
        side = x < 0 if below else x >= 0
        with np.errstate(divide="ignore"):
            reach = 3.56 * float(np.float64(variance / density) / third / side.sum()) ** (1 / 7)
        used = side & (np.abs(x) <= reach)
        curves.append(2 * _coefficients(x[used], y[used], 2)[2])
        penalty += 720 * variance / (used.sum() * reach**4)
    bent = (curves[1] - curves[0]) ** 2 + penalty
    if not bent > 0:
        raise ValueError("the outcome has no curvature near the cutoff: no bandwidth can be chosen")
    return float(CONSTANT[kernel] * (2 * variance / (density * bent * n)) ** 0.2)


def _third_derivative(x: Floats, y: Floats) -> float:
    """From a cubic with a jump, between the medians of the two sides."""
    left, right = float(np.median(x[x <= 0])), float(np.median(x[x > 0]))
    middle: Mask = (left <= x) & (x <= right)
    jump = (x[middle] >= 0).astype(np.float64)
    return 6 * float(_coefficients(x[middle], y[middle], 3, jump)[3])


def _coefficients(x: Floats, y: Floats, order: int, extra: Floats | None = None) -> Floats:
    """Coefficients of 1, x, x^2, ... (of the unscaled x), beside one more column."""
    if np.unique(x).size <= order:
        raise ValueError("too few different values near the cutoff: no bandwidth can be chosen")
    scale = float(np.abs(x).max())
    columns = np.vander(x / scale, order + 1, increasing=True)
    if extra is not None:
        columns = np.column_stack([columns, extra])
    found, *_ = scipy.linalg.lstsq(columns, y)
    return np.asarray(found[: order + 1] / scale ** np.arange(order + 1))
