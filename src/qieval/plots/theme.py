"""The house style: one theme, colours that colour-blind readers can tell apart, lines told apart by shape as
well."""

from __future__ import annotations

from typing import Any

BLUE = "#005EB8"
ORANGE = "#D55E00"
GREY = "#768692"
INK = "#212B32"
GROUP_COLOURS = {"treated": BLUE, "comparison": ORANGE, "treated, had nothing changed": BLUE}
GROUP_LINES = {"treated": "solid", "comparison": "dashed", "treated, had nothing changed": "dotted"}
GROUP_SHAPES = {"treated": "o", "comparison": "^", "treated, had nothing changed": "None"}

WIDTH, HEIGHT = 8.0, 4.4
"""Inches; fills a notebook cell without scrolling."""


def house_theme(height: float = HEIGHT) -> Any:
    """The theme of every plot."""
    from plotnine import element_blank, element_line, element_text, theme, theme_minimal

    return theme_minimal(base_size=11) + theme(
        figure_size=(WIDTH, height),
        dpi=110,
        text=element_text(color=INK),
        plot_title=element_text(size=12.5, weight="bold", ha="left"),
        plot_subtitle=element_text(size=10, color="#425563", ha="left"),
        plot_caption=element_text(size=8.5, color="#425563", ha="left"),
        plot_title_position="plot",
        plot_caption_position="plot",
        legend_position="top",
        legend_title=element_blank(),
        legend_key_width=36,
        panel_grid_minor=element_blank(),
        panel_grid_major=element_line(color="#E3E8EE", size=0.6),
        axis_title=element_text(size=10),
    )


def wrap(text: str, width: int = 120) -> str:
    """Text broken into lines that fit the width of a plot."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


def axis_title(words: str) -> str:
    """The title of an upright axis, broken so that it fits beside the plot."""
    return wrap(words.replace("_", " "), 38)


def wide_axis(values: Any) -> Any:
    """The breaks and labels of a time axis: dates as months or years, whole numbers as they are."""
    import pandas as pd
    from plotnine import scale_x_continuous, scale_x_datetime

    if pd.api.types.is_datetime64_any_dtype(values):
        days = (values.max() - values.min()).days
        step = (
            "5 years"
            if days > 5500
            else "1 year"
            if days > 1500
            else "6 months"
            if days > 800
            else "3 months"
            if days > 300
            else None
        )
        form = "%Y" if step in ("5 years", "1 year") else "%b %Y"
        return (
            scale_x_datetime(date_breaks=step, date_labels=form)
            if step
            else scale_x_datetime(date_labels="%d %b %y")
        )
    return scale_x_continuous(breaks=_whole_breaks)


def _whole_breaks(limits: tuple[float, float]) -> list[float]:
    import numpy as np

    low, high = int(np.ceil(limits[0])), int(np.floor(limits[1]))
    step = max(1, int(np.ceil((high - low) / 12)))
    return [float(tick) for tick in range(low - low % step, high + 1, step) if tick >= limits[0]]
