"""Pictures of a synthetic control: paths, gaps, placebos, ranks, weights and balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.plots import theme
from qieval.result import Result
from qieval.synthetic import Synthetic

if TYPE_CHECKING:
    from plotnine import ggplot

COLOURS = {"treated": theme.BLUE, "synthetic control": theme.ORANGE, "mean of the donors": theme.GREY}
LINES = {"treated": "solid", "synthetic control": "dashed", "mean of the donors": "dotted"}
AS_STATED = ("as designed", "all donors")
FAR = 20.0
"""Placebos whose mean squared gap before the start is more than this many times the treated unit's are not
drawn."""


def paths(result: Result) -> ggplot:
    """The treated unit, its synthetic control and the plain mean of the donors over time."""
    from plotnine import (
        aes,
        geom_line,
        geom_ribbon,
        geom_vline,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
    )

    if result.series is None:
        raise ValueError("this result has no series to draw")
    treated = result.series[result.series["group"] == "treated"]
    donors = result.series[result.series["group"] == "comparison"]
    long = pd.concat(
        [
            treated[["time"]].assign(shown=treated["observed"], which="treated"),
            treated[["time"]].assign(shown=treated["counterfactual"], which="synthetic control"),
            donors[["time"]].assign(shown=donors["observed"], which="mean of the donors"),
        ]
    ).dropna()
    order = list(COLOURS)
    design: Any = result.design
    return (
        ggplot()
        + geom_ribbon(
            treated, aes("time", ymin="conf_low", ymax="conf_high"), fill=theme.ORANGE, alpha=0.15, na_rm=True
        )
        + geom_line(long, aes("time", "shown", color="which", linetype="which"), size=0.9)
        + geom_vline(xintercept=_start(result), color=theme.INK, size=0.6)
        + scale_color_manual(values=[COLOURS[name] for name in order], breaks=order)
        + scale_linetype_manual(values=[LINES[name] for name in order], breaks=order)
        + theme.wide_axis(treated["time"])
        + theme.house_theme()
        + labs(
            title=f"{_capital(design.outcome)}: treated and synthetic control",
            caption=theme.wrap(
                "The synthetic control is a weighted mean of the donors. The vertical line marks the start;"
                " a band shows where the treated unit would have been expected without the intervention."
            ),
            x=_time(result),
            y=theme.axis_title(design.measured_in or design.outcome),
        )
    )


def gaps(result: Result) -> ggplot:
    """Treated less synthetic in each period, with the interval from the start on."""
    from plotnine import aes, geom_hline, geom_line, geom_linerange, geom_point, geom_vline, ggplot, labs

    if result.estimates is None:
        raise ValueError("this result has no estimates to draw")
    table = result.estimates.dropna(subset=["at", "estimate"])
    bounded = table[np.isfinite(table["conf_low"]) & np.isfinite(table["conf_high"])]
    said = "Bars: intervals for each period alone." if len(bounded) else "No bounded intervals can be given."
    return (
        ggplot(table, aes("at", "estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_vline(xintercept=-0.5, color=theme.GREY, linetype="dashed")
        + geom_linerange(
            aes(ymin="conf_low", ymax="conf_high"), data=bounded, color=theme.BLUE, alpha=0.5, size=0.8
        )
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=1.8)
        + theme.wide_axis(table["at"])
        + theme.house_theme()
        + labs(
            title="Gap between the treated unit and its synthetic control",
            caption=theme.wrap(f"{said} Before the start the gap shows how well the donors fit."),
            x="periods relative to the start",
            y="gap",
        )
    )


def placebo_gaps(result: Result) -> ggplot:
    """The gap of the treated unit among those of every donor treated as if it had been the one."""
    from plotnine import (
        aes,
        geom_hline,
        geom_line,
        geom_vline,
        ggplot,
        labs,
        scale_alpha_manual,
        scale_color_manual,
        scale_size_manual,
    )

    long, left_out = _spaghetti(result)
    order = ["placebos", "treated"]
    said = f" {left_out} placebos that fit more than {FAR:g} times worse are not drawn." if left_out else ""
    return (
        ggplot(long, aes("at", "gap", group="unit", color="which", alpha="which", size="which"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_vline(xintercept=-0.5, color=theme.GREY, linetype="dashed")
        + geom_line()
        + scale_color_manual(values=[theme.GREY, theme.BLUE], breaks=order)
        + scale_alpha_manual(values=[0.45, 1.0], breaks=order)
        + scale_size_manual(values=[0.5, 1.2], breaks=order)
        + theme.wide_axis(long["at"])
        + theme.house_theme()
        + labs(
            title="Gaps of the treated unit and of placebos",
            caption=theme.wrap(
                "Every donor in turn as if it had received the intervention, compared with the other donors."
                + said
            ),
            x="periods relative to the start",
            y="gap",
        )
    )


def ranks(result: Result) -> ggplot:
    """Mean squared gap after over before the start, of the treated unit and all placebos, in order."""
    from plotnine import (
        aes,
        coord_flip,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
        scale_y_log10,
    )

    table = _ratios(result)
    order = ["placebos", "treated"]
    shown = table.sort_values("ratio", ignore_index=True).tail(60)
    shown = shown.assign(unit=pd.Categorical(shown["unit"], categories=list(shown["unit"])))
    return (
        ggplot(shown, aes("unit", "ratio", color="which", shape="which"))
        + geom_point(size=2.4)
        + scale_color_manual(values=[theme.GREY, theme.BLUE], breaks=order)
        + scale_shape_manual(values=["o", "D"], breaks=order)
        + scale_y_log10()
        + coord_flip()
        + theme.house_theme(height=max(2.8, 1.4 + 0.17 * len(shown)))
        + labs(
            title="Change in fit of the treated unit and of placebos",
            x="",
            y="mean squared gap after the start over before it (logarithmic)",
        )
    )


def weights(result: Result) -> ggplot:
    """The weights of the donors."""
    if result.weights is None:
        raise ValueError("this result has no weights to draw")
    table = result.weights[result.weights["group"] == "donor"].rename(columns={"row": "donor"})
    return weight_bars(table[table["weight"].abs() > 1e-4].head(30))


def weight_bars(table: pd.DataFrame) -> ggplot:
    """Bars of weights: columns donor, weight."""
    from plotnine import aes, coord_flip, geom_col, geom_hline, ggplot, labs

    shown = table.sort_values("weight", kind="stable")
    shown = shown.assign(donor=pd.Categorical(shown["donor"], categories=list(shown["donor"])))
    return (
        ggplot(shown, aes("donor", "weight"))
        + geom_col(fill=theme.BLUE, width=0.6)
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.2 + 0.26 * len(shown)))
        + labs(title="Weights of the donors", x="", y="weight")
    )


def shared_means(table: pd.DataFrame, title: str) -> ggplot:
    """Treated less synthetic and treated less plain donor mean, in standard deviations of the units."""
    from plotnine import (
        aes,
        coord_flip,
        geom_hline,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_shape_manual,
    )

    table = table.head(40)
    order = ["plain mean of the donors", "synthetic control"]
    long = pd.concat(
        [
            table[["what"]].assign(difference=table["difference_before"], which=order[0]),
            table[["what"]].assign(difference=table["difference_after"], which=order[1]),
        ]
    )
    long = long.assign(what=pd.Categorical(long["what"], categories=list(dict.fromkeys(table["what"]))[::-1]))
    return (
        ggplot(long, aes("what", "difference", color="which", shape="which"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_point(size=2.6)
        + scale_color_manual(values=[theme.GREY, theme.BLUE], breaks=order)
        + scale_shape_manual(values=["^", "o"], breaks=order)
        + coord_flip()
        + theme.house_theme(height=max(2.6, 1.4 + 0.24 * len(table)))
        + labs(title=title, x="", y="treated less comparison, in standard deviations of the units")
    )


def dots(table: pd.DataFrame, title: str) -> ggplot:
    """Estimates by label: columns label, estimate; the first row is the design as stated."""
    from plotnine import aes, coord_flip, geom_hline, geom_point, ggplot, labs

    shown = table.dropna(subset=["estimate"])
    order = list(dict.fromkeys(shown["label"].astype(str)))[::-1]
    shown = shown.assign(label=pd.Categorical(shown["label"].astype(str), categories=order))
    return (
        ggplot(shown, aes("label", "estimate"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + _as_designed(shown)
        + geom_point(size=2.6, color=theme.BLUE)
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.2 + 0.26 * len(order)))
        + labs(title=title, x="", y="mean effect")
    )


def _as_designed(shown: pd.DataFrame) -> list[Any]:
    """A dotted line through the design as stated, where it is the first row."""
    from plotnine import geom_hline

    if shown["label"].iloc[0] not in AS_STATED:
        return []
    return [geom_hline(yintercept=float(shown["estimate"].iloc[0]), color=theme.GREY, linetype="dotted")]


def earlier_dates(table: pd.DataFrame, title: str) -> ggplot:
    """The mean gap between an earlier pretended start and the real one: columns label, gap_after."""
    from plotnine import labs

    return dots(table.rename(columns={"gap_after": "estimate"}), title) + labs(
        y="mean gap from the pretended to the real start"
    )


def _made(result: Result) -> Synthetic:
    made: Synthetic = result.kernel
    return made


def _spaghetti(result: Result) -> tuple[pd.DataFrame, int]:
    made = _made(result)
    frames, left_out = [], 0
    for series, (problem, fit) in enumerate(zip(made.problems, made.fits, strict=True)):
        at = np.arange(len(problem.target)) - problem.start
        frames.append(
            pd.DataFrame({"at": at, "gap": fit.gaps, "unit": f"treated {series}", "which": "treated"})
        )
        if made.placebos is None:
            continue
        held = made.placebos[series].gaps
        good = (held[problem.fitted] ** 2).mean(axis=0) <= FAR * fit.mspe(problem.fitted)
        left_out += int((~good).sum())
        for place in np.flatnonzero(good)[:200]:
            unit = f"placebo {series} {place}"
            frames.append(pd.DataFrame({"at": at, "gap": held[:, place], "unit": unit, "which": "placebos"}))
    long = pd.concat(frames[::-1], ignore_index=True).dropna()
    return long.assign(which=pd.Categorical(long["which"], categories=["placebos", "treated"])), left_out


def _ratios(result: Result) -> pd.DataFrame:
    made = _made(result)
    rows: list[dict[str, Any]] = []
    for series, (problem, fit) in enumerate(zip(made.problems, made.fits, strict=True)):
        rows.append({"unit": problem.label, "ratio": _ratio(fit.gaps, problem), "which": "treated"})
        if made.placebos is not None and series == 0:
            for place, name in enumerate(made.placebos[0].names):
                gap = made.placebos[0].gaps[:, place]
                rows.append({"unit": str(name), "ratio": _ratio(gap, problem), "which": "placebos"})
    table = pd.DataFrame(rows).drop_duplicates("unit")
    shown: pd.DataFrame = table.loc[np.isfinite(table["ratio"]) & (table["ratio"] > 0)]
    return shown


def _ratio(gap: np.ndarray, problem: Any) -> float:
    return float(problem.change_in_fit(gap))


def _start(result: Result) -> Any:
    made = _made(result)
    if len(made.problems) > 1:
        return 0
    return made.pool.panel.periods.axis()[made.pool.start]


def _time(result: Result) -> str:
    design: Any = result.design
    return "periods relative to the start" if len(_made(result).problems) > 1 else str(design.time)


def _capital(words: str) -> str:
    plain = words.replace("_", " ")
    return plain[:1].upper() + plain[1:]
