"""Weights of all subsets of regressors; two standard deviations integrated on a grid that finds the mass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.series_level_filter import Filtered, filter_level
from qieval.numerics.two_way import Codes, Floats, Mask
from qieval.progress import progress

POINTS = 17
"""Points of the grid for each standard deviation."""

ZOOMS = 6
"""Grids tried, each where the last one found mass."""

TIGHT = 0.6
"""The grid is good when the part with mass is at least this share of it in both directions."""

FAR = float(np.log(1e8))
"""Grid points and subsets whose weight is less than the largest by this factor do not count."""


@dataclass(frozen=True)
class Priors:
    """Priors, for a series scaled to a standard deviation of one in the time before; defaults: CausalImpact.

    expected_size of k controls are in (each with probability expected_size / (k + 1), at most one, since
    bsts counts an intercept that the level makes redundant). The regression leaves a share 1 - expected_r2 of
    the variance, a guess worth residual_df values; the level moves by level_sd a period, worth level_df
    values. slab_weight: how many values the prior of the coefficients is worth. largest_residual and
    largest_level are the largest standard deviations thought possible.
    """

    expected_size: float = 3.0
    expected_r2: float = 0.8
    residual_df: float = 50.0
    level_sd: float = 0.01
    level_df: float = 32.0
    slab_weight: float = 0.01
    largest_residual: float = 1.2
    largest_level: float = 1.0

    def inclusion(self, controls: int) -> float:
        """Prior probability that a control is in."""
        return min(1.0, self.expected_size / (controls + 1))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Posterior weights (s, g) of subsets (s, k) at pairs of standard deviations noise and step (g,); sum 1.

    converged is False, and problem says why, where the grid did not settle on the mass.
    """

    subsets: Mask
    weights: Floats
    noise: Floats
    step: Floats
    converged: bool
    problem: str


@dataclass(frozen=True, eq=False)
class Regressions:
    """Regressions of an outcome on subsets of controls, with errors of a random walk plus noise.

    stacked (n, 1 + a + k): outcome, a columns always in (normal coefficients of variance one), k controls,
    at the periods observed (n,). slab (k, k): prior precision of all coefficients times the noise's variance;
    a subset's is the block of its members.
    """

    stacked: Floats
    observed: Mask
    slab: Floats
    always: int

    @property
    def controls(self) -> int:
        """Number of controls (k)."""
        return len(self.slab)

    def precision(self, filtered: Filtered, noise: Floats) -> Floats:
        """Posterior precision (g, a + k, a + k) of the coefficients with every control in."""
        out = filtered.products[:, 1:, 1:].copy()
        fixed = np.arange(self.always)
        out[:, fixed, fixed] += 1.0
        out[:, self.always :, self.always :] += self.slab / noise[:, None, None] ** 2
        return out

    def posterior(self, filtered: Filtered, noise: Floats, columns: Codes) -> tuple[Floats, Floats]:
        """Mean (g, c) and covariance (g, c, c) of the coefficients of some columns, the others out."""
        at = np.ix_(np.arange(noise.size), columns, columns)
        covariance = np.linalg.inv(self.precision(filtered, noise)[at])
        mean = np.einsum("gij,gj->gi", covariance, filtered.products[:, 0, 1 + columns])
        return mean, np.asarray(covariance, dtype=np.float64)

    def evidence(self, noise: Floats, step: Floats, inclusion: float) -> tuple[Mask, Floats]:
        """Subsets with prior weight (s, k); log (s, g) of that weight times the density of the outcome."""
        filtered = filter_level(self.stacked, self.observed, noise, step)
        precision = self.precision(filtered, noise)
        grower = _Grower(precision, filtered.products[:, 0, 1:])
        root = grower.empty()
        for column in range(self.always):
            root = grower.add(root, column)
        constant = -0.5 * (filtered.log_det + filtered.products[:, 0, 0])
        with np.errstate(divide="ignore"):
            inside, outside = np.log(inclusion), np.log1p(-inclusion)
        subsets, values = [], []
        for members, grown in self._subsets(grower, root):
            size = len(members)
            prior = (size * inside if size else 0.0) + (
                (self.controls - size) * outside if size < self.controls else 0.0
            )
            if np.isneginf(prior):
                continue
            slab = self.slab[np.ix_(members, members)]
            prior += 0.5 * float(np.linalg.slogdet(slab)[1]) if size else 0.0
            subsets.append(np.isin(np.arange(self.controls), members))
            values.append(constant + prior - size * np.log(noise) + 0.5 * grown.gain - grown.half_log_det)
        return np.array(subsets, dtype=bool).reshape(len(values), self.controls), np.array(values)

    def _subsets(self, grower: _Grower, root: _Grown) -> Iterator[tuple[list[int], _Grown]]:
        """Every subset, each grown from one with a member less, in depth-first order."""

        def below(members: list[int], grown: _Grown) -> Iterator[tuple[list[int], _Grown]]:
            yield members, grown
            for column in range(members[-1] + 1 if members else 0, self.controls):
                yield from below([*members, column], grower.add(grown, self.always + column))

        every = below([], root)
        return progress(every, "weighing sets of control series") if self.controls > 8 else every


@dataclass(frozen=True, eq=False)
class _Grown:
    """Cholesky factor of a block of the precision, row by row: columns, rows (each (g, i + 1)), solution."""

    columns: list[int]
    rows: list[Floats]
    solution: list[Floats]
    gain: Floats
    half_log_det: Floats


@dataclass(frozen=True, eq=False)
class _Grower:
    """Adds a column to a Cholesky factor, for all g grid points at once."""

    precision: Floats
    right: Floats

    def empty(self) -> _Grown:
        """The factor without any column."""
        zero = np.zeros(len(self.right))
        return _Grown([], [], [], zero, zero)

    def add(self, grown: _Grown, column: int) -> _Grown:
        """The factor and solution with one column more, by one row of the Cholesky factor."""
        row = np.empty((len(self.right), len(grown.columns) + 1))
        for i, (other, above) in enumerate(zip(grown.columns, grown.rows, strict=True)):
            inner = (row[:, :i] * above[:, :i]).sum(axis=1)
            row[:, i] = (self.precision[:, column, other] - inner) / above[:, i]
        rest = self.precision[:, column, column] - (row[:, :-1] ** 2).sum(axis=1)
        row[:, -1] = np.sqrt(rest)
        value = self.right[:, column]
        for i, known in enumerate(grown.solution):
            value = value - row[:, i] * known
        value = value / row[:, -1]
        return _Grown(
            [*grown.columns, column],
            [*grown.rows, row],
            [*grown.solution, value],
            grown.gain + value**2,
            grown.half_log_det + np.log(row[:, -1]),
        )


def search_grid(regressions: Regressions, priors: Priors) -> Evidence:
    """Weights of subsets and standard deviations on a grid narrowed to where the posterior has mass.

    The logarithms of the standard deviations are on an even grid: the sum over it is the trapezoidal rule,
    which is very exact for a smooth peak that is covered to its tails.
    """
    n = int(regressions.observed.sum())
    inclusion = priors.inclusion(regressions.controls)
    box = np.array(
        [
            _ends(priors.residual_df, 1 - priors.expected_r2, priors.largest_residual, n),
            _ends(priors.level_df, priors.level_sd**2, priors.largest_level, n),
        ]
    )
    settled = False
    for _ in range(ZOOMS):
        axes = [np.linspace(low, high, POINTS) for low, high in box]
        noise, step = (np.exp(values.ravel()) for values in np.meshgrid(*axes, indexing="ij"))
        subsets, values = regressions.evidence(noise, step, inclusion)
        values = values + _prior_of_grid(priors, noise, step)
        mass = scipy.special.logsumexp(values, axis=0).reshape(POINTS, POINTS)
        heavy = mass > mass.max() - FAR
        narrow = np.array([_narrowed(axes[0], heavy.any(axis=1)), _narrowed(axes[1], heavy.any(axis=0))])
        settled = bool((np.diff(narrow) >= TIGHT * np.diff(box)).all())
        if settled:
            break
        box = narrow
    values = values - values.max()
    kept = scipy.special.logsumexp(values, axis=1) > -FAR
    points = heavy.ravel()
    weights = np.exp(values[np.ix_(kept, points)])
    problem = "" if settled else "the grid of standard deviations did not settle"
    return Evidence(subsets[kept], weights / weights.sum(), noise[points], step[points], settled, problem)


def _ends(df: float, guess: float, largest: float, n: int) -> tuple[float, float]:
    """Logarithms between which a standard deviation lies; its prior guess is worth df values.

    Were there no residuals at all, its posterior would be highest at the lower end plus one.
    """
    return 0.5 * float(np.log(df * guess / (df + n))) - 1.0, float(np.log(largest))


def _narrowed(axis: Floats, heavy: Mask) -> tuple[float, float]:
    at = np.flatnonzero(heavy)
    return float(axis[max(at[0] - 1, 0)]), float(axis[min(at[-1] + 1, axis.size - 1)])


def _prior_of_grid(priors: Priors, noise: Floats, step: Floats) -> Floats:
    """Log prior density of the logarithms of both, up to a constant: 1 / variance is gamma(df / 2)."""
    out = np.zeros(noise.size)
    for sd, df, guess in (
        (noise, priors.residual_df, 1 - priors.expected_r2),
        (step, priors.level_df, priors.level_sd**2),
    ):
        out -= df * np.log(sd) + 0.5 * df * guess / sd**2
    return out
