"""Patterns of neighbouring points, found in all rows of a table at once: what chart rules are made of.

Rows are charts, columns points in time order. Windows that do not fit into the series hold no pattern.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from qieval.numerics.chart_formulas import ROUNDING, Booleans, Integers
from qieval.numerics.two_way import Floats

Patterns = dict[str, Booleans]


def side(value: Floats, line: Floats) -> Integers:
    """+1 above the line, -1 below, 0 on it (up to rounding) or where either is NaN; over the last axis."""
    known = np.where(np.isfinite(value), value, 0.0)
    largest = np.abs(known).max(axis=-1, initial=0.0, keepdims=True)
    distance = np.nan_to_num(value - line, posinf=np.inf, neginf=-np.inf)
    sides: Integers = np.where(np.abs(distance) > ROUNDING * largest, np.sign(distance), 0).astype(np.int64)
    return sides


def by_phase(rules: Callable[..., Patterns], series: tuple[Floats, ...], part: Integers | None) -> Patterns:
    """Apply `rules` to each phase with its existing values closed up; put the marks back in their places.

    series: the values first, then whatever else the rules take; (n,) or (s, n) each. part (n,): phases.
    """
    rows = [np.atleast_2d(one) for one in np.broadcast_arrays(*series)]
    part = np.zeros(rows[0].shape[1], dtype=np.int64) if part is None else part
    marks: Patterns = {}
    for code in np.unique(part):
        at = np.flatnonzero(part == code)
        held = [np.take(one, at, axis=1) for one in rows]
        order = np.argsort(np.isnan(held[0]), axis=1, kind="stable")
        closed = [np.take_along_axis(one, order, axis=1) for one in held]
        exists = ~np.isnan(closed[0])
        for name, mark in rules(*(np.where(exists, one, np.nan) for one in closed)).items():
            back = np.empty_like(mark)
            np.put_along_axis(back, order, mark & exists, axis=1)
            marks.setdefault(name, np.zeros(rows[0].shape, dtype=bool))[:, at] = back
    return {name: mark.reshape(np.shape(series[0])) for name, mark in marks.items()}


def window_sums(flags: Booleans | Integers, width: int) -> Integers:
    """Sums (s, m - width + 1) over every `width` neighbours; no columns where the series is shorter."""
    if flags.shape[1] < width:
        return np.zeros((len(flags), 0), dtype=np.int64)
    sums: Integers = sliding_window_view(flags, width, axis=1).sum(axis=2, dtype=np.int64)
    return sums


def covered(hits: Booleans, width: int, n_points: int) -> Booleans:
    """Points (s, n_points) that lie in a hit: hits (s, k) says which windows of `width` points count."""
    points = np.zeros((len(hits), n_points), dtype=bool)
    if hits.size:
        for offset in range(width):
            points[:, offset : offset + hits.shape[1]] |= hits
    return points


def all_of(flags: Booleans, width: int) -> Booleans:
    """Points in stretches of at least `width` points with the flag."""
    return covered(window_sums(flags, width) == width, width, flags.shape[1])


def some_of(flags: Booleans, least: int, width: int) -> Booleans:
    """Flagged points in a window of `width` points with at least `least` flags."""
    return covered(window_sums(flags, width) >= least, width, flags.shape[1]) & flags


def one_way(value: Floats, n_points: int) -> tuple[Booleans, Booleans]:
    """Points in stretches of at least `n_points` that rise all the way, and that fall; equal values break."""
    step = side(value[:, 1:], value[:, :-1])
    rising, falling = (window_sums(step == sign, n_points - 1) == n_points - 1 for sign in (1, -1))
    return covered(rising, n_points, value.shape[1]), covered(falling, n_points, value.shape[1])
