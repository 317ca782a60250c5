"""Effects that a local randomisation test does not reject: a set of values, which need not be one interval.

For a difference of means the statistic of each assignment is linear in the effect under test, so that the
values at which an assignment is as extreme as the observed one are known in closed form; sorting their ends
gives the p-value at every effect at once, and the set without a grid. Ranks and Kolmogorov-Smirnov need a
grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.local_randomisation import statistics
from qieval.numerics.local_randomisation_draws import TIES, Drawing, distribution
from qieval.numerics.local_randomisation_fit import jump
from qieval.numerics.local_randomisation_rows import LocalRows, LocalTest, Sample, local_rows
from qieval.numerics.two_way import Floats, Mask


@dataclass(frozen=True, eq=False)
class EffectSet:
    """Effects not rejected at the level, as pieces (k, 2) from left to right; ends may be infinite.

    No piece: everything is rejected. exact is False if the ends are grid points. how as in the test.
    """

    pieces: Floats
    level: float
    how: str
    exact: bool

    @property
    def connected(self) -> bool:
        """One interval (or nothing)."""
        return len(self.pieces) <= 1


def randomisation_set(
    sample: Sample, window: tuple[float, float], test: LocalTest | None = None, grid: Floats | None = None
) -> EffectSet:
    """All constant effects whose randomisation p-value exceeds 1 - level, in the window (low, high).

    In a fuzzy design: effects of uptake, by the Anderson-Rubin type of test; the whole line if uptake hardly
    jumps. Differences of means without a grid are inverted exactly over the assignments used. With a grid
    (t,), ascending, the same draws serve every value, and pieces run from grid point to grid point as in
    rdsensitivity. "ks" and "rank sum" take 121 points over six standard errors around the estimate if no grid
    is given. With a polynomial see `LocalRandomisation` on why the set is too narrow.
    """
    test = test or LocalTest()
    rows = local_rows(sample, window, test)
    if grid is None and test.statistic == "difference":
        return _exact_set(rows, test)
    return _set_on_grid(rows, test, _grid(rows, test) if grid is None else grid)


def _set_on_grid(rows: LocalRows, test: LocalTest, grid: Floats) -> EffectSet:
    """Effects on the grid that are not rejected, every one tested with the same assignments."""

    def over_grid(block: Floats) -> Floats:
        each = (statistics(rows, rows.outcome - effect * rows.uptake, test, block) for effect in grid)
        return np.column_stack(list(each))

    found = distribution(rows.assignments, test.drawing, over_grid)
    observed = over_grid(rows.assignments.on_right[None, :].astype(np.float64))[0]
    accepted = found.p_value(observed) > 1 - test.level
    return EffectSet(_runs(accepted, grid), test.level, found.how, exact=False)


def _grid(rows: LocalRows, test: LocalTest) -> Floats:
    found = jump(rows.design(0), rows.outcome, "hc0", rows.uptake if rows.fuzzy else None)
    if not np.isfinite(found.estimate) or not found.std_error > 0:
        raise ValueError("no grid can be chosen from these data; give one")
    return np.asarray(found.estimate + found.std_error * np.linspace(-6, 6, 121))


def _runs(accepted: Mask, grid: Floats) -> Floats:
    edge = np.diff(np.concatenate([[0], accepted.astype(np.intp), [0]]))
    return np.column_stack([grid[np.flatnonzero(edge == 1)], grid[np.flatnonzero(edge == -1) - 1]])


def linear_statistics(rows: LocalRows, drawing: Drawing) -> tuple[Floats, Floats, Floats, str]:
    """Differences of outcome and of uptake by assignment, their weights (b,), and how."""
    columns = np.column_stack([rows.outcome, rows.uptake])
    found = distribution(rows.assignments, drawing, lambda block: rows.linear(columns, block))
    usable = np.isfinite(found.values).all(axis=1)
    return found.values[usable, 0], found.values[usable, 1], found.weight[usable], found.how


def _exact_set(rows: LocalRows, test: LocalTest) -> EffectSet:
    of_y, of_t, weight, how = linear_statistics(rows, test.drawing)
    observed = rows.linear(
        np.column_stack([rows.outcome, rows.uptake]), rows.assignments.on_right[None, :].astype(np.float64)
    )[0]
    extra = 1.0 if how == "drawn" else 0.0
    total = weight.sum() + extra
    ends, between = p_values_between(of_y, of_t, weight, (float(observed[0]), float(observed[1])))
    accepted = (between + extra) / total > (1 - test.level) * (1 + TIES)
    edges = np.concatenate([[-np.inf], ends, [np.inf]])
    edge = np.diff(np.concatenate([[0], accepted.astype(np.intp), [0]]))
    pieces = np.column_stack([edges[np.flatnonzero(edge == 1)], edges[np.flatnonzero(edge == -1)]])
    return EffectSet(pieces, test.level, how, exact=True)


def p_values_between(
    of_y: Floats, of_t: Floats, weight: Floats, observed: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Weight of the assignments at least as extreme as the observed one, for every effect.

    Assignment b has |y_b - e t_b|, the observed one |y - e t|. Returns the effects e at which the weight
    changes (k,), ascending, and the weights between them (k + 1,); at a change itself the weight is at least
    the higher of the two.
    """
    y, t = observed
    slack_y = TIES * max(abs(y), float(np.abs(of_y).max()))
    slack_t = TIES * max(abs(t), float(np.abs(of_t).max()))
    # (y_b - e t_b)^2 - (y - e t)^2 is a product of two straight lines in e.
    root_one, sign_one = _line(of_y - y, of_t - t, slack_y, slack_t)
    root_two, sign_two = _line(of_y + y, of_t + t, slack_y, slack_t)
    sign = sign_one * sign_two
    always = sign == 0
    state = np.where(sign > 0, 1.0, -1.0)
    first, second = np.fmin(root_one, root_two), np.fmax(root_one, root_two)
    has_first = ~always & np.isfinite(first)
    has_second = ~always & np.isfinite(root_one) & np.isfinite(root_two)
    at = np.concatenate([first[has_first], second[has_second]])
    change = np.concatenate([-(state * weight)[has_first], (state * weight)[has_second]])
    start = float(weight[always | (sign > 0)].sum())
    ends, code = np.unique(at, return_inverse=True)
    return ends, start + np.concatenate([[0.0], np.cumsum(np.bincount(code, change, ends.size))])


def _line(level: Floats, slope: Floats, slack_level: float, slack_slope: float) -> tuple[Floats, Floats]:
    """Root of level - e slope (NaN if flat), and its sign far to the left (0 if it is zero everywhere)."""
    flat = np.abs(slope) <= slack_slope
    zero = flat & (np.abs(level) <= slack_level)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.where(flat, np.nan, level / slope)
    return root, np.where(zero, 0.0, np.sign(np.where(flat, level, slope)))
