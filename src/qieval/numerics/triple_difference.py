"""Triple differences for staggered roll-outs: the effect in eligible units beyond that in ineligible ones.

A policy starts in places at different times and concerns only some of their units. Cell by cell the triple
difference is the sum of three comparisons that all refer to the eligible units of the treated places
(Ortiz-Villavicencio and Sant'Anna 2025, "Better understanding triple differences estimators"):

    eligible treated against ineligible treated
  + eligible treated against eligible untreated places
  - eligible treated against ineligible untreated places

Without covariates this is the difference of two differences-in-differences. With covariates it is not, and
that difference would be wrong, because each would average over another group's covariates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from qieval.numerics.group_time import group_time
from qieval.numerics.group_time_cells import Codes, Floats, GroupTime, Mask, Rules, WidePanel
from qieval.numerics.group_time_plan import Cell, plan
from qieval.progress import progress

RANK = 1e-10
"""Directions of the comparisons' correlation below this share of the largest are rounding."""

_NO_RIVAL = (
    "No place is untreated throughout this comparison. Use places treated later or never, or end the "
    "analysis before the last start."
)
_COMPARED = (
    "ineligible units of the same places",
    "eligible units of untreated places",
    "ineligible units of untreated places",
)


def triple_difference(panel: WidePanel, eligible: Mask, rules: Rules) -> GroupTime:
    """Effects by cohort and period on eligible units (n,) of treated places; panel.first is their start.

    Controls "never": places never treated. Controls "not yet": pooling cohorts that start later is not
    valid here even without covariates (their shares of eligible units differ), so every later cohort gives
    a triple difference of its own, and these are averaged with the weights of smallest variance: the
    inverse covariance of their influence functions, units taken as independent. Cells, base periods,
    covariates, weights and missing outcomes are treated as in `group_time`. n_treated counts eligible
    treated units, n_control all others of the comparisons used. A cell that fails in one of the three
    comparisons has no estimate and says in which; a cohort of controls that fails is left out while
    another one works.

    Estimates and single-cohort standard errors equal diff-diff 3.13 to 1e-13. Where two or more cohorts of
    controls are averaged, its standard errors are too small unless they are all the other cohorts (by the
    root of the share of units compared: a quarter, in a simulation); those here agree with the jackknife.

    >>> y = np.array([[0.0, 5.0], [0.0, 2.0], [0.0, 1.5], [0.0, 1.0]])
    >>> first = np.array([2021.0, 2021.0, np.inf, np.inf])
    >>> panel = WidePanel(np.array([2020, 2021]), first, y, np.zeros((4, 0)))
    >>> triple_difference(panel, np.array([True, False, True, False]), Rules()).estimate
    array([2.5])
    """
    cells = plan(panel.times, panel.first, rules)
    starts = np.where(panel.first > panel.times[-1] + rules.anticipation, np.inf, panel.first)
    parts: list[GroupTime] = []
    cohorts = list(dict.fromkeys(cell.cohort for cell in cells))
    for cohort in progress(cohorts, "triple differences"):
        own = [cell for cell in cells if cell.cohort == cohort]
        parts.append(_cohort(_Setting(panel, eligible, starts, rules), own))
    return _stack(parts, panel)


@dataclass(frozen=True, eq=False)
class _Setting:
    """What every comparison needs; starts (n,) is np.inf for never."""

    panel: WidePanel
    eligible: Mask
    starts: Floats
    rules: Rules


@dataclass(frozen=True, eq=False)
class _Triple:
    """Triple differences of one cohort against one cohort of controls, at every period (c,).

    n_own, n_control (c,): ineligible units of the cohort, and all units of the controls' cohort.
    """

    estimate: Floats
    influence: Floats
    reason: list[str]
    n_treated: Codes
    n_own: Codes
    n_control: Codes


def _cohort(setting: _Setting, cells: list[Cell]) -> GroupTime:
    """All cells of one cohort."""
    cohort = cells[0].cohort
    lowest = min(cell.cutoff for cell in cells)
    rivals = np.unique(setting.starts[(setting.starts > lowest) & (setting.starts != cohort)])
    against = {float(rival): _triple(setting, cells, float(rival)) for rival in rivals}
    found = [
        _combined(
            [triple for rival, triple in against.items() if rival > cell.cutoff], place, len(setting.starts)
        )
        for place, cell in enumerate(cells)
    ]
    times = setting.panel.times
    return GroupTime(
        cohort=np.array([cell.cohort for cell in cells]),
        time=np.array([times[cell.time] for cell in cells], dtype=np.int64),
        base=np.array(
            [times[cell.time if cell.base is None else cell.base] for cell in cells], dtype=np.int64
        ),
        estimate=np.array([one.estimate[0] for one in found]),
        n_treated=np.array([one.n_treated[0] for one in found], dtype=np.intp),
        n_control=np.array([one.n_own[0] + one.n_control[0] for one in found], dtype=np.intp),
        reason=tuple(one.reason[0] for one in found),
        influence=np.column_stack([one.influence for one in found]),
    )


def _triple(setting: _Setting, cells: list[Cell], rival: float) -> _Triple:
    """The three comparisons added up."""
    treated, control = setting.starts == cells[0].cohort, setting.starts == rival
    subject = treated & setting.eligible
    others = (treated & ~setting.eligible, control & setting.eligible, control & ~setting.eligible)
    n, m = len(setting.starts), len(cells)
    estimate, influence, reason = np.zeros(m), np.zeros((n, m)), [""] * m
    n_treated, n_own, n_control = np.zeros((3, m), dtype=np.intp)
    for sign, other, name in zip((1.0, 1.0, -1.0), others, _COMPARED, strict=True):
        if not (subject.any() and other.any()):
            lack = "eligible units in this cohort" if not subject.any() else name
            words = f"There are no {lack}. Choose other controls, or leave this cohort out."
            reason = [held or words for held in reason]
            continue
        found, at = _comparison(setting, cells, subject, other)
        keep = np.flatnonzero(subject | other)
        estimate += sign * found.estimate[at]
        influence[keep] += sign * n / keep.size * found.influence[:, at]
        failed = [found.reason[i] for i in at]
        reason = [
            held or (f"Against {name}: {words}" if words else "")
            for held, words in zip(reason, failed, strict=True)
        ]
        n_treated = np.maximum(n_treated, found.n_treated[at])
        if other is others[0]:
            n_own = found.n_control[at]
        else:
            n_control = n_control + found.n_control[at]
    return _Triple(estimate, influence, reason, n_treated, n_own, n_control)


def _comparison(
    setting: _Setting, cells: list[Cell], subject: Mask, other: Mask
) -> tuple[GroupTime, list[int]]:
    """Two groups only, the second as if never treated; and which of its cells are ours."""
    keep = subject | other
    panel = setting.panel
    alone = WidePanel(
        times=panel.times,
        first=np.where(subject, cells[0].cohort, np.inf)[keep],
        y=panel.y[keep],
        x=panel.x[keep],
        weights=None if panel.weights is None else panel.weights[keep],
    )
    found = group_time(alone, replace(setting.rules, control_group="never"))
    place = {int(time): i for i, time in enumerate(found.time)}
    return found, [place[int(panel.times[cell.time])] for cell in cells]


def _combined(triples: list[_Triple], place: int, n: int) -> _Triple:
    """One cell from the triple differences against each cohort of controls, smallest variance."""
    good = [one for one in triples if not one.reason[place]]
    if not good:
        words = triples[0].reason[place] if triples else _NO_RIVAL
        nothing = np.zeros(1, dtype=np.intp)
        return _Triple(np.full(1, np.nan), np.zeros((n, 1)), [words], nothing, nothing, nothing)
    estimates = np.array([one.estimate[place] for one in good])
    influence = np.column_stack([one.influence[:, place] for one in good])
    weights = smallest_variance_weights(influence)
    return _Triple(
        estimate=np.array([weights @ estimates]),
        influence=(influence @ weights)[:, None],
        reason=[""],
        n_treated=good[0].n_treated[place : place + 1],
        n_own=good[0].n_own[place : place + 1],
        n_control=np.array([sum(one.n_control[place] for one in good)]),
    )


def smallest_variance_weights(influence: Floats) -> Floats:
    """Weights (J,), sum 1, of estimates of the same quantity with influence (n, J): inverse covariance.

    Equal weights where an estimate has no variance.

    >>> smallest_variance_weights(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]]))
    array([0.8, 0.2])
    """
    j = influence.shape[1]
    covariance = influence.T @ influence
    scale = np.sqrt(np.diag(covariance))
    if j == 1 or not (scale > 0).all():
        return np.full(j, 1.0 / j)
    values, vectors = scipy.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > RANK * values[-1]
    ones = vectors[:, kept].T @ (1.0 / scale)
    raw = vectors[:, kept] @ (ones / values[kept]) / scale
    return np.asarray(raw / raw.sum())


def _stack(parts: list[GroupTime], panel: WidePanel) -> GroupTime:
    names = ("cohort", "time", "base", "estimate", "n_treated", "n_control")
    kinds = (float, np.int64, np.int64, float, np.intp, np.intp)
    columns = {
        name: np.concatenate([np.zeros(0, dtype=kind), *(getattr(part, name) for part in parts)])
        for name, kind in zip(names, kinds, strict=True)
    }
    return GroupTime(
        **columns,
        reason=tuple(words for part in parts for words in part.reason),
        influence=np.hstack([np.zeros((len(panel.first), 0)), *(part.influence for part in parts)]),
    )
