"""Effects by cohort and period of a staggered roll-out in a panel (Callaway and Sant'Anna 2021)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from qieval.numerics.group_time_cells import Codes, Floats, GroupTime, Mask, Rules, WidePanel
from qieval.numerics.group_time_comparison import Compared, compare
from qieval.numerics.group_time_design import Slices, SortedPanel, joined, sorted_panel
from qieval.numerics.group_time_plan import Cell, plan
from qieval.numerics.group_time_propensity import Arm
from qieval.progress import progress

NO_BASE = (
    "There is no period before the start (less anticipation) to compare with. Leave out units that start "
    "this early, or add earlier periods."
)
NO_TREATED = (
    "No unit of the cohort was observed in both periods of the comparison. Look for gaps in its data, or "
    "join it with a neighbouring cohort."
)
NO_NEVER = (
    "No unit that is never treated was observed in both periods of the comparison. Use controls that are not "
    "yet treated."
)
NO_NOT_YET = (
    "No unit that is not yet treated was observed in both periods of the comparison. This effect cannot be "
    "estimated from these data."
)


@dataclass(frozen=True, eq=False)
class Overlap:
    """How alike cohort and controls are, for each cell of `group_time` (m,); NaN where that is not known.

    largest: the largest propensity of a unit compared (R did refuses cells from 0.999 on); effective: Kish's
    effective number of controls, sum(v)**2 / sum(v**2) of their weights; trimmed: controls left out because
    their propensity is 0.995 or more.
    """

    largest: Floats
    effective: Floats
    trimmed: Codes


@dataclass(frozen=True, eq=False)
class _Group:
    """Cells of a cohort with the same controls, covariates, weights and observed units.

    cells: their positions; parts: treated and controls as slices of the sorted units; used: which of the
    treated and of the controls (None: all).
    """

    cells: list[int]
    parts: tuple[Slices, Slices]
    used: tuple[Mask, Mask] | None
    period: int


def group_time(panel: WidePanel, rules: Rules) -> GroupTime:
    """Effects by cohort and period with one influence function per unit.

    Each cell compares the change of a cohort between two periods with that of its controls, by the doubly
    robust estimator of Sant'Anna and Zhao (2020), normalised inverse probability weights or outcome
    regression; without covariates all three are differences of mean changes. Only units observed in both
    periods take part ("complete pairs"); R did leaves out incomplete units altogether. Covariates and weights
    are those of the earlier of the two periods. Weights matter relative to each other only.

    Conventions of DRDID 1.2 and did 2.5: controls with a propensity of 0.995 or more have weight 0 in the
    means (not in the models), treated units are never left out. `plan` says which cells exist. Different from
    did: covariates that are combinations of others within a comparison are left out instead of failing; a
    cell whose largest propensity is 0.999 or more is estimated as long as the logistic model has a maximum
    (`propensities` tells); controls that no treated unit resembles get weight 0.

    `reason` says in words why a cell has no estimate. A cohort of one unit has an estimate, but its
    influence knows nothing of how that unit would vary: look at n_treated before trusting an interval.
    Influence is stored by cell (Fortran order). Checked against R did 2.5.1 to 1e-8 and by the jackknife.

    >>> y = np.array([[1.0, 2.0], [3.0, 6.0], [2.0, 2.0], [4.0, 5.0]])
    >>> first = np.array([2.0, 2.0, np.inf, np.inf])
    >>> panel = WidePanel(np.array([1, 2]), first, y, np.zeros((4, 0)))
    >>> group_time(panel, Rules()).estimate
    array([1.5])
    """
    return _estimated(panel, rules)[0]


def propensities(panel: WidePanel, rules: Rules) -> Overlap:
    """How alike cohort and controls are in every cell of `group_time`, which it costs as much as."""
    return _estimated(panel, rules)[1]


class _Store:
    """Results of the cells, filled group by group."""

    def __init__(self, cells: list[Cell], order: Codes) -> None:
        m = len(cells)
        self.estimate = np.full(m, np.nan)
        self.counts = np.zeros((2, m), dtype=np.intp)
        self.reason = [""] * m
        self.influence = np.zeros((m, order.size))
        self.overlap = Overlap(np.full(m, np.nan), np.full(m, np.nan), np.zeros(m, dtype=np.intp))
        self.order = order
        self.sorted = bool((np.diff(order) == 1).all())

    def keep(self, group: _Group, found: Compared) -> None:
        """Effects, influence and overlap of a group."""
        self.estimate[group.cells] = found.effect
        for cell in group.cells:
            self.reason[cell] = found.reason
            self.overlap.largest[cell] = found.largest
            self.overlap.effective[cell] = found.effective
            self.overlap.trimmed[cell] = found.trimmed
        if not found.reason:
            for parts, values in zip(group.parts, (found.treated, found.control), strict=True):
                values *= self.order.size
                self._spread(group.cells, parts, values)

    def _spread(self, cells: list[int], parts: Slices, values: Floats) -> None:
        """Influence of one arm (c, n_arm) to the units it belongs to."""
        done = 0
        for start, stop in parts:
            for row, cell in enumerate(cells):
                here = values[row, done : done + stop - start]
                if self.sorted:
                    self.influence[cell, start:stop] = here
                else:
                    self.influence[cell][self.order[start:stop]] = here
            done += stop - start


def _estimated(panel: WidePanel, rules: Rules) -> tuple[GroupTime, Overlap]:
    """Effects and overlap of all cells."""
    cells = plan(panel.times, panel.first, rules)
    units = sorted_panel(panel)
    store = _Store(cells, units.order)
    cohorts = sorted({cell.cohort for cell in cells})
    for cohort in progress(cohorts, "effects by cohort and period"):
        start: Floats | None = None
        for group in _groups(units, cells, cohort):
            if _settled(units, group, cells, rules, store):
                continue
            compared = _compared(units, group, cells, rules, start)
            start = compared.beta if compared.beta is not None else start
            store.keep(group, compared)
    found = GroupTime(
        cohort=np.array([cell.cohort for cell in cells], dtype=np.float64),
        time=panel.times[_positions(cell.time for cell in cells)],
        base=panel.times[_positions(cell.time if cell.base is None else cell.base for cell in cells)],
        estimate=store.estimate,
        n_treated=store.counts[0],
        n_control=store.counts[1],
        reason=tuple(store.reason),
        influence=store.influence.T,
    )
    return found, store.overlap


def _positions(values: Iterable[int]) -> Codes:
    """Whole numbers as an index, also if there are none."""
    return np.fromiter(values, dtype=np.intp)


def _groups(units: SortedPanel, cells: list[Cell], cohort: float) -> Iterator[_Group]:
    """The cells of one cohort, those that can be estimated at once together."""
    found: dict[tuple[object, ...], _Group] = {}
    for at, cell in enumerate(cells):
        if cell.cohort != cohort:
            continue
        parts = units.cohort(cohort), units.controls(cohort, cell.cutoff)
        used = _used(units, cell, parts)
        pattern = b"" if used is None else b"".join(np.packbits(one).tobytes() for one in used)
        period = cell.earlier if units.varies or units.weights_vary else 0
        still = cell.base is None or cell.base == cell.time
        key = (parts, pattern, period, at if still else None)
        found.setdefault(key, _Group([], parts, used, period)).cells.append(at)
    yield from found.values()


def _used(units: SortedPanel, cell: Cell, parts: tuple[Slices, Slices]) -> tuple[Mask, Mask] | None:
    """Which of the treated and of the controls have outcome, covariates and weight; None for all."""
    known = [units.design(cell.earlier)[1], units.weights(cell.earlier)[1]]
    if units.seen is not None:
        known += [units.seen[cell.time], units.seen[cell.time if cell.base is None else cell.base]]
    present = [one for one in known if one is not None]
    if not present:
        return None
    arms = [reduce(np.logical_and, (joined(one, part) for one in present)) for part in parts]
    return None if all(one.all() for one in arms) else (arms[0], arms[1])


def _settled(units: SortedPanel, group: _Group, cells: list[Cell], rules: Rules, store: _Store) -> bool:
    """Count the units of a group; settle cells that need no comparison: bases, and those without units."""
    counts = [
        sum(stop - start for start, stop in part) if used is None else int(np.count_nonzero(used))
        for part, used in zip(group.parts, group.used or (None, None), strict=True)
    ]
    store.counts[:, group.cells] = np.array(counts)[:, None]
    cell = cells[group.cells[0]]
    if cell.base == cell.time:
        store.estimate[group.cells] = 0.0
        return True
    reason = ""
    if cell.base is None:
        reason = NO_BASE
    elif not counts[0]:
        reason = NO_TREATED
    elif not counts[1]:
        reason = NO_NEVER if rules.control_group == "never" else NO_NOT_YET
    for at in group.cells:
        store.reason[at] = reason
    return bool(reason)


def _compared(
    units: SortedPanel, group: _Group, cells: list[Cell], rules: Rules, start: Floats | None
) -> Compared:
    """Effects of a group of cells."""
    times = [cells[at].time for at in group.cells]
    bases = [cells[at].base or 0 for at in group.cells]
    z, weights = units.design(group.period)[0], units.weights(group.period)[0]
    arms, changes = [], []
    for part, used in zip(group.parts, group.used or (None, None), strict=True):
        n = sum(stop - begin for begin, stop in part)
        w = np.ones(n) if weights is None else joined(weights, part)
        change = np.empty((len(times), n))
        for row, (time, base) in enumerate(zip(times, bases, strict=True)):
            np.subtract(joined(units.y[time], part), joined(units.y[base], part), out=change[row])
        if used is not None:
            w = np.where(used, w, 0.0)
            change[:, ~used] = 0.0
        arms.append(Arm(joined(z, part), w))
        changes.append(change)
    return compare(arms[0], arms[1], (changes[0], changes[1]), rules.estimator, start)
