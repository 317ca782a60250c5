"""The picture of a regression discontinuity: bin means and a polynomial on each side of the cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.binned_count import Numbers, Side, numbers
from qieval.numerics.density_jump_constants import kernel_weights
from qieval.numerics.edge_polynomials import inverse_or_none, legendre_columns, legendre_powers
from qieval.numerics.two_way import Codes, Floats

Choice = Literal["es", "espr", "esmv", "esmvpr", "qs", "qspr", "qsmv", "qsmvpr"]
BY_REGRESSION: dict[Choice, Choice] = {"es": "espr", "esmv": "esmvpr", "qs": "qspr", "qsmv": "qsmvpr"}
MANY_TIES = 0.2
"""From this share of repeated scores on, spacings say nothing: polynomial regression takes their place."""


@dataclass(frozen=True)
class BinChoices:
    """How the picture is drawn; the defaults are those of rdplot.

    choice: es evenly spaced or qs quantile-spaced; mv mimics the variance of the data instead of the least
    integrated mean squared error; pr takes the variance from polynomial regression instead of spacings.
    bins sets the numbers left and right by hand. p, kernel and h (None: the whole range) belong to the
    polynomials. mass_points changes to pr where a fifth of the scores of a side repeat. level is that of the
    intervals of the bin means.
    """

    choice: Choice = "esmv"
    p: int = 4
    kernel: Literal["uniform", "triangular", "epanechnikov"] = "uniform"
    h: float | tuple[float, float] | None = None
    bins: tuple[int, int] | None = None
    mass_points: bool = True
    level: float = 0.95


@dataclass(frozen=True, eq=False)
class Binned:
    """Bins from left to right, without empty ones: arrays (k,), edges (k, 2).

    middle is that of the edges, x and y the means of the rows in the bin, n their number, low and high the t
    interval of y (NaN for one row). right says which side. count: bins asked for per side, with the
    data-driven numbers of both kinds. choice: the one that was used. coefficients (2, p + 1) of 1,
    (score - cutoff), its square, ... left and right; h their windows.
    """

    cutoff: float
    middle: Floats
    edges: Floats
    x: Floats
    y: Floats
    n: Codes
    low: Floats
    high: Floats
    right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    count: tuple[int, int]
    count_imse: tuple[int, int]
    count_mimicking: tuple[int, int]
    choice: Choice
    coefficients: Floats
    h: tuple[float, float]

    def line(self, score: Floats, right: bool) -> Floats:
        """The polynomial of one side at these scores."""
        return np.asarray(
            np.polynomial.polynomial.polyval(score - self.cutoff, self.coefficients[int(right)])
        )


def binned(
    score: Floats,
    y: Floats,
    cutoff: float,
    choices: BinChoices | None = None,
    weights: Floats | None = None,
    covariates: Floats | None = None,
) -> Binned:
    """Bin means and polynomials of y (n,) by score (n,), with the number of bins chosen from the data.

    weights (n,) count in the polynomials and means, not in the numbers of bins. covariates (n, k) enter the
    polynomials with one coefficient for both sides, and y is shown at their mean (rdplot adjusts its lines
    only). ValueError unless each side has two different scores and enough for its polynomial. Source:
    Calonico, Cattaneo, Titiunik (2015, JASA 110). R rdrobust 4.0 gives the same numbers of bins (but see
    `numbers` for ties), means, and polynomials (1e-9).

    >>> x = np.linspace(-1, 1, 200)
    >>> found = binned(x, (x >= 0) + x, 0.0, BinChoices(bins=(2, 2), p=1))
    >>> found.n.tolist(), np.abs(found.coefficients).round(9).tolist()
    ([50, 50, 50, 50], [[0.0, 1.0], [1.0, 1.0]])
    """
    choices = choices or BinChoices()
    order = np.argsort(score, kind="stable")
    x, split = score[order] - cutoff, int(np.count_nonzero(score < cutoff))
    sides = (slice(0, split), slice(split, x.size))
    if any(x[side].size < 2 or x[side][0] == x[side][-1] for side in sides):
        raise ValueError("a side of the cutoff has fewer than two different scores")
    w = np.ones(x.size) if weights is None else weights[order]
    h = (-float(x[0]), float(x[-1])) if choices.h is None else _pair(choices.h)
    z = None if covariates is None else covariates[order]
    shown, coefficients = _polynomials(_Rows(x, y[order], w, z, split), h, choices)
    choice = _choice(x, sides, choices)
    found = [_numbers(x[side], y[order][side], x.size, choice) for side in sides]
    picked = [number.mimicking if "mv" in choice else number.imse for number in found]
    count = choices.bins or (picked[0], picked[1])
    edges, code = _bins(x, sides, count, choice.startswith("q"))
    kept, mean_x, mean_y, n, error = _means(x, shown, w, code, edges.shape[0])
    reach = scipy.special.stdtrit(np.maximum(n - 1, 1), 0.5 + choices.level / 2) * error
    return Binned(
        cutoff=cutoff,
        middle=edges[kept].mean(axis=1) + cutoff,
        edges=edges[kept] + cutoff,
        x=mean_x + cutoff,
        y=mean_y,
        n=n,
        low=mean_y - reach,
        high=mean_y + reach,
        right=kept >= count[0],
        count=count,
        count_imse=(found[0].imse, found[1].imse),
        count_mimicking=(found[0].mimicking, found[1].mimicking),
        choice=choice,
        coefficients=coefficients,
        h=h,
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows in the order of the score; x is the distance to the cutoff, split the first row on the right."""

    x: Floats
    y: Floats
    w: Floats
    z: Floats | None
    split: int


def _pair(h: float | tuple[float, float]) -> tuple[float, float]:
    return h if isinstance(h, tuple) else (float(h), float(h))


def _choice(x: Floats, sides: tuple[slice, slice], choices: BinChoices) -> Choice:
    repeated = max(1 - np.count_nonzero(np.diff(x[side], prepend=np.nan)) / x[side].size for side in sides)
    if choices.mass_points and repeated >= MANY_TIES:
        return BY_REGRESSION.get(choices.choice, choices.choice)
    return choices.choice


def _numbers(x: Floats, y: Floats, n: int, choice: Choice) -> Numbers:
    """For one side; the spread of y is brought to one, which changes no number.

    Evenly spaced bins reach from the cutoff, so that u starts or ends there.
    """
    ends = (min(float(x[0]), 0.0), max(float(x[-1]), 0.0))
    spread = float(y.std()) or 1.0
    u = (x - ends[0]) / (ends[1] - ends[0])
    side = Side(u, (y - y.mean()) / spread)
    return numbers(side, n, quantiles=choice.startswith("q"), spacings=not choice.endswith("pr"))


def _polynomials(rows: _Rows, h: tuple[float, float], choices: BinChoices) -> tuple[Floats, Floats]:
    """The outcome at the mean of the covariates (n,), and the coefficients of both sides (2, p + 1).

    By Frisch and Waugh: covariates and outcome are cleared of both polynomials, then of each other.
    """
    size = choices.p + 1
    held = rows.y[:, None] if rows.z is None else np.column_stack([rows.y, rows.z - rows.z.mean(axis=0)])
    fits, left = [], np.zeros_like(held)
    weight = np.zeros(rows.x.size)
    for part, reach in ((slice(0, rows.split), h[0]), (slice(rows.split, rows.x.size), h[1])):
        u = np.abs(rows.x[part]) / reach
        inside = np.where(u <= 1, kernel_weights(u, choices.kernel), 0.0) * rows.w[part] / reach
        columns = legendre_columns(np.minimum(u, 1), choices.p)
        inverse = inverse_or_none((columns.T * inside) @ columns)
        if inverse is None:
            raise ValueError(f"a side has too few different scores for a polynomial of order {choices.p}")
        fit = inverse @ (columns.T @ (inside[:, None] * held[part]))
        left[part] = held[part] - columns @ fit
        weight[part] = inside
        fits.append(fit)
    cross = left.T @ (weight[:, None] * left)
    slopes = np.linalg.pinv(cross[1:, 1:]) @ cross[1:, 0]
    powers = legendre_powers(choices.p)
    scales = [(sign / reach) ** np.arange(size) for sign, reach in zip((-1.0, 1.0), h, strict=True)]
    lines = [
        scale * (powers @ (fit[:, 0] - fit[:, 1:] @ slopes)) for scale, fit in zip(scales, fits, strict=True)
    ]
    return held[:, 0] - held[:, 1:] @ slopes, np.array(lines)


def _bins(
    x: Floats, sides: tuple[slice, slice], count: tuple[int, int], quantiles: bool
) -> tuple[Floats, Codes]:
    """Edges (bins, 2) and the bin of each row; an edge belongs to the bin on its right, but for the last."""
    edges, codes, before = [], [], 0
    for side, bins, ends in zip(sides, count, ((x[0], 0.0), (0.0, x[-1])), strict=True):
        if quantiles:
            cuts = np.quantile(x[side], np.linspace(0, 1, bins + 1))
        else:
            cuts = np.linspace(*ends, bins + 1)
        code = np.clip(np.searchsorted(cuts, x[side], side="right") - 1, 0, bins - 1)
        edges.append(np.column_stack([cuts[:-1], cuts[1:]]))
        codes.append(code + before)
        before += bins
    return np.concatenate(edges), np.concatenate(codes)


def _means(
    x: Floats, y: Floats, w: Floats, code: Codes, bins: int
) -> tuple[Codes, Floats, Floats, Codes, Floats]:
    """Bins that hold rows, mean of x and of y, rows, standard error of y (weighted: of the weighted mean)."""
    n = np.bincount(code, minlength=bins)
    kept = np.flatnonzero(n)
    total, n = np.bincount(code, w, minlength=bins)[kept], n[kept]
    mean_x, mean_y = (np.bincount(code, w * values, minlength=bins)[kept] / total for values in (x, y))
    back = np.repeat(mean_y, n)
    around = np.add.reduceat((w * (y - back)) ** 2, np.r_[0, np.cumsum(n)[:-1]]) / total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(n > 1, np.sqrt(around * n / (n - 1)), np.nan)
    return kept, mean_x, mean_y, n, np.asarray(error)
