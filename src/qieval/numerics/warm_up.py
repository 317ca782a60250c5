"""Compile the inner loops once, so that nobody waits for it in the middle of a study.

`python -m qieval.numerics.warm_up` runs each of them on a few rows; compiled code is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qieval.numerics.balance_loss import Task
from qieval.numerics.balance_statistics import Ranked, statistics
from qieval.numerics.candidates import Candidates
from qieval.numerics.distances import whiten
from qieval.numerics.full_matching import full
from qieval.numerics.genetic import search
from qieval.numerics.multiplier_bootstrap import multiplier_bootstrap
from qieval.numerics.nearest import Search, nearest
from qieval.numerics.optimal import optimal_pairs
from qieval.numerics.placebo_units import placebo_units
from qieval.numerics.prediction_intervals import prediction_intervals
from qieval.numerics.predictor_weights import nested
from qieval.numerics.resampling import Resampling
from qieval.numerics.series_arima import fit_arima
from qieval.numerics.simplex import simplex_least_squares
from qieval.numerics.synthetic_did import synthetic_did
from qieval.progress import progress

ROWS = 60


def warm_up() -> None:
    """Run every compiled loop on a few rows of random numbers."""
    rng = np.random.default_rng(1)
    x, treated = rng.standard_normal((ROWS, 3)), np.arange(ROWS) % 3 == 0
    for step in progress(_steps(x, treated), "compiling", delay=0.0):
        step()


def _steps(x: np.ndarray, treated: np.ndarray) -> list[Callable[[], object]]:
    everybody, score = np.ones(ROWS, dtype=bool), x[:, 0].copy()
    matrix = np.abs(score[treated][:, None] - score[~treated])
    vectors, strata = whiten(x, treated), np.arange(ROWS) % 2

    def on_score(**options: Any) -> Callable[[], object]:
        return lambda: nearest(Search(focal=treated, usable=everybody, score=score, **options))

    return [
        lambda: statistics(Ranked(x), treated),
        on_score(),
        on_score(caliper=0.5, strata=strata, ratio=2),
        on_score(order="closest"),
        on_score(replace=True),
        on_score(vectors=vectors, caliper=0.5),
        lambda: nearest(Search(focal=treated, usable=everybody, vectors=vectors, order="data")),
        lambda: nearest(Search(focal=treated, usable=everybody, matrix=matrix, order="data")),
        lambda: optimal_pairs(Candidates(focal=treated, score=score)),
        lambda: optimal_pairs(Candidates(focal=treated, score=score, caliper=0.5)),
        lambda: full(Candidates(focal=treated, score=score)),
        lambda: search(Task(x=x, focal=treated), evaluations=60),
        lambda: multiplier_bootstrap(x, Resampling(draws=99)),
        lambda: search(Task(x=x, focal=treated, replace=False, ties="first"), evaluations=60),
        lambda: simplex_least_squares(x.T, x[0]),
        lambda: placebo_units(x.T, 2),
        lambda: nested(np.zeros(3), x[:6].T + 2, x[6:11, 0].copy(), x[:30, 1].reshape(5, 6), seed=1),
        lambda: synthetic_did(x[:6].copy(), np.arange(6) == 5, 2),
        lambda: fit_arima(x[:40, 0].copy(), x[:40, 1:2].copy(), (1, 0, 1), (0, 1, 1, 4)),
        lambda: prediction_intervals(x[:20, 0], x[:40].reshape(20, 6), 15),
    ]


if __name__ == "__main__":
    warm_up()
