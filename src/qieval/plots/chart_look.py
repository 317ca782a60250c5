"""The look of improvement charts, unlike that of evaluations: a dark band, a cream panel, points joined.

Colours are from the palette of Okabe and Ito, never red against green; every meaning has a shape of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.plots import theme

BAND = "Improvement chart: says that something changed, not why"
BAND_COLOUR = "#00524A"
PANEL = "#FBF8F1"
LINE = "#5B6770"
CENTRE = "#007A5A"
LIMIT = "#5B6770"
TARGET = "#9C4F86"
COMMON, BETTER, WORSE, SIGNAL, OUT = (
    "within chance",
    "signal, better direction",
    "signal, worse direction",
    "signal",
    "left out",
)
COLOURS = {COMMON: theme.INK, BETTER: "#0072B2", WORSE: "#D55E00", SIGNAL: "#9C4F86", OUT: "#9AA5AE"}
SHAPES = {COMMON: "o", BETTER: "s", WORSE: "D", SIGNAL: "^", OUT: "o"}
FILLS = {**COLOURS, OUT: PANEL}
SIZES = {COMMON: 1.9, BETTER: 3.0, WORSE: 3.0, SIGNAL: 3.2, OUT: 2.2}
ROOM_RIGHT, ROOM_TOP = 0.20, 0.14
"""Shares of the width and height kept free for labels and for numbered marks."""
LEAST_GAP = 0.08
"""Labels at the right stand at least that share of the height apart."""
MOST_TICKS, MOST_LEVELS = 8, 4
CLOSE = 0.035
"""Marks closer than that share of the width would cover one another."""


@dataclass(frozen=True)
class Label:
    """A label at the right end of the chart: words, height and colour."""

    words: str
    height: float
    colour: str
    bold: bool = False


def chart_theme(height: float = theme.HEIGHT) -> Any:
    """The theme of improvement charts."""
    from plotnine import element_blank, element_line, element_rect, element_text
    from plotnine import theme as plot_theme

    return theme.house_theme(height) + plot_theme(
        panel_background=element_rect(fill=PANEL, color="#D8D2C4"),
        panel_grid_major_x=element_blank(),
        panel_grid_major_y=element_line(color="#ECE6D8", size=0.5),
        strip_background=element_rect(fill=BAND_COLOUR, color=BAND_COLOUR),
        strip_text=element_text(color="white", weight="bold", size=10, ha="left"),
        legend_position="bottom",
        legend_box_spacing=0.01,
        legend_key_width=14,
    )


def band(text: str = BAND) -> Any:
    """The band across the top of a chart with one panel."""
    from plotnine import facet_wrap

    return facet_wrap("band", labeller=lambda _: text)


def point_scales(present: list[str], words: dict[str, str] | None = None) -> list[Any]:
    """Colour, fill and shape of points by what they mean; only what is there appears in the legend.

    words: other words for some meanings.
    """
    from plotnine import scale_color_manual, scale_fill_manual, scale_shape_manual, scale_size_manual

    named = [name for name in COLOURS if name in present]
    style: dict[str, Any] = {
        "breaks": named,
        "limits": named,
        "labels": [(words or {}).get(name, name) for name in named],
    }
    return [
        scale_color_manual(values=[COLOURS[name] for name in named], **style),
        scale_fill_manual(values=[FILLS[name] for name in named], **style),
        scale_shape_manual(values=[SHAPES[name] for name in named], **style),
        scale_size_manual(values=[SIZES[name] for name in named], **style),
    ]


def shortened(words: str, most: int) -> str:
    """Words cut to a number of letters.

    >>> shortened("a new board", 8)
    'a new b…'
    """
    return words if len(words) <= most else words[: most - 1] + "…"


def stepped(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line that is level around each point and steps between them; x are numbers in order.

    >>> stepped(np.array([1.0, 2.0]), np.array([5.0, 7.0]))[0].tolist()
    [0.5, 1.5, 1.5, 2.5]
    """
    edges = (x[1:] + x[:-1]) / 2
    reach = np.diff(x).min() / 2 if len(x) > 1 else 0.5
    starts = np.concatenate([[x[0] - reach], edges])
    ends = np.concatenate([edges, [x[-1] + reach]])
    return np.column_stack([starts, ends]).ravel(), np.repeat(y, 2)


def spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Heights moved apart as little as needed so that neighbours stand at least `gap` apart.

    >>> spread(np.array([1.0, 1.1, 5.0]), 1.0).round(2).tolist()
    [0.55, 1.55, 5.0]
    """
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []
    for height in heights[order]:
        groups.append([float(height)])
        while len(groups) > 1 and _top(groups[-2], gap) + gap > _bottom(groups[-1], gap) + 1e-12:
            last = groups.pop()
            groups[-1] += last
    placed = np.concatenate([_bottom(group, gap) + gap * np.arange(len(group)) for group in groups])
    found = np.empty_like(placed)
    found[order] = placed
    return found


def _bottom(group: list[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _top(group: list[float], gap: float) -> float:
    return float(np.mean(group)) + gap * (len(group) - 1) / 2


def ticks(labels: tuple[str, ...], x: np.ndarray, room: float = ROOM_RIGHT) -> Any:
    """The axis of a chart: numbers with a few periods below them, and room at the right for labels."""
    from plotnine import scale_x_continuous

    wanted = max(1, int(np.ceil(len(labels) / MOST_TICKS)))
    at = np.arange(0, len(labels), wanted)
    return scale_x_continuous(
        breaks=[float(x[each]) for each in at],
        labels=[labels[each] for each in at],
        expand=(0.03, 0, room, 0),
    )


def room_above(*, top: float = ROOM_TOP) -> Any:
    """The upright axis with room for numbered marks."""
    from plotnine import scale_y_continuous

    return scale_y_continuous(expand=(0.05, 0, top, 0))


def levels(x: np.ndarray, close: float) -> np.ndarray:
    """The level at which each mark stands, so that marks closer than `close` do not cover one another.

    >>> levels(np.array([1.0, 1.1, 1.2, 5.0]), 0.5).tolist()
    [0, 1, 2, 0]
    """
    last = np.full(MOST_LEVELS, -np.inf)
    found = np.zeros(len(x), dtype=int)
    for at in np.argsort(x, kind="stable"):
        free = np.flatnonzero(x[at] - last >= close)
        found[at] = free[0] if len(free) else int(np.argmin(last))
        last[found[at]] = x[at]
    return found


def numbered(marks: pd.DataFrame, height: float, step: float, close: float) -> list[Any]:
    """Upright lines with a number or letter in a box at the top: columns x, sign.

    Marks closer than `close` stand in steps above one another.
    """
    from plotnine import aes, geom_label, geom_vline

    if marks.empty:
        return []
    placed = marks.assign(height=height + step * levels(marks["x"].to_numpy(dtype=float), close))
    return [
        geom_vline(placed, aes(xintercept="x"), color=BAND_COLOUR, linetype="dotted", size=0.6),
        geom_label(
            placed,
            aes("x", "height", label="sign"),
            size=8,
            color="white",
            fill=BAND_COLOUR,
            boxcolor=BAND_COLOUR,
            label_padding=0.2,
            show_legend=False,
        ),
    ]
