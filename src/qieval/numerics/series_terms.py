"""Regressors of one series over time: interruptions, trend and season, as columns."""

from __future__ import annotations

import numpy as np
import scipy


def step(at: np.ndarray, start: int) -> np.ndarray:
    """0 before `start`, 1 from it on (n,): a change of level."""
    return (at >= start).astype(float)


def ramp(at: np.ndarray, start: int, *, first: float = 0.0) -> np.ndarray:
    """Periods since `start`, counted from `first` at `start` itself, 0 before (n,): a change of slope."""
    return np.where(at >= start, at - start + first, 0.0)


def pulse(at: np.ndarray, start: int, lasts: int) -> np.ndarray:
    """1 during the `lasts` periods from `start` on, else 0 (n,): a change that goes back."""
    return ((at >= start) & (at < start + lasts)).astype(float)


def decay(at: np.ndarray, start: int, half_life: float) -> np.ndarray:
    """1 at `start`, halved every `half_life` periods, 0 before (n,): a change that fades."""
    since = np.maximum(at - start, 0)
    return np.where(at >= start, 0.5 ** (since / half_life), 0.0)


def gradual_step(at: np.ndarray, start: int, length: int) -> np.ndarray:
    """Rises evenly from 0 before `start` to 1 at `start + length` and stays there (n,): a change phased
    in over `length` periods, of which the k-th has the share k / (length + 1)."""
    return np.clip((at - start + 1) / (length + 1), 0.0, 1.0)


def harmonics(position: np.ndarray, length: float, pairs: int) -> np.ndarray:
    """Sines, then cosines, of 1 to `pairs` whole cycles per season of `length` (n, 2 pairs at most).

    A sine that is zero at every whole position (half a cycle per period) is left out.

    >>> harmonics(np.arange(12), 12, 2).shape, harmonics(np.arange(4), 4, 2).shape
    ((12, 4), (4, 3))
    """
    angle = 2 * np.pi * np.outer(position, np.arange(1, pairs + 1)) / length
    sines = np.sin(angle[:, 2 * np.arange(1, pairs + 1) < length])
    return np.column_stack([sines, np.cos(angle)])


def one_per_position(position: np.ndarray) -> np.ndarray:
    """A 0/1 column for each position of the season but the first that occurs (n, s - 1)."""
    levels = np.unique(position)
    found: np.ndarray = (position[:, None] == levels[None, 1:]).astype(float)
    return found


def cyclic_spline(position: np.ndarray, length: float, df: int) -> np.ndarray:
    """A cubic spline of the season whose end meets its beginning: `df` columns that sum to zero over the
    season (n, df).

    Periodic B-splines on `df` + 1 equal stretches of the season, of which one combination (the constant)
    is taken out.
    """
    knots = np.linspace(0.0, length, df + 2)
    width = knots[1] - knots[0]
    wide = np.concatenate(
        [knots[0] - width * np.arange(3, 0, -1), knots, knots[-1] + width * np.arange(1, 4)]
    )
    inside = np.mod(position, length)
    found = scipy.interpolate.BSpline.design_matrix(inside, wide, 3).toarray()
    wrapped = found[:, : df + 1].copy()
    wrapped[:, :3] += found[:, df + 1 :]
    made: np.ndarray = wrapped[:, 1:] - wrapped[:, :1]
    return made


def trend_spline(at: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """A natural cubic spline of time: straight beyond its outer knots, so that it may be carried forward.

    knots (m,), m >= 3, in periods; returns the straight line and m - 2 curved columns (n, m - 1). Source:
    Hastie, Tibshirani and Friedman 2009, equation 5.4.
    """
    low, high = float(knots[0]), float(knots[-1])
    time, inner = (at - low) / (high - low), (knots - low) / (high - low)

    def cubed(knot: float) -> np.ndarray:
        lifted: np.ndarray = np.maximum(time - knot, 0.0) ** 3
        return lifted

    last = (cubed(inner[-2]) - cubed(inner[-1])) / (inner[-1] - inner[-2])
    curves = [(cubed(knot) - cubed(inner[-1])) / (inner[-1] - knot) - last for knot in inner[:-2]]
    return np.column_stack([time, *curves])
