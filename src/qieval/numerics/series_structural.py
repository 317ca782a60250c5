"""Structural time series (unobserved components) with regressors, by exact maximum likelihood.

y = level + season + x b + irregular, with the level and the season allowed to change a little each period
(Harvey 1989; Commandeur and Koopman 2007). Differenced so that every component is stationary, the series is a
moving average whose covariance is a weighted sum of known banded matrices: no filter is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qieval.numerics.series_differenced import Columns, prepare
from qieval.numerics.series_likelihood import Moments, information, innovations, moments, restrict, search
from qieval.numerics.two_way import Floats

Level = Literal["fixed", "local level", "local linear trend", "smooth trend"]
Season = Literal["dummy", "harmonic"]

NOTHING = 1e-9
"""A variance below this share of their sum counts as zero: a component that does not change."""


@dataclass(frozen=True)
class Structure:
    """Which components a structural model has.

    level "fixed" is one constant (a trend then belongs to the regressors), "local level" a random walk,
    "local linear trend" a random walk whose slope walks too, "smooth trend" only the slope. season is its
    length, 0 for none; season_form "dummy" has effects that add up to noise over a season, "harmonic" has
    `harmonics` waves (all of them if 0) that walk with one variance. season_changes False keeps it fixed.
    """

    level: Level = "local level"
    season: int = 0
    season_form: Season = "dummy"
    season_changes: bool = True
    harmonics: int = 0

    def __post_init__(self) -> None:
        if self.season == 1 or self.season < 0:
            raise ValueError("a season has two periods or more, or is 0")
        if not 0 <= self.harmonics <= self.season // 2:
            raise ValueError(f"a season of {self.season} periods has at most {self.season // 2} harmonics")
        if self.harmonics and self.season_form == "dummy":
            raise ValueError("the number of harmonics is for a harmonic season")

    @property
    def waves(self) -> int:
        """Number of harmonics."""
        return self.harmonics or self.season // 2

    @property
    def level_difference(self) -> Floats:
        """Lag polynomial that makes the level stationary."""
        return np.array([1.0, -1.0] if self.level in ("fixed", "local level") else [1.0, -2.0, 1.0])

    @property
    def season_difference(self) -> Floats:
        """Lag polynomial that makes the season stationary: sums over a season, or the waves' own."""
        if not self.season:
            return np.ones(1)
        if self.season_form == "dummy":
            return np.ones(self.season)
        out = np.ones(1)
        for j in range(1, self.waves + 1):
            out = np.convolve(out, _wave(j, self.season))
        return out

    @property
    def difference(self) -> Floats:
        """Lag polynomial that makes the whole series stationary."""
        return np.convolve(self.level_difference, self.season_difference)

    def components(self) -> dict[str, Floats]:
        """Autocovariances of each component's contribution to the differenced series, for variance one."""
        out = {"irregular": _autocovariance(self.difference)}
        if self.level in ("local level", "local linear trend"):
            left = self.level_difference[:0:-1] if self.level == "local linear trend" else np.ones(1)
            root = np.array([1.0, -1.0]) if self.level == "local linear trend" else left
            out["level"] = _autocovariance(np.convolve(self.season_difference, root))
        if self.level in ("local linear trend", "smooth trend"):
            out["slope"] = _autocovariance(self.season_difference)
        if self.season and self.season_changes:
            out["season"] = self._season()
        return out

    def _season(self) -> Floats:
        if self.season_form == "dummy":
            return _autocovariance(self.level_difference)
        total = np.zeros(self.difference.size)
        for j in range(1, self.waves + 1):
            others = self.level_difference
            for i in range(1, self.waves + 1):
                others = others if i == j else np.convolve(others, _wave(i, self.season))
            turn = 2 * np.pi * j / self.season
            if 2 * j == self.season:
                part = _autocovariance(others)
            else:
                own = _autocovariance(np.convolve(others, [1.0, -np.cos(turn)]))
                part = own + _autocovariance(np.convolve(others, [0.0, np.sin(turn)]))
            total[: part.size] += part
        return total


def _wave(j: int, season: int) -> Floats:
    """Lag polynomial that a wave of frequency j / season satisfies."""
    if 2 * j == season:
        return np.array([1.0, 1.0])
    return np.array([1.0, -2 * np.cos(2 * np.pi * j / season), 1.0])


def _autocovariance(weights: Floats) -> Floats:
    """Autocovariances of a moving average with these weights and innovations of variance one."""
    return np.array([weights[: weights.size - lag] @ weights[lag:] for lag in range(weights.size)])


@dataclass(frozen=True, eq=False)
class StructuralShape:
    """Likelihood of prepared columns as a function of the components' variances."""

    columns: Columns
    structure: Structure

    @property
    def pieces(self) -> Floats:
        """Autocovariances (r, width) of the components for variance one."""
        parts = list(self.structure.components().values())
        out = np.zeros((len(parts), max(part.size for part in parts)))
        for row, part in zip(out, parts, strict=True):
            row[: part.size] = part
        return out

    def band(self, variances: Floats) -> Floats:
        """Covariance of the differenced series in lower banded form."""
        n = self.columns.y.size
        return np.repeat((variances @ self.pieces)[:n, None], n, axis=1)

    def moments(self, variances: Floats) -> Moments:
        """At variances (r,), which are relative to the scale that the likelihood finds."""
        return moments(self.band(variances), self.columns)

    def moments_free(self, free: Floats) -> Moments:
        """At variances proportional to the squares of free."""
        return self.moments(shares(free))

    def starts(self) -> Floats:
        """Starting points (s, r): square roots of variances from steady to lively components."""
        count = len(self.pieces)
        if count == 1:
            return np.ones((1, 1))
        rows = [np.r_[1.0, np.full(count - 1, share)] for share in (1.0, 0.3, 0.1, 0.03)]
        for i in range(1, count):
            for share in (0.3, 0.03):
                row = np.full(count, 0.01)
                row[0], row[i] = 1.0, share
                rows.append(row)
        rows.append(np.r_[0.1, np.ones(1), np.full(count - 2, 0.03)])
        return np.array(rows)


def shares(free: Floats) -> Floats:
    """Squares as shares of their sum.

    >>> shares(np.array([2.0, 1.0])).tolist()
    [0.8, 0.2]
    """
    squares = free**2
    return np.asarray(squares / squares.sum())


@dataclass(frozen=True, eq=False)
class StructuralFit:
    """A fitted structural model.

    variances (r,), and shares (r,) of their sum, of the components: irregular, level, slope, season as far
    as the structure has them; coefficients (k,) of the regressors. covariance (k, k) is the coefficients',
    and full_covariance (r + k, r + k) that of both, from the observed information; a variance at zero has
    none (NaN) and is taken as known. log_likelihood is that of y[d:] given y[:d], d initial states being
    diffuse (as statsmodels counts). residuals (n,) are standardised innovations, NaN for missing values and
    the first d. converged is False, and problem says why, where the optimiser stopped short.
    """

    structure: Structure
    components: tuple[str, ...]
    variances: Floats
    shares: Floats
    coefficients: Floats
    covariance: Floats
    full_covariance: Floats
    log_likelihood: float
    aic: float
    n_used: int
    residuals: Floats
    converged: bool
    problem: str

    @property
    def errors(self) -> Floats:
        """Standard errors (k,) of the coefficients."""
        return np.sqrt(np.diag(self.covariance))


def fit_structural(y: Floats, x: Floats, structure: Structure | None = None, skip: int = 0) -> StructuralFit:
    """Structural model of y (n,), NaN for periods without a value, with regressors x (n, k), no intercept.

    A step in x has as its coefficient the change of level. Exact likelihood with diffuse initial states,
    several starts and a Newton polish. aic counts variances, coefficients and the d initial states. The
    likelihood leaves out `skip` further values after the first d: 1 repeats statsmodels for a harmonic
    season of even length, whose shortest wave has a redundant state there for which one value more is
    dropped. Raises ValueError where regressors are dependent (a constant is part of the level; so is a
    linear time trend where the level has a slope). Checked against statsmodels and a dense multivariate
    normal density.
    """
    structure = structure or Structure()
    columns = replace(prepare(y, x, structure.difference), skip=skip)
    return fit_structural_columns(columns, structure)


def fit_structural_columns(columns: Columns, structure: Structure, restricted: bool = False) -> StructuralFit:
    """`fit_structural` of columns that are ready; restricted: variances by restricted likelihood."""
    shape = StructuralShape(columns, structure)
    optimum = search(restrict(shape.moments_free) if restricted else shape.moments_free, shape.starts())
    relative = shares(optimum.parameters)
    relative[relative < NOTHING] = 0.0
    best = shape.moments(relative)
    turned = best.best()
    r, k, n = relative.size, turned.size, columns.n_used
    unit = relative * best.squares(turned) / n
    covariance, problem = _covariance(shape, unit)
    if not optimum.converged:
        problem = "; ".join(filter(None, ["the likelihood was not maximised", problem]))
    log_likelihood = -best.loss() - n * np.log(columns.scale)
    band = shape.band(relative)
    return StructuralFit(
        structure=structure,
        components=tuple(structure.components()),
        variances=unit * columns.scale**2,
        shares=relative,
        coefficients=columns.coefficients(turned),
        covariance=covariance[r:, r:],
        full_covariance=covariance,
        log_likelihood=log_likelihood,
        aic=2 * (r + k + columns.lost) - 2 * log_likelihood,
        n_used=n,
        residuals=innovations(band, columns, lambda values: values),
        converged=not problem,
        problem=problem,
    )


def _covariance(shape: StructuralShape, variances: Floats) -> tuple[Floats, str]:
    """Covariance of all parameters in the units of the data, from variances of the scaled series."""
    columns, r = shape.columns, variances.size
    k = columns.basis.shape[0]
    moving = variances > 0

    def part(values: Floats) -> Moments:
        whole = variances.copy()
        whole[moving] = values
        return shape.moments(whole)

    second = information(part, variances[moving], known_scale=True)
    out = np.full((r + k, r + k), np.nan)
    free = np.concatenate([moving, np.ones(k, bool)])
    turn = np.zeros((r + k, r + k))
    turn[:r, :r] = columns.scale**2 * np.eye(r)
    turn[r:, r:] = columns.scale * columns.basis
    turn = turn[np.ix_(free, free)]
    if not (np.isfinite(second).all() and np.linalg.eigvalsh(second).min() > 0):
        return out, "the information is not positive definite"
    out[np.ix_(free, free)] = turn @ np.linalg.inv(second) @ turn.T
    return out, ""
