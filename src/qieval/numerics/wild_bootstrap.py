"""Wild cluster bootstrap of one treatment coefficient: p-value and interval when clusters are few.

Restricted (the null value is imposed), t statistics with CR1 scores, "WCR-C" of Cameron, Gelbach and
Miller (2008); interval by inverting the test with the same draws at every null value (Roodman, Nielsen,
MacKinnon and Webb 2019). Residuals under the null are linear in the null value, so each draw's squared
statistic is a ratio of quadratics in it: the draws are made once and a null value then costs one pass
over three numbers per draw.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.absorb import Fit
from qieval.numerics.cluster_form import cluster_form
from qieval.numerics.covariance import covariance
from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import Codes, Floats, compact, sums

Weights = Literal["auto", "rademacher", "webb"]

WEBB_BELOW = 10
"""With fewer clusters signs alone give at most 256 distinct |t|; Webb's (2014) six points give enough."""

WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))
TIES = 1e-10
FAR = 1e4
"""The interval is searched up to this many standard errors from the estimate."""


@dataclass(frozen=True)
class WildBootstrap:
    """p-value of "no effect", and the interval; an end is infinite if no null value however far is rejected.

    weights are the weights drawn, enumerated whether all sign patterns were used (then nothing is
    random), n_draws how many. statistic is t = estimate / CR1 standard error without a small-sample
    factor, which cancels. converged is False if the estimate has no cluster variance (all NaN) or an end
    lies beyond 10,000 standard errors.
    """

    p_value: float
    low: float
    high: float
    statistic: float
    n_clusters: int
    n_draws: int
    weights: str
    enumerated: bool
    converged: bool


@dataclass(frozen=True, eq=False)
class _Draws:
    """Coefficients of each draw (B,): t*^2 = (n0 - s n1)^2 / (q0 - 2 s q01 + s^2 q11).

    s is the null value minus the estimate; observed is the squared CR1 standard error without factor.
    """

    n0: Floats
    n1: Floats
    q0: Floats
    q01: Floats
    q11: Floats
    observed: float
    identity: int

    def p_value(self, shift: float) -> float:
        """Share of draws as extreme as the observed t^2 = shift^2 / observed, at null = estimate + shift."""
        top = (self.n0 - shift * self.n1) ** 2 * self.observed
        bottom = shift**2 * (self.q0 - 2 * shift * self.q01 + shift**2 * self.q11)
        extreme = np.count_nonzero(top >= bottom * (1 - TIES))
        return float((self.identity + extreme) / (self.identity + self.n0.size))

    def p_value_far_away(self) -> float:
        """The limit for far null values: only draws whose variance does not grow with the null value stay."""
        constant = self.q11 <= 1e-20 * self.q11.max(initial=0.0)
        extreme = np.count_nonzero(constant & (self.n1**2 * self.observed >= self.q0 * (1 - TIES)))
        return float((self.identity + extreme) / (self.identity + self.n0.size))


def wild_cluster_bootstrap(
    fit: Fit, clusters: Codes, resampling: Resampling | None = None, weights: Weights = "auto"
) -> WildBootstrap:
    """Restricted wild cluster bootstrap-t of the coefficient of `fit_static`.

    clusters (n_input,) non-negative codes; units may lie in several. Memory grows with clusters squared:
    meant for a few hundred. weights "auto": Webb's six points below 10 clusters, otherwise signs
    (Rademacher); signs are enumerated when there are no more than `draws` patterns, else drawn, and then
    the data itself counts as one draw: p = (1 + extreme)/(1 + draws). Ties count as extreme. Not reliable
    with few treated clusters (fewer than about five of the smaller arm: MacKinnon and Webb 2018);
    permutation is the alternative.
    """
    resampling = resampling or Resampling()
    if fit.column is None:
        raise ValueError("the wild cluster bootstrap is for one treatment column (fit_static)")
    codes, n_clusters = compact(clusters[fit.base.rows.used])
    kind = weights if weights != "auto" else ("webb" if n_clusters < WEBB_BELOW else "rademacher")
    enumerated = kind == "rademacher" and n_clusters <= 40 and 2**n_clusters <= resampling.draws
    n_draws = 2**n_clusters if enumerated else resampling.draws
    column = fit.column.copy()
    fit.base.partial_out_covariates(column)
    if fit.collinear[0] or n_clusters < 2 or covariance(fit, "cluster", clusters).degenerate[0]:
        nan = float("nan")
        return WildBootstrap(nan, nan, nan, nan, n_clusters, n_draws, kind, enumerated, converged=False)
    blocks = _weights(kind, enumerated, n_clusters, resampling)
    draws = _draws(fit, codes, column, blocks, identity=0 if enumerated else 1)
    estimate = float(fit.beta[0])
    low, low_found = _end(draws, -1.0, 1 - resampling.level)
    high, high_found = _end(draws, 1.0, 1 - resampling.level)
    return WildBootstrap(
        p_value=draws.p_value(-estimate),
        low=estimate + low,
        high=estimate + high,
        statistic=estimate / float(np.sqrt(draws.observed)),
        n_clusters=n_clusters,
        n_draws=n_draws,
        weights=kind,
        enumerated=enumerated,
        converged=low_found and high_found,
    )


def _draws(fit: Fit, codes: Codes, column: Floats, blocks: Iterator[Floats], identity: int) -> _Draws:
    """What every draw contributes, from two G x G forms: scores of the residuals and of the treatment column.

    column (n,) is the treatment without effects and covariates; blocks yields weights (m, G).
    """
    base = fit.base
    n_clusters = int(codes.max()) + 1
    weighted = base.rows.weighted(column)
    own = sums(codes, weighted * column, n_clusters)
    error = sums(codes, weighted * fit.error, n_clusters)
    of_error = cluster_form(base, codes, n_clusters, column, fit.error).dense()
    of_column = cluster_form(base, codes, n_clusters, column, column).dense()
    found = []
    for v in blocks:
        n0, n1 = v @ error / own.sum(), v @ own / own.sum()
        s0 = v @ of_error.T - np.outer(n0, own)
        s1 = v @ of_column.T - np.outer(n1, own)
        found.append(np.array([n0, n1, (s0**2).sum(1), (s0 * s1).sum(1), (s1**2).sum(1)]))
    n0, n1, q0, q01, q11 = np.hstack(found)
    scale = own.sum() ** 2
    observed = float(np.sum(error**2)) / scale
    return _Draws(n0, n1, q0 / scale, q01 / scale, q11 / scale, observed, identity)


def _weights(kind: str, enumerated: bool, n_clusters: int, resampling: Resampling) -> Iterator[Floats]:
    """Blocks (m, G) of weights. Enumerated patterns come with a first sign of +1: -v gives the same |t|."""
    if enumerated:
        bits = np.arange(n_clusters - 1)
        for piece in resampling.pieces(2 ** (n_clusters - 1), n_clusters, "wild bootstrap"):
            pattern = np.arange(piece.start, piece.stop)[:, None] >> bits & 1
            yield np.hstack([np.ones((len(pattern), 1)), 1.0 - 2.0 * pattern])
        return
    generator = np.random.default_rng(resampling.seed)
    for piece in resampling.pieces(resampling.draws, n_clusters, "wild bootstrap"):
        shape = (piece.stop - piece.start, n_clusters)
        block = generator.choice(np.array([-1.0, 1.0]), shape)
        if kind == "webb":
            block *= generator.choice(WEBB, shape)
        yield block


def _end(draws: _Draws, side: float, alpha: float) -> tuple[float, bool]:
    """Distance from the estimate to the outermost null value with p > alpha on one side; and if found.

    p is a step function of the null value and need not fall steadily: a geometric grid finds the
    outermost value not rejected, bisection then places the jump.
    """
    if draws.p_value_far_away() > alpha:
        return side * np.inf, True
    unit = float(np.sqrt(draws.observed))
    grid = side * unit * np.geomspace(1e-2, FAR, 120)
    open_ = [draws.p_value(shift) > alpha for shift in grid]
    if open_[-1]:
        return side * np.inf, False
    last = int(np.flatnonzero(open_)[-1]) if any(open_) else -1
    inside, outside = (grid[last] if last >= 0 else 0.0), grid[last + 1]
    while abs(outside - inside) > 1e-12 * abs(outside):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        inside, outside = (middle, outside) if draws.p_value(middle) > alpha else (inside, middle)
    return float(outside), True
