"""How large must a change of level or slope be to be seen? Judged from the time before the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.series_before import Before, before_start
from qieval.diagnostics.series_rows import ENOUGH
from qieval.interrupted import Interrupted
from qieval.numerics import series_terms
from qieval.numerics.series_autoregression import whiten
from qieval.progress import progress
from qieval.text import number, plural

NAME = "minimum detectable change"
TARGET = 0.8
DRAWS = 400
FARTHEST = 0.98
SIZES = 17


@dataclass(frozen=True, eq=False)
class Noise:
    """Errors as they were before the start: their standard deviation, autocorrelation from one period to the
    next, and the innovations (m,) of which new ones are drawn."""

    spread: float
    rho: float
    innovations: np.ndarray


def minimum_detectable_change(design: Any, made: Interrupted) -> Check:
    """Simulate the series without an effect, with the noise and autocorrelation seen before the start, and
    find the change that 80% of such studies would see.

    Estimates by Prais-Winsten in each simulated series; the limit of the test is the one that 5% of series
    without an effect exceed, so that a test that is too eager does not look powerful. Innovations are drawn
    from those seen; counts are linearised at their fit (Zhang, Wagner and Ross-Degnan 2011 simulate
    likewise).
    """
    try:
        held = before_start(design, made)
        noise = _noise(held)
    except ValueError as cause:
        text = f"It cannot be computed before the start: {cause}."
        return Check(name=NAME, assumption=ENOUGH, verdict="information", text=text)
    columns = _changes(design, made)
    rows = _rows(made)
    x = np.column_stack([held.x, *columns.values()])[rows]
    if np.linalg.matrix_rank(x) < x.shape[1] or len(rows) < x.shape[1] + 4:
        text = "There are too few periods after the start to simulate a change of level and slope."
        return Check(name=NAME, assumption=ENOUGH, verdict="information", text=text)
    weight = held.weight[rows]
    estimates, errors = _simulated(x * weight[:, None], rows, noise, design.seed)
    table, least = _curves(
        list(columns), held, estimates[:, -len(columns) :], errors[:, -len(columns) :], design.level
    )
    return Check(
        name=NAME,
        assumption=ENOUGH,
        verdict="information",
        text=_words(design, made, held, noise, least),
        table=table,
        picture="power of changes",
    )


def _noise(held: Before) -> Noise:
    """The errors before the start; autocorrelation by REML, which allows for the coefficients."""
    fit = held.errors()
    rho = float(np.clip(fit.phi[0], -FARTHEST, FARTHEST))
    left = fit.innovations - fit.innovations.mean()
    spread = float(left.std())
    return Noise(fit.sigma, rho, left / spread if spread > 0 else left)


def _changes(design: Any, made: Interrupted) -> dict[str, np.ndarray]:
    """The changes whose detection is asked for, by name (T,) each."""
    at, first = made.series.at, made.first
    level, slope = series_terms.step(at, first.settled), series_terms.ramp(at, first.settled)
    if design.change == "level":
        return {"level change": level}
    if design.change == "slope":
        return {"slope change": slope}
    if design.change == "pulse":
        return {"temporary change": series_terms.pulse(at, first.settled, design.lasts)}
    if design.change == "decay":
        return {"fading change": series_terms.decay(at, first.settled, design.half_life)}
    return {"level change": level, "slope change": slope}


def _rows(made: Interrupted) -> np.ndarray:
    """Periods that take part, or would when their outcomes are opened."""
    late = ~made.series.left_out & ~made.transition & (made.series.at >= made.start)
    return np.flatnonzero(made.before | late)


def _simulated(x: np.ndarray, at: np.ndarray, noise: Noise, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Prais-Winsten estimates and standard errors (DRAWS, k) of series without an effect."""
    random = np.random.default_rng(seed)
    draws = _errors(at, noise, random)
    basis, upper = np.linalg.qr(x)
    left = draws - (draws @ basis) @ basis.T
    back = np.linalg.inv(upper)
    n, k = x.shape
    near = np.diff(at) == 1
    rho = (left[:, 1:] * left[:, :-1])[:, near].sum(axis=1) / (left**2).sum(axis=1)
    rho = np.clip(rho + (1 + 3 * np.maximum(rho, 0.0)) * k / (2 * n), -FARTHEST, FARTHEST)
    estimates, errors = np.empty((DRAWS, k)), np.empty((DRAWS, k))
    for draw in progress(range(DRAWS), "power by simulation"):
        both = whiten(np.column_stack([basis, draws[draw]]), at, rho[draw : draw + 1])
        inner, right = np.linalg.qr(both[:, :k])
        turned = np.linalg.solve(right, inner.T @ both[:, k])
        rest = both[:, k] - both[:, :k] @ turned
        root = back @ np.linalg.inv(right)
        estimates[draw] = back @ turned
        errors[draw] = np.sqrt((root**2).sum(axis=1) * float(rest @ rest) / (n - k))
    return estimates, errors


def _errors(at: np.ndarray, noise: Noise, random: np.random.Generator) -> np.ndarray:
    """Simulated errors (DRAWS, n) at the periods `at`: autoregressive, begun long before the first one."""
    settle = 50
    periods = int(at[-1] - at[0]) + 1
    drawn = random.choice(noise.innovations, (DRAWS, settle + periods))
    share = np.sqrt(1 - noise.rho**2)
    held = np.empty_like(drawn)
    held[:, 0] = drawn[:, 0]
    for step in range(1, drawn.shape[1]):
        held[:, step] = noise.rho * held[:, step - 1] + share * drawn[:, step]
    found: np.ndarray = noise.spread * held[:, settle + (at - at[0])]
    return found


def _curves(
    names: list[str], held: Before, estimates: np.ndarray, errors: np.ndarray, level: float
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Power against the size of each change, and the change with 80% power upwards and downwards."""
    frames, least = [], {}
    for column, name in enumerate(names):
        value, error = estimates[:, column], errors[:, column]
        limit = float(np.quantile(np.abs(value / error), level)) * error
        needed = float(np.quantile(limit - value, TARGET))
        least[name] = (needed, float(np.quantile(limit + value, TARGET)))
        sizes = np.linspace(0.0, 2 * needed, SIZES)
        power = np.array([np.mean(np.abs(value + size) > limit) for size in sizes])
        shown = np.exp(sizes) - 1 if held.ratio else sizes
        frames.append(
            pd.DataFrame(
                {
                    "term": name,
                    "effect": shown,
                    "power": power,
                    "monte_carlo_error": np.sqrt(power * (1 - power) / DRAWS),
                }
            )
        )
    return pd.concat(frames, ignore_index=True), least


def _words(
    design: Any, made: Interrupted, held: Before, noise: Noise, least: dict[str, tuple[float, float]]
) -> str:
    word, after = made.series.rhythm, int((_rows(made) >= made.first.settled).sum())
    said = []
    for name, (up, down) in least.items():
        per = f" per {word}" if name == "slope change" else ""
        if held.ratio:
            said.append(f"{name} of {np.exp(up) - 1:+.1%} or {np.exp(-down) - 1:+.1%}{per}")
        else:
            said.append(f"{name} of {number(up, 2)}{per}")
    text = (
        f"With {plural(len(held.rows), word)} before and {plural(after, word)} after, and errors as before"
        f" the start (autocorrelation {number(noise.rho, 2)}), a {' or a '.join(said)} would be seen in 80%"
        " of studies like this one."
    )
    if not held.ratio:
        level = float(held.z.mean())
        first = next(iter(least.values()))[0]
        if level > 0 and "level change" in least:
            text += f" (The level change is {first / level:.0%} of the mean before.)"
    if design.controls:
        text += " The control series is not in this figure; a comparison sees larger changes only."
    return text + " A smaller true change will often be missed: an interval around no effect proves nothing."
