"""New series of clusters without an effect, made from outcomes before the start: what `rollout_power` draws
from.

As in `power`: residuals on unit and period effects, one autocorrelation, innovations in circular blocks.
Clusters get the series of others of like size, drawn with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.power import LEAST_PERIODS, _autocorrelation, _cluster_series, _innovations, _residuals
from qieval.numerics.two_way import Codes, Floats, Mask

TOO_SHORT = (
    "There are fewer than two periods before the start, or fewer than three clusters observed often enough, "
    "so variation over time cannot be estimated; bring more history."
)
FLAT = (
    "Outcomes before the start do not vary beyond unit and period effects, so there is nothing to simulate "
    "from."
)
LIKE_SIZE = 10
"""Clusters of unequal size exchange series within groups of about this many of like size."""


@dataclass(frozen=True, eq=False)
class Source:
    """Innovations series (G, P) of cluster means, packed to the front, length (G,) of them; units (G,) in
    each cluster; donors: clusters, and those whose series they may get. rho: autocorrelation."""

    series: Floats
    length: Codes
    units: Floats
    donors: tuple[tuple[Codes, Codes], ...]
    block: int
    rho: float

    def draw(self, generator: np.random.Generator, draws: int, periods: int) -> Floats:
        """New series of all clusters (draws, G, periods)."""
        g = self.units.size
        drawn = np.empty((draws, g), dtype=np.intp)
        for group, givers in self.donors:
            drawn[:, group] = generator.choice(givers, (draws, group.size))
        length = self.length[drawn][..., None]
        n_blocks = -(-periods // self.block)
        starts = (generator.random((draws, g, n_blocks)) * length).astype(np.intp)
        steps = np.arange(periods)
        places = (starts[..., steps // self.block] + steps % self.block) % length
        y = self.series[drawn[..., None], places]
        y[..., 0] /= np.sqrt(1 - self.rho**2)
        for t in range(1, periods):
            y[..., t] += self.rho * y[..., t - 1]
        return np.asarray(y)


def make_source(history: Floats, codes: Codes, n_clusters: int) -> Source | str:
    """What series are drawn from, or why nothing can be; history (n_units, P), codes (n_units,)."""
    g, periods = n_clusters, history.shape[1]
    units = np.bincount(codes, minlength=g).astype(float)
    if periods < 2:
        return TOO_SHORT
    nobody = np.zeros(codes.size, dtype=bool)
    sums, length = _cluster_series(_residuals(history), nobody, codes, np.array([units, np.zeros(g)]))
    able = length >= min(LEAST_PERIODS, periods)
    if np.count_nonzero(able) < 3:
        return TOO_SHORT
    series = sums[:1] / np.maximum(units, 1)[:, None]
    if not np.abs(series).max() > 1e-12 * np.nanmax(np.abs(history), initial=0.0):
        return FLAT
    rho = _autocorrelation(series[:, able], length[able])
    series, length = _innovations(series, np.maximum(length, 2), rho)
    block = min(max(1, round(periods ** (1 / 3))), max(1, int(length[able].min()) - 1))
    # Means over clusters and over time were taken out, and both make residuals too small.
    series *= np.sqrt(g / (g - 1) * length / np.maximum(length - block, 1))[:, None]
    return Source(series[0], length, units, _donors(units, able), block, rho)


def _donors(units: Floats, able: Mask) -> tuple[tuple[Codes, Codes], ...]:
    """Clusters in groups of like size, and which clusters can give theirs a series."""
    order = np.argsort(units, kind="stable")
    n_groups = 1 if units.min() == units.max() else max(1, units.size // LIKE_SIZE)
    pairs = [(group, group[able[group]]) for group in np.array_split(order, n_groups)]
    return tuple((group, givers if givers.size > 1 else np.flatnonzero(able)) for group, givers in pairs)
