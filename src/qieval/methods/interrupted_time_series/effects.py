"""From coefficients to effects: per period, added up, on average, and as a ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.series_regression_effects import Contrast, Effects, contrast_effects


@dataclass(frozen=True, eq=False, kw_only=True)
class Change:
    """The effect in m periods after the start, in time order.

    code (m,): the periods. difference, total (m,) and their errors: in each period, and added up until then,
    in units of the outcome. log_ratio and its error (m,): of the totals until then, NaN where a ratio means
    nothing. expected (m,): the outcome without the intervention; size (m,): what turns totals into rates.
    df: degrees of freedom; `ratios` whether the ratio is what the model is about.
    """

    code: np.ndarray
    difference: np.ndarray
    difference_error: np.ndarray
    total: np.ndarray
    total_error: np.ndarray
    log_ratio: np.ndarray
    log_ratio_error: np.ndarray
    expected: np.ndarray
    size: np.ndarray
    df: float
    ratios: bool

    @property
    def rate_difference(self) -> tuple[float, float]:
        """The whole effect per unit of `size`, and its error: for sizes of 1 the mean per period."""
        whole = float(self.size.sum())
        return float(self.total[-1]) / whole, float(self.total_error[-1]) / whole


def from_effects(found: Effects, code: np.ndarray, size: np.ndarray, df: float, *, ratios: bool) -> Change:
    """The effect by the delta method from the coefficients of a regression."""
    return Change(
        code=code,
        difference=found.by_period.difference.value,
        difference_error=found.by_period.difference.error,
        total=found.cumulative.difference.value,
        total_error=found.cumulative.difference.error,
        log_ratio=found.cumulative.log_ratio.value,
        log_ratio_error=found.cumulative.log_ratio.error,
        expected=found.by_period.counterfactual.value,
        size=size,
        df=df,
        ratios=ratios,
    )


def from_path(
    observed: np.ndarray, expected: np.ndarray, covariance: np.ndarray, change: dict[str, object]
) -> Change:
    """The effect as observed less a forecast (m,) with the covariance (m, m) of its errors.

    The error of a total is that of the whole path: neighbouring errors of a forecast go together. The ratio
    is that of totals; its error is that of the logarithm of the expected total.
    """
    sums = np.cumsum(expected)
    errors = np.sqrt(np.maximum(np.cumsum(np.cumsum(covariance, axis=0), axis=1).diagonal(), 0.0))
    seen = np.cumsum(observed)
    positive = (sums > 0) & (seen > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.where(positive, np.log(seen / sums), np.nan)
        log_error = np.where(positive, errors / sums, np.nan)
    return Change(
        difference=observed - expected,
        difference_error=np.sqrt(np.maximum(covariance.diagonal(), 0.0)),
        total=seen - sums,
        total_error=errors,
        log_ratio=log_ratio,
        log_ratio_error=log_error,
        expected=expected,
        **change,  # type: ignore[arg-type]
    )


def shifted(
    y: np.ndarray, x: np.ndarray, coefficients: np.ndarray, covariance: np.ndarray, link: str
) -> Effects:
    """Effects where the level moves by itself: what was observed (m,), less the columns x (m, k) of the
    change. The rest of the model is the same with and without it."""
    contrast = Contrast(factual=np.zeros_like(x), counterfactual=-x, link=link, offset=y)  # type: ignore[arg-type]
    return contrast_effects(coefficients, covariance, contrast)


def quantile(level: float, df: float) -> float:
    """The two-sided quantile of t (of the normal distribution where df is infinite)."""
    tail = (1 + level) / 2
    return float(scipy.special.ndtri(tail) if np.isinf(df) else scipy.special.stdtrit(df, tail))
