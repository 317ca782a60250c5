"""Negative controls: outcomes that cannot be affected, and what they say about systematic error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from qieval.errors import DataError
from qieval.numerics import calibration
from qieval.sensitivity.base import Sensitivity
from qieval.text import number, plural

Floats: TypeAlias = npt.NDArray[np.float64]


def negative_controls(
    estimates: Any,
    std_errors: Any,
    *,
    estimate: float | None = None,
    std_error: float | None = None,
    names: Sequence[str] | None = None,
) -> Sensitivity:
    """What outcomes that cannot be affected say about systematic error, and the estimate corrected for it.

    estimates, std_errors (n,): of negative controls, as logs of ratios or as differences on one scale.
    estimate, std_error: of the effect of interest. table: each control judged by the others. details: "null",
    and "calibrated" where an estimate was given. Sources: Schuemie et al. (2014, 2018).
    """
    values, errors = _controls(estimates, std_errors)
    if (estimate is None) != (std_error is None):
        raise DataError(
            "estimate, std_error: only one of them was given, and an estimate cannot be corrected without its"
            " standard error; they go together. Give both."
        )
    labels = list(names) if names is not None else [f"control {place + 1}" for place in range(values.size)]
    if len(labels) != values.size:
        raise DataError(
            f"names: {len(labels)} names for {values.size} controls; which is which would be unclear. Give"
            " one name for each."
        )
    null = calibration.fit_null(values, errors)
    left = calibration.leave_one_out(values, errors)
    table = pd.DataFrame(
        {
            "name": labels,
            "estimate": values,
            "std_error": errors,
            "p": left.plain,
            "p_calibrated": left.p,
            "calibrated_low": left.low,
            "calibrated_high": left.high,
            "expected_error_without": left.expected_error,
        }
    )
    shown = {"mean": null.mean, "sd": null.sd, "expected_error": null.expected_error, "controls": null.n}
    details = {"null": pd.DataFrame([shown])}
    text = (
        f"The {plural(null.n, 'negative control')} show a systematic error of {number(null.mean)} on average"
        f" with a standard deviation of {number(null.sd)}, where none was to be expected."
    )
    if estimate is not None and std_error is not None:
        details["calibrated"] = _calibrated(null, estimate, std_error)
        row = details["calibrated"].iloc[0]
        text += (
            f" Corrected for it the estimate of {number(estimate)} becomes {number(row['calibrated'])} (95%"
            f" interval {number(row['low'])} to {number(row['high'])}; p = {number(row['p_calibrated'], 2)})."
        )
    return Sensitivity(name="negative controls", text=text, table=table, details=details)


def _controls(estimates: Any, std_errors: Any) -> tuple[Floats, Floats]:
    values, errors = np.asarray(estimates, dtype=float), np.asarray(std_errors, dtype=float)
    if values.ndim != 1 or values.shape != errors.shape or values.size < 3:
        raise DataError(
            f"estimates: {values.size} estimates and {errors.size} standard errors; their spread can only be"
            " seen with three controls or more, each with its standard error. Add controls."
        )
    if not np.isfinite(values).all() or not (np.isfinite(errors) & (errors > 0)).all():
        raise DataError(
            "estimates, std_errors: a missing or infinite estimate, or a standard error that is not positive,"
            " says nothing about systematic error. Leave those controls out."
        )
    return values, errors


def _calibrated(null: calibration.Null, estimate: float, std_error: float) -> pd.DataFrame:
    found = calibration.calibrate(null, estimate, std_error)
    row = {
        "estimate": estimate,
        "std_error": std_error,
        "p": float(calibration.plain_p(estimate, std_error)),
        "calibrated": float(found.estimate),
        "low": float(found.low),
        "high": float(found.high),
        "std_error_calibrated": float(found.std_error),
        "p_calibrated": float(calibration.calibrated_p(null, estimate, std_error)),
    }
    return pd.DataFrame([row])
