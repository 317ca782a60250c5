"""Multiplier bootstrap of influence functions: standard errors, and critical values of simultaneous bands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.group_time_cells import Floats
from qieval.numerics.group_time_variance import Clusters, cluster_sums, influence_covariance
from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import compact
from qieval.progress import progress

Multipliers = Literal["rademacher", "mammen", "webb"]

NORMAL_RANGE = 1.3489795003921634
"""The distance between the quartiles of the standard normal distribution."""

NEGLIGIBLE = 1e-9
"""A standard error below this share of the one without clusters is rounding."""

DRAWS_AT_ONCE = 1024
ROWS_AT_ONCE = 8192
"""Sizes of the blocks; fixed, because which random number meets which unit depends on them."""

ROOT = 5**0.5
MAMMEN = np.array([(1 - ROOT) / 2, (1 + ROOT) / 2])
MAMMEN_FIRST = (ROOT + 1) / (2 * ROOT)
WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))


@dataclass(frozen=True, eq=False)
class MultiplierBootstrap:
    """What the draws say.

    std_error (k,): distance between the quartiles of the draws over that of the normal distribution, NaN
    where the draws do not vary beyond rounding; critical: the critical value of a simultaneous band at the
    level asked for, to be multiplied by std_error; largest (B,): the largest |t| of each draw, sorted, of
    which critical is a quantile. n_clusters is that of `influence_covariance`; converged is False if no
    column varies.
    """

    std_error: Floats
    critical: float
    largest: Floats
    n_clusters: int | None
    kind: Multipliers
    converged: bool


def multiplier_bootstrap(
    influence: Floats,
    resampling: Resampling | None = None,
    clusters: Clusters = None,
    kind: Multipliers = "rademacher",
) -> MultiplierBootstrap:
    """Multiplier bootstrap (Callaway and Sant'Anna 2021, algorithm 1) of influence functions (n, k).

    Each draw is sum_c v_c s_c / n with independent multipliers v_c of mean 0 and variance 1 by cluster, s_c
    the sum of influence functions in it; without clusters each unit is its own. kind: random signs as in R
    did, Mammen's two points, or Webb's six for few clusters. As in R did, standard errors come from
    the quartiles of the draws: where few units carry an effect they differ from analytic ones by some
    per cent, and the critical value the other way. R did draws for the means of clusters instead of sums,
    the same for clusters of equal size.

    Two ways of clusters: multipliers of both ways are added, which gives the covariance by the first plus
    that by the second; each column is then scaled to the variance that `influence_covariance` finds, so that
    what both ways share is not counted twice.

    The numbers depend on the seed, never on the number of cores or threads (Mammen and Webb use matrix
    products and may differ in the last digits). Memory: blocks of the influence functions, and draws (B, k).
    About 0.3 s for 1,000 draws of signs with n = 100,000 and k = 50.

    >>> sums = np.array([[1.0], [-2.0], [0.5], [1.5], [-1.0]])
    >>> multiplier_bootstrap(sums, Resampling(draws=99)).std_error.shape
    (1,)
    """
    resampling = resampling or Resampling()
    scores = _scores(influence, clusters)
    draws = np.zeros((resampling.draws, influence.shape[1]))
    generator = np.random.default_rng(resampling.seed)
    blocks = _blocks(scores, resampling)
    for start, part in progress(blocks, "multiplier bootstrap") if resampling.progress else blocks:
        out = draws[start : start + DRAWS_AT_ONCE]
        if kind == "rademacher":
            _add_signs(out, part, generator)
        else:
            out += _multipliers(kind, (len(out), len(part)), generator) @ part
    draws *= _scaled(scores, influence, clusters) / len(influence)
    error = _quartile_errors(draws)
    alone = np.sqrt(np.einsum("ij,ij->j", influence, influence)) / len(influence)
    known = error > NEGLIGIBLE * alone
    largest = np.sort(np.abs(draws[:, known] / error[known]).max(axis=1, initial=0.0))
    return MultiplierBootstrap(
        std_error=np.where(known, error, np.nan),
        critical=float(np.quantile(largest, resampling.level, method="inverted_cdf"))
        if known.any()
        else np.nan,
        largest=largest,
        n_clusters=None if clusters is None else min(len(one) for one in scores),
        kind=kind,
        converged=bool(known.any()),
    )


def _scores(influence: Floats, clusters: Clusters) -> list[Floats]:
    """What multipliers meet: the sums of clusters, for each way of clusters."""
    if clusters is None:
        return [influence]
    ways = clusters if isinstance(clusters, tuple) else (clusters,)
    return [cluster_sums(influence, *compact(one)) for one in ways]


def _blocks(scores: list[Floats], resampling: Resampling) -> Iterable[tuple[int, Floats]]:
    """First draw and rows of each piece of work, draws within blocks of rows so that rows are copied once."""
    found: Iterator[tuple[int, Floats]] = (
        (draw, part)
        for one in scores
        for row in range(0, len(one), ROWS_AT_ONCE)
        for part in [np.ascontiguousarray(one[row : row + ROWS_AT_ONCE])]
        for draw in range(0, resampling.draws, DRAWS_AT_ONCE)
    )
    return found


def _add_signs(out: Floats, part: Floats, generator: np.random.Generator) -> None:
    """Add the sums of rows with random signs to each draw."""
    from qieval.numerics.kernels.multiplier_signs import BITS, add_signed

    bits = generator.integers(0, 1 << BITS, (-(-len(part) // BITS), len(out)), dtype=np.uint8)
    add_signed(part, bits, out)


def _multipliers(kind: Multipliers, shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Independent multipliers of mean 0 and variance 1."""
    if kind == "mammen":
        return np.asarray(MAMMEN[(generator.random(shape) >= MAMMEN_FIRST).astype(np.intp)])
    signs = generator.integers(0, 2, shape) * 2 - 1
    return np.asarray(signs * WEBB[generator.integers(0, 3, shape)])


def _scaled(scores: list[Floats], influence: Floats, clusters: Clusters) -> Floats:
    """Factor of each column (k,): 1, or what takes two ways added to their proper variance."""
    if not isinstance(clusters, tuple):
        return np.ones(influence.shape[1])
    added = sum(np.einsum("ij,ij->j", one, one) for one in scores) / len(influence) ** 2
    variance = np.diag(influence_covariance(influence, clusters).matrix)
    return np.sqrt(np.maximum(variance, 0.0) / np.where(added > 0, added, 1.0))


def _quartile_errors(draws: Floats) -> Floats:
    """Standard errors (k,) from the distance between the quartiles of draws (B, k)."""
    low, high = np.quantile(draws, [0.25, 0.75], axis=0, method="inverted_cdf")
    return np.asarray((high - low) / NORMAL_RANGE)
