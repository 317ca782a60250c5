"""Weights of donors and their fit before the start as light HTML: fast enough to follow each tick.

Nothing from the start on is drawn. Lines are told apart by their dashes and by words as well as by colour.
"""

import numpy as np
import pandas as pd

import qieval as qe
from qi_notebooks import look
from qi_notebooks.drawing import Frame, key, keys, title

HIGH, LOW = 190.0, 110.0
"""The heights of paths and of gaps, in units of the pictures."""
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
    frame = _frame(table, values, HIGH)
    drawn = "".join(
        frame.line(table[name].to_numpy(dtype=float), style)
        for name, (style, _) in reversed(list(LINES.items()))
    )
    named = keys(*(key(style, words) for style, words in LINES.values()))
    alt = "The treated, the synthetic control and the plain mean of the donors before the start"
    return f"{title('Before the start')}{named}{frame.picture(drawn, alt, _unfitted(table, frame))}"


def gaps(trial: qe.DonorTrial) -> str:
    """Treated less synthetic before the start."""
    table = trial.paths
    gap = table["gap"].to_numpy(dtype=float)
    frame = _frame(table, np.append(gap, 0.0), LOW)
    drawn = frame.level(0, "qi-axis") + frame.line(gap, "qi-line-treated")
    alt = "The gap between the treated and the synthetic control before the start"
    note = look.note("Treated less synthetic control. It should stay near zero, without a trend.")
    return f"{title('The gap before the start')}{frame.picture(drawn, alt, _unfitted(table, frame))}{note}"


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
    return f"{title('Weights of the donors')}{body}{look.note(more) if more else ''}"


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
    return f"{title('What they should share')}{qe.markup.frame_table(table)}"


def _frame(table: pd.DataFrame, values: np.ndarray, high: float) -> Frame:
    return Frame(table["period"].astype(str).tolist(), values, high)


def _unfitted(table: pd.DataFrame, frame: Frame) -> str:
    """Periods that are not fitted, shaded."""
    idle = int((~table["fitted"]).sum())
    return frame.shade(0, idle, "not fitted") if idle else ""


def _bar(name: str, weight: float, most: float) -> str:
    kind = "" if weight >= 0 else " class='qi-negative'"
    bar = f"<i{kind} style='width:{100 * abs(weight) / most:.1f}%'></i>"
    head = f"<th scope='row'>{qe.markup.escape(name)}</th>"
    return f"<tr>{head}<td class='qi-bar'>{bar}</td><td>{weight:.3f}</td></tr>"


def _number(value: float) -> str:
    return qe.markup.words(float(value))
