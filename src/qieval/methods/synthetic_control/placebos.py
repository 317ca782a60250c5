"""Placebos in space: every donor in turn as if it had received the intervention."""

from __future__ import annotations

import numpy as np

from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.methods.synthetic_control.fit import standardised
from qieval.numerics import predictor_weights
from qieval.numerics.placebo_units import placebo_units
from qieval.progress import progress
from qieval.synthetic import Fit, Placebos, Problem


def placebos(design: SyntheticControl, problem: Problem, fit: Fit) -> Placebos | None:
    """The gaps of all donors, each against the others; None when there is a single donor.

    With treated_in_placebos='yes' the treated series is in the pools too.
    """
    n = len(problem.names)
    if n < 2:
        return None
    pool = problem.with_treated_as_donor() if design.treated_in_placebos == "yes" else problem
    if design.method in ("classic", "demeaned") and problem.predictors is None:
        return _by_outcomes(design, pool, n)
    if design.method == "classic" and design.v == "nested":
        return _nested(design, pool, n)
    fits = [fit(pool.as_if(donor)) for donor in progress(range(n), "placebo donors")]
    return Placebos(
        names=problem.names,
        gaps=np.column_stack([found.gaps for found in fits]),
        identified=np.array([found.identified for found in fits]),
    )


def quick_placebos(design: SyntheticControl, problem: Problem) -> Placebos | None:
    """The placebos of another problem, where weights come from outcomes alone; None where they take long."""
    if (
        design.method not in ("classic", "demeaned")
        or problem.predictors is not None
        or len(problem.names) < 2
    ):
        return None
    return _by_outcomes(design, problem, len(problem.names))


def _by_outcomes(design: SyntheticControl, pool: Problem, n: int) -> Placebos:
    found = placebo_units(
        pool.donors[pool.begin :],
        pool.stop - pool.begin,
        demeaned=design.method == "demeaned",
        which=np.arange(n),
    )
    gaps = np.vstack([np.full((pool.begin, n), np.nan), pool.rounded(found.gaps)])
    return Placebos(names=pool.names[:n], gaps=gaps, identified=np.ones(n, dtype=bool))


def _nested(design: SyntheticControl, pool: Problem, n: int) -> Placebos:
    x, _, _ = standardised(pool)
    found = predictor_weights.all_units(
        x[:, 1:], pool.donors, pool.fitted, units=np.arange(n), seed=design.seed
    )
    return Placebos(names=pool.names[:n], gaps=pool.rounded(found.gaps), identified=found.identified)
