"""The pictures of a before-and-after study: the change, and what regression to the mean would bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.plots import theme
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

SEEN, EXPECTED = "seen", "expected from regression to the mean alone"


def before_and_after(result: Result) -> ggplot:
    """Means before and after with intervals, and the mean that regression to the mean alone would give."""
    from plotnine import (
        aes,
        geom_line,
        geom_linerange,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
        scale_shape_manual,
    )

    design: Any = result.design
    table = _means(result)
    picture = (
        ggplot(table, aes("when", "mean", color="line", group="line"))
        + geom_line(aes(linetype="line"), size=0.8)
        + geom_linerange(
            aes(ymin="low", ymax="high"), data=table.dropna(subset=["low"]), size=0.9, show_legend=False
        )
        + geom_point(aes(shape="line"), size=3)
        + scale_color_manual({SEEN: theme.BLUE, EXPECTED: theme.ORANGE})
        + scale_linetype_manual({SEEN: "solid", EXPECTED: "dashed"})
        + scale_shape_manual({SEEN: "o", EXPECTED: "^"})
        + theme.house_theme()
    )
    return picture + labs(
        title="The same people before and after" if design.units_are == "people" else "Before and after",
        x="",
        y=theme.axis_title(design.measured_in or design.outcome),
        caption=theme.wrap(
            "Bars are intervals of each mean by itself; the change has its own, narrower one. Nobody is"
            " compared"
            " with: whatever else changed between the two is part of the difference."
        ),
    )


def _means(result: Result) -> pd.DataFrame:
    kernel: Any = result.kernel
    pairs = kernel.pairs
    names = [f"{side}\n({label})" for side, label in zip(("before", "after"), pairs.labels, strict=True)]
    rows = [
        _point(name, values)
        for name, values in zip(names, (pairs.rate_before, pairs.rate_after), strict=True)
    ]
    if kernel.expected is not None:
        start = rows[0]["mean"]
        ends = {"low": np.nan, "high": np.nan, "line": EXPECTED}
        rows.append({"when": names[0], "mean": start, **ends})
        rows.append({"when": names[1], "mean": start + kernel.expected.change, **ends})
    table = pd.DataFrame(rows)
    lines = [line for line in (SEEN, EXPECTED) if line in set(table["line"])]
    return table.assign(
        when=pd.Categorical(table["when"], categories=names),
        line=pd.Categorical(table["line"], categories=lines),
    )


def _point(name: str, values: np.ndarray) -> dict[str, Any]:
    error = 1.96 * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    mean = float(values.mean())
    return {"when": name, "mean": mean, "low": mean - error, "high": mean + error, "line": SEEN}


def change_by_value_before(result: Result) -> ggplot:
    """The mean change by the value before: towards the middle at both ends if nothing was done."""
    from plotnine import aes, geom_hline, geom_linerange, geom_point, geom_smooth, ggplot, labs

    design: Any = result.design
    pairs = result.kernel.pairs
    table = _groups(pairs.rate_before, pairs.rate_after - pairs.rate_before)
    picture = (
        ggplot(table, aes("before", "change"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_smooth(method="lm", se=False, linetype="dashed", color=theme.GREY, size=0.7)
        + geom_linerange(aes(ymin="low", ymax="high"), color=theme.BLUE, size=0.8)
        + geom_point(color=theme.BLUE, size=2.6)
        + theme.house_theme()
    )
    return picture + labs(
        title="Who changed most",
        x=f"value before (mean of {design.before or design.outcome})".replace("_", " "),
        y="mean change",
        caption=theme.wrap(
            "Groups of people by their value before (at least 10 in each). A line that falls is what"
            " measurements"
            " that vary do by themselves: those who were high come down and those who were low go up."
        ),
    )


FEWEST = 10
MOST_GROUPS = 10


def _groups(before: np.ndarray, change: np.ndarray) -> pd.DataFrame:
    """Means of the change in groups of neighbouring values before, at least ten people in each."""
    groups = int(np.clip(len(before) // (2 * FEWEST), 1, MOST_GROUPS))
    edges = np.unique(np.quantile(before, np.linspace(0, 1, groups + 1)[1:-1]))
    code = np.searchsorted(edges, before, side="left")
    count = np.bincount(code)
    kept = count >= FEWEST
    size = np.maximum(count, 1)
    mean, at = np.bincount(code, change) / size, np.bincount(code, before) / size
    error = np.sqrt(np.bincount(code, (change - mean[code]) ** 2) / np.maximum(size - 1, 1) / size)
    table = pd.DataFrame(
        {"before": at, "change": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error}
    )
    return table[kept] if kept.any() else table.iloc[:0]
