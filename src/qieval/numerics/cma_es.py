"""Covariance matrix adaptation: a random search that needs nothing but the ranking of its candidates.

Hansen (2016), "The CMA evolution strategy: a tutorial", algorithm and default parameters of its appendix,
with positive recombination weights only. The caller ranks, so that losses may be vectors and may be tied.
"""

from __future__ import annotations

import numpy as np

from qieval.numerics.two_way import Floats


class CmaEs:
    """A search in `mean.size` dimensions; `ask` draws candidates, `tell` takes them back, best first.

    sigma is the first step size in every direction, size the number of candidates. All randomness comes from
    the generator.

    >>> search = CmaEs(np.array([3.0, -2.0]), 1.0, 12, np.random.default_rng(1))
    >>> for _ in range(60):
    ...     drawn = search.ask()
    ...     search.tell(drawn[np.argsort((drawn**2 * [1, 100]).sum(axis=1))])
    >>> bool(np.abs(search.mean).max() < 1e-4)
    True
    """

    def __init__(self, mean: Floats, sigma: float, size: int, generator: np.random.Generator) -> None:
        n = mean.size
        self.mean, self.sigma, self.size, self.generator = mean.astype(float), float(sigma), size, generator
        raw = np.log((size + 1) / 2) - np.log(np.arange(1, size // 2 + 1))
        self.weights = raw / raw.sum()
        self.mass = 1 / float(np.sum(self.weights**2))
        mass = self.mass
        self.c_sigma = (mass + 2) / (n + mass + 5)
        self.d_sigma = 1 + 2 * max(0.0, np.sqrt((mass - 1) / (n + 1)) - 1) + self.c_sigma
        self.c_c = (4 + mass / n) / (n + 4 + 2 * mass / n)
        self.c_1 = 2 / ((n + 1.3) ** 2 + mass)
        self.c_mu = min(1 - self.c_1, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        self.length = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        self.path_sigma, self.path_c = np.zeros(n), np.zeros(n)
        self.covariance = np.eye(n)
        self.axes, self.scales = np.eye(n), np.ones(n)
        self.generations = 0

    def ask(self) -> Floats:
        """Candidates (size, n)."""
        drawn = self.generator.standard_normal((self.size, self.mean.size))
        out: Floats = self.mean + self.sigma * (drawn * self.scales) @ self.axes.T
        return out

    def tell(self, ranked: Floats) -> None:
        """Learn from candidates (at least size / 2, n), best first; they need not come from `ask`."""
        n = self.mean.size
        self.generations += 1
        steps = (ranked[: self.weights.size] - self.mean) / self.sigma
        step = self.weights @ steps
        self.mean = self.mean + self.sigma * step
        whitened = self.axes @ ((self.axes.T @ step) / self.scales)
        keep = 1 - self.c_sigma
        self.path_sigma = keep * self.path_sigma + np.sqrt((1 - keep**2) * self.mass) * whitened
        norm = float(np.linalg.norm(self.path_sigma))
        settled = norm / np.sqrt(1 - keep ** (2 * self.generations))
        moving = float(settled < (1.4 + 2 / (n + 1)) * self.length)
        keep = 1 - self.c_c
        self.path_c = keep * self.path_c + moving * np.sqrt((1 - keep**2) * self.mass) * step
        lost = self.c_1 * (1 - moving) * (1 - keep**2)
        rank_mu = (steps * self.weights[:, None]).T @ steps
        self.covariance = (
            (1 - self.c_1 - self.c_mu + lost) * self.covariance
            + self.c_1 * np.outer(self.path_c, self.path_c)
            + self.c_mu * rank_mu
        )
        self.sigma *= float(np.exp(min(1.0, self.c_sigma / self.d_sigma * (norm / self.length - 1))))
        values, self.axes = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        self.scales = np.sqrt(np.maximum(values, 1e-20))

    @property
    def spread(self) -> float:
        """Largest standard deviation of the next candidates along any direction."""
        return float(self.sigma * self.scales.max())
