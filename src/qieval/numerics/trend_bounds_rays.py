"""Extreme rays of {g >= 0: X'g = 0}: the finitely many ways to combine inequalities without nuisance terms.

A linear programme over that cone is then a maximum over the rays, whatever the data are.
"""

from __future__ import annotations

import numpy as np

from qieval.numerics.two_way import Floats, Mask

ZERO = 1e-9
MOST_RAYS = 2500
"""Enough for one restriction of sign or shape with 8 periods after the start, or two with 6, any weights."""

BLOCK = 2**25


class TooManyRaysError(Exception):
    """The cone has more extreme rays than are worth listing."""


def extreme_rays(columns: Floats) -> Floats:
    """Extreme rays (J, rows) of {g >= 0: columns'g = 0} for columns (rows, q).

    Each is scaled to a largest entry of 1. Double description (Motzkin and others 1953): one equation after
    the other; rays on either side of it are joined and those whose support contains another's are dropped.
    Raises TooManyRaysError beyond `MOST_RAYS` on the way.

    >>> extreme_rays(np.array([[1.0], [-2.0], [0.0]]))
    array([[0. , 0. , 1. ],
           [1. , 0.5, 0. ]])
    """
    rays = np.eye(len(columns))
    for done, column in enumerate(columns.T):
        values = rays @ column
        size = np.abs(rays) @ np.abs(column)
        flat = np.abs(values) <= ZERO * np.where(size > 0, size, 1.0)
        up, down = rays[~flat & (values > 0)], rays[~flat & (values < 0)]
        joined = _joined(up, down, column, done + 2)
        rays = np.vstack([rays[flat], joined])
        rays = rays[_minimal(rays > 0)]
        if len(rays) > MOST_RAYS:
            raise TooManyRaysError
    return rays


def _joined(up: Floats, down: Floats, column: Floats, most: int) -> Floats:
    """Combinations of each ray above with each below that satisfy the equation, of `most` entries at most."""
    if len(up) * len(down) * column.size > BLOCK:
        raise TooManyRaysError
    pairs = (up > 0)[:, None, :] | (down > 0)[None, :, :]
    i, j = np.nonzero(pairs.sum(axis=2) <= most)
    out = up[i] * -(down[j] @ column)[:, None] + down[j] * (up[i] @ column)[:, None]
    top = out.max(axis=1, keepdims=True, initial=0.0)
    out = out / np.where(top > 0, top, 1.0)
    return np.where(out > ZERO, out, 0.0)


def _minimal(support: Mask) -> Mask:
    """Which rows (J, rows) contain no other row, the first of equal ones counting."""
    count = len(support)
    if count * count > BLOCK:
        raise TooManyRaysError
    number = support.astype(np.float32)
    size = number.sum(axis=1)
    shared = number @ number.T
    inside = shared >= size[None, :]  # column j's support lies within row i's
    equal = inside & inside.T
    earlier = np.tri(count, k=-1, dtype=bool)
    dominated = (inside & ~equal) | (equal & earlier)
    return np.asarray(~dominated.any(axis=1))
