"""Anderson-Rubin test and set: right in size however weak the instruments are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.instruments_covariance import is_homoskedastic
from qieval.numerics.instruments_reduced_form import ReducedForm
from qieval.numerics.instruments_sets import ConfidenceSet, quadratic_set, set_between
from qieval.numerics.two_way import Floats

Reference = Literal["f", "chi2"]


@dataclass(frozen=True)
class ARTest:
    """Test of one value of the effect. statistic is a Wald chi2; f = statistic / k.

    p_value by the reference distribution asked for; df of F are (k, denominator).
    """

    statistic: float
    f: float
    df: tuple[int, float]
    p_value: float


def anderson_rubin(reduced: ReducedForm, null: float = 0.0, reference: Reference = "chi2") -> ARTest:
    """Do the instruments explain y - null x? One treatment.

    The covariance is that of the reduced form (kind), from residuals on instruments and controls
    (Chernozhukov and Hansen 2008). Homoskedastic with kind "debiased" and reference "f" is the exact test
    of normal errors (R's ivmodel). One endogenous variable.
    """
    statistic = _Curve.of(reduced).statistic(null)
    k = reduced.data.k
    tail = _tail(statistic, k, reduced.df, reference)
    return ARTest(statistic, statistic / k, (k, reduced.df if reference == "f" else np.inf), tail)


def anderson_rubin_set(
    reduced: ReducedForm, level: float = 0.95, reference: Reference = "chi2"
) -> ConfidenceSet:
    """All values of the effect that the test does not reject; exact, of whatever shape.

    Homoskedastic: the solution of a quadratic inequality. Otherwise statistic = critical value is a
    polynomial of degree 2k in the effect: its roots are the eigenvalues of a quadratic matrix pencil, so that
    none is missed. Empty means that the instruments contradict one another.
    """
    curve = _Curve.of(reduced)
    k = reduced.data.k
    critical = float(
        k * scipy.special.fdtri(k, reduced.df, level)
        if reference == "f"
        else scipy.special.chdtri(k, 1 - level)
    )
    if is_homoskedastic(reduced.kind):
        return _homoskedastic(reduced, critical)
    found = set_between(curve.crossings(critical), lambda b: curve.excess(b, critical))
    return found.scaled(curve.unit)


def _homoskedastic(reduced: ReducedForm, critical: float) -> ConfidenceSet:
    y, x = reduced.data.one_treatment()
    left = reduced.data.df_reduced if reduced.kind == "debiased" else reduced.data.n
    omega = reduced.omega * (reduced.data.df_reduced / left)
    return quadratic_set(
        float(x @ x - critical * omega[1, 1]),
        -float(x @ y - critical * omega[0, 1]),
        float(y @ y - critical * omega[0, 0]),
    )


def _tail(statistic: float, k: int, df: float, reference: Reference) -> float:
    if not statistic >= 0:
        return np.nan
    if reference == "f":
        return float(scipy.special.fdtrc(k, df, statistic / k))
    return float(scipy.special.chdtrc(k, statistic))


@dataclass(frozen=True, eq=False)
class _Curve:
    """statistic(b) = (y - bx)' V(b)^-1 (y - bx), V(b) = yy - b mixed + b^2 xx, in units of the effect.

    y and x (k,) are the reduced forms divided by the size of their covariance; unit is the ratio of these.
    """

    y: Floats
    x: Floats
    yy: Floats
    mixed: Floats
    xx: Floats
    unit: float

    @classmethod
    def of(cls, reduced: ReducedForm) -> _Curve:
        y, x = reduced.data.one_treatment()
        blocks = reduced.blocks
        size_y, size_x = (np.sqrt(np.trace(blocks[j, j])) for j in (0, 1))
        size_y, size_x = size_y or np.linalg.norm(y) or 1.0, size_x or np.linalg.norm(x)
        mixed = (blocks[0, 1] + blocks[1, 0]) / (size_y * size_x)
        return cls(
            y / size_y,
            x / size_x,
            blocks[0, 0] / size_y**2,
            mixed,
            blocks[1, 1] / size_x**2,
            float(size_y / size_x),
        )

    def statistic(self, null: float) -> float:
        """At a value in the user's units; NaN where the covariance is not positive definite."""
        return self._at(null / self.unit)

    def excess(self, b: float, critical: float) -> float:
        """Share by which the statistic exceeds the critical value; b in units of `unit`."""
        statistic = self._at(b)
        if np.isnan(statistic):
            raise EstimationError(
                "the covariance of the reduced form is not positive definite: are there too few clusters for "
                "this many instruments, or does nothing vary beyond what instruments and controls explain?"
            )
        return statistic / critical - 1

    def _at(self, b: float) -> float:
        gap = self.y - b * self.x
        covariance = self.yy - b * self.mixed + b * b * self.xx
        try:
            factor = scipy.linalg.cho_factor(covariance)
        except np.linalg.LinAlgError:
            return np.nan
        return float(gap @ scipy.linalg.cho_solve(factor, gap))

    def crossings(self, critical: float) -> list[float]:
        """Real parts of the roots of det(critical V(b) - (y - bx)(y - bx)') = 0, at most 2k.

        Where V is positive definite the determinant is zero only where statistic = critical. Complex
        roots are no crossings and only add points at which the sign is read.
        """
        constant = critical * self.yy - np.outer(self.y, self.y)
        linear = np.outer(self.y, self.x) + np.outer(self.x, self.y) - critical * self.mixed
        square = critical * self.xx - np.outer(self.x, self.x)
        k = self.y.size
        left = np.block([[np.zeros((k, k)), np.eye(k)], [-constant, -linear]])
        right = scipy.linalg.block_diag(np.eye(k), square)
        top, bottom = scipy.linalg.eigvals(left, right, homogeneous_eigvals=True)
        finite = np.abs(bottom) > 1e-14 * np.abs(top)
        return [float(root) for root in (top[finite] / bottom[finite]).real]
