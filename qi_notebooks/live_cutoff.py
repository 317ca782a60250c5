"""The outcome around a cutoff as a light picture, which follows the bandwidth, the donut and the order."""

from typing import Any

import numpy as np

import qieval as qe
from qi_notebooks import look
from qi_notebooks.drawing import Frame, key, keys, point_key, title

HIGH, LOW = 210.0, 150.0
"""Heights of the pictures of the outcome and of who received it, in units of the pictures."""
HEADROOM = 0.1
"""Room above what is drawn for the words at the cutoff, as a share of the height."""
FEWEST = 10
"""People behind a dot."""
MOST_DOTS = 25
"""Dots on a side."""
REACH = 0.9
"""The share of the people on a side that the picture shows."""
CURVE = 25
"""Points of a fitted line."""
STYLES = (("qi-dot-out", "qi-line-expected"), ("qi-dot", "qi-line-fitted"))
"""Dots and lines of those who do not receive it by the rule, and of those who do."""


class Around(Frame):
    """A picture with the score along its lower edge; left (2,) and right of the cutoff as distances."""

    def __init__(self, made: Any, reach: tuple[float, float], values: np.ndarray, high: float) -> None:
        ends = np.sort(made.shown(np.array([-reach[0], reach[1]])))
        self.first, self.wide = float(ends[0]), float(ends[1] - ends[0])
        s = made.toward * (np.linspace(ends[0], ends[1], 5) - made.shown(0.0))
        super().__init__([made.said(float(at)) for at in s], values, high)
        self.made = made

    def place(self, s: Any) -> float:
        """Where a distance from the cutoff lies, as a position between the labels."""
        return 4 * (float(self.made.shown(s)) - self.first) / self.wide

    def dots(self, s: np.ndarray, values: np.ndarray, style: str) -> str:
        """A circle for each mean."""
        return "".join(
            f"<circle class='{style}' cx='{self.x(self.place(at))}' cy='{self.y(float(value))}' r='3'/>"
            for at, value in zip(s, values, strict=True)
        )

    def curve(self, s: np.ndarray, values: np.ndarray, style: str) -> str:
        """A line through points; it ends where the picture ends."""
        inside = (values >= self.low) & (values <= self.top)
        points = " ".join(
            f"{self.x(self.place(at))},{self.y(float(value))}"
            for at, value in zip(s[inside], values[inside], strict=True)
        )
        return f"<polyline class='{style}' points='{points}'/>"

    def within(self, h: np.ndarray) -> str:
        """The bandwidth, shaded."""
        ends = sorted((self.place(-float(h[0])), self.place(float(h[1]))))
        return self.shade(ends[0], ends[1])


def numbers(result: qe.Result) -> str:
    """The bandwidth and the people within it."""
    facts: Any = result.facts
    near, other = facts["bandwidth on the treated side"], facts["bandwidth on the other side"]
    wide = _amount(near) if near == other else f"{_amount(near)} and {_amount(other)}"
    people = " and ".join(_people(facts[name]) for name in ("treated units", "comparison units"))
    rule = facts["bandwidth chosen by"]
    return (
        f"<p class='qi-numbers'>bandwidth <b>{wide}</b> ({qe.markup.escape(str(rule))}) · "
        f"<b>{people}</b> within it on the side with the intervention and on the other</p>"
    )


def outcome(result: qe.Result) -> str:
    """Means of the outcome by score, and the lines whose gap at the cutoff is the jump."""
    design: Any = result.design
    made = result.kernel.made
    said = qe.markup.escape(design.measured_in or design.outcome)
    fewest = f" of {FEWEST} people or more" if _fewest(design) > 1 else ""
    note = f"Dots are means{fewest} with neighbouring scores; shaded: the bandwidth."
    return _picture(result, made.y, 0, HIGH, f"Around the cutoff: {said}") + look.note(note)


def uptake(result: qe.Result) -> str:
    """The same for who received it; empty where the data do not say."""
    design: Any = result.design
    received = result.kernel.made.received
    if received is None:
        return ""
    return _picture(result, received, 1, LOW, f"Who received it: {qe.markup.escape(design.received)}")


def _picture(result: qe.Result, y: np.ndarray, which: int, high: float, words: str) -> str:
    held, design = result.kernel, _any(result.design)
    made, h = held.made, held.fit.h
    reach = _reach(made, h)
    means = [_means(made, y, side, reach[side], _fewest(design)) for side in (0, 1)]
    lines = [_line(held, which, side) for side in (0, 1)]
    shown = np.concatenate([*(value for _, value in means), *(value[:1] for _, value in lines)])
    room = HEADROOM * float(np.ptp(shown))
    frame = Around(made, reach, np.append(shown, shown.max() + room), high)
    drawn = ""
    for side in (0, 1):
        dot, line = STYLES[int((side == 1) == (made.sign > 0))]
        drawn += frame.dots(*means[side], dot) + frame.curve(*lines[side], line)
    drawn += frame.upright(frame.place(0.0), f"cutoff {made.cutoff}")
    named = keys(
        point_key(STYLES[1][0], "receive it by the rule"),
        key(STYLES[1][1], "fitted to them"),
        point_key(STYLES[0][0], "do not"),
        key(STYLES[0][1], "fitted to them"),
    )
    alt = f"{words}, by {design.score}. {result.headline}"
    return f"{title(words)}{named}{frame.picture(drawn, alt, frame.within(h))}"


def _reach(made: Any, h: np.ndarray) -> tuple[float, float]:
    """How far the picture goes on each side: most people, and the whole bandwidth."""
    sides = (-made.s[made.s < 0], made.s[made.s >= 0])
    left, right = (
        max(float(np.quantile(side, REACH)), 1.1 * float(width)) for side, width in zip(sides, h, strict=True)
    )
    return left, right


def _means(made: Any, y: np.ndarray, side: int, reach: float, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbouring scores on one side, with about as many people in each; equal scores stay
    together."""
    on = ((made.s >= 0) == bool(side)) & made.kept & (np.abs(made.s) <= reach)
    s, values = made.s[on], y[on]
    weights = np.ones(len(s)) if made.weights is None else made.weights[on]
    _, code, many = np.unique(np.abs(s), return_inverse=True, return_counts=True)
    dots = min(MOST_DOTS, max(len(s) // fewest, 1))
    before = np.cumsum(many) - many
    group = np.unique((dots * before) // max(len(s), 1), return_inverse=True)[1][code]
    total = np.bincount(group, weights)
    shown = np.bincount(group) >= fewest
    at, mean = (np.bincount(group, weights * held)[shown] / total[shown] for held in (s, values))
    return at, mean


def _line(held: Any, which: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The fitted line on one side, within the bandwidth."""
    s = np.linspace(0, float(held.fit.h[side]), CURVE) * (1 if side else -1)
    return s, np.polynomial.polynomial.polyval(s, held.fit.sides.polynomials[which, side])


def _fewest(design: Any) -> int:
    return FEWEST if design.units_are == "people" else 1


def _people(many: Any) -> str:
    return f"{int(many):,}" if int(many) >= FEWEST else f"fewer than {FEWEST}"


def _amount(value: float) -> str:
    return f"{value:.4g}"


def _any(held: Any) -> Any:
    return held
