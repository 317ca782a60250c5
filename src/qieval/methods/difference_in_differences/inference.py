"""Which interval the average effect gets: analytic, wild cluster bootstrap, or permutation of treated
clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qieval.errors import DataError
from qieval.numerics.absorb import Fit
from qieval.numerics.covariance import covariance, t_interval
from qieval.numerics.few_clusters import TOO_FEW_PER_ARM, cautious_df, reliable
from qieval.numerics.permutation import permute_clusters
from qieval.numerics.resampling import Resampling
from qieval.numerics.wild_bootstrap import wild_cluster_bootstrap
from qieval.shapes import Panel
from qieval.text import plural

MOST_BOOTSTRAP_CLUSTERS = 400
"""The bootstrap keeps clusters x clusters matrices; beyond this the permutation is cheaper and as valid."""


@dataclass(frozen=True)
class Inference:
    """Standard error, interval and p-value of an effect, and how they were made.

    df: degrees of freedom of the analytic interval. for_few: whether the interval was made for few
    clusters instead.
    """

    std_error: float
    low: float
    high: float
    p_value: float
    label: str
    clusters: int
    treated_clusters: int
    df: float
    notes: tuple[str, ...] = ()
    for_few: bool = False


@dataclass(frozen=True, eq=False)
class _Clusters:
    """Cluster codes 0..G-1 of the rows of a fit, ordered by their outcomes so that labels do not matter.

    code (rows given to the fit,): -1 for rows that the fit left out. treated (G,). mixed: how many hold
    both groups.
    """

    code: np.ndarray
    treated: np.ndarray
    mixed: int

    @property
    def smaller_arm(self) -> int:
        return int(min(self.treated.sum(), (~self.treated).sum()))


def infer(design: Any, fit: Fit, panel: Panel, after: np.ndarray) -> Inference:
    """The interval that the design asks for; 'automatic' chooses by the number of clusters in each arm.

    panel: exactly the rows that were given to the fit; after (n,): the rows that count as after.
    """
    clusters = _clusters(fit, panel)
    wanted = _wanted(design, clusters)
    analytic = _analytic(design, fit, panel, clusters)
    if wanted == "permutation":
        return _permutation(design, fit, after, clusters, analytic)
    if wanted == "wild cluster bootstrap":
        return _bootstrap(design, fit, after, clusters, analytic)
    return analytic


def _wanted(design: Any, clusters: _Clusters) -> str:
    return str(design.inference) if design.inference != "automatic" else _automatic(design, clusters)


def _automatic(design: Any, clusters: _Clusters) -> str:
    count = len(clusters.treated)
    if design.variance != "cluster" or reliable(count, clusters.smaller_arm):
        return "analytic"
    if clusters.mixed:
        return "wild cluster bootstrap"
    if clusters.smaller_arm < TOO_FEW_PER_ARM or count > MOST_BOOTSTRAP_CLUSTERS:
        return "permutation"
    return "wild cluster bootstrap"


def _clusters(fit: Fit, panel: Panel) -> _Clusters:
    used = fit.base.rows.used
    raw = np.unique(panel.cluster[used], return_inverse=True)[1]
    rows = np.bincount(raw)
    treated = np.bincount(raw, weights=panel.treated[used])
    content = np.bincount(raw, weights=panel.outcome[used])
    rank = np.empty(len(rows), dtype=np.intp)
    rank[np.lexsort((content, treated > 0))] = np.arange(len(rows))
    ordered = np.empty(len(rows), dtype=bool)
    ordered[rank] = treated > 0
    code = np.full(len(used), -1, dtype=np.intp)
    code[used] = rank[raw]
    return _Clusters(code, ordered, int(((treated > 0) & (treated < rows)).sum()))


def _analytic(design: Any, fit: Fit, panel: Panel, clusters: _Clusters) -> Inference:
    found = covariance(fit, design.variance, panel.cluster, design.small_sample)
    df, cautious = found.df, ""
    if design.inference == "automatic" and design.variance == "cluster":
        df = cautious_df(found.df, clusters.smaller_arm)
        cautious = " (clusters of the smaller group less one)" if df < found.df else ""
    interval = t_interval(fit.beta[:1], found.std_error[:1], df, design.level)
    label = {
        "cluster": "cluster-robust t",
        "hc1": "heteroskedasticity-robust t (HC1)",
        "iid": "equal-variance t",
    }[design.variance]
    notes: tuple[str, ...] = ()
    if found.degenerate[0]:
        notes = (
            (
                "No standard error can be computed: the effect lies in a single cluster, which the model fits"
                " exactly."
            ),
        )
    return Inference(
        std_error=float(found.std_error[0]),
        low=float(interval.low[0]),
        high=float(interval.high[0]),
        p_value=float(interval.p_value[0]),
        label=f"{label} with {df:,.0f} degrees of freedom{cautious}",
        df=df,
        clusters=len(clusters.treated),
        treated_clusters=int(clusters.treated.sum()),
        notes=notes,
    )


def _permutation(
    design: Any, fit: Fit, after: np.ndarray, clusters: _Clusters, analytic: Inference
) -> Inference:
    if clusters.mixed:
        raise DataError(
            f"inference, cluster: {plural(clusters.mixed, 'cluster')} of '{design.cluster or design.unit}'"
            " hold treated and comparison rows, so treatment cannot be permuted between clusters. Use a"
            " cluster that was treated as a whole, or inference='wild cluster bootstrap'."
        )
    found = permute_clusters(
        fit.base, after.astype(float), clusters.code, clusters.treated, _resampling(design)
    )
    how = f"all {found.n_assignments:,}" if found.enumerated else f"{design.draws:,} random"
    notes = [
        f"The interval comes from permuting which {plural(int(clusters.treated.sum()), 'cluster')} of"
        f" {len(clusters.treated):,} is treated ({how} assignments). It assumes that any cluster could have"
        " been the treated one."
    ]
    if not np.isfinite([found.low, found.high]).any():
        notes.append(
            f"With {found.n_assignments:,} possible assignments the smallest p-value is"
            f" {found.smallest_p:.3f}, so no {design.level:.0%} interval can be bounded. More comparison"
            " clusters are needed."
        )
    return replace(
        analytic,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        label=f"permutation of treated clusters ({how} assignments)",
        notes=tuple(notes),
        for_few=True,
    )


def _bootstrap(design: Any, fit: Fit, _: np.ndarray, clusters: _Clusters, analytic: Inference) -> Inference:
    codes = np.where(clusters.code < 0, len(clusters.treated), clusters.code)
    found = wild_cluster_bootstrap(fit, codes, _resampling(design))
    notes = [
        f"With {plural(found.n_clusters, 'cluster')} ({int(clusters.treated.sum()):,} treated) an ordinary"
        " cluster-robust interval would be too narrow; this one comes from a wild cluster bootstrap."
    ]
    if not found.converged or not np.isfinite([found.low, found.high]).all():
        notes.append(
            "The bootstrap gives no bounded interval: the effect has no variance between clusters, or too few"
            " draws differ."
        )
    if clusters.smaller_arm < TOO_FEW_PER_ARM:
        notes.append(
            f"With fewer than {TOO_FEW_PER_ARM} clusters in one group the wild cluster bootstrap is"
            " unreliable; use inference='permutation'."
        )
    return replace(
        analytic,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        label=(
            f"wild cluster bootstrap ({found.n_draws:,} {'possible' if found.enumerated else 'random'}"
            f" {found.weights} draws)"
        ),
        notes=tuple(notes),
        for_few=True,
    )


def _resampling(design: Any) -> Resampling:
    return Resampling(draws=design.draws, level=design.level, seed=design.seed)
