"""Residual inclusion (2SRI): an average effect of a model for outcomes that are risks, counts or rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from qieval.errors import EstimationError
from qieval.instrumented.fit import FirstStage
from qieval.instrumented.people import Instrumented
from qieval.numerics.contrasts import Contrast, Precision, all_contrasts, ratio
from qieval.numerics.means import covariance
from qieval.numerics.residual_inclusion import Family, ResidualInclusion, Stages, residual_inclusion

FAMILIES: dict[str, Family] = {"logit": "logistic", "probit": "probit", "Poisson": "poisson"}


def included(design: Any, first: FirstStage) -> tuple[ResidualInclusion, list[Contrast]]:
    """Both stages, and every comparison that suits the outcome."""
    made = first.made
    stages = Stages(
        first="logistic" if made.binary else "linear",
        second=_family(design, made),
        person_time=made.data.person_time,
        shift=None if made.binary else 1.0,
    )
    try:
        found = residual_inclusion(
            made.data.outcome, made.x, first.kept, made.controls, stages, made.data.weights
        )
    except EstimationError as cause:
        raise EstimationError(
            f"estimator: residual inclusion gives no estimate, because {str(cause).rstrip('.')}. Use"
            " estimator='2SLS', or fewer covariates."
        ) from cause
    if not found.converged:
        raise EstimationError(
            "estimator: the models of residual inclusion did not converge. Use estimator='2SLS', or fewer"
            " covariates."
        )
    spread = covariance(found.means, made.data.cluster, adjust=design.small_sample == "yes")
    precision = Precision(level=design.level)
    kind: Any = made.kind
    contrasts = list(all_contrasts(found.means, spread, kind, precision))
    if made.kind == "mean":
        contrasts.append(ratio(found.means, spread, precision, "mean ratio"))
    return found, [item for item in contrasts if np.isfinite(item.estimate)]


def _family(design: Any, made: Instrumented) -> Family:
    """The outcome model: as asked for, or Poisson for counts and rates and logit for risks."""
    y, asked = made.data.outcome, design.model
    whole = bool((y >= 0).all() and (y == np.round(y)).all())
    if asked == "automatic":
        asked = "logit" if made.kind == "risk" else "Poisson"
        if made.kind == "mean" and not whole:
            raise EstimationError(
                "estimator: residual inclusion is for risks (0 and 1), counts and rates, and"
                f" '{design.outcome}' holds other numbers. Use estimator='2SLS', or model='Poisson' for"
                " amounts that are never negative."
            )
    if asked in ("logit", "probit") and made.kind != "risk":
        raise EstimationError(
            f"model: '{asked}' needs an outcome of 0 and 1, and '{design.outcome}' holds other numbers. Use"
            " model='Poisson', or estimator='2SLS'."
        )
    if asked == "Poisson" and bool((y < 0).any()):
        raise EstimationError(
            f"model: Poisson needs an outcome that is never negative, and '{design.outcome}' is in some rows."
            " Use estimator='2SLS'."
        )
    return FAMILIES[asked]
