"""Joint test of the effects by cohort and period before the start."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.group_time_cells import Codes, Floats, GroupTime, Mask
from qieval.numerics.group_time_variance import InfluenceCovariance
from qieval.numerics.joint import WaldTest, wald

NO_CELLS = (
    "There is no effect before the start to test, so these data cannot show whether trends were parallel. "
    "Add earlier periods."
)

ONE_CLUSTER = (
    "All units lie in one cluster, so there is nothing to judge the effects before the start by. Choose "
    "smaller clusters."
)

FEWEST_PER_CELL = 4
SMALL_COHORT = (
    "Some cohort has fewer than four {what} for each of its effects before the start, and a joint test of"
    " all "
    "effects then rejects far too often, however many there are in all. Look at the averages by time "
    "since the start and their band instead."
)


@dataclass(frozen=True, eq=False)
class PreTest:
    """The test, None if there is nothing to test; `tested` (m,) says of which cells.

    reason is '' where the test can be used, otherwise it says in words why it cannot be computed or trusted.
    singular: the covariance of the effects tested lacks rank. R did gives no test then; here the statistic is
    the one on the part that has variance and stands for nothing more.
    """

    test: WaldTest | None
    tested: Mask
    singular: bool
    reason: str


def pretest(
    cells: GroupTime,
    covariance: InfluenceCovariance,
    *,
    anticipation: int = 0,
    clusters: Codes | None = None,
) -> PreTest:
    """Wald test that all effects before the start less `anticipation` are zero.

    covariance is that of cells.influence. R did's statistic W is test.statistic and its p-value test.p_chi2,
    with anticipation=0 whatever the anticipation estimated with: it tests periods of anticipation too.
    Periods that are themselves the base (universal base) and cells without estimate are left out; so are
    cells without variance.

    test.p_hotelling is valid with few clusters, p_chi2 is not: it takes the covariance as known, although it
    is estimated from as many pieces as there are clusters. Simulated without violation, with 30 clusters and
    13 cells, p_chi2 is below 0.05 in half of all data sets, p_hotelling in 5%. f, p_value and p_hotelling
    are with the factor G/(G-1) whatever that of the covariance; statistic and p_chi2 take it as it is. Below
    four clusters per effect tested `reason` says that the test cannot be relied on, and so it does where
    one cohort has fewer than four per effect of its own: both p-values reject too often there, however many
    clusters there are in all (a cohort of 3 units with 3 effects, beside 12, 60 and 200 controls:
    p_hotelling is below 0.05 in 85% of data sets). clusters (m,): how many each cell rests on; None takes the
    treated units, or the controls where they are fewer.
    """
    tested = (cells.time < cells.cohort - anticipation) & (cells.time != cells.base)
    tested &= np.isfinite(cells.estimate)
    if covariance.df < 1:
        return PreTest(None, tested & False, False, ONE_CLUSTER)
    tested &= np.diag(covariance.matrix) > 0
    if not tested.any():
        return PreTest(None, tested, False, NO_CELLS)
    test = _test(cells.estimate[tested], covariance.matrix[np.ix_(tested, tested)], covariance)
    singular = test.rank < test.n_restrictions
    behind = np.minimum(cells.n_treated, cells.n_control) if clusters is None else clusters
    small = _small(cells.cohort[tested], behind[tested])
    return PreTest(test, tested, singular, _reason(test, covariance, singular, small))


def _small(cohort: Floats, clusters: Codes) -> bool:
    """Whether some cohort has too few clusters for its own effects that are tested."""
    return any(
        clusters[cohort == one].min() < FEWEST_PER_CELL * np.count_nonzero(cohort == one)
        for one in np.unique(cohort)
    )


def _test(estimate: Floats, matrix: Floats, covariance: InfluenceCovariance) -> WaldTest:
    """The Wald test, its F versions with the factor G/(G-1) that they are made for."""
    df = covariance.df
    test = wald(estimate, matrix, df)
    small = wald(estimate, matrix * ((df + 1) / df / covariance.factor), df)
    return replace(test, f=small.f, p_value=small.p_value, p_hotelling=small.p_hotelling)


def _reason(test: WaldTest, covariance: InfluenceCovariance, singular: bool, small: bool) -> str:
    what = "units" if covariance.n_clusters is None else "clusters"
    if test.trustworthy:
        return SMALL_COHORT.format(what=what) if small else ""
    facts = (
        f"{test.n_restrictions:,} effects before the start are to be tested with {test.df + 1:,.0f} {what}"
    )
    then = "Look at the averages by time since the start and their band instead."
    if singular:
        return f"{facts}, and their covariance is singular: there is no joint test of all of them. {then}"
    return (
        f"{facts}. A joint test needs about four {what} for each effect: with fewer the ordinary one rejects "
        f"far too often, and one that allows for it can detect little. {then}"
    )
