"""The icons of NHS Making Data Count, drawn as discs with letters: H and L, P and F, ? and ~."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qieval.plots import theme

GREY = "#8A949C"
VARIATION = {
    "common cause": ("~", GREY),
    "improvement high": ("H", "#0072B2"),
    "improvement low": ("L", "#0072B2"),
    "concern high": ("H", "#D55E00"),
    "concern low": ("L", "#D55E00"),
    "neutral high": ("H", "#9C4F86"),
    "neutral low": ("L", "#9C4F86"),
}
ASSURANCE = {
    "consistent pass": ("P", "#0072B2"),
    "consistent fail": ("F", "#D55E00"),
    "inconsistent": ("?", GREY),
}


def variation_mark(verdict: str, x: float, y: float) -> list[Any]:
    """The icon for variation: ~ common cause, H or L where the last point is special cause high or low."""
    return _disc(*VARIATION[verdict], x, y) if verdict in VARIATION else []


def assurance_mark(verdict: str, x: float, y: float) -> list[Any]:
    """The icon for assurance: P the target is always met, F never, ? sometimes."""
    return _disc(*ASSURANCE[verdict], x, y) if verdict in ASSURANCE else []


def _disc(letter: str, colour: str, x: float, y: float) -> list[Any]:
    from plotnine import aes, geom_point, geom_text

    at = pd.DataFrame({"x": [x], "y": [y], "letter": [letter]})
    return [
        geom_point(at, aes("x", "y"), color=colour, fill="white", shape="o", size=10, stroke=1.6),
        geom_text(
            at,
            aes("x", "y", label="letter"),
            color=colour if colour != GREY else theme.INK,
            size=13,
            fontweight="bold",
            va="center",
        ),
    ]
