"""Is the score rounded, do round values pile up near the cutoff, and which rows would a donut drop?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.heaping_cells import (
    Around,
    Cells,
    Counts,
    Expected,
    around,
    cells,
    each,
    expect,
    multiples,
    parts,
    scaled_poisson,
)
from qieval.numerics.heaping_rows import HeaperDifference, heapers_differ
from qieval.numerics.two_way import Floats, Mask

__all__ = ["AtCutoff", "HeapStep", "HeaperDifference", "Heaping", "heapers_differ", "heaping"]

MANTISSAS = (1.0, 2.0, 2.5, 5.0)
YEAR = 12.0
"""Months: whole years heap where the score counts months."""
MINUTES = (15.0, 30.0, 60.0)
MOST_STEPS = 3
MOST_OF_IT = 0.7
"""A step is preferred to its finer divisors if it holds this share of the largest excess of any step."""


@dataclass(frozen=True, eq=False)
class HeapStep:
    """Multiples of `step` hold more rows than their neighbours lead to expect.

    within: the comparison was with the other multiples of this step, found before (None: with values at no
    known step). observed and expected rows left and right of the cutoff (2,), within the window; ratio of
    their sums; p_value is one-sided and multiplied by the number of steps that were tried.
    """

    step: float
    within: float | None
    observed: Floats
    expected: Floats
    ratio: float
    p_value: float


@dataclass(frozen=True)
class AtCutoff:
    """Rows with exactly the cutoff as their score, the number to be expected, and the one-sided p-value."""

    observed: int
    expected: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Heaping:
    """Rounding and heaping of a score within a window around the cutoff.

    grid: every value in the window lies on this regular grid (NaN: none), which is rounding, not heaping.
    n_values different values and n rows in the window. steps: which multiples heap, in the order found (at
    most three). at_cutoff: the heap that matters most. values (k,), observed, expected: single values whose
    count is too high by itself; these are the suggested donut, which drops donut_rows rows (expected: in the
    cell of the value where the score is continuous). round_values (n of the score,) marks every row at
    a multiple of a found step, heap or not, in the window or not, and rows at a heaped cutoff.
    """

    grid: float
    n_values: int
    n: int
    window: float
    steps: tuple[HeapStep, ...]
    at_cutoff: AtCutoff
    values: Floats
    observed: Counts
    expected: Floats
    round_values: Mask

    @property
    def found(self) -> bool:
        """Some heap was found."""
        return bool(self.steps) or self.values.size > 0

    @property
    def donut_rows(self) -> int:
        """Rows that the suggested donut drops."""
        return int(self.observed.sum())


def heaping(
    score: Floats, cutoff: float, window: float | None = None, alpha: float = 0.01, ratio: float = 1.2
) -> Heaping:
    """Look for values near the cutoff that hold more rows than their neighbours lead to expect.

    score (n,) in the units in which it was written down: round means a multiple of 1, 2, 2.5 or 5 times a
    power of ten, of 15, 30 or 60, or of 12 on a grid of whole numbers. window is the half width (None: half
    of the rows of the wider side are within it). For each step the counts of the other values are smoothed
    on each side of the cutoff (Poisson regression, quadratic, with overdispersion) and compared with those
    of the multiples. Of the steps whose p-value is below alpha / 2, shared among the steps tried, and whose
    excess is above `ratio`, the coarsest that holds most of the excess is reported; then the values at
    no known step are searched again, and the multiples of each known step for coarser ones. The
    cutoff itself is tested at alpha / 2. A density that is itself jagged raises the overdispersion and hides
    small heaps. Checked by simulation: 0.5% false alarms in 4800 samples (at most 2% of 200) from eight
    smooth densities, whole, to two decimals or continuous, of 300 to 30,000 rows.

    >>> rng = np.random.default_rng(1)
    >>> weight = np.round(rng.normal(1500, 300, 5000))
    >>> heaping(weight, 1500, 300).found
    False
    >>> rounded = np.where(rng.random(5000) < 0.1, np.round(weight, -2), weight)
    >>> heaping(rounded, 1500, 300).steps[0].step
    100.0
    """
    distance = np.abs(score - cutoff)
    if window is None:
        sides = (distance[score < cutoff], distance[score >= cutoff])
        window = max((float(np.median(side)) for side in sides if side.size), default=0.0)
    if not window > 0 or score.size == 0:
        raise ValueError("the window around the cutoff must be wider than zero")
    near = around(score, cutoff, window)
    steps = _search(near, window, alpha / 2, ratio)
    known = [step.step for step in steps]
    at_cutoff = _at_cutoff(near, known)
    values, observed, expected = _single(near, known, alpha / 2, ratio)
    heaped = at_cutoff.p_value < alpha / 2 and at_cutoff.observed > ratio * at_cutoff.expected
    if heaped and cutoff not in values:
        place = int(np.searchsorted(values, cutoff))
        values = np.insert(values, place, cutoff)
        observed = np.insert(observed, place, at_cutoff.observed)
        expected = np.insert(expected, place, at_cutoff.expected)
    marked = np.isin(score, values)
    for step in steps:
        marked |= multiples(score, step.step)
    return Heaping(
        grid=near.grid,
        n_values=near.values.size,
        n=int(near.counts.sum()),
        window=window,
        steps=steps,
        at_cutoff=at_cutoff,
        values=values,
        observed=observed,
        expected=expected,
        round_values=marked,
    )


def _candidates(near: Around, window: float) -> list[float]:
    """Steps that can be told from their neighbours: some multiple in the window, and other values between."""
    finest = near.grid if near.kind == "grid" else float(np.diff(near.values).min(initial=np.inf))
    least = 1.9 * finest if near.kind != "continuous" else max(1.9 * finest, window / 200)
    powers = range(int(np.floor(np.log10(least))) - 1, int(np.ceil(np.log10(2 * window))) + 1)
    steps = {mantissa * 10.0**power for power in powers for mantissa in MANTISSAS} | set(MINUTES)
    if near.kind == "grid" and abs(near.grid - 1) < 1e-9:
        steps.add(YEAR)
    held = (step for step in sorted(steps) if least <= step <= 2 * window)
    if near.kind == "continuous":
        held = (step for step in held if parts(step, near.grid))
    return [step for step in held if _separable(cells(near, step))]


def _separable(held: Cells) -> bool:
    return 0 < int(np.count_nonzero(held.round)) <= 0.6 * held.round.size and held.round.size >= 5


def _search(near: Around, window: float, alpha: float, ratio: float) -> tuple[HeapStep, ...]:
    """A step, then another among what its multiples leave over or within its multiples, and so on."""
    found: list[HeapStep] = []
    if near.values.size < 5:
        return ()
    tried = _candidates(near, window)
    while len(found) < MOST_STEPS:
        known = [item.step for item in found]
        pools = [None] if near.kind == "continuous" else [None, *known]
        for pool in pools:
            new = _strongest(near, tried, _Search(known, pool, alpha / max(len(tried), 1), ratio))
            if new is not None:
                found.append(new)
                break
        else:
            break
    return tuple(found)


@dataclass(frozen=True)
class _Search:
    """Steps already known, where to look (None: outside their multiples, or within one), the thresholds."""

    known: list[float]
    pool: float | None
    level: float
    ratio: float


def _strongest(near: Around, tried: list[float], search: _Search) -> HeapStep | None:
    """The coarsest step that explains most of the excess; finer ones hold the same heaps."""
    hits: list[tuple[float, Expected]] = []
    for step in tried:
        if search.pool is not None and not (
            step > search.pool and multiples(np.array([step]), search.pool)[0]
        ):
            continue
        held = cells(near, step)
        inside = _pool(near, held, search)
        result = expect(held, near.cutoff, held.round & inside, ~held.round & inside)
        if _is_heap(result, search.level, search.ratio):
            hits.append((step, result))
    if not hits:
        return None
    excess = [float((result.observed - result.expected).sum()) for _, result in hits]
    step, result = next(
        hit for hit, size in zip(hits[::-1], excess[::-1], strict=True) if size >= MOST_OF_IT * max(excess)
    )
    size = float(result.observed.sum() / result.expected.sum())
    p_value = min(result.p_value * len(tried), 1.0)
    return HeapStep(step, search.pool, result.observed, result.expected, size, p_value)


def _pool(near: Around, held: Cells, search: _Search) -> Mask:
    if search.pool is None:
        return ~_known(near, held, search.known)
    finer = [step for step in search.known if step > search.pool]
    return multiples(held.start, search.pool) & ~_known(near, held, finer)


def _is_heap(result: Expected, level: float, ratio: float) -> bool:
    observed, expected = float(result.observed.sum()), float(result.expected.sum())
    return result.p_value < level and observed > ratio * expected


def _known(near: Around, held: Cells, steps: list[float]) -> Mask:
    """Cells that hold a multiple of a step found before."""
    known = np.zeros(held.start.size, dtype=np.bool_)
    for step in steps:
        if near.kind == "continuous":
            marked = near.values[multiples(near.values, step)]
            places = held.places(marked)
            known[places[places >= 0]] = True
        else:
            known |= multiples(held.start, step)
    return known


def _finest(near: Around, steps: list[float]) -> Cells:
    """Cells for single values: those of the grid, the values, or parts of the first step found."""
    held = cells(near, steps[0] if steps else 1.0) if near.kind == "continuous" else cells(near, np.inf)
    return Cells(held.start, held.counts, _known(near, held, steps), held.width)


def _single(near: Around, steps: list[float], alpha: float, ratio: float) -> tuple[Floats, Counts, Floats]:
    """Multiples of the steps found whose own count is too high, alpha shared among them."""
    nothing = np.empty(0), np.empty(0, dtype=np.intp), np.empty(0)
    if not steps:
        return nothing
    held = _finest(near, steps)
    marked = np.flatnonzero(np.any([multiples(near.values, step) for step in steps], axis=0))
    places = held.places(near.values[marked])
    marked, places = marked[places >= 0], places[places >= 0]
    mean, variance = each(held, near.cutoff, ~held.round)
    chance = scaled_poisson(held.counts[places].astype(np.float64), mean[places], variance[places])
    heaped = (chance < alpha / max(places.size, 1)) & (held.counts[places] > ratio * mean[places])
    which = marked[heaped]
    return near.values[which], near.counts[which], mean[places[heaped]]


def _at_cutoff(near: Around, steps: list[float]) -> AtCutoff:
    """Rows at exactly the cutoff against the density on the right (continuous: against rows per value)."""
    observed = int(near.counts[near.values == near.cutoff].sum())
    if near.values.size < 5:
        return AtCutoff(observed, np.nan, 1.0)
    if near.kind == "continuous":
        others = near.counts[near.values != near.cutoff]
        usual = float(others.mean())
        p_value = float(scipy.special.gammainc(observed, usual)) if observed > usual else 1.0
        return AtCutoff(observed, usual, p_value)
    held = _finest(near, steps)
    asked = np.arange(held.start.size) == held.places(np.array([near.cutoff]))
    result = expect(held, near.cutoff, asked, ~held.round & ~asked)
    return AtCutoff(observed, float(result.expected.sum()), result.p_value)
