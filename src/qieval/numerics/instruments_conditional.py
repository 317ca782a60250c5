"""Conditional likelihood ratio and score (K, LM) tests and sets, for errors of equal variance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.instruments_reduced_form import ReducedForm
from qieval.numerics.instruments_sets import EMPTY, WHOLE_LINE, ConfidenceSet, quadratic_set
from qieval.numerics.two_way import Floats


@dataclass(frozen=True)
class ConditionalTest:
    """Test of one value of the effect; q_t is the strength statistic that the p-value is conditional on."""

    statistic: float
    q_t: float
    p_value: float


def conditional_likelihood_ratio(reduced: ReducedForm, null: float = 0.0) -> ConditionalTest:
    """Moreira's (2003) conditional likelihood ratio test; nearly optimal with weak instruments.

    Homoskedastic whatever the kind of `reduced`; residual covariance over n - c - k. With one instrument it
    is the Anderson-Rubin F test (F distribution, as R's ivmodel), otherwise the conditional p-value of
    Andrews, Moreira and Stock (2007) with a known covariance.
    """
    parts = _Parts.of(reduced)
    q_t = parts.q_t(null)
    statistic = max(parts.largest - q_t, 0.0)
    return ConditionalTest(statistic, q_t, parts.p_value(statistic, q_t))


def conditional_likelihood_ratio_set(reduced: ReducedForm, level: float = 0.95) -> ConfidenceSet:
    """All values that the test does not reject; exact, never empty.

    LR(b) = (largest eigenvalue) - Q_T(b), and the test does not reject where Q_T(b) is at least a number
    (Mikusheva 2010, theorem 1): one root, then a quadratic inequality.
    """
    parts = _Parts.of(reduced)
    alpha = 1 - level
    if parts.p_value(parts.largest, 0.0) >= alpha:
        return WHOLE_LINE
    least = scipy.optimize.brentq(
        lambda q: parts.p_value(parts.largest - q, q) - alpha, 0.0, parts.largest, xtol=1e-14, rtol=1e-14
    )
    return parts.at_least(float(least))


def score_test(reduced: ReducedForm, null: float = 0.0) -> ConditionalTest:
    """Kleibergen's (2002) score statistic, chi-squared with one degree of freedom; homoskedastic.

    It is also zero at the value of least likelihood: read its set beside that of Anderson and Rubin, which it
    is with one instrument.
    """
    parts = _Parts.of(reduced)
    q_t = parts.q_t(null)
    explained = q_t if parts.k == 1 else q_t - parts.smallest
    statistic = (parts.largest - q_t) * explained / q_t if explained > 0 else 0.0
    return ConditionalTest(statistic, q_t, float(scipy.special.chdtrc(1, statistic)))


def score_set(reduced: ReducedForm, level: float = 0.95) -> ConfidenceSet:
    """All values that the score test does not reject, exact; often with a second piece far away."""
    parts = _Parts.of(reduced)
    critical = float(scipy.special.chdtri(1, 1 - level))
    if parts.k == 1:
        return parts.at_least(parts.largest - critical)
    # (largest - q)(q - smallest) <= critical q, for q = Q_T(b) between both eigenvalues
    middle = (parts.largest + parts.smallest - critical) / 2
    inside = middle**2 - parts.largest * parts.smallest
    if inside <= 0 or middle <= 0:
        return WHOLE_LINE
    high = middle + np.sqrt(inside)
    low = parts.largest * parts.smallest / high
    return parts.at_least(high).union(parts.at_most(low))


@dataclass(frozen=True, eq=False)
class _Parts:
    """Q_T(b) = (1 b as a = (b, 1)) a'inverse'P inverse a / a'inverse a, and the eigenvalues it lies between.

    inner (2, 2) and inverse (2, 2) hold the two forms, in units of `unit` for the effect.
    """

    inner: Floats
    inverse: Floats
    smallest: float
    largest: float
    unit: float
    k: int
    df: int

    @classmethod
    def of(cls, reduced: ReducedForm) -> _Parts:
        y, x = reduced.data.one_treatment()
        scale = np.sqrt(np.diag(reduced.omega))
        if not scale.all():
            raise EstimationError(
                "instruments and controls explain outcome or treatment without a remainder: use least squares"
            )
        along = np.column_stack([y, x]) / scale
        omega = reduced.omega / np.outer(scale, scale)
        inverse = scipy.linalg.inv(omega)
        explained = along.T @ along
        values = scipy.linalg.eigvalsh(explained, omega)
        smallest = max(float(values[0]), 0.0) if y.size > 1 else 0.0
        return cls(
            inverse @ explained @ inverse,
            inverse,
            smallest,
            float(values[1]),
            float(scale[0] / scale[1]),
            y.size,
            reduced.data.df_reduced,
        )

    def q_t(self, null: float) -> float:
        a = np.array([null / self.unit, 1.0])
        found = float(a @ self.inner @ a) / float(a @ self.inverse @ a)
        return min(max(found, self.smallest), self.largest)

    def at_least(self, q: float) -> ConfidenceSet:
        """All b with Q_T(b) >= q."""
        if q <= self.smallest:
            return WHOLE_LINE
        form = q * self.inverse - self.inner
        return quadratic_set(form[0, 0], form[0, 1], form[1, 1]).scaled(self.unit)

    def at_most(self, q: float) -> ConfidenceSet:
        """All b with Q_T(b) <= q."""
        if q < self.smallest:
            return EMPTY
        form = self.inner - q * self.inverse
        return quadratic_set(form[0, 0], form[0, 1], form[1, 1]).scaled(self.unit)

    def p_value(self, statistic: float, q_t: float) -> float:
        if self.k == 1:
            return float(scipy.special.fdtrc(1, self.df, statistic))
        return conditional_p_value(statistic, q_t, self.k)


def conditional_p_value(statistic: float, q_t: float, k: int) -> float:
    """P(LR > statistic | Q_T = q_t) with k instruments (Andrews, Moreira and Stock 2007, section 5).

    With s = sin(angle) their integral over (1 - s^2)^((k - 3) / 2) has no singularity for any k; Gauss
    rules on pieces that become finer at both ends, to about 1e-12.

    >>> round(conditional_p_value(3.84, 1e9, 4), 3), round(conditional_p_value(9.49, 0.0, 4), 3)
    (0.05, 0.05)
    """
    if k == 1:
        return float(scipy.special.chdtrc(1, statistic))
    if statistic <= 0:
        return 1.0
    sine, cosine, weight = _rule()
    argument = (q_t + statistic) * statistic / (statistic + q_t * sine)
    constant = np.exp(scipy.special.gammaln(k / 2) - scipy.special.gammaln((k - 1) / 2)) / np.sqrt(np.pi)
    tail = scipy.special.chdtrc(k, argument)
    return min(float(2 * constant * np.sum(weight * tail * cosine ** (k - 2))), 1.0)


@cache
def _rule() -> tuple[Floats, Floats, Floats]:
    """Squared sines, cosines and weights of nodes on (0, pi/2), in pieces that shrink towards both ends."""
    half = np.pi / 4
    shrinking = half * 0.5 ** np.arange(24)
    edges = np.unique(np.concatenate([[0.0], shrinking, np.pi / 2 - shrinking[:8], [np.pi / 2]]))
    node, weight = np.polynomial.legendre.leggauss(16)
    centre, width = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    angle = (centre[:, None] + width[:, None] * node).ravel()
    return np.sin(angle) ** 2, np.cos(angle), (width[:, None] * weight).ravel()
