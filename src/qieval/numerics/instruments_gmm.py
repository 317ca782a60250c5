"""Two-step and iterated GMM with instruments, and Hansen's J."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.instruments import Partialled
from qieval.numerics.instruments_columns import inverse, product
from qieval.numerics.instruments_covariance import Kind, is_clustered, score_covariance
from qieval.numerics.instruments_estimators import WholeEstimate, tsls
from qieval.numerics.two_way import Floats

SETTLED = 1e-10
"""Iterations end when no coefficient moves by more than this share of its standard error."""


@dataclass(frozen=True, kw_only=True)
class GMMOptions:
    """kind hc0 or cr0 says how the moments vary; centred takes their mean off first (R's gmm does).

    steps: 2, or more for iterated GMM, which ends early once settled. covariance "sandwich" allows for the
    weight matrix not being the efficient one at the final estimate (linearmodels); "efficient" does not.
    """

    kind: Kind = "hc0"
    centred: bool = False
    steps: int = 2
    covariance: Literal["sandwich", "efficient"] = "sandwich"


@dataclass(frozen=True, eq=False)
class GMM:
    """whole: treatments, then controls. j tests that all instruments agree: chi-squared with df = k - e.

    p_value is NaN with as many instruments as treatments. converged speaks of steps beyond two.
    """

    whole: WholeEstimate
    j: float
    df: int
    p_value: float
    steps: int
    converged: bool


def gmm(data: Partialled, options: GMMOptions | None = None) -> GMM:
    """Generalised method of moments, started from two-stage least squares.

    The moments of the controls count as well: with unequal variances they share information with the
    instruments' and move the controls' coefficients, which is why residuals are not those of least squares.
    """
    options = options or GMMOptions()
    if options.kind not in ("hc0", "cr0") or options.steps < 2:
        raise ValueError("GMM is for kind hc0 or cr0 and two steps or more")
    step = _Step.first(data)
    converged, taken = options.steps == 2, 1
    while taken < options.steps:
        before, step = step, _Step.next(data, step.residuals, options)
        taken += 1
        moved = np.abs(step.beta - before.beta) / np.sqrt(np.diag(inverse(step.information)))
        if taken > 2 and float(moved.max()) < SETTLED:
            converged = True
            break
    df = data.k - data.e
    return GMM(
        whole=_whole(data, step, options),
        j=step.j,
        df=df,
        p_value=float(scipy.special.chdtrc(df, step.j)) if df else np.nan,
        steps=taken,
        converged=converged,
    )


def hansen_j(data: Partialled, kind: Kind = "hc0", centred: bool = False) -> tuple[float, int, float]:
    """Hansen's J of two-step GMM: statistic, degrees of freedom k - e, p-value (NaN if df is 0).

    Not centred it is Wooldridge's (1995) robust score test of over-identification to the last digit.
    """
    step = _Step.next(data, _Step.first(data).residuals, GMMOptions(kind=kind, centred=centred), bare=True)
    df = data.k - data.e
    return step.j, df, float(scipy.special.chdtrc(df, step.j)) if df else np.nan


@dataclass(frozen=True, eq=False)
class _Step:
    """One step: beta (e,), shift (c,) of the controls' moments, mixed (c, k) = S_wz S_zz^-1.

    weight (k, k) = S_zz^-1, information (e, e) = x'q weight q'x.
    """

    beta: Floats
    shift: Floats
    mixed: Floats
    weight: Floats
    information: Floats
    residuals: Floats
    j: float

    @classmethod
    def first(cls, data: Partialled) -> _Step:
        start = tsls(data, "unadjusted")
        nothing = np.zeros((data.c, data.k))
        empty = np.zeros((0, 0))
        return cls(start.coefficients, np.zeros(data.c), nothing, empty, empty, start.residuals, np.nan)

    @classmethod
    def next(cls, data: Partialled, residuals: Floats, options: GMMOptions, bare: bool = False) -> _Step:
        """bare leaves out the controls, which J of the first step does not need."""
        spread = _spread(data, residuals, options, bare)
        c = len(spread) - data.k
        try:
            weight = inverse(spread[c:, c:])
            information = data.along_x.T @ weight @ data.along_x
            beta = inverse(information) @ data.along_x.T @ weight @ data.along_y
        except np.linalg.LinAlgError as error:
            raise EstimationError(
                "the moments of the instruments have no full-rank covariance (too few clusters?)"
            ) from error
        moments = data.along_y - data.along_x @ beta
        mixed = spread[:c, c:] @ weight
        shift = mixed @ moments
        new = data.y - data.x @ beta
        if not bare:
            new += product(data.controls.q, shift[:, None])[:, 0]
        return cls(beta, shift, mixed, weight, information, new, float(moments @ weight @ moments))


def _spread(data: Partialled, residuals: Floats, options: GMMOptions, bare: bool) -> Floats:
    """Covariance of the sums of moments, (c + k, c + k), of the instruments alone if bare."""
    scores = data.q * residuals[:, None]
    if not bare:
        scores = np.column_stack([data.controls.q * residuals[:, None], scores])
    if options.centred:
        scores -= scores.mean(axis=0)
    spread = score_covariance(scores, data.clusters, options.kind, 0)
    if is_clustered(options.kind) and min(int(codes.max()) + 1 for codes in data.clusters) < data.k:
        raise EstimationError("GMM by clusters needs more clusters than instruments")
    return spread


def _whole(data: Partialled, step: _Step, options: GMMOptions) -> WholeEstimate:
    e, c = data.e, data.c
    last = _spread(data, step.residuals, options, bare=False)
    if options.covariance == "efficient":
        weight = inverse(last[c:, c:])
        information = data.along_x.T @ weight @ data.along_x
        mixed = last[:c, c:] @ weight
    else:
        weight, information, mixed = step.weight, step.information, step.mixed
    to_beta = inverse(information) @ data.along_x.T @ weight
    to_controls = -mixed @ (np.eye(data.k) - data.along_x @ to_beta)
    slopes = data.controls.coefficients(data.on_controls[:, : 1 + e])
    turn = data.controls.coefficients(np.eye(c))
    influence = np.block(
        [
            [np.zeros((e, c)), to_beta],
            [turn, turn @ to_controls - slopes[:, 1:] @ to_beta],
        ]
    )
    controls = slopes[:, 0] - slopes[:, 1:] @ step.beta - turn @ step.shift
    return WholeEstimate(np.concatenate([step.beta, controls]), influence @ last @ influence.T)
