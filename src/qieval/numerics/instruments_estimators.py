"""Least squares, two-stage least squares, LIML, Fuller and any k-class estimator, with their covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.instruments import Partialled
from qieval.numerics.instruments_columns import inverse, product
from qieval.numerics.instruments_covariance import Kind, is_homoskedastic, score_covariance
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class Estimate:
    """Coefficients of the treatments (e,) and their covariance (e, e).

    residuals (n,), times the root of the row's weight; bread (e, e) is the inverse of x'(1 - kappa M)x with
    M the residuals on instruments; regressors (n, e) are the columns whose products with the residuals are
    the scores. kappa is 0 for least squares, 1 for two-stage least squares.
    """

    coefficients: Floats
    covariance: Floats
    residuals: Floats
    bread: Floats
    regressors: Floats
    kappa: float
    kind: Kind

    @property
    def errors(self) -> Floats:
        """Standard errors (e,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True, eq=False)
class WholeEstimate:
    """Treatments first, then the controls that are kept: coefficients (e + c,), covariance to match."""

    coefficients: Floats
    covariance: Floats

    @property
    def errors(self) -> Floats:
        """Standard errors (e + c,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def ols(data: Partialled, kind: Kind = "hc1") -> Estimate:
    """Least squares of the outcome on treatments and controls, as if the treatment were exogenous."""
    return _estimate(data, 0.0, kind, data.x)


def tsls(data: Partialled, kind: Kind = "hc1") -> Estimate:
    """Two-stage least squares."""
    return k_class(data, 1.0, kind)


def liml(data: Partialled, kind: Kind = "hc1") -> Estimate:
    """Limited information maximum likelihood (Anderson and Rubin 1949)."""
    return k_class(data, liml_kappa(data), kind)


def fuller(data: Partialled, a: float = 1.0, kind: Kind = "hc1") -> Estimate:
    """Fuller's (1977) correction of LIML: kappa less a / (n - c - k); a = 1 is nearly unbiased."""
    return k_class(data, liml_kappa(data) - a / data.df_reduced, kind)


def k_class(data: Partialled, kappa: float, kind: Kind = "hc1") -> Estimate:
    """The k-class estimator: (x'(1 - kappa M)x)^-1 x'(1 - kappa M)y.

    Robust scores are residuals times the fitted treatment, for every kappa, as linearmodels has them.
    Small-sample factors count e + c coefficients.
    """
    return _estimate(data, kappa, kind, product(data.q, data.along_x))


def liml_kappa(data: Partialled) -> float:
    """Smallest ratio over b of (y - xb)'(y - xb) with and without what the instruments explain; 1 or more."""
    along = np.column_stack([data.along_y, data.along_x])
    scale = np.sqrt(np.diag(data.gram))
    total = data.gram / np.outer(scale, scale)
    explained = (along / scale).T @ (along / scale)
    values: Floats = scipy.linalg.eigvalsh(explained, total)
    share = max(float(values[0]), 0.0) if data.k > data.e else 0.0
    if share >= 1 - 1e-12:
        raise EstimationError("instruments and controls explain outcome and treatment without a remainder")
    return 1 / (1 - share)


def _estimate(data: Partialled, kappa: float, kind: Kind, regressors: Floats) -> Estimate:
    total = data.gram[1:]
    left = (1 - kappa) * total[:, 1:] + kappa * (data.along_x.T @ data.along_x)
    right = (1 - kappa) * total[:, 0] + kappa * (data.along_x.T @ data.along_y)
    try:
        bread = inverse(left)
    except np.linalg.LinAlgError as error:
        raise EstimationError("the treatments are collinear, given instruments and controls") from error
    coefficients = bread @ right
    residuals = data.y - data.x @ coefficients
    if is_homoskedastic(kind):
        covariance = _variance(data, residuals, kind) * bread
    else:
        scores = regressors * residuals[:, None]
        meat = score_covariance(scores, data.clusters, kind, data.c + data.e)
        covariance = bread @ meat @ bread
    return Estimate(coefficients, covariance, residuals, bread, regressors, kappa, kind)


def _variance(data: Partialled, residuals: Floats, kind: Kind) -> float:
    left = data.df_model if kind == "debiased" else data.n
    return float(residuals @ residuals) / left


def with_controls(data: Partialled, estimate: Estimate) -> WholeEstimate:
    """The coefficients of the controls as well; the same covariance kind."""
    e, c = data.e, data.c
    slopes = data.controls.coefficients(data.on_controls[:, : 1 + e])
    controls = slopes[:, 0] - slopes[:, 1:] @ estimate.coefficients
    turn = data.controls.coefficients(np.eye(c))
    influence = np.block([[estimate.bread, np.zeros((e, c))], [-slopes[:, 1:] @ estimate.bread, turn]])
    covariance = influence @ _meat(data, estimate) @ influence.T
    return WholeEstimate(np.concatenate([estimate.coefficients, controls]), covariance)


def _meat(data: Partialled, estimate: Estimate) -> Floats:
    """Covariance (e + c, e + c) of the scores of treatments and orthonormal controls."""
    if is_homoskedastic(estimate.kind):
        left: Floats = scipy.linalg.block_diag(inverse(estimate.bread), np.eye(data.c))
        return _variance(data, estimate.residuals, estimate.kind) * left
    columns = np.column_stack([estimate.regressors, data.controls.q])
    columns *= estimate.residuals[:, None]
    return score_covariance(columns, data.clusters, estimate.kind, data.c + data.e)
