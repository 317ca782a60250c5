"""Orthonormal columns, fast for tall arrays, and which columns add nothing to those before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Floats

COLLINEAR = 1e-7
"""A column whose part outside the columns before it is below this share of its length adds nothing."""

SINGULAR = 1e-14
"""Eigenvalues below this share of the largest, in units where the diagonal is one, count as zero."""

EXACT = 1e-13
"""One pass will do if the products of the columns it makes differ from those wanted by less than this."""

SAFE = 1e-4
"""Two Cholesky passes are exact to rounding while no column's own part falls below this share."""


@dataclass(frozen=True, eq=False)
class Orthonormal:
    """a[:, kept] = q r with q'q = 1: q (n, m) by columns, r (m, m) upper triangular, kept (m,) and dropped.

    kept are the first columns, from left to right, that are linearly independent.
    """

    q: Floats
    r: Floats
    kept: tuple[int, ...]
    dropped: tuple[int, ...]

    def coefficients(self, along: Floats) -> Floats:
        """r^-1 along: from inner products with q to regression coefficients on the columns kept."""
        return np.asarray(scipy.linalg.solve_triangular(self.r, along))


def product(columns: Floats, by: Floats) -> Floats:
    """columns (n, m) @ by (m, p), stored by columns."""
    return np.asarray((by.T @ columns.T).T)


def inverse(matrix: Floats) -> Floats:
    """Inverse of a symmetric matrix whose rows may be in very different units; LinAlgError if it has none."""
    size = np.sqrt(np.abs(np.diag(matrix)))
    scale = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    if not np.abs(values).min(initial=np.inf) > SINGULAR * np.abs(values).max(initial=0.0):
        raise np.linalg.LinAlgError("the matrix is singular")
    return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale))


def orthonormal(columns: Floats) -> Orthonormal:
    """Orthonormal basis of columns (n, m), from left to right; a column that adds nothing is dropped.

    One or two passes of Cholesky on the cross-products (Yamamoto et al. 2015), each a read of the data;
    Householder reflections where columns are nearly collinear. "Nothing" is as in R's lm: less than 1e-7 of
    the column's length, which does not depend on units but on the origin: centre a column that lies far
    from zero beforehand.
    """
    if columns.shape[1] == 0:
        return Orthonormal(np.zeros((len(columns), 0)), np.zeros((0, 0)), (), ())
    gram = columns.T @ columns
    length = np.sqrt(np.diag(gram))
    scale = np.where(length > 0, length, 1.0)
    first = _cholesky(gram / np.outer(scale, scale))
    if first is None:
        return _careful(columns, scale)
    q = product(columns, scipy.linalg.inv(first) / scale[:, None])
    again = q.T @ q
    if np.abs(again - np.eye(scale.size)).max() > EXACT:
        upper: Floats = scipy.linalg.cholesky(again)
        q, first = product(q, scipy.linalg.inv(upper)), upper @ first
    return Orthonormal(q, first * scale, tuple(range(scale.size)), ())


def _cholesky(gram: Floats) -> Floats | None:
    """Triangular root of the cross-products of columns of length one; None if it is not to be trusted."""
    try:
        root: Floats = scipy.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return None
    return root if float(np.diag(root).min()) > SAFE else None


def _careful(columns: Floats, scale: Floats) -> Orthonormal:
    """The same by Householder reflections, unless leaving columns out makes the fast way safe."""
    root: Floats = scipy.linalg.qr(columns / scale, mode="r")[0][: scale.size]
    kept = _independent(root)
    if len(kept) < scale.size:
        rest = orthonormal(columns[:, list(kept)])
        kept = tuple(kept[j] for j in rest.kept)
        dropped = tuple(sorted(set(range(scale.size)) - set(kept)))
        return Orthonormal(rest.q, rest.r, kept, dropped)
    q, r = scipy.linalg.qr(columns / scale, mode="economic")
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    return Orthonormal(np.asfortranarray(q * sign), sign[:, None] * r * scale, kept, ())


def _independent(root: Floats) -> tuple[int, ...]:
    """Columns of root, from the left, that are not within COLLINEAR of the span of those kept before."""
    kept: list[int] = []
    basis = np.zeros((root.shape[0], 0))
    for j in range(root.shape[1]):
        own = root[:, j].copy()
        for _ in range(2):
            own -= basis @ (basis.T @ own)
        size = float(np.linalg.norm(own))
        if size > COLLINEAR:
            kept.append(j)
            basis = np.column_stack([basis, own / size])
    return tuple(kept)
