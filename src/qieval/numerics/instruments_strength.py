"""Strength of several first stages at once: each treatment given the others, and all together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.instruments_columns import inverse
from qieval.numerics.instruments_covariance import Kind
from qieval.numerics.instruments_reduced_form import ReducedForm
from qieval.numerics.two_way import Floats


@dataclass(frozen=True, eq=False)
class Strength:
    """What the instruments tell about e treatments together.

    sanderson_windmeijer (e,): F of each treatment given the others, df (k - e + 1, n - c - k); shea (e,): its
    partial R2. cragg_donald and kleibergen_paap: F-like statistics of the weakest direction, homoskedastic
    and with the covariance of the reduced form (kind), both divided by k; with one treatment they are its
    partial F.
    """

    sanderson_windmeijer: Floats
    sanderson_windmeijer_df: tuple[int, int]
    shea: Floats
    cragg_donald: float
    kleibergen_paap: float
    kind: Kind


def strength(reduced: ReducedForm) -> Strength:
    """Sanderson and Windmeijer (2016), Shea (1997), Cragg and Donald (1993), Kleibergen and Paap (2006)."""
    data = reduced.data
    scale = np.sqrt(np.diag(reduced.omega)[1:])
    along, omega = data.along_x / scale, reduced.omega[1:, 1:] / np.outer(scale, scale)
    each = np.array([_conditional_f(along, omega, j) for j in range(data.e)])
    inverse_total = np.diag(inverse(data.gram[1:, 1:])) * scale**2
    inverse_fitted = np.diag(inverse(along.T @ along))
    values = scipy.linalg.eigvalsh(along.T @ along, omega)
    return Strength(
        sanderson_windmeijer=each,
        sanderson_windmeijer_df=(data.k - data.e + 1, data.df_reduced),
        shea=np.asarray(inverse_total / inverse_fitted),
        cragg_donald=float(values[0]) / data.k,
        kleibergen_paap=_rank_wald(reduced) / data.k,
        kind=reduced.kind,
    )


def _conditional_f(along: Floats, omega: Floats, j: int) -> float:
    """F of treatment j less the others' two-stage least squares prediction of it."""
    others = np.delete(np.arange(along.shape[1]), j)
    slopes = scipy.linalg.lstsq(along[:, others], along[:, j])[0] if others.size else np.zeros(0)
    combination = np.zeros(along.shape[1])
    combination[j], combination[others] = 1.0, -slopes
    left = along @ combination
    variance = float(combination @ omega @ combination)
    return float(left @ left / (len(along) - others.size) / variance)


def _rank_wald(reduced: ReducedForm) -> float:
    """Wald statistic of rank e - 1 against e of the first stages, with their covariance."""
    e = reduced.data.e
    scale = np.sqrt(np.diag(reduced.omega)[1:])
    root: Floats = scipy.linalg.cholesky(reduced.omega[1:, 1:] / np.outer(scale, scale))
    turn = scipy.linalg.inv(root) / scale[:, None]
    left, _, right = scipy.linalg.svd(reduced.data.along_x @ turn)
    outside, direction = left[:, e - 1 :], turn @ right[-1]
    weakest = outside.T @ reduced.data.along_x @ direction
    covariance = np.einsum("i,ijab,j->ab", direction, reduced.blocks[1:, 1:], direction)
    return float(weakest @ np.linalg.solve(outside.T @ covariance @ outside, weakest))
