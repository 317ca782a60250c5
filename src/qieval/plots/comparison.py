"""The pictures of a comparison of similar people: balance and overlap, without the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from qieval.plots import theme
from qieval.plots.love import love
from qieval.plots.mirror import mirror
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot


def balance(result: Result) -> ggplot:
    """Standardised differences before and after (love plot)."""
    return love(result.kernel.balance.table, result.design.balance_rule)  # type: ignore[attr-defined]


def overlap(result: Result) -> ggplot:
    """The propensity score of both groups before and after."""
    return mirror(result.kernel.scores)


def search_progress(result: Result) -> ggplot:
    """The best loss so far by weightings tried, and where the restarts ended."""
    found = result.kernel.search
    return search_trace(pd.DataFrame({"evaluations": found.trace[:, 0], "loss": found.trace[:, 1]}))


def search_trace(table: pd.DataFrame) -> ggplot:
    """The best loss so far: columns evaluations, loss."""
    from plotnine import aes, geom_point, geom_step, ggplot, labs

    return (
        ggplot(table, aes("evaluations", "loss"))
        + geom_step(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=1.6)
        + theme.house_theme()
        + labs(
            title="Progress of the search",
            x="weightings tried",
            y="best loss so far",
            caption=(
                "Each step is a weighting of the covariates whose matches are better balanced. No outcome"
                " takes part."
            ),
        )
    )
