"""An interrupted series and its fit: what estimates, checks and pictures share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.series import Series


@dataclass(frozen=True, eq=False, kw_only=True)
class Interruption:
    """One interruption: its period as given, the codes of the start, of the first period that may change
    (after the lag), and of the first period after phasing in."""

    words: str
    start: int
    begins: int
    settled: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Interrupted:
    """A parsed series with its interruptions: what estimates, checks and pictures share.

    transition (T,): periods of phasing in that are left out; used (T,): periods that take part in the fit.
    """

    series: Series
    interruptions: tuple[Interruption, ...]
    transition: np.ndarray
    season: float | None
    notes: tuple[str, ...]

    @property
    def first(self) -> Interruption:
        """The interruption that the question is about."""
        return self.interruptions[0]

    @property
    def start(self) -> int:
        """The code of the first period with the intervention."""
        return self.first.start

    @property
    def used(self) -> np.ndarray:
        """Which periods take part in the fit (T,)."""
        found: np.ndarray = self.series.observed & ~self.transition
        return found

    @property
    def after(self) -> np.ndarray:
        """Which periods with a value lie after the start, its lag and the phasing in (T,)."""
        found: np.ndarray = self.used & (self.series.at >= self.first.settled)
        return found

    @property
    def before(self) -> np.ndarray:
        """Which periods with a value lie before the start (T,)."""
        found: np.ndarray = self.used & (self.series.at < self.start)
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedSeries:
    """A fitted model of an interrupted series.

    names, coefficients (k,), covariance (k, k), df (k,): of the regressors, `change` (k,) those of the
    intervention; df is infinite for the normal distribution. x and without (T, k): the regressors of the
    series in question in all periods, as they are and had there been no intervention. link: 'identity',
    'log' or 'logit'; family: what the outcome was taken for, and why where it was chosen here.

    observed, fitted, expected (T,): values as they are shown (rates where there is a denominator), as
    fitted, and as expected without the intervention; low and high (T,): the interval of `expected`.
    residuals (n,): on the scale on which autocorrelation is judged, in the rows that were used, with their
    positions `at` (n,) in time; innovations (n,): what is left of them once the model of the errors is taken
    out. errors: how uncertainty was found, in words; reasons: why, where it was recommended.
    """

    made: Interrupted
    names: tuple[str, ...]
    coefficients: np.ndarray
    covariance: np.ndarray
    df: np.ndarray
    change: np.ndarray
    x: np.ndarray
    without: np.ndarray
    link: str
    family: str
    why: str
    observed: np.ndarray
    fitted: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    residuals: np.ndarray
    innovations: np.ndarray
    at: np.ndarray
    errors: str
    reasons: tuple[str, ...]
    dispersion: float
    log_likelihood: float
    aic: float
    more: dict[str, object]

    def std_error(self, name: str) -> float:
        """The standard error of a regressor's coefficient."""
        column = self.names.index(name)
        return float(np.sqrt(self.covariance[column, column]))
