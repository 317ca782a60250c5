"""Effects of staggered roll-outs by imputation: what treated rows would have been, from untreated rows alone.

Source: Borusyak, Jaravel and Spiess (2024), Review of Economic Studies 91(6). Estimates and standard errors
are those of R didimputation 0.5.0: no small-sample factor, row weights used in the model and in the averages.
With weights the variance here follows the paper: untreated rows carry the weights that they have in the
estimate. didimputation 0.5.0 (read in its source) weights both sides of their normal equations, so that its
weights of untreated rows are not those of its estimate; `Centring(weights_twice=True)` reproduces it.

`impute` fits the model; `averages` gives the effect of any groups of treated rows, with one score per unit
or cluster, so that covariances between groups and aggregations of them are matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.group_time_cells import GroupTime
from qieval.numerics.imputation_model import REASONS, ImputationRows, Imputed, impute
from qieval.numerics.imputation_scores import Averages, Chosen, Groups, Residuals, choose, gather, lonely
from qieval.numerics.two_way import Codes, Floats, compact, sums

__all__ = [
    "REASONS",
    "Averages",
    "Centring",
    "Groups",
    "ImputationRows",
    "Imputed",
    "averages",
    "by_cell",
    "by_cohort",
    "by_horizon",
    "group_time",
    "impute",
    "overall",
]


@dataclass(frozen=True, eq=False)
class Centring:
    """Around which averages effects scatter when their variance is estimated.

    Effects differ between rows, so their spread around an average overstates the error: the variance is
    conservative, the less so the finer the groups. groups (N,) codes, None for cohort by period (as
    didimputation). leave_one_out: averages without the cluster's own rows (the paper's appendix on
    leave-out variances), which removes the downward bias of groups with few clusters. weights_twice: only
    to reproduce didimputation 0.5.0 on weighted data, see above; it changes nothing without weights.
    """

    groups: Codes | None = None
    leave_one_out: bool = False
    weights_twice: bool = False


def averages(
    imputed: Imputed,
    groups: Groups,
    clusters: Codes | None = None,
    extra: Floats | None = None,
    centring: Centring | None = None,
) -> Averages:
    """Average effects of disjoint groups of treated rows, with standard errors.

    clusters (N,) non-negative codes, None for units. extra (N,): weights of the treated rows within their
    group, beside the weights of the data; they may be zero or negative, but not add up to zero.
    """
    centring = Centring() if centring is None else centring
    home = imputed.rows.unit if clusters is None else clusters
    chosen = choose(imputed, groups, extra)
    own, alone = _residuals(imputed, chosen, home, centring)
    squared = _squared(imputed) if centring.weights_twice else None
    return gather(imputed, groups, chosen, Residuals(own, alone, home, squared))


def overall(rows: ImputationRows) -> Groups:
    """All rows at or after their unit's start, as one group; label (1,) is 0."""
    return Groups(np.where(rows.when >= rows.first, 0, -1), np.zeros(1))


def by_horizon(rows: ImputationRows) -> Groups:
    """One group per period since the start; anticipated periods are negative. label (k,)."""
    treated = _treated(rows)
    since = rows.when[treated] - rows.first[treated]
    return _grouped(rows, treated, since)


def by_cohort(rows: ImputationRows) -> Groups:
    """One group per start, rows at or after it. label (k,) is the start."""
    treated = np.flatnonzero(rows.when >= rows.first)
    return _grouped(rows, treated, rows.first[treated])


def by_cell(rows: ImputationRows) -> Groups:
    """One group per start and period, anticipated periods included. label (k, 2): start, period."""
    treated = _treated(rows)
    cohort, start = _levels(rows.first[treated])
    n_times = len(rows.times)
    joint, present = _present(cohort * n_times + rows.time[treated], start.size * n_times)
    code = np.full(rows.time.size, -1, dtype=np.intp)
    code[treated] = joint
    label = np.column_stack([start[present // n_times], np.asarray(rows.times)[present % n_times]])
    return Groups(code, label.astype(float))


def group_time(imputed: Imputed, cells: Averages) -> GroupTime:
    """Effects by cohort and period in the shape that all estimators of roll-outs share.

    cells from `averages(imputed, by_cell(rows))` with units as clusters; influence = scores times units. base
    is the last period before the start (less anticipation), only for the eye: imputation uses all periods.
    n_treated counts rows, n_control the untreated rows of the same period.
    """
    rows = imputed.rows
    times = np.asarray(rows.times)
    cohort, time = cells.label[:, 0], cells.label[:, 1].astype(np.int64)
    before = np.searchsorted(times, cohort - rows.anticipation) - 1
    control = np.bincount(rows.time[imputed.untreated], minlength=times.size)
    return GroupTime(
        cohort=cohort,
        time=time,
        base=times[np.maximum(before, 0)],
        estimate=cells.estimate,
        n_treated=cells.n_rows,
        n_control=control[np.searchsorted(times, time)],
        reason=cells.reason,
        influence=cells.scores * len(cells.scores),
    )


def _squared(imputed: Imputed) -> Imputed | None:
    """The model with squared weights; None without weights."""
    if imputed.rows.weights is None:
        return None
    made = impute(replace(imputed.rows, weights=imputed.rows.weights**2))
    return made if isinstance(made, Imputed) else None


def _treated(rows: ImputationRows) -> Codes:
    return np.flatnonzero(rows.when >= rows.first - rows.anticipation)


def _grouped(rows: ImputationRows, at: Codes, values: Floats) -> Groups:
    """A group for each different value (len(at),), of the rows at these places."""
    code = np.full(rows.time.size, -1, dtype=np.intp)
    code[at], label = _levels(values)
    return Groups(code, label)


def _levels(values: Floats) -> tuple[Codes, Floats]:
    """Code of each value and the sorted different values; whole numbers in a short range need no sorting."""
    if not values.size:
        return np.zeros(0, dtype=np.intp), np.zeros(0)
    low = values.min()
    span = float(values.max() - low)
    if span < values.size + 1000:
        place = (values - low).astype(np.intp)
        if (place + low == values).all():
            code, present = _present(place, int(span) + 1)
            return code, present + low
    levels, code = np.unique(values, return_inverse=True)
    return code, levels


def _present(codes: Codes, n_levels: int) -> tuple[Codes, Codes]:
    """Codes without gaps, and the codes that occur."""
    there = np.bincount(codes, minlength=n_levels) > 0
    return (np.cumsum(there) - 1)[codes], np.flatnonzero(there)


def _residuals(
    imputed: Imputed, chosen: Chosen, clusters: Codes, centring: Centring
) -> tuple[Floats, Floats]:
    """Effects less their averages within group and centring group, and 1 where one cluster is all there is.

    Returns (rows chosen,) twice. The averages weigh by squared weights, the choice that makes the variance
    smallest (the paper's equation 9).
    """
    at, mass = chosen.group, chosen.mass
    finer = by_cell(imputed.rows).code if centring.groups is None else centring.groups
    finer = finer[chosen.row]
    n_finer = int(finer.max(initial=-1)) + 1
    pair = compact(at * n_finer + finer)[0] if at.size else at
    effect, home = imputed.difference[chosen.row], clusters[chosen.row]
    n_pairs = int(pair.max(initial=-1)) + 1
    square = mass**2
    top, bottom = sums(pair, square * effect, n_pairs), sums(pair, square, n_pairs)
    alone = lonely(pair, home, n_pairs)
    if not centring.leave_one_out:
        average = np.divide(top, bottom, out=np.zeros(n_pairs), where=bottom > 0)
        return effect - average[pair], alone[pair]
    both = np.unique(pair * (int(clusters.max()) + 1) + home, return_inverse=True)[1]
    others = bottom[pair] - sums(both, square, both.size)[both]
    total = top[pair] - sums(both, square * effect, both.size)[both]
    usable = (alone[pair] == 0) & (others > 0)
    average = np.divide(total, others, out=effect.copy(), where=usable)
    return effect - average, alone[pair]
