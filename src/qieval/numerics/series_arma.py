"""Covariance of a multiplicative ARMA process in banded form, and its parameters without bounds.

phi(B) w_t = theta(B) e_t with phi(B) = (1 - ar_1 B - ...)(1 - sar_1 B^s - ...) and theta(B) =
(1 + ma_1 B + ...)(1 + sma_1 B^s + ...): the signs of R's `arima` and of Box and Jenkins' AR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qieval.numerics.two_way import Floats


@dataclass(frozen=True)
class Order:
    """ARIMA (p, d, q)(P, D, Q) with seasons of length s (no seasonal part where s is 0 or 1)."""

    p: int = 0
    d: int = 0
    q: int = 0
    seasonal_p: int = 0
    seasonal_d: int = 0
    seasonal_q: int = 0
    season: int = 0

    def __post_init__(self) -> None:
        if min((*self.counts, self.d, self.seasonal_d, self.season)) < 0:
            raise ValueError("orders of an ARIMA model are not negative")
        if self.season < 2 and self.seasonal_p + self.seasonal_d + self.seasonal_q:
            raise ValueError("seasonal orders need a season of two periods or more")

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Numbers of parameters: ar, ma, seasonal ar, seasonal ma."""
        return self.p, self.q, self.seasonal_p, self.seasonal_q

    @property
    def names(self) -> tuple[str, ...]:
        """ar1, ..., ma1, ..., sar1, ..., sma1, ..., in the order of the parameters."""
        kinds = zip(("ar", "ma", "sar", "sma"), self.counts, strict=True)
        return tuple(f"{kind}{i + 1}" for kind, count in kinds for i in range(count))

    @property
    def difference(self) -> Floats:
        """The lag polynomial (1 - B)^d (1 - B^s)^D."""
        out = np.ones(1)
        for _ in range(self.d):
            out = np.convolve(out, [1.0, -1.0])
        for _ in range(self.seasonal_d):
            out = np.convolve(out, np.concatenate([[1.0], np.zeros(self.season - 1), [-1.0]]))
        return out

    def split(self, parameters: Floats) -> Iterator[Floats]:
        """Parameters (r,) by kind: ar, ma, sar, sma."""
        place = 0
        for count in self.counts:
            yield parameters[place : place + count]
            place += count

    def polynomials(self, parameters: Floats) -> tuple[Floats, Floats]:
        """phi and theta with 1 first, seasonal factors multiplied in."""
        ar, ma, sar, sma = self.split(parameters)
        phi, theta = _spread(-ar, 1), _spread(ma, 1)
        phi = np.convolve(phi, _spread(-sar, self.season)) if sar.size else phi
        return phi, np.convolve(theta, _spread(sma, self.season)) if sma.size else theta


def _spread(coefficients: Floats, season: int) -> Floats:
    out = np.zeros(1 + season * coefficients.size)
    out[0] = 1.0
    if coefficients.size:
        out[season::season] = coefficients
    return out


def from_free(order: Order, free: Floats) -> Floats:
    """Parameters from numbers without bounds: tanh gives partial autocorrelations, those the coefficients.

    Every stationary and invertible set is reached (Barndorff-Nielsen and Schou 1973; Monahan 1984).

    >>> from_free(Order(p=2), np.arctanh([0.5, -0.3])).round(3).tolist()
    [0.65, -0.3]
    """
    signs = (1.0, -1.0, 1.0, -1.0)
    parts = zip(signs, order.split(np.tanh(np.clip(free, -9.0, 9.0))), strict=True)
    return np.concatenate([sign * _from_partial(sign * partial) for sign, partial in parts])


def to_free(order: Order, parameters: Floats) -> Floats:
    """Inverse of `from_free`; not finite outside the stationary and invertible sets."""
    signs = (1.0, -1.0, 1.0, -1.0)
    parts = zip(signs, order.split(parameters), strict=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([np.arctanh(sign * _to_partial(sign * part)) for sign, part in parts])


def _from_partial(partial: Floats) -> Floats:
    """Durbin-Levinson: autoregressive coefficients with these partial autocorrelations."""
    out = partial.copy()
    for k in range(1, partial.size):
        out[:k] = out[:k] - partial[k] * out[:k][::-1]
    return out


def _to_partial(coefficients: Floats) -> Floats:
    out = coefficients.copy()
    for k in range(coefficients.size - 1, 0, -1):
        out[:k] = (out[:k] + out[k] * out[:k][::-1]) / (1 - out[k] ** 2)
    return out


def band_and_filter(phi: Floats, theta: Floats, n: int) -> tuple[Floats, int]:
    """Covariance in lower banded form of (w_1, ..., w_m, phi(B) w_(m+1), ...), and m = max(p, q).

    For innovations of variance one. Filtering all but the first m values makes the covariance banded (Ansley
    1979, Biometrika 66: 59-65). Raises numpy's LinAlgError where the process has a unit root.
    """
    from qieval.numerics.kernels.series_arma import band_of

    band, m = band_of(phi, theta, n)
    return band, int(m)


def filtered(values: Floats, phi: Floats, m: int) -> Floats:
    """phi(B) applied to the rows (n, c) after the first m, as `band_and_filter` expects."""
    from qieval.numerics.kernels import series_arma

    return np.asarray(series_arma.filtered(np.ascontiguousarray(values), phi, m))
