"""Were the groups on the same path before? Effects of leads among untreated rows, beside imputed effects.

Source: Borusyak, Jaravel and Spiess (2024), section 4.4: ordinary least squares on untreated rows only, so
that testing does not distort the effects that follow. With all leads but -1, the numbers are those of
R didimputation 0.5.0 with pretrends = TRUE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qieval.numerics.absorb import Fit, fit_event, within
from qieval.numerics.covariance import Covariance, Kind, SmallSample, covariance
from qieval.numerics.imputation_model import ImputationRows
from qieval.numerics.two_way import Codes, Floats, sums, two_way

WHY = "This lead has no untreated rows left to compare, or other leads explain it; ask for fewer leads."


@dataclass(frozen=True, eq=False)
class Pretrends:
    """Differences before the start, per lead, relative to the leads not asked for.

    lead (k,) periods since the start, negative. estimate (k,): NaN where `reason` says why, else ''.
    covariance: its matrix (k + covariates, ...) has the leads first. n_rows (k,) untreated rows of each lead.
    code (N,): the lead of each row used, -1 for the reference, -2 for rows that took no part.
    """

    lead: Floats
    estimate: Floats
    std_error: Floats
    n_rows: Codes
    code: Codes
    reason: tuple[str, ...]
    covariance: Covariance
    fit: Fit


@dataclass(frozen=True)
class PretrendErrors:
    """How standard errors of leads are computed: kind and small_sample as in `covariance`.

    The default counts units seen once before the start, as didimputation 0.5.0 does; "fixest" does not.
    """

    kind: Kind = "cluster"
    small_sample: SmallSample = "stata"


def pretrends(
    rows: ImputationRows,
    leads: Sequence[float] | None = None,
    clusters: Codes | None = None,
    errors: PretrendErrors | None = None,
) -> Pretrends | str:
    """Fit leads on untreated rows; a sentence if there are none.

    leads: periods since the start to estimate; those left out (and units never treated) are the reference.
    None: all but the last one before the start (less anticipation). The paper advises a few leads close to
    the start, -1 included, with all earlier periods as the reference. clusters (N,) codes, None for units.
    Rows alone in their unit or period are left out, as they carry no information.
    """
    errors = PretrendErrors() if errors is None else errors
    untreated = rows.when < rows.first - rows.anticipation
    if not untreated.any():
        return "Every row is treated, so there is no earlier path to look at; add periods before the start."
    since = rows.when[untreated] - rows.first[untreated]
    lead = np.array(sorted(_all_leads(since) if leads is None else set(leads)), dtype=float)
    code = _codes(since, lead)
    prepared = two_way(
        rows.unit[untreated], rows.time[untreated], None if rows.weights is None else rows.weights[untreated]
    )
    x = None if rows.x is None or not rows.x.shape[1] else rows.x[untreated]
    fit = fit_event(within(prepared, rows.y[untreated], x), code, lead.size)
    home = (rows.unit if clusters is None else clusters)[untreated]
    found = covariance(fit, errors.kind, home if errors.kind == "cluster" else None, errors.small_sample)
    place = np.full(untreated.size, -2, dtype=np.intp)
    place[np.flatnonzero(untreated)[prepared.used]] = code[prepared.used]
    return Pretrends(
        lead=lead,
        estimate=fit.beta,
        std_error=found.std_error[: lead.size],
        n_rows=np.bincount(place + 2, minlength=lead.size + 2)[2:],
        code=place,
        reason=tuple(WHY if lost else "" for lost in fit.collinear),
        covariance=found,
        fit=fit,
    )


def lead_scores(found: Pretrends, clusters: Codes) -> Floats:
    """Contribution of each cluster to each lead (n_clusters, k), without a small-sample factor.

    clusters (N,) as in `averages`; beside its scores these give the covariance of leads and effects. Zero
    columns for leads without estimate.
    """
    fit = found.fit
    base, n_clusters = fit.base, int(clusters.max(initial=-1)) + 1
    home, code = clusters[found.code > -2], found.code[found.code > -2]
    kept = np.flatnonzero(~fit.collinear)
    raw = np.empty((n_clusters, kept.size + base.x.shape[0]))
    moment = base.rows.weighted(fit.error)
    for j, lead in enumerate(kept):
        column = (code == lead).astype(float)
        base.rows.residualise(column[None, :])
        raw[:, j] = sums(home, moment * column, n_clusters)
    for j, line in enumerate(base.x, start=kept.size):
        raw[:, j] = sums(home, moment * line, n_clusters)
    out = np.zeros((n_clusters, found.lead.size))
    out[:, kept] = raw @ fit.bread[:, : kept.size]
    return out


def _all_leads(since: Floats) -> Floats:
    """All but the last."""
    return np.unique(since[np.isfinite(since)])[:-1]


def _codes(since: Floats, lead: Floats) -> Codes:
    """Place of each value among the leads (sorted), -1 if it is none of them."""
    if not lead.size:
        return np.full(since.size, -1, dtype=np.intp)
    place = np.minimum(np.searchsorted(lead, since), lead.size - 1)
    return np.where(lead[place] == since, place, -1)
