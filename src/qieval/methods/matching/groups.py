"""Matching by groups of people who are alike, and by the means of whole groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd

from qieval.cohort import Cohort, is_amount
from qieval.compared import Assignment
from qieval.errors import DataError, EstimationError
from qieval.methods.matching.design import Matching
from qieval.methods.matching.ground import Ground, candidates
from qieval.methods.matching.settings import cut_points
from qieval.numerics.candidates import Candidates
from qieval.numerics.cardinality import Selection, cardinality, profile
from qieval.numerics.full_matching import SetLimits, full
from qieval.numerics.optimal import optimal_pairs
from qieval.numerics.pairs import labels_of_pairs
from qieval.numerics.strata import coarsened, exact_strata, one_to_one, subclasses, weights_of_strata

FEWEST_KEPT = 0.1
"""Coarsened exact matching that keeps less than a tenth of the people asked about deserves a warning."""


def full_sets(design: Matching, cohort: Cohort, base: Ground) -> Assignment:
    """Full matching: sets of one and several at the least total distance."""
    limits = SetLimits(design.least_ratio or None, design.most_ratio or None)
    try:
        sets = full(candidates(base), limits)
    except ValueError as cause:
        raise EstimationError(
            f"method: the full match cannot be made ({cause}). Match on a score, set exact= on a"
            " characteristic that divides the people, or use method='nearest'."
        ) from cause
    return _of_sets(design, cohort, base, sets, "matched sets")


def strata(design: Matching, cohort: Cohort, base: Ground) -> Assignment:
    """Groups with equal characteristics, coarsened characteristics, or similar scores."""
    if design.method == "exact":
        names = (*design.exact, *(name for name in design.covariates if name not in design.exact))
        return _of_sets(design, cohort, base, _equal(cohort, names), "matched sets")
    if design.method == "coarsened exact":
        return _coarsened(design, cohort, base)
    assert base.on_score is not None
    score = np.where(base.usable, base.on_score, np.nan)
    try:
        sets = subclasses(score, cohort.treated, design.groups, cast(Any, design.estimand))
    except ValueError as cause:
        raise EstimationError(
            f"groups: {design.groups} groups by the score cannot each hold people of both kinds ({cause})."
            " Use fewer."
        ) from cause
    if base.strata is not None:
        sets = exact_strata(np.column_stack([sets, base.strata]), cohort.treated)
    return _of_sets(design, cohort, base, sets, "robust")


def _equal(cohort: Cohort, names: tuple[str, ...]) -> np.ndarray:
    codes = cohort.codes(names)
    assert codes is not None
    return exact_strata(codes[:, None], cohort.treated)


def _coarsened(design: Matching, cohort: Cohort, base: Ground) -> Assignment:
    columns, rules = [], []
    for name in dict.fromkeys((*design.covariates, *design.exact)):
        held = cohort.rows[name]
        amount = is_amount(held) and name not in design.categories and name not in design.exact
        if name in design.cutpoints and not amount:
            raise DataError(
                f"cutpoints: '{name}' holds categories, which cannot be cut at points. Group its levels."
            )
        columns.append(
            held.to_numpy(dtype=float) if amount else pd.factorize(held, sort=True)[0].astype(float)
        )
        rules.append(
            cut_points(design.cutpoints[name]) if name in design.cutpoints else "sturges" if amount else 0
        )
    sets = coarsened(np.column_stack(columns), cohort.treated, cast(Any, rules))
    if design.one_to_one == "yes":
        pairs = one_to_one(sets, cohort.treated, base.vectors, np.random.default_rng(design.seed))
        sets = labels_of_pairs(pairs, len(cohort))
    made = _of_sets(design, cohort, base, sets, "matched sets")
    kept = (base.focal & made.used).sum() / max(base.focal.sum(), 1)
    if kept >= FEWEST_KEPT:
        return made
    return made.noted(
        f"method: with so many characteristics only {kept:.1%} of the people whose effect is asked for have"
        " anybody in their cell. Use coarser cutpoints, fewer characteristics, or another method."
    )


def _of_sets(design: Matching, cohort: Cohort, base: Ground, sets: np.ndarray, inference: str) -> Assignment:
    """Weights from sets or strata."""
    return base.assembled(
        Assignment(
            weights=weights_of_strata(sets, cohort.treated, cast(Any, design.estimand)),
            focal=base.focal,
            kind=base.kind,
            inference=inference,
            sets=sets,
            facts={"matched sets": int(np.unique(sets[sets >= 0]).size)},
        )
    )


def by_means(design: Matching, cohort: Cohort, base: Ground) -> Assignment:
    """The largest sample whose means are alike: pairs (cardinality) or the comparison group alone
    (profile)."""
    x, spread = cohort.x, cohort.x[base.focal].std(axis=0, ddof=1)
    tolerance = design.tolerance * np.where(spread > 0, spread, cohort.x.std(axis=0))
    if design.method == "profile":
        found = profile(x, ~base.focal & base.usable, x[base.focal].mean(axis=0), tolerance)
        weights = (found.chosen | base.focal).astype(float)
        sets = None
    else:
        found = _among(
            base.usable, cardinality(x[base.usable], base.focal[base.usable], tolerance, design.ratio)
        )
        sets = _paired(found, base, design.ratio, len(cohort))
        weights = found.chosen.astype(float)
    _require_found(design, found)
    return base.assembled(
        Assignment(
            weights=weights,
            focal=base.focal,
            kind=base.kind,
            inference="robust" if sets is None else "matched sets",
            sets=sets,
            facts={"solution": _status(found)},
        )
    )


def _among(usable: np.ndarray, found: Selection) -> Selection:
    """A selection among the usable rows as one among all rows."""
    chosen = np.zeros(len(usable), dtype=bool)
    chosen[np.flatnonzero(usable)[found.chosen]] = True
    return replace(found, chosen=chosen)


def _paired(found: Selection, base: Ground, ratio: int, n: int) -> np.ndarray | None:
    """Pairs of the chosen people, as close as they can be; None without a distance to measure."""
    if not found.chosen.any() or (base.score is None and base.vectors is None):
        return None
    score = None if base.score is None else base.score.value
    vectors = base.vectors if score is None else None
    pairs = optimal_pairs(
        Candidates(focal=base.focal, usable=found.chosen, score=score, vectors=vectors), ratio
    )
    return labels_of_pairs(pairs, n)


def _require_found(design: Matching, found: Selection) -> None:
    if found.chosen.any():
        return
    raise EstimationError(
        f"tolerance: no sample was found whose means differ by at most {design.tolerance:g} standard"
        f" deviations ({found.status}). Allow more, or use fewer characteristics."
    )


def _status(found: Selection) -> str:
    if found.status == "optimal":
        return "the largest sample that there is"
    return f"a sample at most {found.gap:.1%} smaller than the largest (the search was ended)"


def as_given(design: Matching, cohort: Cohort, base: Ground) -> Assignment:
    """Weights, and sets where they are named, from columns of the data."""
    weights = cohort.rows[str(design.given_weights)].to_numpy(dtype=float)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError(
            f"given_weights: '{design.given_weights}' holds values below zero or infinite, which cannot"
            " weigh anybody. Give 0 to people who take no part."
        )
    sets = None
    if design.given_sets is not None:
        sets = np.where(weights > 0, pd.factorize(cohort.rows[design.given_sets], sort=True)[0], -1)
    return base.assembled(
        Assignment(
            weights=weights,
            focal=base.focal,
            kind=base.kind,
            inference="robust" if sets is None else "matched sets",
            sets=sets,
        )
    )
