"""Weights of synthetic difference-in-differences, for the units and the periods of one block.

Arkhangelsky, Athey, Hirshberg, Imbens and Wager (2021), algorithm 1, with the constants of R synthdid 0.0.9:
controls are weighted so that their path runs parallel to that of the treated before the start, periods before
the start so that they predict the controls' mean afterwards. Synthetic control ("sc": no shift, no period
weights) and difference-in-differences ("did": uniform weights) are special cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qieval.errors import EstimationError
from qieval.numerics.simplex import simplex_least_squares

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Mask = NDArray[np.bool_]
Kind = Literal["sdid", "sc", "did"]

ETA = 1e-6
"""Ridge of the period weights, and of the unit weights of "sc", in noise levels."""

SPARSE = 4.0
"""Between its two runs Frank-Wolfe forgets weights up to the largest one divided by this."""


MANY = 500
"""With more donors than this and a large ridge hundreds get weight: Frank-Wolfe then finds the active set."""


@dataclass(frozen=True)
class Optimiser:
    """How the two simplex problems are solved.

    exact: an active set finds the minimum of each. Otherwise Frank-Wolfe steps as in R synthdid 0.0.9:
    pre_iterations from uniform weights, small weights set to zero, then up to max_iterations until a step
    lowers the penalised mean squared error by (min_decrease * noise level)^2 or less. The latter stops short
    of the minimum; `unit_gap` and `time_gap` of the result say how far.
    """

    exact: bool = False
    min_decrease: float = 1e-5
    max_iterations: int = 10_000
    pre_iterations: int = 100


AS_R = Optimiser()
EXACT = Optimiser(exact=True)


@dataclass(frozen=True)
class Penalties:
    """Noise level of the controls before the start, and the square roots of both ridge penalties.

    The noise level is the standard deviation of the first differences; NaN where there is just one.
    """

    noise_level: float
    zeta_omega: float
    zeta_lambda: float


@dataclass(frozen=True, eq=False)
class Block:
    """What one fit needs: controls (j, t), the mean path of the treated (t,), periods before the start."""

    controls: Floats
    target: Floats
    pre: int


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of controls (j,) and of the periods before the start (pre,).

    The gaps bound how far each objective lies above its minimum, as a share of the objective (0 for weights
    that are not optimised). steps counts those of the longer Frank-Wolfe run. converged: both problems
    stopped by their own rule.
    """

    units: Floats
    periods: Floats
    unit_gap: float = 0.0
    time_gap: float = 0.0
    steps: int = 0
    converged: bool = True


def penalties(controls: Floats, pre: int, n_treated: int, kind: Kind = "sdid") -> Penalties:
    """Noise level of the controls (j, t) and the penalties derived from it.

    The ridge of the unit weights grows with the treated cells: (n_treated * post)^(1/4) noise levels.
    """
    moves = np.diff(controls[:, :pre], axis=1)
    if moves.size < 2:
        if kind != "did":
            raise EstimationError(
                "start: the noise of the controls is measured by their changes before the start, and there "
                "are fewer than two such changes. Use a later start, more controls, or "
                "difference-in-differences."
            )
        return Penalties(np.nan, np.nan, np.nan)
    noise = float(moves.std(ddof=1))
    eta = ETA if kind == "sc" else (n_treated * (controls.shape[1] - pre)) ** 0.25
    return Penalties(noise, eta * noise, ETA * noise)


def find_weights(
    block: Block, rule: Penalties, kind: Kind, optimiser: Optimiser, warm: Weights | None = None
) -> Weights:
    """Weights of the controls and of the periods of one block.

    warm are weights to begin from (Frank-Wolfe only); those of units need not sum to 1.
    """
    j, pre = block.controls.shape[0], block.pre
    if kind == "did":
        return Weights(np.full(j, 1.0 / j), np.full(pre, 1.0 / pre))
    begin = (None, None) if warm is None else (normalised(warm.units), warm.periods)
    before, target = block.controls[:, :pre], block.target[:pre]
    solve = _exact if optimiser.exact else _frank_wolfe
    unit = _Problem(before.T, target, rule.zeta_omega, kind != "sc", rule.noise_level)
    units = solve(unit, optimiser, begin[0])
    if kind == "sc":
        return Weights(units.weights, np.zeros(pre), units.gap, 0.0, units.steps, units.converged)
    time = _Problem(before, block.controls[:, pre:].mean(axis=1), rule.zeta_lambda, True, rule.noise_level)
    times = solve(time, optimiser, begin[1])
    return Weights(
        units=units.weights,
        periods=times.weights,
        unit_gap=units.gap,
        time_gap=times.gap,
        steps=max(units.steps, times.steps),
        converged=units.converged and times.converged,
    )


def contrast(block: Block, units: Floats, periods: Floats) -> tuple[Floats, float]:
    """Effects by period (post,), and the shift of the weighted controls (zero if all period weights are)."""
    gap = block.target - units @ block.controls
    shift = float(gap[: block.pre] @ periods)
    return gap[block.pre :] - shift, shift


def normalised(weights: Floats) -> Floats:
    """Weights divided by their sum; uniform if all are zero.

    >>> normalised(np.array([1.0, 3.0])), normalised(np.zeros(2))
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """
    total = weights.sum()
    return weights / total if total > 0 else np.full(weights.size, 1.0 / weights.size)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Minimise ||a w - b||^2 / m + zeta^2 ||w||^2 over the simplex; a (m, j), b (m,) centred if intercept."""

    a: Floats
    b: Floats
    zeta: float
    intercept: bool
    noise: float

    def centred(self) -> tuple[Floats, Floats]:
        if not self.intercept:
            return self.a, self.b
        return self.a - self.a.mean(axis=0), self.b - self.b.mean()

    @property
    def ridge(self) -> float:
        return float(len(self.a) * self.zeta**2)


@dataclass(frozen=True, eq=False)
class _Solved:
    weights: Floats
    gap: float
    steps: int
    converged: bool


def _exact(problem: _Problem, optimiser: Optimiser, start: Floats | None) -> _Solved:
    """The minimum; the start only saves time."""
    a, b = problem.centred()
    if start is None and a.shape[1] > MANY and problem.zeta >= problem.noise:
        start = _frank_wolfe(problem, AS_R, None).weights
    found = simplex_least_squares(a, b, ridge=problem.ridge, start=start)
    return _Solved(found.weights, found.gap, found.iterations, found.converged)


def _frank_wolfe(problem: _Problem, optimiser: Optimiser, start: Floats | None) -> _Solved:
    """Two runs with small weights forgotten in between, as R does it."""
    from qieval.numerics.kernels.synthetic_did import frank_wolfe

    a, b = problem.centred()
    errors = np.ascontiguousarray(a - b[:, None])
    gram, ridge = errors.T @ errors, problem.ridge
    enough = len(a) * (optimiser.min_decrease * problem.noise) ** 2
    begin = np.full(a.shape[1], 1.0 / a.shape[1]) if start is None else start
    first = frank_wolfe(gram, ridge, begin, enough, optimiser.pre_iterations)[0]
    kept = normalised(np.where(first > first.max() / SPARSE, first, 0.0))
    weights, value, gap, steps, stopped = frank_wolfe(gram, ridge, kept, enough, optimiser.max_iterations)
    return _Solved(weights, max(gap, 0.0) / value if value > 0 else 0.0, steps, stopped)
