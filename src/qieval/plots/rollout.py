"""Pictures of the effects of a roll-out: by time since the start, by cohort, by cohort and period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.plots import theme
from qieval.plots.rollout_parts import (
    before_words,
    columns,
    design_of,
    dots,
    effect_words,
    effects_of,
    few_ticks,
    height,
    is_dated,
    largest,
    left_out,
    no_effect,
    placed,
    rows_of,
    sentence_alone,
    starts_of,
    timed,
)
from qieval.result import Result
from qieval.rollout.effects import Effects

if TYPE_CHECKING:
    from plotnine import ggplot

SINCE, COHORT, CELL = "effect in period", "effect in cohort", "effect of cohort in period"
"""How the parts of the effect are called in the table of estimates."""
MOST_PANELS, MOST_ROWS = 12, 40
"""Cohorts that are drawn; of more of them the largest."""
ALL = "all cohorts"
ONE_EFFECT = (
    "This approach gives effects by time since the start, not for each cohort.\n"
    "Choose approach='group-time', or another with effects of cohorts, to see them."
)


def effects_over_time(result: Result) -> ggplot:
    """The effect by period since the start, with pointwise intervals (bars) and the simultaneous band."""
    from plotnine import geom_vline, ggplot, labs

    effects, design = effects_of(result), design_of(result)
    table = _since_start(result)
    band = " Shaded: band that covers all periods together." if table["band_low"].notna().any() else ""
    return (
        ggplot()
        + no_effect(effects)
        + geom_vline(xintercept=-0.5, color=theme.GREY, linetype="dashed")
        + _band(table)
        + dots(table, "at", 2.2 if len(table) <= 40 else 1.5)
        + _reference(effects, table)
        + theme.wide_axis(table["at"])
        + theme.house_theme()
        + labs(
            title="Effect by period since the start",
            subtitle="0 is the first period with the intervention, whenever a unit began.",
            caption=theme.wrap(
                f"Bars: {design.level:.0%} intervals for each period.{band} {before_words(result)} Quiet"
                " periods before the start are no proof that trends would have stayed parallel."
            ),
            x="periods since the start",
            y=effect_words(result),
        )
    )


def effects_by_cohort_and_period(result: Result) -> ggplot:
    """The effect of each cohort in each period, a panel for each cohort."""
    from plotnine import aes, facet_wrap, geom_vline, ggplot, labs

    title = "Effect by cohort and period"
    table, starts, left = _cells(result)
    if table.empty:
        return sentence_alone(title, ONE_EFFECT)
    panels = len(starts)
    return (
        ggplot()
        + no_effect(effects_of(result))
        + geom_vline(starts, aes(xintercept="time"), color=theme.INK, size=0.6)
        + dots(table, "time", 2.0 if panels == 1 else 1.3)
        + facet_wrap("cohort", ncol=columns(panels))
        + few_ticks(table["time"], panels)
        + theme.house_theme(height=height(panels))
        + labs(
            title=title,
            caption=theme.wrap(
                f"Bars: {design_of(result).level:.0%} intervals for each effect alone. The vertical line"
                f" marks the start. {before_words(result)}{left}"
            ),
            x=design_of(result).time,
            y=effect_words(result),
        )
    )


def effects_by_cohort(result: Result) -> ggplot:
    """The effect of each cohort, averaged over its periods from the start on, with that of all cohorts."""
    from plotnine import aes, coord_flip, geom_linerange, geom_point, ggplot, labs, scale_shape_manual

    title = "Effect by cohort"
    table, left = _by_cohort(result)
    if len(table) < 2:
        return sentence_alone(title, ONE_EFFECT)
    bare = " Without a bar: no interval could be made." if table["conf_low"].isna().any() else ""
    return (
        ggplot(table, aes("cohort", "estimate"))
        + no_effect(effects_of(result))
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), color=theme.BLUE, size=0.9, na_rm=True)
        + geom_point(aes(shape="kind"), color=theme.BLUE, size=2.8, show_legend=False)
        + scale_shape_manual(values=["D", "o"], breaks=[ALL, COHORT])
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.5 + 0.26 * len(table)))
        + labs(
            title=title,
            caption=theme.wrap(
                f"Averages over the periods from the start on, with {design_of(result).level:.0%} intervals."
                f" Diamond: all cohorts, {_average_words(result)}. Those who began later were followed for a"
                f" shorter time.{bare}{left}"
            ),
            x="",
            y=effect_words(result),
        )
    )


def drawn_cohorts(result: Result) -> tuple[list[str], str]:
    """The labels of the cohorts that have panels, in order of their start, and what is left out in words."""
    effects, table = effects_of(result), result.estimates
    if table is None or not len(effects.cohort):
        return [], ""
    labels = dict(zip(effects.cell_names[0], effects.cohort, strict=True))
    kept = largest(effects, np.array(list(labels.values()), dtype=float), MOST_PANELS)
    held = [label for label, keep in zip(labels, kept, strict=True) if keep]
    return held, left_out(len(labels), len(held))


def _since_start(result: Result) -> pd.DataFrame:
    """Effects by period since the start, without the reference period, which is no estimate."""
    table = rows_of(result, SINCE)
    reference = effects_of(result).reference
    return timed(table if reference is None else table[table["at"] != reference])


def _band(table: pd.DataFrame) -> list[Any]:
    """The simultaneous band, in one piece before and one from the start on."""
    from plotnine import aes, geom_ribbon

    shape = aes("at", ymin="band_low", ymax="band_high", group="when")
    known = table.dropna(subset=["band_low"])
    return [geom_ribbon(known, shape, fill=theme.BLUE, alpha=0.12)] if len(known) else []


def _reference(effects: Effects, table: pd.DataFrame) -> list[Any]:
    """The period that the others are compared with, as a hollow square, where it lies in the picture."""
    from plotnine import annotate

    if effects.reference is None or not len(table) or effects.reference < table["at"].min() - 1:
        return []
    level = 1.0 if effects.ratio else 0.0
    return [
        annotate("point", x=effects.reference, y=level, shape="s", fill="white", color=theme.INK, size=2.4)
    ]


def _average_words(result: Result) -> str:
    """How the overall effect is averaged."""
    return {
        "group": "averaged by their size",
        "simple": "averaged over all treated units and periods",
        "dynamic": "averaged over the periods since the start",
        "calendar": "averaged over the calendar periods",
    }[design_of(result).aggregation]


def _by_cohort(result: Result) -> tuple[pd.DataFrame, str]:
    """Effects of cohorts, drawn from the first start downwards with the overall effect below; what is left
    out."""
    held = rows_of(result, COHORT)
    if result.estimates is None or held.empty:
        return held, ""
    kept = largest(effects_of(result), held["at"].to_numpy(dtype=float), MOST_ROWS)
    table = pd.concat([held[kept], result.estimates.head(1).assign(cohort=ALL)], ignore_index=True)
    names = table["cohort"].tolist()
    table = table.assign(
        cohort=pd.Categorical(names, categories=names[::-1]),
        kind=[ALL if name == ALL else COHORT for name in names],
    )
    return table, left_out(len(held), int(kept.sum()))


def _cells(result: Result) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Effects by cohort and period with their place in time, the start of each cohort, what is left out."""
    labels, left = drawn_cohorts(result)
    table = rows_of(result, CELL)
    if not labels:
        return table, pd.DataFrame(), ""
    table = table[table["cohort"].isin(labels) & (table["at"] != effects_of(result).reference)]
    if table.empty:
        return table, pd.DataFrame(), ""
    names = [f"began {label}" for label in labels]
    table = timed(table).assign(
        time=placed(table["period"].tolist(), is_dated(result)),
        cohort=pd.Categorical("began " + table["cohort"].astype(str), categories=names),
    )
    starts = pd.DataFrame({"time": starts_of(result, labels), "cohort": names})
    return table, starts.assign(cohort=pd.Categorical(names, categories=names)), left
