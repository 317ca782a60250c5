"""Estimates of an effect by instruments, and the intervals that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.instrumented.fit import FirstStage, Way, variance_kind
from qieval.numerics.instruments_anderson_rubin import Reference, anderson_rubin, anderson_rubin_set
from qieval.numerics.instruments_conditional import (
    conditional_likelihood_ratio,
    conditional_likelihood_ratio_set,
)
from qieval.numerics.instruments_estimators import fuller, liml, ols, tsls
from qieval.numerics.instruments_gmm import GMMOptions, gmm
from qieval.numerics.instruments_sets import WHOLE_LINE, ConfidenceSet
from qieval.numerics.instruments_tf import tf_interval

WALD, AR, CLR, TF = "Wald", "Anderson-Rubin", "conditional likelihood ratio", "tF"
WORDS = {
    WALD: "Wald, the usual one, for strong instruments only",
    AR: "Anderson-Rubin, right however weak the instrument",
    CLR: "conditional likelihood ratio, right however weak the instruments if variances are equal",
    TF: "tF, the usual one made wider by the strength of the instrument",
}
ESTIMATORS = ("2SLS", "LIML", "Fuller", "GMM")
LEAST_SQUARES = "least squares"


@dataclass(frozen=True)
class Point:
    """An estimate and its standard error."""

    estimate: float
    std_error: float

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no effect, normal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(2 * scipy.special.ndtr(-abs(np.float64(self.estimate) / self.std_error)))

    def ends(self, level: float) -> tuple[float, float]:
        """The usual interval."""
        half = quantile(level) * self.std_error
        return self.estimate - half, self.estimate + half


def quantile(level: float) -> float:
    """The normal quantile of a two-sided interval."""
    return float(scipy.special.ndtri((1 + level) / 2))


def point(design: Any, first: FirstStage, estimator: str) -> Point:
    """The effect by one of ESTIMATORS or least squares. GMM has no small-sample factor, as is its custom."""
    kind = variance_kind(design)
    if estimator == "GMM":
        whole = gmm(first.parts, GMMOptions(kind="hc0" if design.cluster is None else "cr0")).whole
        return Point(float(whole.coefficients[0]), float(whole.errors[0]))
    makers = {LEAST_SQUARES: ols, "2SLS": tsls, "LIML": liml}
    made = fuller(first.parts, kind=kind) if estimator == "Fuller" else makers[estimator](first.parts, kind)
    return Point(float(made.coefficients[0]), float(made.errors[0]))


def ways_of(design: Any, first: FirstStage, shown: Point) -> tuple[Way, ...]:
    """Every interval that suits: Wald, Anderson-Rubin, conditional likelihood ratio, tF."""
    wald = Way(
        kind=WALD, words=WORDS[WALD], held=ConfidenceSet((shown.ends(design.level),)), p_value=shown.p_value
    )
    found = [wald, anderson_rubin_way(design, first)]
    if design.cluster is None and first.reduced.omega[0, 0] > 0:
        test = conditional_likelihood_ratio(first.reduced)
        held = conditional_likelihood_ratio_set(first.reduced, design.level)
        found.append(Way(kind=CLR, words=WORDS[CLR], held=held, p_value=test.p_value))
    if first.parts.k == 1 and design.level == 0.95:
        found.append(_tf(first, shown))
    return tuple(found)


def anderson_rubin_way(design: Any, first: FirstStage) -> Way:
    """The Anderson-Rubin set; by F for equal variances with a small-sample factor, otherwise chi-squared."""
    reference: Reference = "f" if variance_kind(design) == "debiased" else "chi2"
    try:
        held = anderson_rubin_set(first.reduced, design.level, reference)
    except ValueError as cause:
        raise EstimationError(
            "instruments: the variances of outcome and uptake by instrument cannot be computed, often because"
            " a value of an instrument is held by one row or cluster only. Group such values."
        ) from cause
    p_value = anderson_rubin(first.reduced, 0.0, reference).p_value
    return Way(kind=AR, words=WORDS[AR], held=held, p_value=p_value)


def _tf(first: FirstStage, shown: Point) -> Way:
    made = tf_interval(shown.estimate, shown.std_error, first.regression.f)
    held = ConfidenceSet(((made.low, made.high),)) if np.isfinite(made.critical) else WHOLE_LINE
    return Way(kind=TF, words=WORDS[TF], held=held, p_value=made.p_value)


def chosen(design: Any, first: FirstStage, ways: tuple[Way, ...]) -> Way:
    """The interval of the headline: the one asked for, or by the strength of the instruments."""
    by_kind = {way.kind: way for way in ways}
    if design.interval != "automatic":
        if design.interval not in by_kind:
            raise EstimationError(
                f"interval: '{design.interval}' cannot be made here: tF is for one instrument, and the"
                " conditional likelihood ratio for an outcome that the instruments do not tell exactly. Use"
                " Anderson-Rubin."
            )
        return by_kind[design.interval]
    return by_kind[AR if first.parts.k == 1 or first.weak else WALD]
