"""Balance and overlap drawn as light HTML: fast enough to follow a slider, as text that can be selected.

What a trial shows comes from totals over people; colours are told apart by shape and words as well.
"""

import math
from collections.abc import Sequence

import pandas as pd

import qieval as qe

MOST = 60
"""More characteristics than this are not drawn; the best balanced of them are left out, and it is said."""
WIDEST = 1.0
"""Where the axis ends at the latest; what lies beyond is drawn at the end and its number tells."""
HIGH, WIDE = 70.0, 400.0
"""Half the height and the width of the histogram, in its own units."""


def numbers(trial: qe.Trial) -> str:
    """One line: who takes part, effective size, largest difference, and whether the balance rule is met."""
    size, where = trial.largest
    took, all_treated = trial.treated
    others, all_others = trial.comparison
    gone = f"{trial.left_out:,} left out" if trial.left_out else "nobody left out"
    rule = f"{trial.design.balance_rule:g}"
    said = "✓ balance rule met" if trial.met else "✗ balance rule not met"
    parts = [
        f"<b>{took:,}</b> of {all_treated:,} treated people with <b>{others:,}</b> of {all_others:,} others"
        f" ({gone})",
        f"effective sizes <b>{trial.effective_treated:,.0f}</b> and <b>{trial.effective_comparison:,.0f}</b>",
        f"largest difference <b>{size:.3f}</b>" + (f" ({qe.markup.escape(where)})" if where else ""),
        f"<span class='qi-rule-{'met' if trial.met else 'broken'}'>{said}</span> (at most {rule})",
    ]
    about = qe.markup.escape(f"{trial.estimand}; {trial.kind}.")
    return f"<p class='qi-numbers'>{' · '.join(parts)}</p><p class='qi-note'>{_capital(about)}</p>"


def love(trial: qe.Trial) -> str:
    """Absolute standardised differences before (○) and after (◆), a row for each characteristic."""
    if trial.balance is None:
        return "<p class='qi-note'>No characteristic is named, so there is no balance to show.</p>"
    table = _differences(trial.balance.table)
    drawn = table.iloc[:MOST]
    end = _end([*drawn["before"], *drawn["after"], 1.5 * trial.design.balance_rule])
    rows = "".join(
        _row(str(name), before, after, trial.design.balance_rule, end)
        for name, before, after in zip(drawn.index, drawn["before"], drawn["after"], strict=True)
    )
    left = table.iloc[MOST:]
    more = (
        f" {len(left)} more characteristics are not drawn; none of them differs by more than"
        f" {left.to_numpy().max():.3f}."
        if len(left)
        else ""
    )
    head = (
        "<tr><th scope='col'>characteristic</th><th scope='col'>"
        "<span class='qi-key-before'>○</span> before, <span class='qi-key-after'>◆</span> after"
        f"<span class='qi-end'>{end:g}</span></th><th scope='col'>before</th><th scope='col'>after</th></tr>"
    )
    title = "<p><b>Standardised differences between the groups</b></p>"
    line = f"The line is the balance rule, {trial.design.balance_rule:g}.{more} Balance on measured "
    note = f"<p class='qi-note'>{line}characteristics says nothing about unmeasured ones.</p>"
    return f"{title}<table class='qi-love'><thead>{head}</thead><tbody>{rows}</tbody></table>{note}"


def overlap(trial: qe.Trial) -> str:
    """The propensity score of the treated (up) and of the comparison people (down), before and after."""
    if trial.scores is None:
        return "<p class='qi-note'>There is no propensity score, so overlap shows in who is left out.</p>"
    groups = {str(name): held for name, held in trial.scores.groupby("group", sort=False)}
    weights = [held[name] for held in groups.values() for name in ("weight_before", "weight_after")]
    top = max(float(held.max() / held.sum()) for held in weights if held.sum() > 0)
    bars = "".join(
        _bars(groups[name], sign, kind, top)
        for name, sign, kind in (("treated", -1, "treated"), ("comparison", 1, "comparison"))
    )
    ticks = "".join(
        f"<text x='{WIDE * at:g}' y='{2 * HIGH + 14:g}' text-anchor='{anchor}'>{at:g}</text>"
        for at, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end"))
    )
    alt = "Propensity scores of treated people upwards and comparison people downwards"
    picture = (
        f"<svg class='qi-mirror' viewBox='0 -2 {WIDE:g} {2 * HIGH + 20:g}' role='img' aria-label='{alt}'>"
        f"{bars}<line x1='0' x2='{WIDE:g}' y1='{HIGH:g}' y2='{HIGH:g}' class='qi-axis'/>{ticks}"
        f"<text x='{WIDE:g}' y='10' text-anchor='end'>treated ↑</text>"
        f"<text x='{WIDE:g}' y='{2 * HIGH - 2:g}' text-anchor='end'>comparison ↓</text></svg>"
    )
    note = (
        "Outlined: everybody before. Filled: those who count, by their weight. Share of each group by"
        " propensity score."
    )
    return f"<p><b>Overlap of the groups</b></p>{picture}<p class='qi-note'>{note}</p>"


def search(trial: qe.Trial) -> str:
    """Where the restarts of a search ended, and how it came to its end; empty without a search."""
    found = trial.search
    if found is None:
        return ""
    reached = [float(run.loss[0]) for run in found.restarts]
    what = "smallest p-value" if trial.design.loss == "p-values" else trial.design.loss  # type: ignore[attr-defined]
    rows = [(f"restart {at}", f"{loss:.4g}") for at, loss in enumerate(reached, start=1)]
    ended = f"{found.evaluations:,} weightings tried; ended by: {found.stopped}. Best {what} reached:"
    best = f" {float(found.loss[0]):.4g}."
    return qe.markup.paragraph(ended + best) + qe.markup.rows_table(("search", what), rows)


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    """Absolute differences before and after by characteristic, those that differed most before first."""
    sizes = table.assign(size=table["standardised_difference"].abs())
    wide = sizes.pivot_table(index="characteristic", columns="sample", values="size", sort=False)
    shown = wide.reindex(columns=["before", "after"])
    return shown.sort_values("before", ascending=False, kind="stable")


def _row(name: str, before: float, after: float, rule: float, end: float) -> str:
    marks = _mark(before, end, "before", "○") + _mark(after, end, "after", "◆")
    line = f"<i class='qi-at' style='left:{_place(rule, end)}'></i>"
    beyond = " class='qi-beyond'" if after > rule else ""
    return (
        f"<tr><th scope='row'>{qe.markup.escape(name)}</th><td class='qi-track'><div>{line}{marks}</div></td>"
        f"<td>{_figure(before)}</td><td{beyond}>{_figure(after)}</td></tr>"
    )


def _mark(value: float, end: float, kind: str, sign: str) -> str:
    if not math.isfinite(value):
        return ""
    return f"<span class='qi-{kind}' style='left:{_place(value, end)}' aria-hidden='true'>{sign}</span>"


def _place(value: float, end: float) -> str:
    return f"{100 * min(value / end, 1):.2f}%"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "not finite"


def _end(values: Sequence[float]) -> float:
    """The end of the axis: a round number that holds all values, not beyond WIDEST."""
    highest = max((value for value in values if math.isfinite(value)), default=0.0)
    return next((end for end in (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if highest <= end), WIDEST)


def _bars(held: pd.DataFrame, sign: int, kind: str, top: float) -> str:
    """Bars of one group: outlined before, filled after, as shares of the group."""
    width = WIDE / len(held)
    parts = []
    for column, style in (("weight_after", kind), ("weight_before", "outline")):
        total = float(held[column].sum())
        for at, weight in enumerate(held[column]):
            tall = HIGH * min(float(weight) / total / top, 1) if total else 0
            if tall:
                y = HIGH - tall if sign < 0 else HIGH
                parts.append(
                    f"<rect class='qi-bar-{style}' x='{width * at:.1f}' y='{y:.1f}' width='{width:.1f}'"
                    f" height='{tall:.1f}'/>"
                )
    return "".join(parts)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
