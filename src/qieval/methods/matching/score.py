"""The propensity score of a design, with everything that has to be said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy

from qieval.cohort import Cohort, is_amount
from qieval.errors import DataError, EstimationError
from qieval.numerics.logistic import crossfitted, logistic
from qieval.text import listed, number

EXTREME = 0.01
"""Scores closer to 0 or 1 than this are called extreme."""

FOLDS = 10

_KEPT: WeakKeyDictionary[Cohort, dict[tuple[Any, ...], Score | None]] = WeakKeyDictionary()
"""The scores of each cohort that is still in use: other calipers or orders need no other score."""


@dataclass(frozen=True, eq=False)
class Score:
    """value (n,) on the scale that is matched on, probability (n,), and what has to be said."""

    value: np.ndarray
    probability: np.ndarray
    notes: tuple[str, ...]
    facts: dict[str, Any]
    separated: bool = False
    telling: tuple[str, ...] = ()


def propensity(design: Any, cohort: Cohort, scale: str = "logit") -> Score | None:
    """The probability of the intervention given the covariates; None without covariates.

    scale: 'logit', 'propensity' or 'probit'. A model that separates the groups perfectly is reported, not
    raised: `require_overlap` decides. DataError for a score brought along that is no probability.
    """
    kept = _KEPT.setdefault(cohort, {})
    key = (design.score, design.learner, design.seed, scale)
    if key not in kept:
        kept[key] = _estimated(design, cohort, scale)
    return kept[key]


def _estimated(design: Any, cohort: Cohort, scale: str) -> Score | None:
    if design.score is not None:
        return _brought(design, cohort, scale)
    if not cohort.x.shape[1]:
        return None
    if design.learner != "logistic":
        return _learned(design, cohort, scale)
    fit = logistic(cohort.x, cohort.treated, link="probit" if scale == "probit" else "logit")
    if not fit.converged and not fit.separated:
        raise EstimationError(
            "covariates: the propensity score did not converge, so no score can be trusted. Leave out"
            " covariates that repeat each other, or group rare categories."
        )
    notes = []
    if fit.aliased.any():
        names = [name for name, gone in zip(cohort.x_names, fit.aliased, strict=True) if gone]
        notes.append(
            f"covariates: {listed(names)} follow from other covariates and add nothing to the score."
        )
    value = fit.probability if scale == "propensity" else fit.linear
    telling = _telling(cohort) if fit.separated else ()
    facts = {"score model": f"{'probit' if scale == 'probit' else 'logistic'} regression, maximum likelihood"}
    return Score(
        value, fit.probability, tuple(notes + _extreme(fit.probability)), facts, fit.separated, telling
    )


def _telling(cohort: Cohort) -> tuple[str, ...]:
    """Covariates (or levels) by whose values alone some rows are known to be treated, or not."""
    one, zero = cohort.x[cohort.treated], cohort.x[~cohort.treated]
    low, high = cohort.x.min(axis=0), cohort.x.max(axis=0)
    binary = ((cohort.x == low) | (cohort.x == high)).all(axis=0)
    apart = (one.min(axis=0) > zero.max(axis=0)) | (one.max(axis=0) < zero.min(axis=0))
    alone = binary & ((np.ptp(one, axis=0) == 0) | (np.ptp(zero, axis=0) == 0))
    return tuple(name for name, held in zip(cohort.x_names, apart | alone, strict=True) if held)


def _brought(design: Any, cohort: Cohort, scale: str) -> Score:
    if not is_amount(cohort.rows[design.score]):
        raise DataError(
            f"score: '{design.score}' holds text, and a score is a probability. Convert it first:"
            f" pd.to_numeric(data['{design.score}'])."
        )
    held = cohort.rows[design.score].to_numpy(dtype=float)
    if (held <= 0).any() or (held >= 1).any():
        raise DataError(
            f"score: '{design.score}' holds values outside 0 to 1 (both excluded), so it is no probability"
            " of the intervention. Give probabilities, or name it as a covariate and match on that."
        )
    return Score(_on(scale, held), held, tuple(_extreme(held)), {"score model": f"column '{design.score}'"})


def _learned(design: Any, cohort: Cohort, scale: str) -> Score:
    found = crossfitted(cohort.x, cohort.treated, design.learner, FOLDS, design.seed)
    found = np.clip(found, 1e-6, 1 - 1e-6)
    facts = {"score model": f"{design.learner}, cross-fitted in {FOLDS} folds"}
    return Score(_on(scale, found), found, tuple(_extreme(found)), facts)


def _on(scale: str, probability: np.ndarray) -> np.ndarray:
    """A probability on the scale that is matched on."""
    if scale == "probit":
        return np.asarray(scipy.special.ndtri(probability))
    return probability if scale == "propensity" else np.asarray(np.log(probability / (1 - probability)))


def _extreme(probability: np.ndarray) -> list[str]:
    share = float(np.mean((probability < EXTREME) | (probability > 1 - EXTREME)))
    if not share:
        return []
    return [
        f"score: {number(100 * share, 2)}% of the scores lie within {EXTREME} of 0 or 1, where few"
        " comparable people exist."
    ]


def require_overlap(score: Score) -> None:
    """EstimationError when the covariates tell perfectly who was treated."""
    if score.separated:
        raise EstimationError(
            "covariates: together they tell (nearly) perfectly who received the intervention, so the"
            " propensity score is 0 or 1 and nobody has a counterpart."
            + (f" Some rows are told by one alone: {listed(score.telling)}." if score.telling else "")
            + " Look for a covariate that is part of the intervention or its eligibility rule and leave it"
            " out, group rare categories, or use regression discontinuity when a rule decided."
        )
