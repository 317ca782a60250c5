"""The course of the outcome in each cohort of a roll-out, with what it would have been without the
intervention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.plots import theme
from qieval.plots.rollout import drawn_cohorts
from qieval.plots.rollout_parts import (
    columns,
    design_of,
    effects_of,
    few_ticks,
    height,
    sentence_alone,
    starts_of,
)
from qieval.result import Result

if TYPE_CHECKING:
    from plotnine import ggplot

OBSERVED, EXPECTED, NEVER = "observed", "expected without the intervention", "never began"
COLOURS = {OBSERVED: theme.BLUE, EXPECTED: theme.ORANGE, NEVER: theme.GREY}
DASHES = {OBSERVED: "solid", EXPECTED: "dashed", NEVER: "dotted"}
BEGAN = "began "
TOO_FEW = "Every cohort holds fewer than ten people: means would tell about single ones."


def cohorts_over_time(result: Result) -> ggplot:
    """The observed course of each cohort with what was expected without the intervention, and its start."""
    from plotnine import (
        aes,
        facet_wrap,
        geom_line,
        geom_vline,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
    )

    title = f"{_capital(design_of(result).outcome)} by cohort"
    names, left = _shown(result)
    if not names:
        return sentence_alone(title, TOO_FEW)
    per = _per(result)
    table = _courses(result, names, per)
    present = list(table["which"].cat.categories)
    return (
        ggplot(table, aes("time", "shown"))
        + geom_vline(_starts(result, names), aes(xintercept="time"), color=theme.INK, size=0.6)
        + geom_line(aes(color="which", linetype="which"), size=0.8)
        + facet_wrap("cohort", ncol=columns(len(names)))
        + scale_color_manual(values=[COLOURS[name] for name in present], breaks=present)
        + scale_linetype_manual(values=[DASHES[name] for name in present], breaks=present)
        + few_ticks(table["time"], len(names))
        + theme.house_theme(height=height(len(names)))
        + labs(
            title=title,
            caption=theme.wrap(_caption(result, present) + left),
            x=design_of(result).time,
            y=theme.axis_title(_level_words(result, per)),
        )
    )


def _shown(result: Result) -> tuple[list[str], str]:
    """The names of the cohorts that have panels, and what is left out in words."""
    if result.series is None:
        raise ValueError("this result has no series to draw")
    there = [name for name in dict.fromkeys(result.series["group"]) if name != NEVER]
    labels, left = drawn_cohorts(result)
    names = [name for name in there if name.removeprefix(BEGAN) in labels] if labels else there
    return names, left


def _courses(result: Result, names: list[str], per: float) -> pd.DataFrame:
    """Means by cohort and time; those of units that never begin stand in each panel."""
    assert result.series is not None
    held = result.series.set_index("group")
    never = held.loc[held.index == NEVER]
    parts = []
    for name in names:
        own = held.loc[held.index == name]
        for rows, column, which in (
            (own, "observed", OBSERVED),
            (own, "counterfactual", EXPECTED),
            (never, "observed", NEVER),
        ):
            shown = (per * rows[column]).to_numpy()
            parts.append(
                pd.DataFrame(
                    {"time": rows["time"].to_numpy(), "shown": shown, "which": which, "cohort": name}
                )
            )
    table = pd.concat(parts, ignore_index=True).dropna(subset=["shown"])
    present = [which for which in COLOURS if which in set(table["which"])]
    return table.assign(
        which=pd.Categorical(table["which"], categories=present),
        cohort=pd.Categorical(table["cohort"], categories=names),
    )


def _starts(result: Result, names: list[str]) -> pd.DataFrame:
    at = starts_of(result, [name.removeprefix(BEGAN) for name in names])
    return pd.DataFrame({"time": at, "cohort": pd.Categorical(names, categories=names)})


def _caption(result: Result, present: list[str]) -> str:
    said = "Means of the units of each cohort; the vertical line marks its start."
    if EXPECTED in present:
        how = "divided by the estimated ratio" if effects_of(result).ratio else "less the estimated effect"
        said += f" Dashed: the mean {how}."
    return said


def _per(result: Result) -> float:
    """A power of ten that makes rates readable; 1 for other outcomes."""
    design: Any = design_of(result)
    if design.exposure is None or result.series is None:
        return 1.0
    typical = float(result.series["observed"].median())
    return float(10.0 ** max(np.ceil(-np.log10(typical)), 0.0)) if typical > 0 else 1.0


def _level_words(result: Result, per: float) -> str:
    design = design_of(result)
    if design.exposure is None:
        return str(design.measured_in or design.outcome)
    return (
        f"{design.outcome} per {per:,.0f} {design.exposure}"
        if per > 1
        else f"{design.outcome} per {design.exposure}"
    )


def _capital(words: str) -> str:
    plain = words.replace("_", " ")
    return plain[:1].upper() + plain[1:]
