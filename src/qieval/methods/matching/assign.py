"""From a design of matching to weights and matched sets, without any outcome."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from qieval.cohort import Cohort
from qieval.compared import Assignment
from qieval.errors import DataError, EstimationError
from qieval.methods.matching.design import STRATA, GeneticMatching, Matching
from qieval.methods.matching.genetic import assign_genetic
from qieval.methods.matching.ground import Ground, candidates, ground
from qieval.methods.matching.groups import as_given, by_means, full_sets, strata
from qieval.numerics.nearest import Search, nearest
from qieval.numerics.optimal import optimal_pairs
from qieval.numerics.pairs import Pairs, labels_of_pairs, weights_of_pairs
from qieval.text import Count, Counted


def assign(design: Matching, cohort: Cohort) -> Assignment:
    """Find partners as the design says. EstimationError when nobody finds one."""
    if design.method == "genetic":
        return assign_genetic(as_genetic(design), cohort)
    if not cohort.x.shape[1] and design.score is None and not design.exact:
        raise DataError("covariates: none of them varies, so there is nothing to match on. Name others.")
    base = ground(design, cohort)
    if design.method in ("nearest", "optimal"):
        found = _pairs(design, cohort, base)
    elif design.method == "full":
        found = full_sets(design, cohort, base)
    elif design.method in STRATA:
        found = strata(design, cohort, base)
    elif design.method == "as given":
        found = as_given(design, cohort, base)
    else:
        found = by_means(design, cohort, base)
    _require_somebody(design, cohort, found)
    return found


def as_genetic(design: Matching) -> GeneticMatching:
    """The same question as genetic matching with its defaults."""
    shared = {item.name for item in fields(Matching)} & {item.name for item in fields(GeneticMatching)}
    return GeneticMatching(**{name: getattr(design, name) for name in shared - {"ties", "inference"}})


def _pairs(design: Matching, cohort: Cohort, base: Ground) -> Assignment:
    notes = _ratio_notes(design, base)
    if design.method == "nearest":
        search = Search(
            focal=base.focal,
            usable=base.usable,
            score=base.on_score,
            vectors=base.vectors,
            caliper=base.caliper,
            calipers=base.calipers,
            strata=base.strata,
            different=base.different,
            ratio=design.ratio,
            replace=design.replacement == "with",
            order=_order(design, base),  # type: ignore[arg-type]
            seed=design.seed,
            ties=design.ties,  # type: ignore[arg-type]
        )
        pairs = nearest(search)
    else:
        pairs = optimal_pairs(candidates(base), design.ratio)
    without = design.replacement == "without"
    return base.assembled(
        Assignment(
            weights=weights_of_pairs(pairs, len(cohort), base.focal),
            focal=base.focal,
            kind=base.kind,
            inference="matched sets" if without else "Abadie-Imbens",
            sets=labels_of_pairs(pairs, len(cohort)) if without else None,
            pairs=(pairs.focal, pairs.pool, _shares(pairs)),
            facts={"pairs": Count(len(pairs)), "total distance": pairs.total},
            notes=tuple(notes),
        ),
    )


def _shares(pairs: Pairs) -> np.ndarray:
    """The weight of each pair: one over the number of partners of its focal row."""
    return 1 / np.bincount(pairs.focal)[pairs.focal] if len(pairs) else np.empty(0)


def _order(design: Matching, base: Ground) -> str:
    """Order by the score where there is one; without a score in the order of the data."""
    return "data" if base.on_score is None and design.order in ("largest", "smallest") else design.order


def _ratio_notes(design: Matching, base: Ground) -> list[Any]:
    """What has to be said, or refused, about the number of partners."""
    looking, pool = int((base.focal & base.usable).sum()), int((~base.focal & base.usable).sum())
    if design.ratio > pool:
        raise DataError(
            f"ratio: {design.ratio} partners are asked for, but the other group has only {pool} people to"
            " choose from. Use a smaller ratio."
        )
    if design.replacement == "with" or design.ratio * looking <= pool:
        return []
    return [
        Counted(
            f"ratio: {design.ratio} each for {{looking}} people need more than the {{pool}} people in the"
            " other group, so some find fewer or none; replacement='with' lets a person serve several"
            " times.",
            looking=Count(looking),
            pool=Count(pool),
        )
    ]


def _require_somebody(design: Matching, cohort: Cohort, found: Assignment) -> None:
    used = found.used
    if (used & cohort.treated).any() and (used & ~cohort.treated).any():
        return
    narrow = [
        name
        for name, held in (
            ("caliper", design.caliper),
            ("calipers", design.calipers),
            ("exact", design.exact),
            ("different", design.different),
            ("discard", design.discard != "none"),
            ("cutpoints", design.cutpoints),
            ("least_ratio", design.least_ratio),
            ("most_ratio", design.most_ratio),
        )
        if held
    ]
    because = f" The conditions are: {', '.join(narrow)}." if narrow else ""
    raise EstimationError(
        f"{narrow[0] if narrow else 'method'}: nobody finds a partner with {found.kind}, so there is nothing"
        f" to compare.{because} Widen a caliper, use fewer exact characteristics or coarser groups."
    )
