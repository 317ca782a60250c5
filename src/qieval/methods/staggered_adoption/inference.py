"""Which interval the effects get: analytic, multiplier bootstrap, or a method for few clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.drawn import randomised, resampling, wild
from qieval.numerics.cluster_jackknife import cluster_jackknife
from qieval.numerics.covariance import t_interval
from qieval.numerics.few_clusters import cautious_df, reliable
from qieval.numerics.joint import sup_t
from qieval.numerics.multiplier_bootstrap import multiplier_bootstrap
from qieval.rollout.effects import Average, Effects
from qieval.rollout.panel import Rollout
from qieval.text import plural

Fit = Callable[[StaggeredAdoption, Rollout], Effects]
OF_INTERVALS = ("With ", "Standard errors of the multiplier", "The interval of the headline", "Without ")
"""How notes about the interval begin."""
ORDINARY = ("analytic", "multiplier bootstrap")
MOST_JACKKNIFED = 400
"""The jackknife over clusters estimates once for each; beyond this many clusters it is not needed."""


@dataclass(frozen=True)
class Overall:
    """An overall effect with standard error, interval and p-value (of a ratio: of its logarithm)."""

    estimate: float
    std_error: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Inference:
    """Intervals of the overall effects by aggregation, and what the parts get.

    df: degrees of freedom of pointwise intervals. errors: standard errors of the parts by aggregation, where
    they do not come from the covariance; criticals: critical values of the bands, where they were drawn.
    bands: whether there are bands. errors["cells"] are those of effects by cohort and period.
    """

    overall: Mapping[str, Overall]
    label: str
    df: float
    clusters: int
    treated_clusters: int
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    criticals: Mapping[str, float] = field(default_factory=dict)
    bands: bool = True
    notes: tuple[str, ...] = ()

    def part_error(self, kind: str, average: Average) -> np.ndarray:
        """The standard errors of the parts of an average."""
        return self.errors.get(kind, average.std_error)


@dataclass(frozen=True)
class _Arms:
    """Clusters that begin, and that do not (or begin later than the first)."""

    treated: int
    compared: int
    total: int

    @property
    def smaller(self) -> int:
        return min(self.treated, self.compared)


def infer(design: StaggeredAdoption, rollout: Rollout, effects: Effects, fit: Fit) -> Inference:
    """The intervals that the design asks for; 'automatic' chooses by the number of clusters."""
    arms = _arms(design, rollout)
    analytic = _analytic(design, effects, arms)
    wanted = design.inference
    if wanted == "automatic":
        few = not reliable(arms.total, arms.smaller) and arms.total <= MOST_JACKKNIFED
        few = few and rollout.second is None
        wanted = "cluster jackknife" if few and arms.smaller > 1 else "analytic"
    if wanted == "multiplier bootstrap":
        return _bootstrapped(design, effects, analytic)
    if wanted == "cluster jackknife":
        return _jackknifed(design, rollout, effects, analytic, fit)
    if wanted in ("wild cluster bootstrap", "randomisation"):
        return _drawn(design, rollout, effects, analytic, fit)
    return analytic


def _arms(design: StaggeredAdoption, rollout: Rollout) -> _Arms:
    """How many clusters there are to judge by."""
    if rollout.began is None:
        first, cluster = rollout.first, rollout.cluster
    else:
        first, cluster = rollout.began, rollout.of_units(rollout.cluster)
    ever = np.isfinite(first)
    against_never = design.control_group == "never" and rollout.has_never
    others = ~ever if against_never else first > rollout.starts.min()
    found = _Arms(_distinct(cluster[ever]), _distinct(cluster[others]), _distinct(cluster))
    if rollout.second is None:
        return found
    ways = _distinct(rollout.second)
    return _Arms(min(found.treated, ways), min(found.compared, ways), min(found.total, ways))


def _distinct(codes: np.ndarray) -> int:
    return int(np.count_nonzero(np.bincount(codes))) if len(codes) else 0


def _analytic(design: StaggeredAdoption, effects: Effects, arms: _Arms) -> Inference:
    df = effects.df
    if design.inference == "automatic" or design.second_cluster is not None:
        df = cautious_df(df, max(arms.smaller, 2))
    found = analytic_inference(design, replace(effects, df=df), arms.total, arms.treated)
    return replace(found, notes=(*found.notes, *_worthless(effects, design, arms)))


def _worthless(effects: Effects, design: StaggeredAdoption, arms: _Arms) -> list[str]:
    """Why an interval says nothing, in words."""
    error = effects.averages[effects.chosen(design.aggregation)].overall_error
    if not error > 0 or arms.total < 2:
        return [
            "No standard error can be computed: the outcome does not vary between clusters beyond what the"
            " estimate explains."
        ]
    if design.second_cluster is not None and not reliable(arms.total, arms.smaller):
        return [
            f"With {plural(arms.smaller, 'group')} in the smaller way of clustering errors of two ways are"
            " too small, and no interval for few groups knows of two. Keep the way with fewer groups"
            " alone, with"
            " inference='cluster jackknife'."
        ]
    if arms.smaller > 1 and not reliable(arms.total, arms.smaller) and design.inference in ORDINARY:
        return [
            f"With {plural(arms.total, 'cluster')} ({plural(arms.smaller, 'cluster')} in the smaller group)"
            f" intervals by inference='{design.inference}' are too narrow. Use 'automatic' or 'cluster"
            " jackknife'."
        ]
    if arms.smaller == 1:
        which = "begins" if arms.treated == 1 else "is compared with"
        return [
            f"A single cluster {which}, and how much clusters differ cannot be told from one, so the interval"
            " is worthless. Use more units, a synthetic control, or (where the order was drawn by lot)"
            " inference='randomisation'."
        ]
    return []


def analytic_inference(design: StaggeredAdoption, effects: Effects, clusters: int, treated: int) -> Inference:
    """Intervals from the standard errors of the averages."""
    df = effects.df
    errors = {
        kind: average.overall_error if clusters > 1 else np.nan for kind, average in effects.averages.items()
    }
    named = f"t with {df:,.0f} degrees of freedom" if np.isfinite(df) else "normal"
    return Inference(
        overall=_overall(design, effects, errors, df),
        label=f"standard errors by {plural(clusters, 'cluster')}, {named}",
        df=df,
        clusters=clusters,
        treated_clusters=treated,
    )


def _overall(
    design: StaggeredAdoption, effects: Effects, errors: Mapping[str, float], df: float
) -> dict[str, Overall]:
    names = list(effects.averages)
    estimate = np.array([effects.averages[name].overall for name in names])
    error = np.array([errors[name] if errors[name] > 0 else np.nan for name in names])
    found = t_interval(estimate, error, df, design.level)
    return {
        name: Overall(*(float(part[i]) for part in (estimate, error, found.low, found.high, found.p_value)))
        for i, name in enumerate(names)
    }


def _bootstrapped(design: StaggeredAdoption, effects: Effects, analytic: Inference) -> Inference:
    """Standard errors and critical values from drawn multipliers, as R did has them by default."""
    held = {kind: average.influence for kind, average in effects.averages.items()}
    whole = np.column_stack([influence[:, 0] for influence in held.values() if influence is not None])
    found = multiplier_bootstrap(whole, resampling(design), effects.clusters_of_units)
    overall = dict(zip(held, found.std_error.tolist(), strict=True))
    errors, criticals = {}, {}
    for kind, influence in held.items():
        if influence is not None and influence.shape[1] > 1:
            parts = multiplier_bootstrap(influence[:, 1:], resampling(design), effects.clusters_of_units)
            errors[kind], criticals[kind] = parts.std_error, float(parts.critical)
    return replace(
        analytic,
        overall=_overall(design, effects, overall, np.inf),
        label=f"multiplier bootstrap ({design.draws:,} draws; interquartile range)",
        df=np.inf,
        errors=errors,
        criticals=criticals,
        notes=(
            "Standard errors of the multiplier bootstrap come from the interquartile range of the draws,"
            " as in R did, and may differ from analytic ones by a few per cent.",
        ),
    )


def _jackknifed(
    design: StaggeredAdoption, rollout: Rollout, effects: Effects, analytic: Inference, fit: Fit
) -> Inference:
    """Variances from leaving out one cluster at a time (CV3), and t with one degree of freedom less than
    clusters in the smaller group."""
    codes, labels = np.unique(rollout.cluster, return_inverse=True)

    everyone = _stacked(effects, effects)

    def again(kept: np.ndarray) -> np.ndarray:
        try:
            return _stacked(effects, fit(design, rollout.where(kept[labels])))
        except EstimationError:
            return np.full(len(everyone), np.nan)

    found = cluster_jackknife(again, everyone, len(codes), level=design.level)
    if found.reason[0]:
        if design.inference == "automatic":
            return replace(analytic, notes=(*analytic.notes, found.reason[0]))
        raise EstimationError(f"inference: {found.reason[0][0].lower()}{found.reason[0][1:]}")
    errors = found.std_error
    arms = _arms(design, rollout)
    df = cautious_df(float(found.df), max(arms.smaller, 2))
    kinds = list(effects.averages)
    parts, criticals, at = {}, {}, len(kinds)
    for kind in kinds:
        size = len(effects.averages[kind].at)
        parts[kind] = errors[at : at + size]
        at += size
        known = np.flatnonzero(errors[at - size : at] > 0) + at - size
        if len(known):
            criticals[kind] = float(sup_t(found.covariance[np.ix_(known, known)], df, design.level))
    parts["cells"] = errors[at:]
    return replace(
        analytic,
        overall=_overall(design, effects, dict(zip(kinds, errors.tolist(), strict=False)), df),
        label=f"jackknife over {plural(len(codes), 'cluster')}, t with {df:,.0f} degrees of freedom",
        df=df,
        errors=parts,
        criticals=criticals,
        notes=(
            f"With {plural(len(codes), 'cluster')} ({plural(arms.smaller, 'cluster')} on the smaller side)"
            " ordinary standard errors would be too small; these come from leaving out each cluster in turn.",
        ),
    )


def _stacked(stated: Effects, found: Effects) -> np.ndarray:
    """The overall effects and all parts of `stated` as one array, filled from `found`; NaN where that lacks
    one."""
    values = [found.averages[kind].overall for kind in stated.averages]
    for kind, average in stated.averages.items():
        held = dict(zip(found.averages[kind].at.tolist(), found.averages[kind].estimate, strict=True))
        values += [held.get(moment, np.nan) for moment in average.at.tolist()]
    cells = dict(zip(_keys(found), found.estimate.tolist(), strict=True))
    values += [cells.get(key, np.nan) for key in _keys(stated)]
    return np.array(values, dtype=float)


def _keys(effects: Effects) -> list[tuple[float, int]]:
    """What tells the cells apart."""
    return list(zip(effects.cohort.tolist(), effects.time.tolist(), strict=True))


def _drawn(
    design: StaggeredAdoption, rollout: Rollout, effects: Effects, analytic: Inference, fit: Fit
) -> Inference:
    """The overall effect of the headline by a wild cluster bootstrap or by drawing the order of the roll-out
    again."""
    if design.inference == "randomisation":
        found = randomised(design, rollout, effects, fit)
    else:
        found = wild(design, rollout, effects)
    chosen = effects.chosen(design.aggregation)
    one = analytic.overall[chosen]
    named = Overall(one.estimate, one.std_error, found.low, found.high, found.p_value)
    return replace(
        analytic,
        overall={**analytic.overall, chosen: named},
        label=found.label,
        bands=False,
        notes=found.notes,
    )
