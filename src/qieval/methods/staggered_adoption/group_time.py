"""Effects by cohort and period against units that have not begun, and their averages with influence
functions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.rows import unit_clusters
from qieval.numerics.group_time import group_time
from qieval.numerics.group_time_aggregate import Kind, Members, Window, aggregate
from qieval.numerics.group_time_cells import Base, Controls, Estimator, GroupTime, Rules
from qieval.numerics.group_time_rows import Rows, group_time_rows
from qieval.numerics.group_time_together import together
from qieval.numerics.group_time_variance import SmallSample
from qieval.numerics.triple_difference import triple_difference
from qieval.rollout.effects import Average, Effects
from qieval.rollout.panel import Rollout

Clusters = np.ndarray | tuple[np.ndarray, np.ndarray] | None


def fit(design: StaggeredAdoption, rollout: Rollout) -> Effects:
    """Effects by cohort and period (Callaway and Sant'Anna 2021), or triple differences."""
    rules = Rules(
        estimator=cast(Estimator, design.estimator),
        control_group=cast(Controls, design.control_group),
        base_period=cast(Base, design.base_period),
        anticipation=design.anticipation,
    )
    if crossed(design, rollout):
        used, cells, members, clusters = _sampled(design, rollout, rules)
    else:
        used, cells, members, clusters = _followed(design, rollout, rules)
    averages, matrix = averages_of(design, cells, members, clusters)
    variance = np.diag(matrix)
    return Effects(
        cohort=cells.cohort,
        time=cells.time,
        estimate=cells.estimate,
        std_error=np.sqrt(np.where(variance > 0, variance, np.nan)),
        n_treated=cells.n_treated,
        n_control=cells.n_control,
        reason=cells.reason,
        averages=averages,
        df=np.inf,
        clusters=_counted(clusters, cells.n),
        label=_label(design),
        reference=-1 - design.anticipation if design.base_period == "universal" else None,
        cells=cells,
        units=used.units if design.units_are == "organisations" and used.began is not None else None,
        members=members,
        clusters_of_units=clusters,
    )


def averages_of(
    design: StaggeredAdoption, cells: GroupTime, members: Members, clusters: Clusters
) -> tuple[dict[str, Average], np.ndarray]:
    """Every average of effects by cohort and period, and the covariance of the cells."""
    whole = together(cells, members, clusters, _small_sample(design))
    ways = clusters if isinstance(clusters, tuple) else ()
    single = [together(cells, members, way, _small_sample(design)) for way in ways]
    made: dict[str, Average] = {}
    kinds: tuple[Kind, ...] = ("group", "simple", "dynamic", "calendar")
    for kind in kinds:
        balanced = float(design.balanced_to) if kind == "dynamic" and design.balanced_to >= 0 else None
        window = Window(balanced=balanced)
        found, covariance = whole.average(kind, window)
        if balanced is not None and not len(found.at):
            raise EstimationError(
                f"balanced_to: no cohort was followed for {balanced:g} periods after its start. Use fewer,"
                " or -1 for all cohorts as they are."
            )
        influence = None
        if design.inference == "multiplier bootstrap":
            full = aggregate(cells, members, kind, window=window)
            influence = np.column_stack([full.overall_influence, full.influence])
        made[kind] = Average(
            at=found.at,
            estimate=found.estimate,
            covariance=covariance[1:, 1:],
            overall=found.overall,
            overall_error=_root(covariance, *(one.average(kind, window)[1] for one in single)),
            influence=influence,
        )
    return made, whole.of_cells


def _root(*covariances: np.ndarray) -> float:
    """The standard error of the overall effect: the largest of several (two ways of clustering are never
    taken as more certain than either alone)."""
    variance = max(float(held[0, 0]) for held in covariances)
    return float(np.sqrt(variance)) if variance > 0 else np.nan


def _small_sample(design: StaggeredAdoption) -> SmallSample:
    return "clusters" if design.small_sample == "clusters" else "none"


def _counted(clusters: Clusters, n: int) -> int:
    """How many clusters, by the way with fewer."""
    if clusters is None:
        return n
    ways = clusters if isinstance(clusters, tuple) else (clusters,)
    return min(len(np.unique(way)) for way in ways)


def crossed(design: StaggeredAdoption, rollout: Rollout) -> bool:
    """Whether rows are taken as sampled anew in each period."""
    return rollout.began is None or (design.unbalanced == "cross-sections" and not rollout.is_grid)


def _followed(
    design: StaggeredAdoption, rollout: Rollout, rules: Rules
) -> tuple[Rollout, GroupTime, Members, Clusters]:
    used = rollout.whole() if design.unbalanced == "drop" else rollout
    panel = used.wide()
    weights = None if panel.weights is None else _first_weights(panel.weights)
    if used.eligible is None:
        cells = group_time(panel, rules)
        first = panel.first
    else:
        eligible = used.of_units(used.eligible)
        cells = triple_difference(panel, eligible, rules)
        first = np.where(eligible, panel.first, np.inf)
    members = Members(first=first, weights=weights, unit=None)
    return used, cells, members, _clusters(design, used)


def _first_weights(weights: np.ndarray) -> np.ndarray:
    """The weight of each unit for the sizes of cohorts: the first where weights change over time."""
    return weights if weights.ndim == 1 else np.asarray(weights[:, 0])


def _sampled(
    design: StaggeredAdoption, rollout: Rollout, rules: Rules
) -> tuple[Rollout, GroupTime, Members, Clusters]:
    followed = rollout.began is not None
    rows = Rows(
        y=rollout.outcome,
        time=rollout.times[rollout.time],
        first=rollout.first,
        x=rollout.x,
        weights=rollout.weights,
        unit=rollout.unit if followed else None,
    )
    members = rows.members()
    if not followed and not rollout.has_never and design.control_group == "not yet":
        members = _before_the_last(design, rollout, members)
    clusters = _clusters(design, rollout) if followed else _clusters_of_rows(rollout)
    return rollout, group_time_rows(rows, rules), members, clusters


def _before_the_last(design: StaggeredAdoption, rollout: Rollout, members: Members) -> Members:
    """Cohorts weighed by the rows before the last cohort may anticipate its start, as R did has it: later
    rows are compared with nobody."""
    counted = rollout.times[rollout.time] < rollout.starts[-1] - design.anticipation
    weights = np.ones(len(rollout)) if members.weights is None else members.weights
    return replace(members, weights=np.where(counted, weights, 0.0))


def _clusters_of_rows(rollout: Rollout) -> Clusters:
    """Clusters of repeated cross-sections; None where each row is its own."""
    if rollout.second is not None:
        return rollout.cluster, rollout.second
    return None if np.bincount(rollout.cluster).max() == 1 else rollout.cluster


def _clusters(design: StaggeredAdoption, rollout: Rollout) -> Clusters:
    """Codes of clusters by unit; None where each unit is its own."""
    if rollout.second is not None:
        second = unit_clusters(design, rollout, rollout.second)
        return unit_clusters(design, rollout, rollout.cluster), second
    if design.cluster in (None, design.unit):
        return None
    return unit_clusters(design, rollout, rollout.cluster)


def _label(design: StaggeredAdoption) -> str:
    against = "never-treated" if design.control_group == "never" else "not-yet-treated"
    how = {
        "doubly robust": "doubly robust",
        "ipw": "inverse probability weighted",
        "regression": "outcome regression",
    }[design.estimator]
    what = "triple differences" if design.eligible else "group-time effects"
    return f"{what}, {how if design.covariates else 'without covariates'}, {against} units compared"
