"""Genetic matching: weights of the covariates that leave the matched groups as alike as can be found.

Diamond and Sekhon (2013): matches depend on a weight for each covariate, and the weights are searched for
so that the balance of the matches is best; the default loss compares all paired t and Kolmogorov-Smirnov
p-values, the smallest first. The loss is constant in pieces. Here CMA-ES searches the logarithms of the
weights, again and again from new places, and every place that it ended in is kept: how much they differ says
how far the answer is chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qieval.numerics.balance_loss import Evaluator, Task, better, ranking
from qieval.numerics.cma_es import CmaEs
from qieval.numerics.tied_matches import Matches, inverse_correlation, standardised
from qieval.numerics.two_way import Floats

__all__ = ["Found", "Restart", "Task", "search"]

POPULATION = 20
"""Candidates a generation: the loss is constant in pieces, so that many small searches beat one large one."""
STEP = 1.0
"""First step of a search, in logarithms of weights."""

RANGE = 2.0
"""Standard deviation of the logarithms of the weights that a search begins with."""

PATIENCE = 20
"""A search ends after so many generations without a better loss."""

SMALLEST = 1e-3
"""A search ends when all candidates differ by less than this in the logarithm of every weight."""

GUIDED = 10
"""Generations after which a large pool is cut anew for the weights then tried."""

WIDEST = 12.0
"""Logarithms of weights are kept within so much of their mean."""


@dataclass(frozen=True, eq=False)
class Restart:
    """One search: its best weights (k,), their loss, how many weights it tried and why it stopped."""

    weights: Floats
    loss: Floats
    evaluations: int
    stopped: str


@dataclass(frozen=True, eq=False)
class Found:
    """The best weights (k,) and the matches that they give.

    Weights apply to squared differences in standard deviations (divisor N) and have mean one. loss: for
    "p-values" all p-values, ascending (large is good); otherwise the one number that was minimised. trace:
    evaluations and first component of the best loss so far. stopped: "evaluations" or "interrupted".
    converged: a second search ended in the same loss as the best.
    """

    weights: Floats
    loss: Floats
    matches: Matches
    trace: Floats
    restarts: tuple[Restart, ...]
    evaluations: int
    seed: int
    stopped: str
    converged: bool


class _Best:
    """The best of what it was offered; with a trace of (evaluations, first component of the loss)."""

    def __init__(self, k: int) -> None:
        self.weights, self.loss = np.ones(k), np.array([np.inf])
        self.trace: list[tuple[int, float]] = []

    def offer(self, weights: Floats, loss: Floats, evaluations: int) -> bool:
        """Take it if it is better."""
        if self.trace and not better(loss, self.loss):
            return False
        self.weights, self.loss = weights, loss
        self.trace.append((evaluations, float(loss[0])))
        return True


def search(
    task: Task, *, evaluations: int = 20_000, restarts: int | None = None, seed: int = 0, threads: int = 1
) -> Found:
    """Search for weights with the smallest loss; the same seed gives the same answer on any number of
    threads.

    evaluations: how many weights are tried in all (the last search may be cut short). restarts: they are
    divided evenly among so many searches; None begins a new search whenever one no longer improves. A
    keyboard interrupt ends the search and the best so far is returned. Weights of one's own (`Task.start`),
    equal weights and the diagonal of the Mahalanobis metric are where the first searches begin.
    """
    from tqdm.auto import tqdm

    evaluator, best = Evaluator(task, threads), _Best(task.x.shape[1])
    runs: list[_Run] = []
    generator = np.random.default_rng(seed)
    stopped = "evaluations"
    try:
        places = _places(task)
        for weights, loss in zip(places, evaluator.losses(places), strict=True):
            best.offer(weights, loss, evaluator.evaluations)
        with tqdm(total=evaluations, desc="genetic matching", leave=False, delay=1.0) as bar:
            while evaluator.evaluations < evaluations:
                part = evaluations if restarts is None else -(-evaluations * (len(runs) + 1) // restarts)
                place = places[len(runs)] if len(runs) < len(places) else None
                runs.append(_Run(evaluator, generator, place))
                for _ in runs[-1].generations(best, min(part, evaluations), restarts is not None):
                    bar.update(evaluator.evaluations - bar.n)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return _found(task, evaluator, best, runs, (seed, stopped))


def _places(task: Task) -> Floats:
    """Weights (s, k) with mean one to begin with: those given, equal ones, the Mahalanobis diagonal."""
    z = standardised(np.asarray(task.x, float))
    given = [] if task.start is None else [*np.atleast_2d(np.asarray(task.start, float))]
    rows = [
        _normal(np.maximum(row, 1e-6))
        for row in [*given, np.ones(z.shape[1]), np.diag(inverse_correlation(z))]
    ]
    return np.array(rows)


def _normal(weights: Floats) -> Floats:
    out: Floats = weights / weights.mean(axis=-1, keepdims=True)
    return out


class _Run:
    """One search from one place; keeps its own best."""

    def __init__(self, evaluator: Evaluator, generator: np.random.Generator, place: Floats | None) -> None:
        k = evaluator.z.shape[1]
        begin = RANGE * generator.standard_normal((1, k))[0] if place is None else np.log(place)
        self.evaluator, self.first = evaluator, place
        self.cma = CmaEs(begin, STEP, POPULATION, generator)
        self.best = _Best(k)
        self.evaluations, self.stopped = 0, "cut short"

    def generations(self, best: _Best, until: int, long: bool) -> Iterator[int]:
        """Search until so many evaluations were made in all; unless `long`, end when nothing improves."""
        quiet = 0
        while self.evaluator.evaluations < until:
            improved = self._generation(best)
            yield self.evaluations
            quiet = 0 if improved else quiet + 1
            if self.cma.spread < SMALLEST or (quiet >= PATIENCE and not long):
                self.stopped = "no longer better"
                return

    def _generation(self, best: _Best) -> bool:
        drawn = self.cma.ask()
        if self.first is not None:
            drawn[0], self.first = np.log(self.first), None
        drawn = np.clip(drawn - drawn.mean(axis=1, keepdims=True), -WIDEST, WIDEST)
        weights = _normal(np.exp(drawn))
        if self.cma.generations % GUIDED == 0:
            self.evaluator.guide(np.exp(self.cma.mean - self.cma.mean.mean()))
        losses = self.evaluator.losses(weights)
        order = ranking(losses)
        self.cma.tell(drawn[order])
        self.evaluations += len(drawn)
        leader = order[0]
        best.offer(weights[leader], losses[leader], self.evaluator.evaluations)
        return self.best.offer(weights[leader], losses[leader], self.evaluations)


def _found(task: Task, evaluator: Evaluator, best: _Best, runs: list[_Run], how: tuple[int, str]) -> Found:
    sign = -1.0 if task.loss == "p-values" else 1.0
    restarts = tuple(Restart(r.best.weights, sign * r.best.loss, r.evaluations, r.stopped) for r in runs)
    same = [r for r in runs if r.best.trace and not better(best.loss, r.best.loss)]
    return Found(
        best.weights,
        sign * best.loss,
        evaluator.matches(best.weights),
        np.array(best.trace).reshape(-1, 2) * [1.0, sign],
        restarts,
        evaluator.evaluations,
        *how,
        converged=len(same) > 1,
    )
