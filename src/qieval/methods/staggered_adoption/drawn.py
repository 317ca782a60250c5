"""Intervals of the overall effect from draws: a wild cluster bootstrap of a regression, or the order of the
roll-out drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.rows import roll_out_rows, used_rows, without_anticipation
from qieval.numerics.absorb import fit_static
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_permutation import permute_rollout_linear
from qieval.numerics.two_way import compact
from qieval.numerics.wild_bootstrap import wild_cluster_bootstrap
from qieval.numerics.wild_combination import wild_combination
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout
from qieval.text import plural

Fit = Callable[[StaggeredAdoption, Rollout], Effects]


@dataclass(frozen=True)
class Drawn:
    """Interval and p-value of the overall effect, how they were made, and what has to be said."""

    low: float
    high: float
    p_value: float
    label: str
    notes: tuple[str, ...]


def resampling(design: StaggeredAdoption) -> Resampling:
    """The draws that the design asks for."""
    return Resampling(draws=design.draws, level=design.level, seed=design.seed, progress=True)


def wild(design: StaggeredAdoption, rollout: Rollout, effects: Effects) -> Drawn:
    """The restricted wild cluster bootstrap of the overall effect of a regression."""
    used = used_rows(design.unbalanced, rollout)
    if design.approach == "two-way":
        rows = roll_out_rows(without_anticipation(design, used))
        fit = fit_static(rows.within(), rows.treated.astype(float))
        found = wild_cluster_bootstrap(fit, compact(rows.cluster)[0], resampling(design))
    else:
        regression = effects.fitted
        known = np.isfinite(regression.estimate)
        weight = overall_weights(
            regression.cohort, regression.time, regression.size, known, design.aggregation
        )
        combined = wild_combination(
            regression.fit,
            weight[regression.fitted],
            compact(used.cluster[regression.kept])[0],
            resampling(design),
        )
        if combined.bootstrap is None:
            raise EstimationError(f"inference: {combined.reason[0].lower()}{combined.reason[1:]}")
        found = combined.bootstrap
    return Drawn(
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        label=f"wild cluster bootstrap ({found.n_draws:,} {found.weights} draws)",
        notes=(
            "The interval of the headline comes from a wild cluster bootstrap over"
            f" {plural(found.n_clusters, 'cluster')}; those of the other rows are analytic.",
        ),
    )


def randomised(design: StaggeredAdoption, rollout: Rollout, effects: Effects, fit: Fit) -> Drawn:
    """The order of the roll-out drawn again: which cluster got which start, all else as it was.

    Estimates are linear in the outcome, so the interval is the set of constant effects that the draws do not
    reject.
    """
    if effects.ratio or rollout.began is None:
        raise EstimationError(
            "inference: the order can be drawn again for differences in a panel, not for ratios or"
            " cross-sections. Use the rate as outcome, or inference='cluster jackknife'."
        )
    codes, clusters = np.unique(rollout.of_units(rollout.cluster), return_inverse=True)
    first = np.full(len(codes), np.inf)
    first[clusters] = rollout.began
    if (first[clusters] != rollout.began).any():
        raise EstimationError(
            f"inference, cluster: units of one '{design.cluster}' began at different times, so the starts of"
            " clusters cannot be drawn again. Name the cluster that was randomised, or leave it out."
        )
    again = replace(design, inference="analytic")

    def estimate(y: np.ndarray, starts: np.ndarray) -> float:
        drawn = replace(rollout, y=y, began=starts[clusters])
        found = fit(again, drawn)
        return found.averages[found.chosen(design.aggregation)].overall

    exposed = (rollout.since >= 0).astype(float)
    found = permute_rollout_linear(estimate, rollout.outcome, exposed, first, resampling(design))
    how = f"all {found.n_arrangements:,} orders" if found.enumerated else f"{design.draws:,} random orders"
    notes = [
        f"The interval of the headline comes from drawing the order of the roll-out again ({how} of"
        f" {plural(len(codes), 'cluster')}); it takes the effect as the same everywhere and at all times."
    ]
    notes += [found.reason] if found.reason else []
    return Drawn(found.low, found.high, found.p_value, f"randomisation of starts ({how})", tuple(notes))


def overall_weights(
    cohort: np.ndarray, time: np.ndarray, size: np.ndarray, known: np.ndarray, aggregation: str
) -> np.ndarray:
    """The weight of each cell in an overall effect (m,)."""
    post = known & (time >= cohort)
    weight = np.zeros(len(cohort))
    if aggregation == "simple":
        weight[post] = size[post]
        return np.asarray(weight / weight.sum())
    key = {"group": cohort, "dynamic": time - cohort, "calendar": time}[aggregation]
    for part in np.unique(key[post]):
        inside = post & (key == part)
        share = size[inside].mean() if aggregation == "group" else 1.0
        weight[inside] = share * size[inside] / size[inside].sum()
    return np.asarray(weight / weight.sum())
