"""Genetic matching: from the design to a search, and from what it found to matched people."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np

from qieval.cohort import Cohort
from qieval.compared import Assignment, focal_rows
from qieval.errors import DataError, EstimationError
from qieval.methods.matching.design import GeneticMatching
from qieval.methods.matching.score import propensity
from qieval.numerics.balance_loss import Loss, Task
from qieval.numerics.genetic import Found, search
from qieval.numerics.pairs import Pairs, labels_of_pairs
from qieval.numerics.tied_matches import Matches, tied_matches
from qieval.text import Count, number

LOSSES: dict[str, Loss] = {
    "p-values": "p-values",
    "largest difference": "max smd",
    "mean difference": "mean smd",
    "largest KS": "max ks",
    "mixture": "mixture",
}
FIELDS = ("ratio", "replacement", "ties", "loss", "evaluations", "restarts", "seed", "estimand")

_KEPT: OrderedDict[str, Found] = OrderedDict()
"""The last few searches, so that opening the outcome does not search again; no data, only what was found."""

MOST_KEPT = 64


def assign_genetic(design: GeneticMatching, cohort: Cohort) -> Assignment:
    """Search for weights of the covariates and match with the best. EstimationError when nobody is
    matched."""
    task, names = task_of(design, cohort)
    if design.ratio > (pool := int((~task.focal).sum())):
        raise DataError(
            f"ratio: {design.ratio} partners are asked for, but the other group has only {pool} people to"
            " choose from. Use a smaller ratio."
        )
    found = _searched(design, task)
    if not found.matches.focal.size:
        raise EstimationError(
            f"{'exact' if design.exact else 'caliper'}: nobody finds a partner with any of the weights that"
            " were tried, so there is nothing to compare. Widen the calipers or use fewer exact"
            " characteristics."
        )
    best = matched(design, cohort, found.matches)
    score = propensity(_scored(design), cohort)
    return Assignment(
        **best,
        kind=_described(design),
        search=found,
        others=tuple(
            Assignment(
                **matched(design, cohort, _matches(task, run.weights)),
                kind=_loss_words(design, run.loss),
            )
            for run in found.restarts
        ),
        score=None if score is None else score.value,
        probability=None if score is None else score.probability,
        facts=_facts(design, found, names),
        notes=_notes(found),
    )


def task_of(design: GeneticMatching, cohort: Cohort) -> tuple[Task, tuple[str, ...]]:
    """What is searched, and the names of the columns whose weights are sought."""
    if not cohort.plain.any():
        raise DataError("covariates: none of them varies, so there is nothing to match on. Name others.")
    x, names = (
        cohort.x[:, cohort.plain],
        [name for name, own in zip(cohort.x_names, cohort.plain, strict=True) if own],
    )
    if design.with_score == "yes":
        score = propensity(_scored(design), cohort)
        if score is not None and not score.separated:
            x, names = np.column_stack([x, score.value]), [*names, "propensity score (logit)"]
    return Task(
        x=x,
        focal=focal_rows(design, cohort.treated),
        balance=cohort.x,
        ratio=design.ratio,
        replace=design.replacement == "with",
        ties="all" if design.ties == "all" and design.replacement == "with" else "first",
        caliper=_calipers(design, cohort, x, names),
        strata=cohort.codes(design.exact),
        loss=LOSSES[design.loss],
    ), tuple(names)


class _scored:
    """A genetic design as the score sees it: plain logistic regression."""

    learner, score = "logistic", None

    def __init__(self, design: GeneticMatching) -> None:
        self.seed = design.seed


def _calipers(design: GeneticMatching, cohort: Cohort, x: np.ndarray, names: list[str]) -> np.ndarray | None:
    """Widest difference per column in standard deviations (divisor N); infinite where there is none."""
    widths = np.full(x.shape[1], design.caliper or np.inf)
    for name, width in design.widths().items():
        if name not in names:
            raise DataError(
                f"calipers: '{name}' is not a numeric covariate of the search, so a width means nothing."
                " Name it as a covariate, or put it under exact."
            )
        at = names.index(name)
        widths[at] = width.amount if width.in_sd else width.amount / x[:, at].std()
    return widths if np.isfinite(widths).any() else None


def _searched(design: GeneticMatching, task: Task) -> Found:
    """The search, or what it found the last time that exactly the same was asked."""
    digest = hashlib.sha256(json.dumps({name: getattr(design, name) for name in FIELDS}).encode())
    for held in (task.x, task.focal, task.balance, task.caliper, task.strata):
        digest.update(b"none" if held is None else np.ascontiguousarray(held).tobytes())
    key = digest.hexdigest()
    if key not in _KEPT:
        found = search(
            task,
            evaluations=design.evaluations,
            restarts=design.restarts or None,
            seed=design.seed,
            threads=os.cpu_count() or 1,
        )
        if found.stopped == "interrupted":
            return found
        _KEPT[key] = found
        while len(_KEPT) > MOST_KEPT:
            _KEPT.popitem(last=False)
    return _KEPT[key]


def _matches(task: Task, weights: np.ndarray) -> Matches:
    return tied_matches(task.x, task.focal, replace(task.rule, weight=weights))


def matched(design: GeneticMatching, cohort: Cohort, matches: Matches) -> dict[str, Any]:
    """Weights and pairs of matches, as fields of an Assignment."""
    weights = np.bincount(matches.pool, matches.weight, len(cohort)).astype(float)
    weights[matches.focal] = 1.0
    without = design.replacement == "without"
    pairs = Pairs(matches.focal, matches.pool, np.zeros(matches.focal.size))
    return {
        "weights": weights,
        "focal": focal_rows(design, cohort.treated),
        "inference": "matched sets" if without else "Abadie-Imbens",
        "sets": labels_of_pairs(pairs, len(cohort)) if without else None,
        "pairs": (matches.focal, matches.pool, matches.weight),
    }


def _described(design: GeneticMatching) -> str:
    return f"genetic matching, {design.ratio}:1 {design.replacement} replacement, loss: {design.loss}"


def _loss_words(design: GeneticMatching, loss: np.ndarray) -> str:
    return (
        f"smallest p-value {number(float(loss[0]))}" if design.loss == "p-values" else number(float(loss[0]))
    )


def _facts(design: GeneticMatching, found: Found, names: tuple[str, ...]) -> dict[str, Any]:
    weights = "; ".join(
        f"{name} {number(float(weight), 2)}"
        for name, weight in sorted(zip(names, found.weights, strict=True), key=lambda item: -item[1])
    )
    return {
        "pairs": Count(int(found.matches.focal.size)),
        "loss reached": _loss_words(design, found.loss),
        "weightings tried": f"{found.evaluations:,}",
        "search ended by": found.stopped,
        "seed of the search": f"{found.seed}",
        "weights of the covariates": weights,
    }


def _notes(found: Found) -> tuple[str, ...]:
    if found.stopped == "interrupted":
        return (f"search: interrupted after {found.evaluations:,} weightings; the best of them is used.",)
    return ()
