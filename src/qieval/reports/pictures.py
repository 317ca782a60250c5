"""Plots as pictures for a report."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from qieval.reports.blocks import Figure, slug

if TYPE_CHECKING:
    from plotnine import ggplot

DOTS_PER_INCH = 160
"""Sharp at twice the width of a page on screen, without making the file large."""


def picture(plot: ggplot, name: str, caption: str) -> Figure:
    """A plot as PNG, with its title, subtitle and caption in words as the text for those who cannot see it.

    PNG and not SVG, because the coordinates inside an SVG hold every drawn value to many digits.
    """
    from matplotlib import pyplot
    from plotnine.exceptions import PlotnineWarning

    with warnings.catch_warnings():
        # Plots leave out rows without an interval on purpose (the reference period has none).
        warnings.filterwarnings("ignore", message=".*Removed.*", category=PlotnineWarning)
        drawn = plot.draw()
    stored = io.BytesIO()
    try:
        drawn.savefig(stored, format="png", dpi=DOTS_PER_INCH)
    finally:
        pyplot.close(drawn)
    said = [getattr(plot.labels, part, None) for part in ("title", "subtitle", "caption")]
    words = ". ".join(str(part).replace("\n", " ").rstrip(".") for part in said if part)
    return Figure(stored.getvalue(), f"Chart. {words}. {caption}", caption, slug(name))
