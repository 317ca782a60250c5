"""Instrumental variables: the data after the controls are taken out, from which every statistic is made.

By the theorem of Frisch, Waugh and Lovell the controls are removed once from outcome, treatment and
instruments; estimates, first stages and tests then need cross-products of few columns only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.instruments_columns import COLLINEAR, Orthonormal, orthonormal, product
from qieval.numerics.two_way import Codes, Floats, Mask, compact

NOTHING_LEFT = 1e-7
"""A column is explained by the controls if less than this share of its length is left, the root of its sum of
squares: a column that lies ten million times its spread from zero has to be centred first."""


@dataclass(frozen=True, eq=False)
class Partialled:
    """Outcome, treatment and instruments without the controls; rows times the root of their weights.

    y (n,), x (n, e), and q (n, k) orthonormal with z = q root for the instruments kept. controls is the
    orthonormal basis of the controls; on_controls (c, 1 + e + k) are the inner products of y, x and the
    instruments with it. along_y (k,) = q'y, along_x (k, e) = q'x, gram (1 + e, 1 + e) = (y, x)'(y, x).
    dropped_controls and dropped_instruments are the numbers of columns that add nothing. clusters: codes
    without gaps, none, one or two.
    """

    y: Floats
    x: Floats
    instruments: Orthonormal
    controls: Orthonormal
    on_controls: Floats
    clusters: tuple[Codes, ...]
    root_weights: Floats | None
    dropped_instruments: tuple[int, ...]
    along_y: Floats = field(init=False)
    along_x: Floats = field(init=False)
    gram: Floats = field(init=False)

    def __post_init__(self) -> None:
        both = np.column_stack([self.y, self.x])
        object.__setattr__(self, "along_y", self.q.T @ self.y)
        object.__setattr__(self, "along_x", self.q.T @ self.x)
        object.__setattr__(self, "gram", both.T @ both)

    @property
    def q(self) -> Floats:
        """The orthonormal instruments (n, k)."""
        return self.instruments.q

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def e(self) -> int:
        """Number of endogenous variables."""
        return int(self.x.shape[1])

    @property
    def k(self) -> int:
        """Number of instruments that are kept."""
        return int(self.q.shape[1])

    @property
    def c(self) -> int:
        """Number of controls that are kept, the constant included."""
        return int(self.controls.q.shape[1])

    @property
    def df_reduced(self) -> int:
        """Degrees of freedom left by a regression on controls and instruments."""
        return self.n - self.c - self.k

    @property
    def df_model(self) -> int:
        """Degrees of freedom left by a regression on controls and treatment."""
        return self.n - self.c - self.e

    def one_treatment(self) -> tuple[Floats, Floats]:
        """q'y and q'x (k,) when there is one endogenous variable; an error otherwise."""
        if self.e != 1:
            raise ValueError("this is for one endogenous variable")
        return self.along_y, self.along_x[:, 0]


def partial_out(
    y: Floats,
    x: Floats,
    z: Floats,
    w: Floats,
    clusters: Sequence[Codes] | Codes | None = None,
    weights: Floats | None = None,
) -> Partialled:
    """Take controls w (n, c; the constant is one of them) out of y (n,), x (n, e) and z (n, k).

    clusters: codes (n,), or two of them for clustering in two ways. weights (n,) > 0; only their ratios
    count. Controls and instruments that add nothing to the columns before them are dropped and listed.
    EstimationError if what is left cannot identify an effect.
    """
    x, z = np.atleast_2d(x.T).T, np.atleast_2d(z.T).T
    _same_rows(y, x, z, w)
    _instruments_vary(z)
    root = None if weights is None else np.sqrt(weights / weights.mean())
    basis = orthonormal(w if root is None else w * root[:, None])
    columns = _side_by_side(y, x, z)
    if root is not None:
        columns *= root[:, None]
    length = _lengths(columns)
    on_controls = _remove(columns, basis.q)
    explained = _lengths(columns) <= NOTHING_LEFT * length
    e = x.shape[1]
    _something_left(explained[: 1 + e])
    instruments, kept, dropped = _usable(columns[:, 1 + e :], explained[1 + e :], e)
    found = Partialled(
        y=columns[:, 0],
        x=columns[:, 1 : 1 + e],
        instruments=instruments,
        controls=basis,
        on_controls=on_controls[:, [*range(1 + e), *(1 + e + j for j in kept)]],
        clusters=_codes(clusters),
        root_weights=root,
        dropped_instruments=dropped,
    )
    _first_stage_exists(found)
    return found


def _usable(z: Floats, explained: Mask, e: int) -> tuple[Orthonormal, list[int], tuple[int, ...]]:
    """Basis of the instruments that add something, their numbers, and the numbers of the others."""
    rest = np.flatnonzero(~explained)
    instruments = orthonormal(z[:, rest])
    kept = [int(rest[j]) for j in instruments.kept]
    dropped = tuple(j for j in range(z.shape[1]) if j not in kept)
    _enough(len(kept), e, dropped, explained)
    return instruments, kept, dropped


def _lengths(columns: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->j", columns, columns)))


def _side_by_side(y: Floats, x: Floats, z: Floats) -> Floats:
    """Copies of all columns, stored by columns."""
    columns = np.empty((len(y), 1 + x.shape[1] + z.shape[1]), order="F")
    columns[:, 0], columns[:, 1 : 1 + x.shape[1]], columns[:, 1 + x.shape[1] :] = y, x, z
    return columns


def _codes(clusters: Sequence[Codes] | Codes | None) -> tuple[Codes, ...]:
    """Codes without gaps."""
    if clusters is None:
        return ()
    ways = (clusters,) if isinstance(clusters, np.ndarray) else tuple(clusters)
    if len(ways) > 2:
        raise ValueError("clusters in one or two ways")
    found = tuple(compact(codes)[0] for codes in ways)
    if any(codes.max(initial=0) == 0 for codes in found):
        raise EstimationError("all rows lie in one cluster: clustering needs at least two, better forty")
    return found


def _remove(columns: Floats, basis: Floats) -> Floats:
    """Take the basis out of the columns in place, twice against rounding; inner products (c, m)."""
    total = basis.T @ columns
    columns -= product(basis, total)
    again = basis.T @ columns
    columns -= product(basis, again)
    return np.asarray(total + again)


def _same_rows(y: Floats, x: Floats, z: Floats, w: Floats) -> None:
    if not len(y) == len(x) == len(z) == len(w):
        raise ValueError("outcome, treatment, instruments and controls need the same number of rows")
    if not all(np.isfinite(np.sum(part)) for part in (y, x, z, w)):
        raise ValueError("every value must be finite")
    if len(y) <= w.shape[1] + z.shape[1] + 1:
        raise EstimationError("there are too few rows for this many controls and instruments")


def _instruments_vary(z: Floats) -> None:
    flat = np.flatnonzero((z[:1000] == z[0]).all(axis=0))
    flat = flat[(z[:, flat] == z[0, flat]).all(axis=0)]
    if flat.size:
        raise EstimationError(
            f"instrument {_numbers(flat)} has the same value in every row: it cannot shift the treatment"
        )


def _something_left(explained: Mask) -> None:
    if explained[0]:
        raise EstimationError("the controls explain the outcome completely: no variation is left to analyse")
    if explained[1:].any():
        raise EstimationError(
            "the treatment has the same value in every row, or the controls explain it completely: "
            "there is no first stage"
        )


def _enough(kept: int, e: int, dropped: tuple[int, ...], explained: Mask) -> None:
    if kept >= e and kept:
        return
    words = f"{max(e, 1)} treatment variable(s) need at least as many instruments, and {kept} can be used"
    collinear = [j for j in dropped if explained[j]]
    if collinear:
        words += f"; the controls explain instrument {_numbers(collinear)} completely"
    repeated = [j for j in dropped if not explained[j]]
    if repeated:
        words += f"; instrument {_numbers(repeated)} repeats the instruments before it"
    raise EstimationError(words)


def _first_stage_exists(data: Partialled) -> None:
    """Instruments that are unrelated to the treatment to rounding, or to some combination of treatments."""
    unit = data.along_x / np.sqrt(np.diag(data.gram)[1:])
    if data.e and np.linalg.svd(unit, compute_uv=False)[-1] <= COLLINEAR:
        raise EstimationError(
            "the instruments do not shift the treatment at all, or not each treatment by itself: "
            "there is no first stage"
        )


def _numbers(columns: Sequence[int] | Codes) -> str:
    return ", ".join(str(int(j)) for j in columns)
