"""An improvement chart as a light picture that follows its settings, and its signals in words.

Points are told apart by shape and words as well as by colour. Nothing here says why something changed.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import qieval as qe
from qi_notebooks import look
from qi_notebooks.drawing import ABOVE, WIDE, Frame, filled, key, keys, title

HIGH = 250.0
"""The height of the chart, in units of the picture."""
ROOM = 108.0
"""The margin at the right, where the lines are named."""
NEAREST = 13.0
"""Names of lines stand at least that far apart."""
MOST_EVENTS = 12
BETTER, WORSE, SIGNAL, COMMON, OUT = "better", "worse", "signal", "common", "out"
WORDS = {
    COMMON: "within chance",
    BETTER: "signal, better direction",
    WORSE: "signal, worse direction",
    SIGNAL: "signal",
    OUT: "left out",
}


def sentence(result: qe.Result) -> str:
    """Whether something changed, and which chart it is with the reason."""
    facts: Any = result.facts
    said = qe.markup.paragraph(result.headline, "qi-headline")
    return said + look.note(f"{facts['chart']}. {facts['why this chart']} Rules: {facts['rules']}.")


def chart(result: qe.Result) -> str:
    """Points, centre line, limits, phases, target and numbered events."""
    table = filled(result.series)
    design: Any = result.design
    labels = table["label"].astype(str).tolist()
    columns = ("observed", "counterfactual", "conf_low", "conf_high")
    value, centre, low, high = (table[name].to_numpy(dtype=float) for name in columns)
    target = result.kernel.target
    aims = np.array([np.nan if target is None else target])
    frame = Frame(labels, np.concatenate([value, centre, low, high, aims]), HIGH, right=ROOM)
    kinds = _kinds(table)
    drawn = [frame.line(np.where(kinds == OUT, np.nan, value), "qi-line-points")]
    drawn += _lines(frame, table["phase"].tolist(), centre, low, high)
    if target is not None:
        drawn.append(frame.level(target, "qi-line-target"))
    there = np.flatnonzero(np.isfinite(value)).tolist()
    drawn += [_mark(kinds[at], frame.x(at), frame.y(value[at])) for at in there]
    drawn += [_names(frame, value, (centre, low, high), target)]
    drawn += _events(frame, labels, design)
    alt = f"Improvement chart of {design.outcome}. {result.headline}"
    return (
        f"{_title(result)}{_keys(kinds, high, target)}{frame.picture(''.join(drawn), alt)}{_happened(result)}"
    )


def lines(result: qe.Result) -> str:
    """Centre line and limits of each phase."""
    table: Any = filled(result.estimates)
    rows = [
        (row.term, *(_number(held) for held in (row.estimate, row.lower_limit, row.upper_limit)), row.points)
        for row in table.itertuples()
    ]
    return qe.markup.rows_table(("line", "centre", "lower limit", "upper limit", "points"), rows)


def signals(result: qe.Result) -> str:
    """The points of each signal and the rules that they break."""
    table = filled(result.series)
    told: Any = table[table["signal"] != ""]
    if told.empty:
        return ""
    ways = {1.0: "better", -1.0: "worse", 0.0: "neither"}
    rows = [(row.label, _number(row.observed), row.signal, ways[float(row.way)]) for row in told.itertuples()]
    return qe.markup.rows_table(("period", "value", "rule", "direction"), rows)


def _kinds(table: pd.DataFrame) -> np.ndarray:
    """What each point means."""
    way, said = table["way"].to_numpy(dtype=float), (table["signal"] != "").to_numpy()
    out = (table["left_out"].fillna("") != "").to_numpy()
    return np.select(
        [out, said & (way > 0), said & (way < 0), said], [OUT, BETTER, WORSE, SIGNAL], COMMON
    ).astype(object)


def _lines(
    frame: Frame, phases: Sequence[object], centre: np.ndarray, low: np.ndarray, high: np.ndarray
) -> list[str]:
    """Centre line and limits, broken where a new phase begins."""
    starts = [0, *(at for at in range(1, len(phases)) if phases[at] != phases[at - 1]), len(phases)]
    drawn = []
    for first, end in itertools.pairwise(starts):
        inside = (np.arange(len(phases)) >= first) & (np.arange(len(phases)) < end)
        for values, style in ((centre, "qi-line-centre"), (low, "qi-limit"), (high, "qi-limit")):
            drawn.append(frame.stepped(np.where(inside, values, np.nan), style))
        if first:
            drawn.append(frame.upright(first - 0.5, "", "qi-event"))
    return drawn


def _mark(kind: str, x: float, y: float) -> str:
    """A point: a circle within chance, a square or a diamond for a signal with a direction, a triangle for
    one without, hollow when left out."""
    style = f"class='qi-point-{kind}'"
    if kind == BETTER:
        return f"<rect {style} x='{x - 3.6:g}' y='{y - 3.6:g}' width='7.2' height='7.2'/>"
    if kind in (WORSE, SIGNAL):
        size = 5.0
        corners = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)]
        if kind == SIGNAL:
            corners = [(x, y - size), (x + size, y + size * 0.8), (x - size, y + size * 0.8)]
        return f"<polygon {style} points='{' '.join(f'{a:g},{b:g}' for a, b in corners)}'/>"
    return f"<circle {style} cx='{x}' cy='{y}' r='{2.6 if kind == COMMON else 3.2:g}'/>"


def _names(frame: Frame, value: np.ndarray, held: tuple[np.ndarray, ...], target: float | None) -> str:
    """What the lines are called, at their right ends, kept apart."""
    words = ("centre", "lower limit", "upper limit")
    ends = [
        (line[np.isfinite(line)][-1], name)
        for name, line in zip(words, held, strict=True)
        if np.isfinite(line).any()
    ]
    ends += [] if target is None else [(target, "target")]
    ends += [(value[np.isfinite(value)][-1], "last")]
    placed = sorted((frame.y(float(at)), f"{name} {_number(at)}") for at, name in ends)
    drawn, above = [], ABOVE - NEAREST
    for y, said in placed:
        above = max(y, above + NEAREST)
        bold = " font-weight='600'" if said.startswith("last") else ""
        drawn.append(f"<text x='{WIDE - ROOM + 6:g}' y='{above + 4:.1f}'{bold}>{said}</text>")
    return "".join(drawn)


def _events(frame: Frame, labels: list[str], design: qe.Design) -> list[str]:
    """Numbered marks of events above the chart."""
    drawn = []
    for number, when in enumerate(list(design.events)[:MOST_EVENTS], start=1):
        at = _place(labels, str(when))
        if at is None:
            continue
        x = frame.x(at)
        line = f"<line x1='{x}' x2='{x}' y1='{ABOVE:g}' y2='{HIGH:g}' class='qi-event'/>"
        box = f"<rect x='{x - 7:g}' y='{ABOVE - 6:g}' width='14' height='14' rx='3' class='qi-flag'/>"
        said = f"<text x='{x}' y='{ABOVE + 5:g}' text-anchor='middle' class='qi-flag-number'>{number}</text>"
        drawn.append(line + box + said)
    return drawn


def _place(labels: list[str], when: str) -> int | None:
    """The last point not after a moment, by the order of labels; None before the first."""
    before = [at for at, label in enumerate(labels) if label[: len(when)] <= when]
    return before[-1] if before and labels[0][: len(when)] <= when else None


def _happened(result: qe.Result) -> str:
    """The events in words, by number."""
    events = list(result.design.events.items())[:MOST_EVENTS]
    said = [f"{number} {when}: {what}" for number, (when, what) in enumerate(events, start=1)]
    series = filled(result.series)
    left: Any = series[series["left_out"].fillna("") != ""]
    said += [f"○ {row.label} left out: {row.left_out}" for row in left.itertuples()]
    return look.note(" · ".join(said)) if said else ""


def _keys(kinds: np.ndarray, high: np.ndarray, target: float | None) -> str:
    shown = [key("qi-line-centre", "centre line")]
    shown += [key("qi-limit", "limits of chance variation")] if np.isfinite(high).any() else []
    shown += [] if target is None else [key("qi-line-target", "target")]
    for kind, words in WORDS.items():
        if (kinds == kind).any():
            shown.append(
                f"<span><svg viewBox='0 0 28 12' aria-hidden='true'>{_mark(kind, 14, 6)}</svg> {words}</span>"
            )
    return keys(*shown)


def _title(result: qe.Result) -> str:
    design: Any = result.design
    what = design.measured_in or design.outcome.replace("_", " ")
    return title(qe.markup.escape(f"{what[:1].upper()}{what[1:]}"))


def _number(value: float) -> str:
    return qe.markup.words(float(f"{float(value):.3g}")) if np.isfinite(value) else ""
