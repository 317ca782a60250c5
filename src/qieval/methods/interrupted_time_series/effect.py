"""The result of an interrupted time series: terms, course over time, facts and the headline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.interrupted import FittedSeries, Interrupted
from qieval.methods.interrupted_time_series import terms
from qieval.methods.interrupted_time_series.design import COUNTS, PROPORTIONS, InterruptedTimeSeries
from qieval.methods.interrupted_time_series.effects import Change, quantile
from qieval.methods.interrupted_time_series.fit import Answer, answer
from qieval.methods.interrupted_time_series.problem import compared, control_rate
from qieval.result import Result
from qieval.text import Count, number, plural

HORIZONS = (6, 12, 24)
"""After how many periods the effect is stated on its own, unless the design says otherwise."""
UNEQUAL = 4.0
"""From that ratio of mean squared residuals on, one dispersion for a series and its control misleads."""
LARGEST_SHARE = 3.0
"""Beyond three times the expected level that level is near zero and a percentage of it means nothing."""

parse, blind = terms.parse, terms.blind


def estimate(design: InterruptedTimeSeries, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the change of a series at its interruption; see `InterruptedTimeSeries`."""
    made = parse(design, frame)
    found = answer(design, made)
    table = estimates(design, found)
    return Result(
        design=design,
        headline=_headline(design, found, table),
        estimates=table,
        series=None if brief else _series(design, found.fitted),
        facts=pd.Series(_facts(design, found), dtype=object),
        notes=_notes(design, found),
        kernel=found.fitted,
    )


def estimates(design: InterruptedTimeSeries, found: Answer) -> pd.DataFrame:
    """One row per term; `at` counts periods from the start in rows about one period or horizon."""
    rows = [*_overall(design, found), *_coefficients(design, found), *_totals(design, found)]
    rows += [*_horizons(design, found), *_periods(design, found)]
    return pd.DataFrame(rows)


def _row(term: str, value: float, error: float, t: float, df: float, at: float = np.nan) -> dict[str, Any]:
    known = np.isfinite(error) and error > 0
    tail = -abs(value) / error if known else np.nan
    return {
        "term": term,
        "at": at,
        "estimate": value,
        "std_error": error,
        "conf_low": value - t * error,
        "conf_high": value + t * error,
        "p_value": _two_sided(tail, df),
    }


def _two_sided(tail: float, df: float) -> float:
    return float(2 * (scipy.special.ndtr(tail) if np.isinf(df) else scipy.special.stdtr(df, tail)))


def _ratio_row(term: str, value: float, error: float, t: float, df: float) -> dict[str, Any]:
    """A row on the ratio scale from a logarithm and its error, which `std_error` keeps."""
    made = _row(term, value, error, t, df)
    return made | {name: float(np.exp(made[name])) for name in ("estimate", "conf_low", "conf_high")}


def ratio_name(fitted: FittedSeries) -> str:
    """What the ratio of the outcome with and without the intervention is called."""
    if fitted.family in PROPORTIONS:
        return "risk ratio"
    if fitted.family in COUNTS:
        return "rate ratio" if fitted.made.series.denominator is not None else "count ratio"
    return "effect ratio"


def _overall(design: InterruptedTimeSeries, found: Answer) -> Iterator[dict[str, Any]]:
    change, t = found.change, quantile(design.level, found.change.df)
    if change.ratios:
        yield _ratio_row(
            ratio_name(found.fitted),
            float(change.log_ratio[-1]),
            float(change.log_ratio_error[-1]),
            t,
            change.df,
        )
        return
    yield _row("mean effect", *change.rate_difference, t, change.df)


def _coefficients(design: InterruptedTimeSeries, found: Answer) -> Iterator[dict[str, Any]]:
    fitted = found.fitted
    suffix = {"log": " ratio", "logit": " odds ratio", "identity": ""}[fitted.link]
    for column in np.flatnonzero(fitted.change):
        df = float(fitted.df[column])
        figures = (
            float(fitted.coefficients[column]),
            float(np.sqrt(fitted.covariance[column, column])),
            quantile(design.level, df),
            df,
        )
        name = fitted.names[column]
        yield _ratio_row(name + suffix, *figures) if suffix else _row(name, *figures)


def _totals(design: InterruptedTimeSeries, found: Answer) -> Iterator[dict[str, Any]]:
    change, t = found.change, quantile(design.level, found.change.df)
    if change.ratios and not _of_ratios(design):
        term = "rate difference" if found.fitted.made.series.denominator is not None else "mean effect"
        yield _row(term, *change.rate_difference, t, change.df)
    if _adds_up(design, found):
        yield _row("cumulative effect", float(change.total[-1]), float(change.total_error[-1]), t, change.df)


def _adds_up(design: InterruptedTimeSeries, found: Answer) -> bool:
    """Whether a sum over periods means something: of events and of amounts, not of rates and ratios."""
    counted = found.fitted.family in COUNTS + PROPORTIONS
    return counted or (found.fitted.made.series.denominator is None and not _of_ratios(design))


def _of_ratios(design: InterruptedTimeSeries) -> bool:
    """Whether the outcome itself is a ratio of two series, so that absolute numbers mean nothing."""
    subtracted = bool(design.controls) and design.controlled_by == "difference of the series"
    return subtracted and (design.counts or design.scale == "logarithm")


def _horizons(design: InterruptedTimeSeries, found: Answer) -> Iterator[dict[str, Any]]:
    """The effect added up over the first periods after the start."""
    change, t = found.change, quantile(design.level, found.change.df)
    if not _adds_up(design, found):
        return
    for horizon in sorted({int(held) for held in design.horizons or HORIZONS}):
        reached = np.flatnonzero(change.code < found.fitted.made.start + horizon)
        if not len(reached) or change.code[-1] < found.fitted.made.start + horizon - 1:
            continue
        last = reached[-1]
        yield _row(
            "cumulative effect by horizon",
            float(change.total[last]),
            float(change.total_error[last]),
            t,
            change.df,
            float(horizon),
        )


def _periods(design: InterruptedTimeSeries, found: Answer) -> Iterator[dict[str, Any]]:
    change, t = found.change, quantile(design.level, found.change.df)
    for which, code in enumerate(change.code):
        size = float(change.size[which])
        yield _row(
            "effect in period",
            float(change.difference[which]) / size,
            float(change.difference_error[which]) / size,
            t,
            change.df,
            float(code - found.fitted.made.start),
        )


def _series(design: InterruptedTimeSeries, fitted: FittedSeries) -> pd.DataFrame:
    """The course over time as it is shown; limits of the expected course from the start on. Control series
    that are modelled together are a group of their own."""
    made = fitted.made
    late = made.series.at >= made.start
    own = pd.DataFrame(
        {
            "time": made.series.periods.axis(),
            "group": "treated",
            "observed": fitted.observed,
            "counterfactual": fitted.expected,
            "conf_low": np.where(late, fitted.low, np.nan),
            "conf_high": np.where(late, fitted.high, np.nan),
            "fitted": fitted.fitted,
            "used": made.used,
        }
    )
    if not compared(design):
        return own
    control = own.assign(
        group="comparison",
        observed=control_rate(design, made, fitted.family),
        counterfactual=np.nan,
        conf_low=np.nan,
        conf_high=np.nan,
        fitted=np.nan,
    )
    return pd.concat([own, control], ignore_index=True)


def _facts(design: InterruptedTimeSeries, found: Answer) -> dict[str, Any]:
    fitted, made = found.fitted, found.fitted.made
    facts: dict[str, Any] = {
        "periods before": int(made.before.sum()),
        "periods after": int(made.after.sum()),
        "periods left out": int((made.series.left_out | made.transition).sum()),
        "one period is a": made.series.rhythm,
        "model": design.model,
        "family": fitted.family,
        "errors": fitted.errors,
    }
    if (smallest := _smallest_count(design, fitted)) is not None:
        facts["smallest count above zero"] = smallest
    if np.isfinite(fitted.dispersion) and fitted.family in ("quasi-poisson", "quasi-binomial"):
        facts["dispersion"] = fitted.dispersion
    if np.isfinite(fitted.aic):
        facts["AIC"] = fitted.aic
    if np.isfinite(share := relative(found.change)):
        facts["relative effect"] = share
    shares: Any = fitted.more.get("inclusion", {})
    return facts | {f"evidence for control '{name}'": share for name, share in shares.items()}


def _smallest_count(design: InterruptedTimeSeries, fitted: FittedSeries) -> Count | None:
    """The smallest count above zero of a series of counts and its controls, which a picture would show."""
    if fitted.family not in COUNTS + PROPORTIONS:
        return None
    series = fitted.made.series
    held = np.concatenate([series.y, *(series.others[name] for name in design.controls)])
    above = held[np.isfinite(held) & (held > 0)]
    return Count(int(above.min())) if len(above) else None


def relative(change: Change) -> float:
    """The effect as a share of what was expected; NaN where the expected level is near zero."""
    expected = float(change.expected.sum())
    share = float(change.total[-1]) / expected if expected > 0 else np.nan
    return share if abs(share) <= LARGEST_SHARE else np.nan


def _notes(design: InterruptedTimeSeries, found: Answer) -> tuple[str, ...]:
    fitted, made = found.fitted, found.fitted.made
    notes = list(made.notes)
    if fitted.why:
        notes.append(f"Family: {fitted.family}, because {fitted.why}.")
    if fitted.reasons:
        notes.append(f"Inference: {fitted.errors}. Recommended because: {' '.join(fitted.reasons)}")
    if made.transition.any():
        notes.append(
            f"{plural(int(made.transition.sum()), made.series.rhythm)} of phasing in from {design.start} on"
            " are left out of the model."
        )
    notes += _unequal_scatter(fitted)
    if design.change == "any":
        notes.append(
            "The interval takes the estimated wandering of the level as known. In simulations such 95%"
            " intervals held the true effect in 76% to 97% of series, least where the level wanders."
        )
    if too_early(design, made):
        notes.append(_too_early(design, made))
    return tuple(notes)


def _unequal_scatter(fitted: FittedSeries) -> list[str]:
    """A note where the series and its control vary so differently that one dispersion does not suit both."""
    held: Any = fitted.more.get("problem")
    base: Any = fitted.more.get("base")
    if held is None or base is None or held.own.all():
        return []
    own, other = (float(np.mean(base.pearson[which] ** 2)) for which in (held.own, ~held.own))
    if max(own, other) <= UNEQUAL * min(own, other):
        return []
    return [
        f"Around the fit the series varies {number(own, 2)} and its control {number(other, 2)} (mean squared"
        " residual), but the comparative model takes one figure for both, so the interval is too"
        f" {'narrow' if own > other else 'wide'}. controlled_by='difference of the series' does not suppose"
        " it."
    ]


def too_early(design: InterruptedTimeSeries, made: Interrupted) -> bool:
    """Whether the data end before the effect was expected to show."""
    return bool(design.expected_within) and made.series.n_periods - made.start < design.expected_within


def _too_early(design: InterruptedTimeSeries, made: Interrupted) -> str:
    word = made.series.rhythm
    return (
        f"It is too early to say: the effect was expected within {plural(design.expected_within, word)} of"
        f" {design.start}, and the data cover {plural(made.series.n_periods - made.start, word)}."
    )


def _headline(design: InterruptedTimeSeries, found: Answer, table: pd.DataFrame) -> str:
    fitted, made, first = found.fitted, found.fitted.made, table.iloc[0]
    how = f"{design.level:.0%} interval"
    outcome = design.outcome.replace("_", " ")
    against = (
        f"than expected without the {plural(len(made.interruptions), 'intervention')}"
        if len(made.interruptions) > 1
        else "than expected without the intervention"
        if not design.controls
        else "than expected from its own past and the control series"
    )
    if found.change.ratios:
        percent = 100 * (float(first["estimate"]) - 1)
        said = (
            f"From {design.start} on, {outcome} was {_percent(percent)} {_over(found)}{against}"
            f" ({first['term']} {number(first['estimate'])}, {how} {number(first['conf_low'])} to"
            f" {number(first['conf_high'])}; {fitted.errors})."
        )
        said += _events(design, found, table)
    else:
        said = (
            f"From {design.start} on, {outcome} was {_signed(float(first['estimate']))} on average"
            f" {_over(found)}{against}"
            f" ({how} {_signed(float(first['conf_low']))} to {_signed(float(first['conf_high']))};"
            f" {fitted.errors})."
        )
        if np.isfinite(share := relative(found.change)):
            said += f" That is {abs(share):.1%} {'above' if share > 0 else 'below'} the expected level."
    said += (
        " One series does not rule out other events at that time."
        if not design.controls
        else " Events that the control series did not feel are not ruled out."
    )
    return f"{_too_early(design, made)} So far: {said}" if too_early(design, made) else said


def _over(found: Answer) -> str:
    """The periods over which the mean is taken, where they are not simply all after the start."""
    return f"over {plural(len(found.change.code), found.fitted.made.series.rhythm)} "


def _events(design: InterruptedTimeSeries, found: Answer, table: pd.DataFrame) -> str:
    """The same as a number of events over the time after the start."""
    if found.fitted.family not in COUNTS + PROPORTIONS:
        return ""
    row = table[table["term"] == "cumulative effect"].iloc[0]
    total = float(row["estimate"])
    more = "more" if total > 0 else "fewer"
    return (
        f" That is {number(abs(total))} {more} (interval {_signed(float(row['conf_low']))} to"
        f" {_signed(float(row['conf_high']))})."
    )


def _percent(percent: float) -> str:
    if abs(percent) < 0.05:
        return "no different"
    return f"{number(abs(percent))}% {'higher' if percent > 0 else 'lower'}"


def _signed(value: float) -> str:
    """An amount with its direction."""
    if not np.isfinite(value):
        return "no limit"
    return f"{number(abs(value))} {'higher' if value > 0 else 'lower'}" if value else "no difference"
