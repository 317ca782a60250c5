"""Effective F of Montiel Olea and Pflueger (2013) and its critical values: is the first stage strong?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.instruments_reduced_form import ReducedForm
from qieval.numerics.two_way import Floats

TAUS = (0.05, 0.10, 0.20, 0.30)
"""Worst relative bias that is tolerated, as a share of the bias if instruments carried no information."""

ANGLES = 2001


@dataclass(frozen=True)
class EffectiveF:
    """f against critical values by tolerated bias tau, at level alpha.

    simplified: the conservative bound of their section 4 for two-stage least squares. generalised: with the
    worst bias that this reduced form allows, never larger than the bound if the covariance is positive
    definite. With two instruments and nearly equal variances that bias vanishes to first order and the value
    drops to about 5: report the simplified one beside it. liml: generalised, for LIML; NaN where outcome or
    treatment has no residual variance. effective_df is K_eff of the simplified value for the first tau.
    """

    f: float
    taus: tuple[float, ...]
    simplified: tuple[float, ...]
    generalised: tuple[float, ...]
    liml: tuple[float, ...]
    effective_df: float
    alpha: float


def effective_f(reduced: ReducedForm, taus: tuple[float, ...] = TAUS, alpha: float = 0.05) -> EffectiveF:
    """Effective F for one treatment, with the covariance of `reduced` (robust, clustered).

    Instruments are orthonormal after the controls are taken out of them, as the definition wants: without
    that the statistic depends on how instruments are coded. With one instrument f is the robust F and all
    two-stage critical values agree (23.1 at tau = 10%).
    """
    _, x = reduced.data.one_treatment()
    spread = reduced.blocks[1, 1]
    total = float(np.trace(spread))
    if total <= 0:
        unknown = (np.nan,) * len(taus)
        return EffectiveF(np.inf, taus, unknown, unknown, unknown, np.nan, alpha)
    worst = _worst(reduced, _nagar_tsls), _worst(reduced, _nagar_liml)
    return EffectiveF(
        f=float(x @ x) / total,
        taus=taus,
        simplified=tuple(_critical(spread, 1 / tau, alpha) for tau in taus),
        generalised=tuple(_critical(spread, worst[0] / tau, alpha) for tau in taus),
        liml=tuple(_critical(spread, worst[1] / tau, alpha) for tau in taus),
        effective_df=_effective_df(spread, 1 / taus[0]),
        alpha=alpha,
    )


def _effective_df(spread: Floats, x: float) -> float:
    """Their K_eff for non-centrality x: the chi-squared of the same first two moments (Patnaik 1949)."""
    total = float(np.trace(spread))
    largest = float(np.linalg.eigvalsh(spread)[-1])
    return total**2 * (1 + 2 * x) / (float(np.sum(spread**2)) + 2 * x * total * largest)


def _critical(spread: Floats, x: float, alpha: float) -> float:
    """Upper alpha point of a non-central chi-squared with K_eff degrees of freedom, over K_eff."""
    from scipy.stats import ncx2

    if not np.isfinite(x):
        return np.nan
    df = _effective_df(spread, x)
    return float(ncx2.isf(alpha, df, df * x) / df)


Bias = Callable[[ReducedForm, Floats], Floats]


def _worst(reduced: ReducedForm, bias: Bias) -> float:
    """Largest Nagar bias over the worst-case benchmark, for any effect b and direction of the first stage.

    b = tan(angle) in units of the reduced forms' size covers the line, infinity included; the best points of
    a fine grid are refined.
    """
    angle = np.linspace(-np.pi / 2, np.pi / 2, ANGLES)
    found = bias(reduced, angle)
    if not np.isfinite(found).all():
        return np.nan
    step, best = float(angle[1] - angle[0]), float(found.max())
    for j in np.argsort(found)[-5:]:
        near = (float(angle[j]) - step, float(angle[j]) + step)
        refined = scipy.optimize.minimize_scalar(
            lambda a: -float(bias(reduced, np.array([a]))[0]),
            bounds=near,
            method="bounded",
            options={"xatol": 1e-10},
        )
        best = max(best, -float(refined.fun))
    return best


def _pieces(reduced: ReducedForm, angle: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """S1, S12 (m, k, k), both for u = cos v1 - sin v2, and omega's u variance and covariance (m,).

    In units where the traces of the two blocks are one.
    """
    size = np.sqrt(np.array([np.trace(reduced.blocks[j, j]) for j in (0, 1)]))
    size[size == 0] = 1.0
    blocks = reduced.blocks / np.outer(size, size)[:, :, None, None]
    omega = reduced.omega / np.outer(size, size)
    c, s = np.cos(angle), np.sin(angle)
    c3, s3 = c[:, None, None], s[:, None, None]
    mixed = blocks[0, 1] + blocks[1, 0]
    first = c3**2 * blocks[0, 0] - c3 * s3 * mixed + s3**2 * blocks[1, 1]
    cross = c3 * blocks[0, 1] - s3 * blocks[1, 1]
    variance = c**2 * omega[0, 0] - 2 * c * s * omega[0, 1] + s**2 * omega[1, 1]
    return first, cross, variance, c * omega[0, 1] - s * omega[1, 1]


def _nagar_tsls(reduced: ReducedForm, angle: Floats) -> Floats:
    """|tr S12 - 2 c'S12 c| at the worst unit c, over sqrt(tr S1 tr S2), for each angle (their theorem 1)."""
    first, cross, _, _ = _pieces(reduced, angle)
    values = np.linalg.eigvalsh((cross + cross.transpose(0, 2, 1)) / 2)
    trace = np.trace(cross, axis1=1, axis2=2)
    top = np.maximum(np.abs(trace - 2 * values[:, 0]), np.abs(trace - 2 * values[:, -1]))
    return _share(top, first)


def _nagar_liml(reduced: ReducedForm, angle: Floats) -> Floats:
    """The same for LIML: |tr S12 - r tr S1 - c'(2 S12 - r S1)c|, r = cov(u, v2) / var(u)."""
    first, cross, variance, covariance = _pieces(reduced, angle)
    ratio = np.divide(covariance, variance, out=np.full_like(variance, np.nan), where=variance > 1e-14)
    if not np.isfinite(ratio).all():
        return np.full_like(variance, np.nan)
    inner = cross + cross.transpose(0, 2, 1) - ratio[:, None, None] * first
    values = np.linalg.eigvalsh(inner)
    trace = np.trace(cross, axis1=1, axis2=2) - ratio * np.trace(first, axis1=1, axis2=2)
    top = np.maximum(np.abs(trace - values[:, 0]), np.abs(trace - values[:, -1]))
    return _share(top, first)


def _share(top: Floats, first: Floats) -> Floats:
    bottom = np.sqrt(np.maximum(np.trace(first, axis1=1, axis2=2), 0.0))
    return np.asarray(np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 1e-12))
