"""What pictures of roll-outs share: dots with intervals, axes of small panels, words, who is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.periods import moments
from qieval.plots import theme
from qieval.result import Result
from qieval.rollout.effects import Effects

if TYPE_CHECKING:
    from plotnine import ggplot

WHENS = ("before the start", "from the start on")
COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}
"""Panels side by side, by how many there are; of more there are four in a row."""


def effects_of(result: Result) -> Effects:
    """The effects that a result was made from."""
    if result.estimates is None or not isinstance(result.kernel, Effects):
        raise ValueError("this result has no effects of a roll-out to draw")
    return result.kernel


def design_of(result: Result) -> Any:
    """The design, with all its fields."""
    return result.design


def rows_of(result: Result, term: str) -> pd.DataFrame:
    """The rows of the estimates with one term that hold an estimate."""
    if result.estimates is None:
        raise ValueError("this result has no estimates to draw")
    found: pd.DataFrame = result.estimates[result.estimates["term"] == term]
    return found.dropna(subset=["estimate"])


def timed(table: pd.DataFrame) -> pd.DataFrame:
    """With `when`: before the start or from the start on."""
    when = np.where(table["at"] < 0, *WHENS)
    return table.assign(when=pd.Categorical(when, categories=[held for held in WHENS if held in set(when)]))


def sentence_alone(title: str, said: str) -> ggplot:
    """A sentence where there is nothing to draw."""
    from plotnine import aes, element_blank, geom_text, ggplot, labs, lims
    from plotnine import theme as plot_theme

    words = pd.DataFrame({"x": [0.0], "y": [0.0], "said": [said]})
    return (
        ggplot(words, aes("x", "y", label="said"))
        + geom_text(size=10, color=theme.INK, ha="left")
        + lims(x=(0, 1), y=(-1, 1))
        + theme.house_theme(height=1.3)
        + plot_theme(axis_text=element_blank(), panel_grid=element_blank())
        + labs(title=title, x="", y="", caption="")
    )


def no_effect(effects: Effects) -> list[Any]:
    """The line of no effect; ratios have a logarithmic axis."""
    from plotnine import geom_hline, scale_y_continuous

    line = [geom_hline(yintercept=1.0 if effects.ratio else 0.0, color=theme.INK, size=0.5)]
    return [*line, scale_y_continuous(trans="log10", breaks=ratio_breaks)] if effects.ratio else line


def ratio_breaks(limits: tuple[float, float]) -> list[float]:
    """Round ratios between two ends, 1 among them where it lies between.

    >>> ratio_breaks((0.86, 1.07))
    [0.9, 0.95, 1.0, 1.05]
    >>> ratio_breaks((0.2, 12))
    [0.3, 1.0, 3.0, 10.0]
    """
    low, high = float(limits[0]), float(limits[1])
    if not 0 < low < high:
        return []
    if high / low > 8:
        first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
        by = (1, 3) if last - first <= 4 else (1,)
        tens = [ten for ten in range(first, last + 1) if ten % (1 + (last - first) // 8) == 0]
        return [
            held for ten in tens for held in (float(f"{times}e{ten}") for times in by) if low <= held <= high
        ]
    step = next(
        held
        for held in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 1e9)
        if (high - low) / held <= 5
    )
    first, last = int(np.ceil((low - 1) / step)), int(np.floor((high - 1) / step))
    return [round(1 + step * at, 6) for at in range(first, last + 1)]


def dots(table: pd.DataFrame, x: str, size: float) -> list[Any]:
    """Dots with intervals, grey triangles before the start."""
    from plotnine import aes, geom_linerange, geom_point, scale_color_manual, scale_shape_manual

    bar = aes(x, ymin="conf_low", ymax="conf_high", color="when")
    colours, shapes = (
        dict(zip(WHENS, (theme.GREY, theme.BLUE), strict=True)),
        dict(zip(WHENS, "^o", strict=True)),
    )
    present = [when for when in WHENS if when in set(table["when"])]
    return [
        geom_linerange(table, bar, size=0.4 * size, na_rm=True),
        geom_point(table, aes(x, "estimate", color="when", shape="when"), size=size),
        scale_color_manual(values=[colours[when] for when in present], breaks=present),
        scale_shape_manual(values=[shapes[when] for when in present], breaks=present),
    ]


def before_words(result: Result) -> str:
    """What periods before the start are compared with."""
    reference = effects_of(result).reference
    if reference is not None:
        return f"Compared with period {reference:+d}, the last one that counts as before the start."
    if design_of(result).approach == "group-time":
        return "Before the start each period is compared with the one before it."
    return "Before the start: how far observations lie from what was predicted for them."


def effect_words(result: Result) -> str:
    """The title of the axis of effects."""
    design = design_of(result)
    if effects_of(result).ratio:
        return "ratio of rates" if design.exposure is not None else "ratio of counts"
    return theme.axis_title(f"effect on {design.measured_in or design.outcome}")


def largest(effects: Effects, starts: np.ndarray, most: int) -> np.ndarray:
    """Which of some starts belong to the largest cohorts (n,)."""
    if len(starts) <= most:
        return np.ones(len(starts), dtype=bool)
    sizes = np.array([effects.n_treated[effects.cohort == start].max(initial=0) for start in starts])
    return np.isin(np.arange(len(starts)), np.argsort(-sizes, kind="stable")[:most])


def left_out(many: int, kept: int) -> str:
    """That only some of many cohorts are drawn."""
    return f" Shown are the {kept} largest of {many} cohorts." if kept < many else ""


def is_dated(result: Result) -> bool:
    """Whether the periods are dates on an axis."""
    series = result.series
    return series is not None and pd.api.types.is_datetime64_any_dtype(series["time"])


def placed(labels: list[str], dated: bool) -> list[Any]:
    """Periods as positions on the axis; a week is written with its first and its last day.

    >>> placed(["2022-04-04/2022-04-10"], True)
    [Timestamp('2022-04-04 00:00:00')]
    """
    return moments([label.split("/")[0] for label in labels], dated)


def starts_of(result: Result, labels: list[str]) -> list[Any]:
    """Where cohorts begin on the axis: half way between their first period with the intervention and the one
    before."""
    dated = is_dated(result)
    held = [] if result.series is None else sorted(result.series["time"].unique())
    earlier = [max((time for time in held if time < at), default=at) for at in placed(labels, dated)]
    return [then + (at - then) / 2 for at, then in zip(placed(labels, dated), earlier, strict=True)]


def columns(panels: int) -> int:
    """How many panels stand side by side."""
    return COLUMNS.get(panels, 4)


def height(panels: int) -> float:
    """The height of a picture with panels, in inches."""
    rows = -(-panels // columns(panels))
    return theme.HEIGHT if rows == 1 else 1.6 + 1.75 * rows


def few_ticks(times: pd.Series[Any], panels: int) -> Any:
    """A time axis with so few ticks that their labels fit below a small panel."""
    from plotnine import scale_x_continuous, scale_x_datetime

    side = columns(panels)
    if side == 1:
        return theme.wide_axis(times)
    most = {2: 5, 3: 4}.get(side, 3)
    first, last = times.min(), times.max()
    if not pd.api.types.is_datetime64_any_dtype(times):
        step = max(1, int(np.ceil((last - first) / (most - 1))))
        low = int(np.ceil(first / step)) * step
        return scale_x_continuous(breaks=[float(at) for at in range(low, int(last) + 1, step)])
    years = pd.date_range(first, last, freq="YS")
    if len(years) >= 3:
        return scale_x_datetime(breaks=list(years[:: -(-len(years) // most)]), date_labels="%Y")
    shown = sorted(times.unique())
    return scale_x_datetime(breaks=shown[:: -(-len(shown) // most)], date_labels="%b\n%Y")
