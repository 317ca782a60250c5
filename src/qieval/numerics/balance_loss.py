"""How unequal matched groups are, for a whole generation of covariate weights at once.

Small arrays are worked out once (patterns, ranks, standard deviations); a generation then costs the compiled
search for matches and one pass over the pairs. Losses are vectors to be minimised, compared component by
component.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qieval.numerics.paired_balance import EXACT_BELOW, ks_limit_p_value, ks_test, t_p_value
from qieval.numerics.tied_matches import TOLERANCE, Matches, Rule, arrange, how, metric, pair_table
from qieval.numerics.two_way import Codes, Floats

if TYPE_CHECKING:
    from qieval.numerics.kernels.genetic import Columns

DIGITS = 10
"""Losses are rounded to so many digits before they are ranked: what remains is not the order of summation."""


@dataclass(frozen=True, eq=False)
class Summary:
    """Balance under one set of weights, (b,) each: what a loss of one's own is given.

    smd: standardised mean differences (standard deviation of the focal group before matching). t_p, ks_p:
    paired t, and KS p-values of the matched rows without weights (NaN below three values). ks: largest
    distance of the weighted distribution functions. people (a number) were matched, in rows pairs.
    """

    smd: Floats
    t_p: Floats
    ks: Floats
    ks_p: Floats
    people: Any
    rows: Any


Loss = Literal["p-values", "max smd", "mean smd", "max ks", "mixture"] | Callable[[Summary], float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What to match and what to balance; arrays over all n rows, without missing values.

    x (n, k) decides the matches of rows marked in focal (n,) (the treated for ATT, the others for ATC);
    balance (n, b) is what should be alike, x if None. caliper (k,) in standard deviations, strata (n,) codes,
    ties "all" or "first", ratio, replace and tolerance as in `Rule`; without replacement ties are "first".
    loss: "p-values" all t and KS p-values, smallest first (as GenMatch); "max smd", "mean smd" of absolute
    standardised differences; "max ks" weighted; "mixture", the mean of the three; or a function of `Summary`
    that returns what is to be small. start (s, k): weights to begin with.
    """

    x: Floats
    focal: np.ndarray
    balance: Floats | None = None
    ratio: int = 1
    replace: bool = True
    ties: Literal["all", "first"] = "all"
    caliper: Floats | None = None
    strata: Codes | None = None
    loss: Loss = "p-values"
    start: Floats | None = None
    tolerance: float = TOLERANCE

    @property
    def rule(self) -> Rule:
        """The same as a rule for `tied_matches`."""
        return Rule(
            ratio=self.ratio,
            replace=self.replace,
            ties=self.ties if self.replace else "first",
            caliper=self.caliper,
            strata=self.strata,
            tolerance=self.tolerance,
        )


class Evaluator:
    """Losses of weights (c, k) for one task. `evaluations` counts the weights that were looked at."""

    def __init__(self, task: Task, threads: int = 1) -> None:
        self.task, self.threads = task, threads
        self.values = np.asarray(task.x if task.balance is None else task.balance, float)
        x = np.asarray(task.x, float)
        self.x, self.z = x, metric(x, "inverse variance")
        self.how = how(x, task.rule)
        self.deviation = self.values[task.focal].std(axis=0, ddof=1)
        self.columns = _columns(self.values, task.loss not in ("p-values", "max smd", "mean smd"))
        self.sides = arrange(self.z, x, task.focal, task.rule)
        self.evaluations = 0

    def guide(self, weights: Floats) -> None:
        """Cut the pool for weights like these; pays for pools of thousands, and changes no result."""
        if self.sides[1].z.shape[1] > 1000:
            self.sides = arrange(self.z, self.x, self.task.focal, self.task.rule, np.maximum(weights, 1e-6))

    def losses(self, weights: Floats) -> Floats:
        """Losses (c, length) to be minimised lexicographically; inf where nobody is matched."""
        found = self.summaries(weights)
        if self.task.loss == "p-values":
            ks_p = np.where(np.isnan(found.ks_p), found.t_p, found.ks_p)
            out = -np.sort(np.concatenate([found.t_p, ks_p], axis=1), axis=1)
        else:
            out = self._one_number(found)[:, None]
        out[np.asarray(found.people) == 0] = np.inf
        return out

    def _one_number(self, found: Summary) -> Floats:
        largest, mean = np.abs(found.smd).max(axis=1), np.abs(found.smd).mean(axis=1)
        furthest = found.ks.max(axis=1)
        named: dict[str, Floats] = {"max smd": largest, "mean smd": mean, "max ks": furthest}
        loss = self.task.loss
        if not isinstance(loss, str):
            rows = zip(found.smd, found.t_p, found.ks, found.ks_p, found.people, found.rows, strict=True)
            given = np.array([float(loss(Summary(*row))) for row in rows])
            return np.where(np.isnan(given), np.inf, given)
        mixture: Floats = (largest + mean + furthest) / 3
        return named.get(loss, mixture)

    def summaries(self, weights: Floats) -> Summary:
        """Summary with a leading axis c for every array, for weights (c, k)."""
        weights = np.ascontiguousarray(weights, float)
        self.evaluations += len(weights)
        means, variances, rows_ks, weights_ks, sizes = self._run(weights)
        rows, people = sizes[:, :1], sizes[:, 1:]
        at_least = np.maximum(people, 1)
        # a single pair has no degrees of freedom; one keeps the p-value defined
        t_p = t_p_value(means, variances / at_least, np.maximum(people - 1, 1))
        ks_p = np.full_like(t_p, np.nan)
        with_ks = self.columns.ks
        ks_p[:, with_ks] = ks_limit_p_value(rows_ks[:, with_ks] * np.sqrt(rows / 2))
        for c in np.flatnonzero((rows[:, 0] ** 2 < EXACT_BELOW) & (rows[:, 0] > 0)):
            pairs = self.matches(weights[c])
            for column in with_ks:
                ks_p[c, column] = ks_test(self.values[pairs.focal, column], self.values[pairs.pool, column])[
                    1
                ]
        spread = np.where(self.deviation > 0, self.deviation, 1.0)
        counted = sizes.astype(int)
        return Summary(means / spread, t_p, weights_ks, ks_p, counted[:, 1], counted[:, 0])

    def matches(self, weights: Floats) -> Matches:
        """The pairs under one set of weights (k,)."""
        return pair_table(self.sides, self.how, weights)

    def _run(self, weights: Floats) -> tuple[Floats, ...]:
        """What the compiled code says, by as many threads as wanted: each takes some of the weights."""
        from qieval.numerics.kernels.genetic import evaluate

        c, b = len(weights), self.values.shape[1]
        one, two, three, four = np.zeros((4, c, b))
        five = np.zeros((c, 2))
        pieces = [slice(*ends) for ends in _halves(c, self.threads)]

        def work(piece: slice) -> None:
            out = one[piece], two[piece], three[piece], four[piece], five[piece]
            evaluate(self.sides, self.columns, self.how, weights[piece], out)

        if len(pieces) == 1:
            work(pieces[0])
        else:
            with ThreadPoolExecutor(len(pieces)) as pool:
                list(pool.map(work, pieces))
        return one, two, three, four, five


def _halves(size: int, parts: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, size, min(parts, max(size, 1)) + 1).astype(int).tolist()
    return list(pairwise(edges))


def _columns(values: Floats, weighted: bool) -> Columns:
    """Sort orders, once; columns with fewer than three values have no KS p-value but a distance like
    others."""
    from qieval.numerics.kernels.genetic import Columns

    order = np.argsort(values, axis=0, kind="stable").T.copy()
    ordered = np.take_along_axis(values.T, order, axis=1)
    last = np.ones(order.shape, bool)
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    return Columns(np.ascontiguousarray(values), order, last, np.flatnonzero(last.sum(axis=1) > 2), weighted)


def ranking(losses: Floats) -> Codes:
    """Positions from best to worst: the first component decides, then the next; ties keep their order.

    >>> ranking(np.array([[0.2, 5.0], [0.1, 9.0], [0.2, 4.0]])).tolist()
    [1, 2, 0]
    """
    out: Codes = np.lexsort(np.round(losses, DIGITS).T[::-1])
    return out


def better(one: Floats, other: Floats) -> bool:
    """Whether a loss vector is smaller than another."""
    return bool(ranking(np.vstack([other, one]))[0] == 1)
