"""Do the instruments agree (over-identification), and is the treatment exogenous after all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.instruments import Partialled
from qieval.numerics.instruments_columns import inverse, product
from qieval.numerics.instruments_covariance import Kind, is_homoskedastic, score_covariance
from qieval.numerics.instruments_estimators import Estimate
from qieval.numerics.instruments_gmm import hansen_j
from qieval.numerics.two_way import Floats


@dataclass(frozen=True)
class HypothesisTest:
    """A statistic with its degrees of freedom: chi-squared if df_denominator is infinite, F otherwise.

    NaN where the test does not apply.
    """

    statistic: float
    df: int
    p_value: float
    df_denominator: float = np.inf


@dataclass(frozen=True)
class OverIdentification:
    """Tests that all instruments lead to the same effect; every one is NaN with k = e.

    sargan, basmann: equal variances. score: robust to unequal variances or clusters (Wooldridge 1995), equal
    to Hansen's J of two-step GMM. hansen_centred: J with centred moments, as R's gmm.
    """

    sargan: HypothesisTest
    basmann: HypothesisTest
    score: HypothesisTest
    hansen_centred: HypothesisTest


@dataclass(frozen=True)
class Endogeneity:
    """Tests that least squares would do as well: the residuals of the first stage belong into the outcome.

    wu_hausman (F) and durbin (chi2) assume equal variances. score and regression (chi2) are robust or
    clustered: Wooldridge's regression of 1 on products of residuals, and the Wald test with the kind asked
    for. All NaN if the instruments explain the treatment without a remainder.
    """

    wu_hausman: HypothesisTest
    durbin: HypothesisTest
    score: HypothesisTest
    regression: HypothesisTest


def over_identification(data: Partialled, estimate: Estimate, kind: Kind = "hc0") -> OverIdentification:
    """Tests from the residuals of two-stage least squares. kind: hc0 or cr0, for the robust ones."""
    df = data.k - data.e
    if df == 0:
        return OverIdentification(*[HypothesisTest(np.nan, 0, np.nan)] * 4)
    moments = data.along_y - data.along_x @ estimate.coefficients
    residual = float(estimate.residuals @ estimate.residuals)
    explained = float(moments @ moments)
    sargan = data.n * explained / residual
    return OverIdentification(
        sargan=_chi2(sargan, df),
        basmann=_chi2(data.df_reduced * explained / (residual - explained), df),
        score=_chi2(hansen_j(data, kind)[0], df),
        hansen_centred=_chi2(hansen_j(data, kind, centred=True)[0], df),
    )


def endogeneity(data: Partialled, kind: Kind = "hc1") -> Endogeneity:
    """Tests of all treatments together. kind: of the Wald test; the score test takes its clusters too.

    linearmodels' wooldridge_regression is the Wald test with hc0. Factors of hc1 and cr1 count c + 2e
    coefficients.
    """
    found = _Remainder.of(data)
    e = data.e
    if found is None:
        return Endogeneity(*[HypothesisTest(np.nan, e, np.nan)] * 4)
    delta = float(found.score @ found.slope)
    left = data.df_model - e
    f = delta / e / ((found.total - delta) / left)
    return Endogeneity(
        wu_hausman=HypothesisTest(f, e, float(scipy.special.fdtrc(e, left, f)), left),
        durbin=_chi2(data.n * delta / found.total, e),
        score=_chi2(_score(data, found, kind), e),
        regression=_chi2(_regression(data, found, kind), e),
    )


@dataclass(frozen=True, eq=False)
class _Remainder:
    """First-stage residuals without what the treatments explain of them.

    columns (n, e), residuals (n,) of least squares of the outcome on the treatments, total their squares;
    score (e,) = columns'residuals, slope (e,) the coefficients of the residuals of the first stage.
    """

    columns: Floats
    residuals: Floats
    total: float
    score: Floats
    slope: Floats

    @classmethod
    def of(cls, data: Partialled) -> _Remainder | None:
        own, cross = data.gram[1:, 1:], data.gram[1:, 0]
        first = data.x - product(data.q, data.along_x)
        squares = np.einsum("ij,ij->j", first, first)
        if (squares <= 1e-20 * np.diag(own)).any():
            return None
        try:
            turn = inverse(own)
            residuals = data.y - data.x @ turn @ cross
            columns = first - product(data.x, turn @ data.x.T @ first)
            score = columns.T @ residuals
            slope = inverse(columns.T @ columns) @ score
        except np.linalg.LinAlgError:
            return None
        return cls(columns, residuals, float(residuals @ residuals), score, slope)


def _score(data: Partialled, found: _Remainder, kind: Kind) -> float:
    scores = found.columns * found.residuals[:, None]
    spread = score_covariance(scores, data.clusters, "cr0" if kind in ("cr0", "cr1") else "hc0", 0)
    return _quadratic(found.score, spread)


def _regression(data: Partialled, found: _Remainder, kind: Kind) -> float:
    residuals = found.residuals - found.columns @ found.slope
    if is_homoskedastic(kind):
        left = data.df_model - data.e if kind == "debiased" else data.n
        return float(found.slope @ found.score) / (float(residuals @ residuals) / left)
    scores = found.columns * residuals[:, None]
    spread = score_covariance(scores, data.clusters, kind, data.c + 2 * data.e)
    return _quadratic(found.score, spread)


def _quadratic(score: Floats, spread: Floats) -> float:
    try:
        return float(score @ inverse(spread) @ score)
    except np.linalg.LinAlgError:
        return np.nan


def _chi2(statistic: float, df: int) -> HypothesisTest:
    return HypothesisTest(statistic, df, float(scipy.special.chdtrc(df, statistic)))
