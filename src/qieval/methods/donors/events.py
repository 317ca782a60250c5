"""Effects on a rate as numbers of events among the people behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.synthetic import Synthetic


def events_row(made: Synthetic, effect: float, low: float, high: float) -> dict[str, Any] | None:
    """A row of estimates: the events that the effects in all treated units and periods amount to.

    None where the population is not known. Each period counts by its people. The interval is that of the
    mean effect (`effect`, `low`, `high`) times all people, moved to the estimate in events; there is no
    p-value of its own.
    """
    population = made.pool.population
    if population is None:
        return None
    estimate = people = 0.0
    for problem, fit in zip(made.problems, made.fits, strict=True):
        behind = population[list(problem.members)].sum(axis=0)[problem.after] / made.per
        estimate += float(fit.gaps[problem.after] @ behind)
        people += float(behind.sum())
    return {
        "term": "events in all",
        "at": np.nan,
        "estimate": estimate,
        "conf_low": estimate + (low - effect) * people,
        "conf_high": estimate + (high - effect) * people,
        "p_value": np.nan,
    }
