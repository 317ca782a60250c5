"""Local randomisation, large samples: regression on side and score within the window, with robust errors.

By least squares, or with the side as instrument for the treatment taken up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask

KERNELS = ("uniform", "triangular", "epanechnikov")


@dataclass(frozen=True, eq=False)
class Design:
    """Constant, side, and a polynomial of the score on each side, weighted; clusters (m,) or None."""

    score: Floats
    on_right: Mask
    weight: Floats
    order: int
    clusters: Codes | None = None

    @cached_property
    def columns(self) -> Floats:
        """Regressors (m, 2 + 2 order): constant, side, powers, powers on the right. The score is scaled."""
        side = self.on_right.astype(np.float64)
        scaled = self.score / np.abs(self.score).max(initial=1e-300)
        powers = scaled[:, None] ** np.arange(1, self.order + 1)
        return np.column_stack([np.ones(side.size), side, powers, powers * side[:, None]])


@dataclass(frozen=True)
class Jump:
    """Estimated jump at the cutoff and its standard error (NaN if the variance does not exist)."""

    estimate: float
    std_error: float

    @property
    def z(self) -> float:
        """Estimate over standard error; NaN if there is no error."""
        return self.estimate / self.std_error if self.std_error > 0 else np.nan


def jump(design: Design, outcome: Floats, vce: str, uptake: Floats | None = None) -> Jump:
    """Coefficient of the side, or of uptake (m,) with the side as its instrument, and its robust error.

    Rows of weight zero are left out. vce: hc0, hc1, hc2, hc3 (MacKinnon and White 1985; weighted least
    squares; with an instrument the residuals are the structural ones and the leverage that of the projected
    regressors). With clusters: cr0 for hc0, otherwise cr1. NaN where a row determines its own fit.
    """
    keep = design.weight > 0
    z, w = design.columns[keep], design.weight[keep]
    y = outcome[keep]
    root = np.sqrt(w)[:, None]
    if len(y) <= z.shape[1] or np.linalg.matrix_rank(z * root) < z.shape[1]:
        return Jump(np.nan, np.nan)
    x = z.copy()
    if uptake is not None:
        x[:, 1] = uptake[keep]
    projected = z @ scipy.linalg.lstsq(z * root, x * root)[0]
    if np.linalg.matrix_rank(projected * root) < z.shape[1]:
        return Jump(np.nan, np.nan)
    bread = scipy.linalg.inv((projected * root).T @ (projected * root))
    beta = bread @ (projected.T @ (w * y))
    leverage = np.einsum("ij,jk,ik->i", projected, bread, projected) * w
    influence = (projected @ bread[:, 1]) * w * (y - x @ beta)
    groups = None if design.clusters is None else design.clusters[keep]
    return Jump(float(beta[1]), _error(influence, leverage, vce, groups))


def _error(influence: Floats, leverage: Floats, vce: str, groups: Codes | None) -> float:
    n, k = influence.size, round(float(leverage.sum()))
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
        sums = np.bincount(codes, influence)
        g = sums.size
        factor = 1.0 if vce == "hc0" else g / (g - 1) * (n - 1) / (n - k) if g > 1 else np.nan
        return float(np.sqrt(factor * np.sum(sums**2)))
    if vce in ("hc0", "hc1"):
        return float(np.linalg.norm(influence) * (np.sqrt(n / (n - k)) if vce == "hc1" else 1.0))
    if vce not in ("hc2", "hc3"):
        raise ValueError(f"{vce!r} is none of hc0, hc1, hc2, hc3")
    if np.any(1 - leverage < 1e-10):
        return np.nan
    return float(np.linalg.norm(influence / (1 - leverage) ** (0.5 if vce == "hc2" else 1.0)))


def polynomial_removed(design: Design, values: Floats) -> Floats:
    """Values (m,) with the powers of the score, fitted on each side, taken off: intercept plus residual."""
    x, root = design.columns, np.sqrt(design.weight)[:, None]
    if np.linalg.matrix_rank(x * root) < x.shape[1]:
        raise ValueError("too few distinct scores on a side of the window for this polynomial")
    beta = scipy.linalg.lstsq(x * root, values * root[:, 0])[0]
    return np.asarray(values - x[:, 2:] @ beta[2:])


def kernel_weights(score: Floats, on_right: Mask, half: tuple[float, float], kernel: str) -> Floats:
    """Weights (m,) by distance from the cutoff, relative to the half (left, right) of the window."""
    if kernel == "uniform":
        return np.ones(score.size)
    if kernel not in KERNELS:
        raise ValueError(f"kernel {kernel!r} is none of {', '.join(KERNELS)}")
    width = np.where(on_right, half[1], half[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.where(score == 0, 0.0, np.abs(score) / width)
    inside = np.where(far < 1 - 1e-12, 1.0 - (far if kernel == "triangular" else far**2), 0.0)
    return np.asarray(inside, dtype=np.float64)
