"""Reduced form and first stage: outcome and treatments regressed on instruments and controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.instruments import Partialled
from qieval.numerics.instruments_columns import product
from qieval.numerics.instruments_covariance import Kind, denominator_df, is_homoskedastic, score_covariance
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class ReducedForm:
    """Outcome (column 0) and treatments regressed on the orthonormal instruments q.

    along (k, 1 + e) are the coefficients, blocks (1 + e, 1 + e, k, k) their covariance for each pair of
    equations, omega (1 + e, 1 + e) the residuals' covariance over n - c - k. Residuals are those of
    these regressions, not of a restricted model.
    """

    data: Partialled
    along: Floats
    blocks: Floats
    omega: Floats
    kind: Kind

    @property
    def df(self) -> int:
        """Denominator degrees of freedom: n - c - k, or clusters less one."""
        return denominator_df(self.data.clusters, self.kind, self.data.df_reduced)

    def equation(self, j: int) -> Regression:
        """The reduced form of the outcome (j = 0) or the first stage of treatment j = 1..e."""
        data = self.data
        inverse = data.instruments.coefficients(np.eye(data.k))
        own = self.blocks[j, j]
        explained = float(self.along[:, j] @ self.along[:, j])
        wald = _wald(self.along[:, j], own)
        f = wald / data.k
        return Regression(
            coefficients=inverse @ self.along[:, j],
            covariance=inverse @ own @ inverse.T,
            partial_r2=explained / float(data.gram[j, j]),
            wald=wald,
            f=f,
            df=(data.k, self.df),
            p_value=float(scipy.special.fdtrc(data.k, self.df, f)) if f >= 0 else np.nan,
        )


@dataclass(frozen=True, eq=False)
class Regression:
    """Coefficients of the instruments (k,), and how much they explain beyond the controls.

    f = wald / k is the partial F of all instruments; robust or clustered if the covariance is. NaN where a
    covariance lacks rank (fewer clusters than instruments).
    """

    coefficients: Floats
    covariance: Floats
    partial_r2: float
    wald: float
    f: float
    df: tuple[int, int]
    p_value: float

    @property
    def errors(self) -> Floats:
        """Standard errors (k,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def reduced_form(data: Partialled, kind: Kind = "hc1") -> ReducedForm:
    """Regress outcome and treatments on the instruments; factors of hc1 and cr1 count c + k coefficients."""
    along = np.column_stack([data.along_y, data.along_x])
    residuals = _residuals(data, along)
    total = residuals.T @ residuals
    m, k = data.e + 1, data.k
    if is_homoskedastic(kind):
        left = data.df_reduced if kind == "debiased" else data.n
        blocks = np.einsum("ij,ab->ijab", total / left, np.eye(k))
    else:
        scores = np.empty((data.n, m * k), order="F")
        for j in range(m):
            np.multiply(data.q, residuals[:, [j]], out=scores[:, j * k : (j + 1) * k])
        flat = score_covariance(scores, data.clusters, kind, data.c + k)
        blocks = flat.reshape(m, k, m, k).transpose(0, 2, 1, 3)
    return ReducedForm(data, along, blocks, total / data.df_reduced, kind)


def _residuals(data: Partialled, along: Floats) -> Floats:
    """Residuals on the instruments, exactly zero where they are only rounding."""
    both = np.column_stack([data.y, data.x])
    residuals = np.asfortranarray(both - product(data.q, along))
    gone = np.einsum("ij,ij->j", residuals, residuals) <= 1e-24 * np.diag(data.gram)
    residuals[:, gone] = 0.0
    return residuals


def _wald(coefficients: Floats, covariance: Floats) -> float:
    """Wald statistic; infinite without residual variance, NaN if the covariance is not positive definite."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if not scale.any():
        return np.inf
    if not scale.all():
        return np.nan
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    if values[0] <= 1e-12 * values[-1]:
        return np.nan
    return float(np.sum((vectors.T @ (coefficients / scale)) ** 2 / values))
