"""What every way of matching starts from: scores, distances and constraints of a design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qieval.cohort import Cohort, is_amount
from qieval.compared import Assignment, focal_rows
from qieval.errors import DataError
from qieval.methods.matching.design import NO_SCORE
from qieval.methods.matching.score import Score, propensity, require_overlap
from qieval.numerics.candidates import Candidates
from qieval.numerics.distances import whiten
from qieval.numerics.nearest import common_support
from qieval.text import Count, Counted, number

SCORES = ("logit", "propensity", "probit")


@dataclass(frozen=True, eq=False, kw_only=True)
class Ground:
    """What every way of matching starts from (n rows).

    focal: who looks for partners. usable: who was not discarded. distance: the score matched on, or None
    where vectors (n, p) are. caliper: in units of the score, or None. strata and different: codes for exact
    and for unequal characteristics. kind: the way of matching in words.
    """

    treated: np.ndarray
    focal: np.ndarray
    usable: np.ndarray
    score: Score | None
    on_score: np.ndarray | None
    vectors: np.ndarray | None
    caliper: float | None
    calipers: tuple[tuple[np.ndarray, float], ...]
    strata: np.ndarray | None
    different: tuple[np.ndarray, ...]
    kind: str

    def assembled(self, found: Assignment) -> Assignment:
        """An assignment with the score and what has to be said about it."""
        score, notes = self.score, list(found.notes)
        discarded = int((~self.usable).sum())
        if discarded:
            notes.append(
                Counted(
                    "{rows} rows were left out of the matching: score beyond the range of the other group.",
                    rows=Count(discarded),
                )
            )
        if score is None:
            return replace(found, notes=tuple(notes))
        return replace(
            found,
            score=score.value,
            probability=score.probability,
            facts={**found.facts, **score.facts},
            notes=(*notes, *score.notes),
        )


def ground(design: Any, cohort: Cohort) -> Ground:
    """Scores, distances and constraints of a design."""
    scale = design.distance if design.distance in SCORES else "logit"
    score = propensity(design, cohort, scale)
    needs = design.distance in SCORES and design.method not in NO_SCORE
    needs |= design.caliper > 0 or design.discard != "none"
    if needs and score is None:
        raise DataError("covariates: none of them varies, so there is no score to match on. Name others.")
    if needs and score is not None:
        require_overlap(score)
    usable = np.ones(len(cohort), dtype=bool)
    if design.discard != "none" and score is not None:
        usable = common_support(score.value, cohort.treated, _RULES[design.discard])
    caliper = None
    if design.caliper and score is not None:
        spread = float(score.value.std(ddof=1)) if design.caliper_in == "standard deviations" else 1.0
        caliper = design.caliper * spread
    return Ground(
        treated=cohort.treated,
        focal=focal_rows(design, cohort.treated),
        usable=usable,
        score=score,
        on_score=score.value if score is not None and needs else None,
        vectors=_vectors(design, cohort, usable),
        caliper=caliper,
        calipers=_calipers(design, cohort),
        strata=cohort.codes(design.exact),
        kind=described(design),
        different=tuple(codes for name in design.different if (codes := cohort.codes((name,))) is not None),
    )


_RULES: dict[str, Any] = {"both": "both", "treated": "treated", "comparison": "control"}


def _vectors(design: Any, cohort: Cohort, usable: np.ndarray) -> np.ndarray | None:
    """Whitened covariates, where the distance is measured on covariates."""
    names = design.mahalanobis_on if design.distance in SCORES else design.covariates
    if not names:
        return None
    kind: Any = "mahalanobis" if design.distance in SCORES else design.distance
    return whiten(cohort.every_level(names, design.categories), cohort.treated, kind, usable)


def _calipers(design: Any, cohort: Cohort) -> tuple[tuple[np.ndarray, float], ...]:
    found = []
    for name, width in design.widths().items():
        if not is_amount(cohort.rows[name]):
            raise DataError(
                f"calipers: '{name}' holds text, so a width means nothing. Put it under exact= for equal"
                " values."
            )
        held = cohort.rows[name].to_numpy(dtype=float)
        found.append((held, width.amount * (float(held.std(ddof=1)) if width.in_sd else 1.0)))
    return tuple(found)


def candidates(base: Ground) -> Candidates:
    """Who may be matched with whom, for exact minima; for the effect in everybody the treated look."""
    return Candidates(
        focal=base.treated if base.focal.all() else base.focal,
        usable=base.usable,
        score=base.on_score,
        vectors=base.vectors,
        caliper=base.caliper,
        calipers=base.calipers,
        strata=base.strata,
        different=base.different,
    )


def described(design: Any) -> str:
    """How partners were found, in words."""
    words = {
        "nearest": f"{design.ratio}:1 nearest neighbours",
        "optimal": f"{design.ratio}:1 optimal matching",
        "full": "full matching",
        "exact": "exact matching",
        "coarsened exact": "coarsened exact matching",
        "subclassification": f"subclassification into {design.groups} groups",
        "cardinality": "cardinality matching",
        "profile": "profile matching",
        "as given": "weights that were brought along",
    }[design.method]
    if design.method in ("nearest", "optimal", "full"):
        inside = f" on {len(design.mahalanobis_on)} covariates within" if design.mahalanobis_on else " on"
        what = {
            "logit": "the logit of the propensity score",
            "propensity": "the propensity score",
            "probit": "the probit index of the propensity score",
        }.get(design.distance, f"the {design.distance} distance")
        words += f"{inside} {what}"
    if design.method == "nearest":
        words += f", {design.replacement} replacement"
    if design.caliper:
        unit = " SD" if design.caliper_in == "standard deviations" else ""
        words += f", caliper {number(design.caliper)}{unit}"
    if design.exact:
        words += f", exact on {', '.join(design.exact)}"
    return words
