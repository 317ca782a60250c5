"""Weights of donors and their fit before the start as light HTML: fast enough to follow each tick.

Nothing from the start on is drawn. Lines are told apart by their dashes and by words as well as by colour.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

import qieval as qe
from qi_notebooks import look

WIDE, HIGH, LOW = 640.0, 190.0, 110.0
"""Width of the pictures, and the heights of paths and of gaps, in units of the pictures."""
LEFT, RIGHT, BELOW, ABOVE = 46.0, 12.0, 22.0, 8.0
"""Margins around what is drawn."""
MOST_BARS = 15
ENDS = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Where the bars may end, so that a heavier donor has a longer bar than before."""
SMALLEST = 5e-4
"""Smaller weights are not drawn one by one."""
LINES = {
    "treated": ("qi-line-treated", "treated"),
    "synthetic": ("qi-line-synthetic", "synthetic control"),
    "mean_of_donors": ("qi-line-mean", "plain mean of the donors"),
}
WAYS = {
    "mean of the donors": "the plain mean of the donors",
    "mean of the donors, level shifted": "that mean moved to the level of the treated",
    "last value": "the last value",
    "nearest donor": "the nearest donor",
}


def numbers(trial: qe.DonorTrial) -> str:
    """How far the synthetic control misses before the start, beside simpler predictions; and how many donors
    carry it."""
    held = dict(zip(trial.fit["prediction"], trial.fit["root_mean_squared_gap"], strict=True))
    beside = [f"{words} by {_number(held[name])}" for name, words in WAYS.items() if name in held]
    parts = [
        f"misses by <b>{_number(trial.missed_by)}</b> before the start (root mean squared gap)",
        f"<b>{trial.donors:,}</b> of {trial.untreated:,} untreated units are donors",
    ]
    if trial.weights is not None:
        heaviest = trial.weights.iloc[0]
        mean = bool((trial.weights["weight"] >= 0).all())
        many = f"as many as <b>{trial.effective_donors:.1f}</b> equal donors; " if mean else ""
        named = qe.markup.escape(str(heaviest["donor"]))
        parts.append(f"{many}the heaviest is <b>{named}</b> ({float(heaviest['weight']):.0%})")
    met = "✓ closer than the mean moved to the level" if trial.met else "✗ no closer than simpler predictions"
    parts.append(f"<span class='qi-rule-{'met' if trial.met else 'broken'}'>{met}</span>")
    return f"<p class='qi-numbers'>{' · '.join(parts)}</p>" + look.note(f"Beside it: {'; '.join(beside)}.")


def remarks(trial: qe.DonorTrial) -> str:
    """Who was left out and why, and whether the weights are the only ones; empty when there is nothing."""
    said = list(trial.notes)
    if not trial.identified:
        said.append(
            "weights: other weights fit as well, so what is shown is one of several answers. Share more"
            " predictors or periods."
        )
    return qe.markup.bullets(said) if said else ""


def paths(trial: qe.DonorTrial) -> str:
    """The treated, the synthetic control and the plain mean of the donors, up to the start."""
    table = trial.paths
    values = table[list(LINES)].to_numpy(dtype=float)
    frame = _Frame(table, values, HIGH)
    drawn = "".join(
        frame.line(table[name].to_numpy(dtype=float), style)
        for name, (style, _) in reversed(list(LINES.items()))
    )
    keys = "".join(_key(style, words) for style, words in LINES.values())
    alt = "The treated, the synthetic control and the plain mean of the donors before the start"
    return f"{_title('Before the start')}<p class='qi-keys'>{keys}</p>{frame.picture(drawn, alt)}"


def gaps(trial: qe.DonorTrial) -> str:
    """Treated less synthetic before the start."""
    table = trial.paths
    gap = table["gap"].to_numpy(dtype=float)
    frame = _Frame(table, np.append(gap, 0.0), LOW)
    at_zero = f"<line x1='{LEFT}' x2='{WIDE - RIGHT}' y1='{frame.y(0)}' y2='{frame.y(0)}' class='qi-axis'/>"
    drawn = at_zero + frame.line(gap, "qi-line-treated")
    alt = "The gap between the treated and the synthetic control before the start"
    note = look.note("Treated less synthetic control. It should stay near zero, without a trend.")
    return f"{_title('The gap before the start')}{frame.picture(drawn, alt)}{note}"


def weights(trial: qe.DonorTrial) -> str:
    """The weights of the donors as bars."""
    if trial.weights is None:
        return look.note("This method has no weights of donors.")
    heavy = trial.weights[trial.weights["weight"].abs() >= SMALLEST]
    shown = heavy.iloc[:MOST_BARS]
    heaviest = float(shown["weight"].abs().max())
    most = next((end for end in ENDS if heaviest <= end), heaviest)
    rows = "".join(
        _bar(str(name), float(weight), most)
        for name, weight in zip(shown["donor"], shown["weight"], strict=True)
    )
    left = len(trial.weights) - len(shown)
    more = (
        ""
        if not left
        else f"{left} more donors weigh {'next to nothing' if len(heavy) <= MOST_BARS else 'less'}."
    )
    body = f"<table class='qi-bars'><tbody>{rows}</tbody></table>"
    return f"{_title('Weights of the donors')}{body}{look.note(more) if more else ''}"


def shared(trial: qe.DonorTrial) -> str:
    """What the weights should share, for the treated, the synthetic control and the plain mean."""
    if trial.shared is None:
        return ""
    columns = [
        name
        for name in ("what", "treated", "synthetic", "mean_of_donors", "weight_of_predictor")
        if name in trial.shared
    ]
    table = trial.shared[columns].rename(columns={"weight_of_predictor": "counts"})
    if "counts" in table:
        table["counts"] = [f"{max(share, 0):.0%}" for share in table["counts"] / table["counts"].sum()]
    return f"{_title('What they should share')}{qe.markup.frame_table(table)}"


class _Frame:
    """A picture with a value axis at the left and periods below; those that are not fitted are shaded."""

    def __init__(self, table: pd.DataFrame, values: np.ndarray, high: float) -> None:
        self._table, self._high = table, high
        finite = values[np.isfinite(values)]
        low, top = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        room = 0.06 * (top - low) or 0.5 * abs(top) or 1.0
        self._low, self._top = low - room, top + room

    def x(self, at: float) -> float:
        """Where the period at a position lies."""
        steps = max(len(self._table) - 1, 1)
        return round(LEFT + (WIDE - LEFT - RIGHT) * at / steps, 1)

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self._low) / (self._top - self._low)
        return round(ABOVE + (self._high - ABOVE) * (1 - share), 1)

    def line(self, values: np.ndarray, style: str) -> str:
        """A line through the values; it is broken where one is missing."""
        pieces: list[list[str]] = [[]]
        for at, value in enumerate(values):
            if np.isfinite(value):
                pieces[-1].append(f"{self.x(at)},{self.y(float(value))}")
            elif pieces[-1]:
                pieces.append([])
        return "".join(
            f"<polyline class='{style}' points='{' '.join(points)}'/>" for points in pieces if points
        )

    def picture(self, drawn: str, alt: str) -> str:
        """The whole picture with its axes."""
        size = f"viewBox='0 0 {WIDE:g} {self._high + BELOW:g}'"
        said = f"role='img' aria-label='{qe.markup.escape(alt)}'"
        inside = f"{self._unfitted()}{self._values()}{self._periods()}{drawn}"
        return f"<svg class='qi-fit' {size} {said}>{inside}</svg>"

    def _values(self) -> str:
        return "".join(self._tick(tick, self.y(tick)) for tick in ticks(self._low, self._top))

    def _tick(self, tick: float, y: float) -> str:
        line = f"<line x1='{LEFT:g}' x2='{WIDE - RIGHT:g}' y1='{y}' y2='{y}' class='qi-grid'/>"
        return f"{line}<text x='{LEFT - 6:g}' y='{y + 4:.1f}' text-anchor='end'>{tick:g}</text>"

    def _periods(self) -> str:
        labels = self._table["period"].astype(str).tolist()
        places = sorted({round(share * (len(labels) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)})
        anchors = {places[0]: "start", places[-1]: "end"}
        return "".join(
            f"<text x='{self.x(at)}' y='{self._high + 15:g}' text-anchor='{anchors.get(at, 'middle')}'>"
            f"{qe.markup.escape(labels[at])}</text>"
            for at in places
        )

    def _unfitted(self) -> str:
        idle = int((~self._table["fitted"]).sum())
        if not idle:
            return ""
        wide = self.x(idle) - LEFT
        return (
            f"<rect x='{LEFT:g}' y='{ABOVE:g}' width='{wide:.1f}' height='{self._high - ABOVE:g}'"
            f" class='qi-unfitted'/><text x='{LEFT + 4:g}' y='{ABOVE + 12:g}'>not fitted</text>"
        )


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


def _bar(name: str, weight: float, most: float) -> str:
    kind = "" if weight >= 0 else " class='qi-negative'"
    bar = f"<i{kind} style='width:{100 * abs(weight) / most:.1f}%'></i>"
    head = f"<th scope='row'>{qe.markup.escape(name)}</th>"
    return f"<tr>{head}<td class='qi-bar'>{bar}</td><td>{weight:.3f}</td></tr>"


def _key(style: str, words: str) -> str:
    line = f"<line x1='0' x2='28' y1='4' y2='4' class='{style}'/>"
    return f"<span><svg viewBox='0 0 28 8' aria-hidden='true'>{line}</svg> {words}</span>"


def _title(words: str) -> str:
    return f"<p><b>{words}</b></p>"


def _number(value: float) -> str:
    return qe.markup.words(float(value))
