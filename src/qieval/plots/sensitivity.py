"""Pictures of sensitivity analyses, drawn from their tidy tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

FUNNEL_POINTS = 80


def omitted_variable_contour(
    contour: pd.DataFrame, benchmarks: pd.DataFrame, value: str = "estimate", threshold: float = 0.0
) -> ggplot:
    """What confounders of every strength leave of an estimate, with benchmarks at their places.

    contour: r2_treated, r2_outcome and the column `value` ("estimate" or "t") on a full grid. benchmarks:
    rows of benchmark, multiple, r2_treated, r2_outcome; may be empty. threshold: the level drawn strongly, 0
    for the estimate, the critical value for t.
    """
    from plotnine import (
        aes,
        geom_path,
        geom_point,
        geom_text,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
    )

    grid = contour.pivot_table(index="r2_outcome", columns="r2_treated", values=value, dropna=False)
    width, height = float(contour["r2_treated"].max()), float(contour["r2_outcome"].max())
    lines = _contours(grid, threshold, value)
    ends = lines.groupby("path", as_index=False).last()
    kinds = [_OTHER, f"{value} = {threshold:g}"]
    picture = (
        ggplot(lines, aes("x", "y"))
        + geom_path(aes(group="path", linetype="kind", color="kind"), size=0.7)
        + geom_text(aes(label="label"), data=ends, size=8, nudge_y=height * 0.02, color=theme.INK)
        + scale_color_manual(values=[theme.GREY, theme.ORANGE], breaks=kinds)
        + scale_linetype_manual(values=["solid", "dashed"], breaks=kinds)
        + theme.house_theme(height=5.4)
        + labs(
            title=_CONTOUR_TITLES.get(value, value),
            subtitle="Had a confounder this strong been adjusted for. The study as it is lies at the origin.",
            x="share of treatment it explains (partial R², given covariates)",
            y=theme.axis_title(
                "share of the outcome it explains (partial R², given treatment and covariates)"
            ),
        )
    )
    shown = benchmarks.dropna(subset=["r2_treated", "r2_outcome"])
    if shown.empty:
        return picture
    words = _benchmark_words(shown, width, height)
    place = aes("r2_treated", "r2_outcome")
    return (
        picture
        + geom_point(place, data=shown, shape="D", size=2.4, color=theme.BLUE)
        + geom_text(
            aes("r2_treated", "r2_outcome", label="said"),
            data=words,
            size=8.5,
            ha="left",
            nudge_x=width * 0.015,
            color=theme.BLUE,
        )
    )


def e_value_curve(ratio: float, e_value: float) -> ggplot:
    """All pairs of associations that explain a risk ratio away; at the E-value both are equal.

    Ratios below 1 are turned round. The shaded side is strong enough.
    """
    from plotnine import (
        aes,
        annotate,
        geom_line,
        geom_point,
        geom_ribbon,
        ggplot,
        labs,
        scale_x_continuous,
        scale_y_continuous,
    )

    away = max(ratio, 1 / ratio)
    if not np.isfinite(e_value) or away <= 1:
        raise ValueError("there is no association to explain away: the curve needs a ratio other than 1")
    top = max(3 * (e_value - 1) + 1, away * 1.2)
    first = away + (top - away) * np.linspace(0, 1, 400)[1:] ** 2
    curve = pd.DataFrame({"exposure": first, "outcome": away * (first - 1) / (first - away)})
    curve = curve[curve["outcome"] <= top].assign(top=top)
    point = pd.DataFrame({"exposure": [e_value], "outcome": [e_value]})
    return (
        ggplot(curve, aes("exposure", "outcome"))
        + geom_ribbon(aes(ymin="outcome", ymax="top"), fill=theme.ORANGE, alpha=0.12)
        + geom_line(color=theme.BLUE, size=0.9)
        + geom_point(data=point, size=3, color=theme.ORANGE)
        + annotate(
            "text",
            x=e_value + 0.02 * top,
            y=e_value + 0.03 * top,
            label=f"E-value {e_value:.2f}",
            ha="left",
            size=10,
            color=theme.INK,
        )
        + scale_x_continuous(limits=(1, top))
        + scale_y_continuous(limits=(1, top))
        + theme.house_theme(height=5.0)
        + labs(
            title=f"Unmeasured confounding that would explain a risk ratio of {ratio:.2f} away",
            subtitle="On the line it just does, in the shaded area more than that.",
            x="risk ratio of the confounder with treatment",
            y="risk ratio of the confounder with the outcome",
        )
    )


def gamma_curve(table: pd.DataFrame, critical: float | None = None, alpha: float = 0.05) -> ggplot:
    """The range of p-values that hidden bias up to each Gamma allows: columns gamma, p_low, p_high.

    critical: the Gamma at which the largest p-value reaches alpha, marked where it is given and finite.
    """
    from plotnine import aes, geom_hline, geom_line, geom_ribbon, geom_vline, ggplot, labs, scale_y_continuous

    known = critical is not None and np.isfinite(critical)
    picture = (
        ggplot(table, aes("gamma"))
        + geom_ribbon(aes(ymin="p_low", ymax="p_high"), fill=theme.BLUE, alpha=0.12)
        + geom_line(aes(y="p_high"), color=theme.BLUE, size=0.9)
        + geom_hline(yintercept=alpha, linetype="dashed", color=theme.GREY)
        + scale_y_continuous(limits=(0, 1))
        + theme.house_theme()
        + labs(
            title="How much hidden bias the finding can bear",
            subtitle=f"The largest p-value passes {alpha:g} at Γ = {critical:.2f}." if known else "",
            x="Γ: by how much the odds of treatment may differ inside a matched set",
            y="one-sided p-value",
            caption=f"Shaded: all p-values that are possible. Line: the worst case. Dashed: {alpha:g}.",
        )
    )
    return (
        picture + geom_vline(xintercept=critical, linetype="dotted", color=theme.ORANGE) if known else picture
    )


def calibration_funnel(table: pd.DataFrame, null: pd.DataFrame, effect: pd.DataFrame | None = None) -> ggplot:
    """Negative controls by estimate and standard error, with the usual and the calibrated limits of p = 0.05.

    table: estimate, std_error. null: one row with mean, sd. effect: one row with estimate, std_error of the
    effect of interest. Left and right of a pair of lines p is below 0.05.
    """
    from plotnine import (
        aes,
        geom_path,
        geom_point,
        geom_vline,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
        scale_shape_manual,
    )

    points = [table.assign(what="negative control")]
    if effect is not None:
        points.append(effect.assign(what="effect of interest"))
    shown = pd.concat([part[["estimate", "std_error", "what"]] for part in points], ignore_index=True)
    errors = np.linspace(0, shown["std_error"].max() * 1.08, FUNNEL_POINTS)
    mean, sd = float(null["mean"].iloc[0]), float(null["sd"].iloc[0])
    limits = pd.concat([_limits(errors, 0.0, 0.0, LIMITS[0]), _limits(errors, mean, sd, LIMITS[1])])
    kinds = ["negative control", "effect of interest"]
    return (
        ggplot(shown, aes("estimate", "std_error"))
        + geom_vline(xintercept=0, color=theme.INK, size=0.4)
        + geom_path(aes("at", "std_error", group="side", linetype="limit"), data=limits, color=theme.GREY)
        + geom_point(aes(color="what", shape="what"), size=2.4)
        + geom_point(aes(color="what", shape="what"), data=shown[shown["what"] == kinds[1]], size=4)
        + scale_color_manual(values=[theme.BLUE, theme.ORANGE], breaks=kinds)
        + scale_shape_manual(values=["o", "D"], breaks=kinds)
        + scale_linetype_manual(values=["dashed", "solid"], breaks=list(LIMITS))
        + theme.house_theme(height=5.0)
        + labs(
            title="What outcomes that cannot be affected show",
            subtitle="Without systematic error 95% of negative controls would lie inside the dashed lines.",
            x="estimate (log of a ratio, or a difference)",
            y="standard error",
        )
    )


LIMITS = ("p = 0.05, usual", "p = 0.05, calibrated")
_OTHER = "other values"
_CONTOUR_TITLES = {
    "estimate": "What an unmeasured confounder would leave of the estimate",
    "t": "What an unmeasured confounder would leave of the t statistic",
}
_APART = 0.06
"""Benchmarks nearer than this share of both axes get one label together."""


def _benchmark_words(shown: pd.DataFrame, width: float, height: float) -> pd.DataFrame:
    """One label for each point, or one for all multiples of a benchmark that lie close together."""
    found = []
    for name, rows in shown.groupby("benchmark", sort=False):
        apart = max(np.ptp(rows["r2_treated"]) / width, np.ptp(rows["r2_outcome"]) / height)
        if apart < _APART and len(rows) > 1:
            said = f"{rows['multiple'].min():g} to {rows['multiple'].max():g} × {name}"
            found.append(rows.tail(1).assign(said=said))
        else:
            found.append(rows.assign(said=[f"{times:g} × {name}" for times in rows["multiple"]]))
    return pd.concat(found, ignore_index=True)


def _contours(grid: pd.DataFrame, threshold: float, name: str) -> pd.DataFrame:
    """Lines of equal value: columns x, y, path, label, kind."""
    from contourpy import contour_generator
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(grid, dtype=float)
    made: Any = contour_generator(np.asarray(grid.columns), np.asarray(grid.index), values)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    levels = [float(level) for level in MaxNLocator(8).tick_values(low, high) if low < level < high]
    close = 0.02 * (high - low)
    levels = [level for level in levels if abs(level - threshold) > close]
    frames = []
    for level in sorted([*levels, threshold]):
        kind = f"{name} = {threshold:g}" if level == threshold else _OTHER
        for path, line in enumerate(made.lines(level)):
            frames.append(
                pd.DataFrame({"x": line[:, 0], "y": line[:, 1]}).assign(
                    path=f"{level}-{path}", label=f"{level:.3g}", kind=kind
                )
            )
    return pd.concat(frames, ignore_index=True)


def _limits(errors: np.ndarray, mean: float, sd: float, limit: str) -> pd.DataFrame:
    half = 1.959963984540054 * np.sqrt(sd**2 + errors**2)
    sides = [
        pd.DataFrame(
            {"at": mean + sign * half, "std_error": errors, "side": f"{limit} {sign}", "limit": limit}
        )
        for sign in (-1, 1)
    ]
    return pd.concat(sides, ignore_index=True)
