"""Light pictures as SVG: a frame with axes into which lines, points and bars are drawn.

Fast enough to follow a slider, and as text that can be selected. Lines are told apart by their dashes and by
words as well as by colour.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

import qieval as qe

WIDE = 640.0
"""Width of the pictures, in units of the pictures."""
LEFT, RIGHT, BELOW, ABOVE = 46.0, 12.0, 22.0, 8.0
"""Margins around what is drawn."""
MOST_LETTERS = 9
"""Ticks of more letters than this are written with powers of ten."""


class Frame:
    """A picture with a value axis at the left and labels of equally spaced places below.

    values: everything that has to fit; missing ones are passed over. right: the margin at the right.
    """

    def __init__(self, labels: Sequence[str], values: np.ndarray, high: float, right: float = RIGHT) -> None:
        self._labels, self._right = list(labels), right
        self.high = high
        finite = values[np.isfinite(values)]
        low, top = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        room = 0.06 * (top - low) or 0.5 * abs(top) or 1.0
        self.low, self.top = low - room, top + room

    def x(self, at: float) -> float:
        """Where the place at a position lies."""
        steps = max(len(self._labels) - 1, 1)
        return round(LEFT + (WIDE - LEFT - self._right) * at / steps, 1)

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self.low) / (self.top - self.low)
        return round(ABOVE + (self.high - ABOVE) * (1 - share), 1)

    def line(self, values: np.ndarray, style: str) -> str:
        """A line through the values; it is broken where one is missing."""
        return "".join(
            f"<polyline class='{style}' points='{' '.join(piece)}'/>" for piece in self._pieces(values)
        )

    def stepped(self, values: np.ndarray, style: str) -> str:
        """A line that stays level around each place, such as limits that change with the denominator."""
        half = 0.5
        drawn = []
        for piece in _runs(values):
            points = [
                f"{self.x(min(max(at + side, 0), len(values) - 1))},{self.y(float(values[at]))}"
                for at in piece
                for side in (-half, half)
            ]
            drawn.append(f"<polyline class='{style}' points='{' '.join(points)}'/>")
        return "".join(drawn)

    def points(self, values: np.ndarray, style: str, radius: float = 2.4) -> str:
        """A small circle at each value."""
        return "".join(
            f"<circle class='{style}' cx='{self.x(at)}' cy='{self.y(float(value))}' r='{radius:g}'/>"
            for at, value in enumerate(values)
            if np.isfinite(value)
        )

    def ribbon(self, low: np.ndarray, high: np.ndarray, style: str) -> str:
        """The area between two lines, where both are known."""
        there = np.flatnonzero(np.isfinite(low) & np.isfinite(high)).tolist()
        if not there:
            return ""
        edge = [f"{self.x(at)},{self.y(float(high[at]))}" for at in there]
        edge += [f"{self.x(at)},{self.y(float(low[at]))}" for at in there[::-1]]
        return f"<polygon class='{style}' points='{' '.join(edge)}'/>"

    def bars(self, values: np.ndarray, style: str) -> str:
        """Bars from zero."""
        width = max(0.5 * (self.x(1) - self.x(0)), 2.0)
        drawn = []
        for at, value in enumerate(values):
            if not np.isfinite(value):
                continue
            top, bottom = sorted((self.y(float(value)), self.y(0)))
            place = f"x='{self.x(at) - width / 2:.1f}' y='{top}' width='{width:.1f}'"
            drawn.append(f"<rect class='{style}' {place} height='{bottom - top:.1f}'/>")
        return "".join(drawn)

    def level(self, value: float, style: str) -> str:
        """A line across the picture."""
        y = self.y(value)
        return f"<line x1='{LEFT:g}' x2='{WIDE - self._right:g}' y1='{y}' y2='{y}' class='{style}'/>"

    def upright(self, at: float, words: str, style: str = "qi-start") -> str:
        """A line from top to bottom between two places, with words beside it where there is room."""
        x = self.x(at)
        line = f"<line x1='{x}' x2='{x}' y1='{ABOVE:g}' y2='{self.high:g}' class='{style}'/>"
        side, anchor = (4, "start") if x < WIDE * 0.75 else (-4, "end")
        place = f"x='{x + side:g}' y='{ABOVE + 10:g}' text-anchor='{anchor}'"
        return line + (f"<text {place}>{qe.markup.escape(words)}</text>" if words else "")

    def shade(self, first: float, last: float, words: str = "") -> str:
        """A grey stretch from one place to another."""
        x = max(self.x(first), LEFT)
        wide = min(self.x(last), WIDE - self._right) - x
        if wide <= 0:
            return ""
        box = (
            f"<rect x='{x:g}' y='{ABOVE:g}' width='{wide:.1f}' height='{self.high - ABOVE:g}'"
            f" class='qi-unfitted'/>"
        )
        said = f"<text x='{x + 4:g}' y='{ABOVE + 12:g}'>{qe.markup.escape(words)}</text>"
        return box + (said if words else "")

    def picture(self, drawn: str, alt: str, behind: str = "") -> str:
        """The whole picture with its axes; `behind` lies below the grid."""
        size = f"viewBox='0 0 {WIDE:g} {self.high + BELOW:g}'"
        said = f"role='img' aria-label='{qe.markup.escape(alt)}'"
        return f"<svg class='qi-fit' {size} {said}>{behind}{self._ticks()}{self._places()}{drawn}</svg>"

    def _ticks(self) -> str:
        return "".join(self._tick(tick) for tick in ticks(self.low, self.top))

    def _tick(self, tick: float) -> str:
        y, said = self.y(tick), f"{tick:,.10g}"
        said = said if len(said) <= MOST_LETTERS else f"{tick:g}"
        text = f"<text x='{LEFT - 6:g}' y='{y + 4:.1f}' text-anchor='end'>{said}</text>"
        return self.level(tick, "qi-grid") + text

    def _places(self) -> str:
        places = sorted({round(share * (len(self._labels) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)})
        anchors = {places[0]: "start", places[-1]: "end"}
        return "".join(
            f"<text x='{self.x(at)}' y='{self.high + 15:g}' text-anchor='{anchors.get(at, 'middle')}'>"
            f"{qe.markup.escape(self._labels[at])}</text>"
            for at in places
        )

    def _pieces(self, values: np.ndarray) -> list[list[str]]:
        return [[f"{self.x(at)},{self.y(float(values[at]))}" for at in piece] for piece in _runs(values)]


def _runs(values: np.ndarray) -> list[list[int]]:
    """Positions of the values in unbroken stretches."""
    found: list[list[int]] = [[]]
    for at, value in enumerate(values):
        if np.isfinite(value):
            found[-1].append(at)
        elif found[-1]:
            found.append([])
    return [piece for piece in found if piece]


def ticks(low: float, top: float, most: int = 4) -> Sequence[float]:
    """Round values between two ends, at most `most` steps apart.

    >>> [float(tick) for tick in ticks(0.3, 9.8)]
    [5.0]
    >>> [float(tick) for tick in ticks(98, 153)]
    [100.0, 120.0, 140.0]
    """
    if not top > low:
        return ()
    size = 10.0 ** np.floor(np.log10((top - low) / most))
    step = next(size * by for by in (1, 2, 5, 10) if (top - low) / (size * by) <= most)
    first, last = int(np.ceil(low / step)), int(np.floor(top / step))
    return [round(float(step * number), 12) for number in range(first, last + 1)]


def key(style: str, words: str) -> str:
    """What a line means: a piece of it and its name."""
    line = f"<line x1='0' x2='28' y1='4' y2='4' class='{style}'/>"
    return f"<span><svg viewBox='0 0 28 8' aria-hidden='true'>{line}</svg> {words}</span>"


def point_key(style: str, words: str) -> str:
    """What a point means."""
    dot = f"<circle cx='14' cy='4' r='3' class='{style}'/>"
    return f"<span><svg viewBox='0 0 28 8' aria-hidden='true'>{dot}</svg> {words}</span>"


def keys(*parts: str) -> str:
    """All of them in a line."""
    return f"<p class='qi-keys'>{''.join(parts)}</p>"


def title(words: str) -> str:
    """The heading of a picture."""
    return f"<p><b>{words}</b></p>"


def filled(table: pd.DataFrame | None) -> pd.DataFrame:
    """A table of a result that its method always fills."""
    if table is None:
        raise TypeError("this result lacks a table that its method fills")
    return table
