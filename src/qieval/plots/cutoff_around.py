"""What the pictures of a regression discontinuity share: rows near the cutoff, sides, axes and colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.discontinuous.local import DAY, Discontinuous
from qieval.discontinuous.ways import Fitted
from qieval.plots import theme
from qieval.result import Result

REACH = 2.5
"""How far the pictures reach to each side, in bandwidths."""
FEWEST = 10
"""People behind a dot or a bar, so that none describes persons."""
TREATED, OTHER = "receive it by the rule", "do not receive it by the rule"
COLOURS = {TREATED: theme.BLUE, OTHER: theme.ORANGE}
SHAPES = {TREATED: "o", OTHER: "^"}
LINES = {TREATED: "solid", OTHER: "dashed"}


@dataclass(frozen=True, eq=False)
class Around:
    """Rows near the cutoff (n,), how to turn s into positions on the axis, and how many a dot needs."""

    made: Discontinuous
    near: np.ndarray
    at: Callable[[Any], Any]
    name: str
    fewest: int

    def side(self, s: Any) -> np.ndarray:
        """Whether people at s receive it by the rule, in words."""
        treated = (np.asarray(s) >= 0) == (self.made.sign > 0)
        return np.where(treated, TREATED, OTHER)


def around_of(result: Result) -> Around:
    """The rows near the cutoff of a result."""
    design: Any = result.design
    held: Fitted = result.kernel
    made = held.made
    h = held.fit.h
    near = (made.s >= -REACH * h[0]) & (made.s <= REACH * h[1])
    name = design.score.replace("_", " ")
    if len(made.cutoffs) > 1:
        name = f"{name}: distance from the own cutoff"

    def at(s: Any) -> Any:
        shown = made.shown(s)
        return pd.to_datetime(np.asarray(shown) * DAY, unit="s") if made.dates else shown

    return Around(made, near, at, name, FEWEST if design.units_are == "people" else 1)


def position(at: Any) -> Any:
    """A single position on the axis as a plain number or date."""
    return at if isinstance(at, pd.Timestamp) else float(np.asarray(at))


def scales() -> list[Any]:
    """Colours, shapes and lines of the two sides, in this order."""
    from plotnine import scale_color_manual, scale_linetype_manual, scale_shape_manual

    order = [TREATED, OTHER]
    return [
        scale_color_manual(values=[COLOURS[each] for each in order], breaks=order),
        scale_shape_manual(values=[SHAPES[each] for each in order], breaks=order),
        scale_linetype_manual(values=[LINES[each] for each in order], breaks=order),
    ]


def axis(around: Around) -> list[Any]:
    """The axis of a score that is a date."""
    return [theme.wide_axis(pd.Series(around.at(around.made.s[around.near])))] if around.made.dates else []


def by_side(table: pd.DataFrame) -> pd.DataFrame:
    """A table with its column `side` in the order of the legend."""
    return table.assign(side=pd.Categorical(table["side"], categories=[TREATED, OTHER]))
