"""An event study as honest bounds read it: sorted periods, slopes between them, changes of slope."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

SYMMETRIC = 1e-8


@dataclass(frozen=True, eq=False)
class EventStudy:
    """Estimates by time since start, and the average of them that is asked about.

    estimate (k,) and covariance (k, k) without the reference period; pre (k,) marks periods before the
    start. target (n_post,): weights of the periods after the start, in the order in which they stand in
    estimate; the effect asked about is target'effect. at (k,): event times in any order (gaps allowed), None
    for consecutive ones around `reference`, whose event time lies after every pre- and before every
    post-period. df: degrees of freedom of the standard errors, inf for the normal distribution.
    """

    estimate: Floats
    covariance: Floats
    pre: Mask
    target: Floats
    at: Floats | None = None
    reference: float = -1.0
    df: float = np.inf


@dataclass(frozen=True, eq=False)
class SortedStudy:
    """The same with periods in order of time, pre-periods first.

    slopes (k, k): row i times the differences from parallel trends is their change per unit of time over
    the i-th interval between neighbouring periods, reference (zero) included; the first n_pre intervals
    lie before the reference. bends (k - 1, k): change of slope at each inner period per unit of time
    (intervals meet at their middles); the first n_pre - 1 use pre-periods only. With consecutive periods
    these are plain first and second differences.
    """

    estimate: Floats
    covariance: Floats
    n_pre: int
    target: Floats
    slopes: Floats = field(repr=False)
    bends: Floats = field(repr=False)
    since: Floats = field(repr=False)
    """Event times (k,) relative to the reference."""

    @property
    def standard_error(self) -> float:
        """Standard error of the target."""
        post = self.covariance[self.n_pre :, self.n_pre :]
        return float(np.sqrt(max(float(self.target @ post @ self.target), 0.0)))

    @property
    def value(self) -> float:
        """Estimate of the target."""
        return float(self.target @ self.estimate[self.n_pre :])


def study_problem(study: EventStudy) -> str:
    """What keeps honest bounds from being computed for this study, as a sentence; empty if nothing."""
    k, n_post = study.estimate.size, int(np.sum(~study.pre))
    if not study.pre.any() or not n_post:
        return (
            "Honest bounds need at least one period before the start, besides the reference period, and one "
            "after it; keep more periods in the event study."
        )
    if study.covariance.shape != (k, k) or study.target.shape != (n_post,) or study.pre.shape != (k,):
        return "The estimates, their covariance and the weights of the target do not have matching lengths."
    numbers = [study.estimate, study.covariance, study.target]
    if not all(np.isfinite(values).all() for values in numbers):
        return "An estimate, a covariance or a weight is missing; leave out periods without an estimate."
    return _target_problem(study) or _time_problem(study)


def _target_problem(study: EventStudy) -> str:
    if not study.target.any():
        return "All weights of the target are zero; give at least one period after the start a weight."
    post = study.covariance[np.ix_(~study.pre, ~study.pre)]
    if not study.target @ post @ study.target > 0:
        return "The target has no standard error above zero, so that its uncertainty cannot be bounded."
    largest = float(np.abs(study.covariance).max())
    if np.abs(study.covariance - study.covariance.T).max() > SYMMETRIC * largest:
        return "The covariance of the estimates is not symmetric; it has to be a covariance matrix."
    if scipy.linalg.eigvalsh(study.covariance)[0] < -SYMMETRIC * largest * study.estimate.size:
        return "The covariance of the estimates has negative variances; it has to be a covariance matrix."
    if not study.df > 0:
        return "There are no degrees of freedom left for the standard errors; use more clusters or units."
    return ""


def _time_problem(study: EventStudy) -> str:
    if study.at is None:
        return ""
    if study.at.shape != study.estimate.shape or not np.isfinite(study.at).all():
        return "Every estimate needs an event time that is a number."
    if len(np.unique(study.at)) < study.at.size:
        return "Two estimates have the same event time; keep one estimate for each."
    if study.at[study.pre].max() >= study.reference or study.at[~study.pre].min() <= study.reference:
        return (
            "The reference period has to lie after all periods before the start and before all later ones; "
            "use a universal base period."
        )
    return ""


def sorted_study(study: EventStudy, level: float = 0.95) -> SortedStudy:
    """The study in order of time, for a study without problem (`study_problem`).

    With finite df the covariance is multiplied by the squared ratio of the t to the normal quantile of
    `level`, so that everything that follows may use the normal distribution: exact for the conventional
    interval, an approximation that widens the others.
    """
    n_pre = int(study.pre.sum())
    at = _event_times(study)
    order = np.argsort(at)
    position = np.empty(at.size, dtype=np.intp)
    position[~study.pre] = np.arange(study.target.size)
    since = at[order]
    points = np.insert(since, n_pre, 0.0)
    gaps = np.diff(points)
    slopes = np.delete(np.diff(np.eye(points.size), axis=0) / gaps[:, None], n_pre, axis=1)
    bends = np.diff(slopes, axis=0) / ((gaps[1:] + gaps[:-1]) / 2)[:, None]
    covariance = (study.covariance + study.covariance.T) / 2 * _inflation(study.df, level)
    return SortedStudy(
        estimate=study.estimate[order],
        covariance=covariance[np.ix_(order, order)],
        n_pre=n_pre,
        target=study.target[position[order[n_pre:]]],
        slopes=slopes,
        bends=bends,
        since=since,
    )


def _event_times(study: EventStudy) -> Floats:
    """Event times relative to the reference (k,)."""
    if study.at is not None:
        return np.asarray(study.at - study.reference)
    out = np.empty(study.estimate.size)
    out[study.pre] = np.arange(-study.pre.sum(), 0)
    out[~study.pre] = np.arange(1, study.target.size + 1)
    return out


def _inflation(df: float, level: float) -> float:
    if np.isinf(df):
        return 1.0
    tail = (1 + level) / 2
    return float((scipy.special.stdtrit(df, tail) / scipy.special.ndtri(tail)) ** 2)
