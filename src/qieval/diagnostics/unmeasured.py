"""How strong an unmeasured characteristic would have to be to explain an estimate away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.numerics import omitted_variables as omitted
from qieval.numerics.calibration import calibrate, calibrated_p, fit_null
from qieval.numerics.e_values import e_values, from_difference
from qieval.numerics.rosenbaum import binary_bounds, critical_gamma, signed_rank_bounds
from qieval.result import NO_FIGURES, Study
from qieval.text import number, plural

ASSUMPTION = "no unmeasured confounding"
RATIOS = ("risk ratio", "rate ratio", "mean ratio")
"""Effects that an E-value is made of without conversion; those of means as of non-negative outcomes."""
WEAK_GAMMA = 1.2
WEAK_E = 1.5
FEWEST_CONTROLS = 5
"""With fewer negative controls their spread cannot be estimated well."""

NORMAL_95 = 1.959963984540054
FEWEST_NAMED = 10
"""Shares of fewer people than this are not shown."""

GAMMAS = np.round(np.arange(1.0, 3.01, 0.1), 1)


def e_values_of_the_estimate(study: Study) -> Check:
    """The E-value of the estimate and of the limit of its interval nearest to no effect."""
    name = "E-value"
    table = study.result.estimates
    ratio_rows = table[table["term"].isin(RATIOS)] if table is not None else None
    if ratio_rows is not None and len(ratio_rows) and np.isfinite(ratio_rows.iloc[0]["estimate"]):
        row, how = ratio_rows.iloc[0], f"of the {ratio_rows.iloc[0]['term']}"
        found = e_values(float(row["estimate"]), float(row["conf_low"]), float(row["conf_high"]))
    else:
        spread = _spread(study)
        row, how = study.overall, "of the difference, in standard deviations of the outcome"
        if not spread or not np.isfinite(row["std_error"]):
            text = "The outcome does not vary or has no interval, so no E-value can be given."
            return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
        # The conversion is for 95% intervals: the error that would give this interval at 95%.
        half = (float(row["conf_high"]) - float(row["conf_low"])) / 2
        found = e_values(*from_difference(float(row["estimate"]) / spread, half / NORMAL_95 / spread))
    measured = _strongest_measured(study)
    text = (
        "An unmeasured characteristic would have to be associated with both the intervention and the"
        f" outcome by a risk ratio of {number(found.point)} each, beyond what was measured, to explain the"
        f" estimate away (E-value {how}); {number(found.limit)} each would move the interval to include no"
        " effect."
    )
    if found.limit <= 1:
        text = f"The interval includes no effect already; the E-value {how} is {number(found.point)}."
    shown = pd.DataFrame(
        [
            {"quantity": "estimate", "ratio": found.ratio, "e_value": found.point},
            {
                "quantity": "limit of the interval nearest to no effect",
                "ratio": np.nan,
                "e_value": found.limit,
            },
            *measured,
        ]
    )
    weak = 1 < found.limit < WEAK_E
    if weak:
        text += " A fairly weak characteristic would do."
    return Check(
        name=name, assumption=ASSUMPTION, verdict="concern" if weak else "information", text=text, table=shown
    )


def _spread(study: Study) -> float:
    """The standard deviation of the outcome among those compared, within groups."""
    compared = study.compared
    y, used = compared.cohort.outcome, compared.found.used & np.isfinite(compared.cohort.outcome)
    parts = [y[used & arm] for arm in (compared.cohort.treated, ~compared.cohort.treated)]
    degrees = sum(len(part) - 1 for part in parts)
    return (
        float(np.sqrt(sum(((part - part.mean()) ** 2).sum() for part in parts) / degrees))
        if degrees > 0
        else 0.0
    )


def _strongest_measured(study: Study) -> list[dict[str, Any]]:
    """For scale: how strongly the most unbalanced measured characteristic goes with the intervention."""
    cohort = study.compared.cohort
    binary = [column for column in range(cohort.x.shape[1]) if np.isin(cohort.x[:, column], (0.0, 1.0)).all()]
    best, whose = 1.0, ""
    for column in binary:
        held = [cohort.x[arm, column] for arm in (cohort.treated, ~cohort.treated)]
        shares = [part.mean() for part in held]
        enough = all(part.sum() >= FEWEST_NAMED for part in held)
        if enough and (ratio := max(shares) / min(shares)) > best:
            best, whose = float(ratio), cohort.x_names[column]
    if not whose:
        return []
    said = f"for scale: '{whose}' differs between the groups by this ratio"
    return [{"quantity": said, "ratio": best, "e_value": np.nan}]


def hidden_bias(study: Study) -> Check:
    """Rosenbaum bounds of matched pairs: how much hidden bias would change the test."""
    name = "hidden bias in matched pairs"
    found = _pair_differences(study)
    if found is None:
        text = (
            "The comparison is not made of matched pairs, so Rosenbaum bounds do not apply; see the E-value."
        )
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    gaps, binary = found
    if gaps.mean() < 0:
        gaps = -gaps
    upper = _upper(gaps, binary)
    gamma = critical_gamma(upper)
    table = pd.DataFrame({"gamma": GAMMAS, "p_value_at_most": [upper(float(item)) for item in GAMMAS]})
    if np.isnan(gamma):
        text = (
            "Even without hidden bias chance explains the difference within pairs (one-sided p above 0.05)."
        )
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text, table=table)
    text = (
        f"If an unmeasured characteristic made one member of a pair {number(gamma)} times as likely to"
        " receive the intervention as the other, chance and that characteristic together could explain the"
        f" difference (one-sided p above 0.05); {'McNemar' if binary else 'signed rank'} test, Rosenbaum"
        " bounds."
    )
    if gamma < WEAK_GAMMA:
        text += " That is a weak bias."
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if gamma < WEAK_GAMMA else "information",
        text=text,
        table=table,
        picture="gamma",
    )


def _upper(gaps: np.ndarray, binary: bool) -> Callable[[float], float]:
    if binary:
        more, fewer = int((gaps > 0).sum()), int((gaps < 0).sum())
        return lambda gamma: float(binary_bounds(more, fewer, gamma).high[0])
    return lambda gamma: float(signed_rank_bounds(gaps, gamma).high[0])


def _pair_differences(study: Study) -> tuple[np.ndarray, bool] | None:
    """Treated less comparison within each pair, and whether the outcome is binary; None without 1:1 pairs."""
    compared = study.compared
    cohort, sets, used = compared.cohort, compared.found.sets, compared.found.used
    if sets is None or cohort.person_time is not None or not used.any():
        return None
    n_sets = int(sets.max()) + 1
    size = [np.bincount(sets[used & arm], minlength=n_sets) for arm in (cohort.treated, ~cohort.treated)]
    if any((count > 1).any() for count in size):
        return None
    y = np.full((2, n_sets), np.nan)
    for side, arm in enumerate((cohort.treated, ~cohort.treated)):
        y[side, sets[used & arm]] = cohort.outcome[used & arm]
    gaps = y[0] - y[1]
    gaps = gaps[np.isfinite(gaps)]
    binary = bool(np.isin(y[np.isfinite(y)], (0.0, 1.0)).all())
    return (gaps, binary) if len(gaps) > 1 else None


def omitted_variable(study: Study) -> Check:
    """The robustness value of a regression on treatment and covariates, with measured benchmarks."""
    name = "omitted variable bias"
    compared = study.compared
    cohort = compared.cohort
    kept = compared.found.used & np.isfinite(cohort.outcome)
    if cohort.person_time is not None or kept.sum() < cohort.x.shape[1] + 3:
        text = "Not made for rates, survival or samples smaller than the number of characteristics."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    treated = cohort.treated[kept].astype(float)
    triangle = omitted.reduce(cohort.x[kept], treated, cohort.outcome[kept])
    fitted = omitted.fit(triangle)
    if not fitted.se > 0:
        text = "The outcome does not vary beyond the characteristics, so nothing can be said."
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    value = float(omitted.robustness_value(fitted.t, fitted.df))
    limit = float(omitted.robustness_value(fitted.t, fitted.df, alpha=1 - study.design.level))
    rows: list[dict[str, Any]] = [
        {
            "characteristic": "robustness value of the estimate",
            "share_with_intervention": value,
            "share_with_outcome": value,
        },
        {
            "characteristic": "robustness value of the interval",
            "share_with_intervention": limit,
            "share_with_outcome": limit,
        },
    ]
    rows += _benchmarks(triangle, cohort.x_names)
    text = (
        "In a regression on the people compared, something unmeasured would have to explain"
        f" {100 * value:.1f}% of what is left of the variation of both intervention and outcome to bring the"
        f" estimate to zero, {100 * limit:.1f}% to bring the interval to zero (robustness values)."
    )
    stronger = [
        row for row in rows[2:] if min(row["share_with_intervention"], row["share_with_outcome"]) > limit > 0
    ]
    if stronger:
        text += f" '{stronger[0]['characteristic']}', which was measured, is as strong as that."
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if stronger else "information",
        text=text,
        table=pd.DataFrame(rows),
    )


MOST_BENCHMARKS = 8


def _benchmarks(triangle: omitted.Triangle, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The strongest measured characteristics: a hidden one as strong as each."""
    found: list[dict[str, Any]] = []
    for column, name in enumerate(names):
        strength = omitted.benchmark(triangle, [column], [1.0])
        if strength.possible[0]:
            found.append(
                {
                    "characteristic": name,
                    "share_with_intervention": float(strength.r2_treated[0]),
                    "share_with_outcome": float(strength.r2_outcome[0]),
                }
            )
    found.sort(key=lambda row: -row["share_with_intervention"] * row["share_with_outcome"])
    return found[:MOST_BENCHMARKS]


def negative_controls(study: Study) -> Check:
    """Effects on outcomes that the intervention cannot have changed, and the estimate calibrated by them."""
    name = "negative control outcomes"
    names = study.design.negative_controls
    if not names:
        text = (
            "No negative control outcome was named. An outcome that the intervention cannot change, but"
            " that the same unmeasured characteristics would, shows bias when it differs."
        )
        return Check(name=name, assumption=ASSUMPTION, verdict="information", text=text)
    rows = [_control_row(study, control) for control in names]
    table = pd.DataFrame(rows)
    level = 1 - study.design.level
    alarms = table[table["p_value"] * len(table) < level]
    tried = plural(len(table), "outcome")
    text = f"Of {tried} that the intervention cannot have changed "
    text += (
        f"{len(alarms)} {'differs' if len(alarms) == 1 else 'differ'} between the groups beyond chance:"
        " something unmeasured is at work."
        if len(alarms)
        else "none differs between the groups beyond chance."
    )
    if len(table) >= FEWEST_CONTROLS:
        text += _calibrated(study, table)
    return Check(
        name=name,
        assumption=ASSUMPTION,
        verdict="concern" if len(alarms) else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def _control_row(study: Study, control: str) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "outcome": control,
        "negative_controls": (),
        "person_time": None,
        "horizon": 0.0,
        "effect": "difference",
    }
    held = study.frame[control].to_numpy(dtype=float)
    if not np.nanmax(held) > np.nanmin(held):
        return {"label": control, **NO_FIGURES, "std_error": float("nan"), "note": "does not vary"}
    row = study.again(**changes)
    scale = float(np.nanstd(held))
    figures = {key: float(row[key]) / scale for key in ("estimate", "std_error", "conf_low", "conf_high")}
    return {"label": control, **figures, "p_value": float(row["p_value"])}


def _calibrated(study: Study, table: pd.DataFrame) -> str:
    """The estimate with the error that the negative controls show added."""
    spread = _spread(study)
    if not spread or study.compared.cohort.person_time is not None:
        return ""
    known = table.dropna(subset=["estimate", "std_error"])
    if len(known) < FEWEST_CONTROLS:
        return ""
    null = fit_null(known["estimate"].to_numpy(), known["std_error"].to_numpy())
    row = study.result.estimates.iloc[0] if study.result.estimates is not None else study.overall
    if not null.converged or "ratio" in str(row["term"]):
        return ""
    estimate, error = float(row["estimate"]) / spread, float(row["std_error"]) / spread
    found = calibrate(null, [estimate], [error], study.design.level)
    p = float(np.ravel(calibrated_p(null, [estimate], [error]))[0])
    return (
        f" Calibrated by them the effect is {number(float(found.estimate[0]) * spread)}"
        f" ({study.design.level:.0%} interval {number(float(found.low[0]) * spread)} to"
        f" {number(float(found.high[0]) * spread)}, p {number(p)})."
    )
