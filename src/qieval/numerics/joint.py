"""Several coefficients at once: the Wald test, and the critical value of simultaneous (sup-t) bands."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

RANK = 1e-10
"""Eigenvalues of a correlation matrix below this share of the largest count as zero."""

SUP_T_DRAWS = 2**16
SUP_T_GROUPS = 4096
SUP_T_SEED = 20190514
"""Fixed, so that the same covariance always gives the same band (error: see `sup_t`)."""


@dataclass(frozen=True)
class WaldTest:
    """Joint test that all coefficients are zero.

    statistic is b' V^- b with `rank` degrees of freedom; n_restrictions coefficients were tested. p_chi2
    takes the covariance as known; f = statistic / rank with p_value from F(rank, df). p_hotelling also
    allows for V being estimated from df + 1 clusters: Hotelling's F(rank, df - rank + 1), NaN if df <
    rank. With few clusters p_chi2 and p_value reject far too often, and once rank is near df none of the
    three says anything: `trustworthy` is False when a covariance estimated from df + 1 clusters has fewer
    than four clusters for every coefficient tested. outside is True if the estimate has a part to which V
    gives no variance (the statistic then leaves it out).
    """

    statistic: float
    rank: int
    n_restrictions: int
    df: float
    f: float
    p_chi2: float
    p_value: float
    p_hotelling: float
    outside: bool

    @property
    def trustworthy(self) -> bool:
        """Enough clusters for a joint test: full rank, four degrees of freedom or more per coefficient."""
        return not self.outside and self.rank == self.n_restrictions and self.df >= 4 * self.n_restrictions


def wald(estimate: Floats, covariance: Floats, df: float = np.inf) -> WaldTest:
    """Wald test of estimate (q,) = 0 given its covariance (q, q), with a pseudo-inverse where V lacks rank.

    A clustered covariance has rank G - 1 at most (G clusters), so with many periods and few clusters the rank
    is below q. df are the denominator degrees of freedom (G - 1 with clusters, inf for none). Finite
    values only.

    >>> test = wald(np.array([1.0, 2.0]), np.eye(2), df=10)
    >>> test.statistic, test.rank, round(test.p_value, 4)
    (5.0, 2, 0.1317)
    """
    q = estimate.size
    scale = _scales(covariance)
    values, vectors = _spectrum(covariance / np.outer(scale, scale))
    standardised = estimate / scale
    along = vectors.T @ standardised
    rank = values.size
    statistic = float(np.sum(along**2 / values))
    missed = standardised - vectors @ along
    f = statistic / rank if rank else np.nan
    finite = np.isfinite(df)
    left = df - rank + 1
    return WaldTest(
        statistic=statistic,
        rank=rank,
        n_restrictions=q,
        df=float(df),
        f=f,
        p_chi2=float(scipy.special.chdtrc(rank, statistic)) if rank else np.nan,
        p_value=_f_tail(rank, df, statistic, f),
        p_hotelling=float(scipy.special.fdtrc(rank, left, f * left / df))
        if finite and rank and left > 0
        else np.nan,
        outside=float(np.linalg.norm(missed)) > 1e-6 * float(np.linalg.norm(standardised)),
    )


def sup_t(covariance: Floats, df: float = np.inf, level: float = 0.95) -> float:
    """Critical value c of simultaneous bands: P(max |t_j| <= c) = level for t of this correlation and df.

    covariance (q, q), only its correlation matters, and its rank may be below q. df = inf gives the
    normal version, otherwise a multivariate t with a common denominator. Directions come from a scrambled
    Sobol sequence with a fixed seed, the radius is integrated exactly (chi or F distribution), so q = 1 is
    exact and the rest has a standard error of about 0.0004 for 10 coefficients. Source: Montiel Olea and
    Plagborg-Moller (2019), algorithm 1; against quantiles of R's mvtnorm the largest of 52 differences is
    below 0.002.

    >>> round(sup_t(np.eye(1)), 6), round(sup_t(np.diag([4.0, 9.0])), 2)
    (1.959964, 2.24)
    """
    from scipy.optimize import brentq

    scale = _scales(covariance)
    values, vectors = _spectrum(covariance / np.outer(scale, scale))
    rank = values.size
    if rank == 0:
        return np.nan
    reach = np.sort(_reaches((vectors * np.sqrt(values)) @ vectors.T, vectors @ vectors.T))
    grouped = reach.reshape(SUP_T_GROUPS, -1).mean(axis=1)

    def missing(critical: float) -> float:
        ratio = (critical / grouped) ** 2
        inside = (
            scipy.special.chdtr(rank, ratio) if np.isinf(df) else scipy.special.fdtr(rank, df, ratio / rank)
        )
        return float(inside.mean() - level)

    tail = (1 - level) / 2
    single = -scipy.special.ndtri(tail) if np.isinf(df) else -scipy.special.stdtrit(df, tail)
    tail /= covariance.shape[0]
    bonferroni = -scipy.special.ndtri(tail) if np.isinf(df) else -scipy.special.stdtrit(df, tail)
    return float(brentq(missing, 0.9 * single, 1.1 * bonferroni, xtol=1e-12))


def _reaches(root: Floats, projection: Floats) -> Floats:
    """max_j |(root u)_j| for random directions u in the span of root (SUP_T_DRAWS,).

    root (q, q) is the symmetric square root of the correlation and projection (q, q) that on its span;
    both are unique, so that rounding in the correlation cannot change which directions a draw stands for.
    """
    normal = _normals(root.shape[0], SUP_T_DRAWS)
    length = np.linalg.norm(normal @ projection, axis=1)
    return np.asarray(np.abs(normal @ root).max(axis=1) / length)


@lru_cache(maxsize=4)
def _normals(q: int, draws: int) -> Floats:
    """Evenly spread standard normal points (draws, q), a power of 2 of them."""
    from scipy.stats import qmc

    uniform = qmc.Sobol(q, seed=SUP_T_SEED).random(draws)
    return np.asarray(scipy.special.ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)))


def _scales(covariance: Floats) -> Floats:
    variance = np.diag(covariance)
    return np.asarray(np.sqrt(np.where(variance > 0, variance, 1.0)))


def _spectrum(correlation: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues that are not zero, and their vectors as columns."""
    values, vectors = scipy.linalg.eigh((correlation + correlation.T) / 2)
    kept = values > RANK * max(float(values.max(initial=0.0)), RANK)
    return values[kept], vectors[:, kept]


def _f_tail(rank: int, df: float, statistic: float, f: float) -> float:
    if not rank or df <= 0:
        return np.nan
    return float(scipy.special.chdtrc(rank, statistic) if np.isinf(df) else scipy.special.fdtrc(rank, df, f))
