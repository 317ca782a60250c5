"""Whether neighbouring values hang together, and whether the chosen errors allow for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.series_rows import ERRORS, fitted
from qieval.interrupted import FittedSeries
from qieval.numerics.residual_tests import (
    ResidualTest,
    acf,
    breusch_godfrey,
    cumby_huizinga,
    durbin_watson,
    ljung_box,
    pacf,
)
from qieval.result import Study
from qieval.text import number

AS_THEY_ARE, LEFT = "residuals", "left after the model of the errors"
SMALL_P = 0.05
FEWEST = 6
NORMAL = 1.96


def residual_autocorrelation(study: Study) -> Check:
    """Autocorrelations of the residuals by lag, and of what is left once the errors' model is taken out.

    Bounds at 1.96 / sqrt(n). The verdict rests on Ljung and Box (1978) over one season, or a fifth of the
    series and at most ten periods.
    """
    kernel = fitted(study)
    name = "residual autocorrelation"
    try:
        table = autocorrelations(kernel)
        test = box(kernel)
    except ValueError as cause:
        text = f"It cannot be judged here: {cause}."
        return Check(name=name, assumption=ERRORS, verdict="information", text=text)
    first = table[(table["which"] == AS_THEY_ARE) & (table["lag"] == 1)]["autocorrelation"].iloc[0]
    verdict, said = _judged(kernel, test, float(first))
    text = f"Residuals one {kernel.made.series.rhythm} apart correlate by {number(float(first), 2)}. {said}"
    return Check(
        name=name,
        assumption=ERRORS,
        verdict=verdict,
        text=text,
        table=table,
        picture="autocorrelation",
    )


def lags_of(kernel: FittedSeries) -> int:
    """Up to which lag residuals are looked at: a season, or a fifth of the series and at most ten periods."""
    n = len(kernel.at)
    season = kernel.made.season
    if season is not None and 2 <= season <= n / 3:
        return round(season)
    return max(1, min(10, n // 5))


def box(kernel: FittedSeries) -> ResidualTest:
    """Ljung-Box test of what is left of the residuals; ValueError where there are too few."""
    if len(kernel.at) < FEWEST:
        raise ValueError("the model leaves too few residuals")
    order = _order(kernel)
    return ljung_box(kernel.innovations, kernel.at, max(lags_of(kernel), order + 1), order)


def _order(kernel: FittedSeries) -> int:
    """How many parameters of autoregression (and moving average) were estimated."""
    order: Any = getattr(kernel.more.get("fit"), "order", None)
    if order is not None:
        return int(sum(order.counts))
    phi: Any = kernel.more.get("phi", ())
    return len(phi)


def modelled(kernel: FittedSeries) -> bool:
    """Whether the errors have a model of their own, so that innovations are what it leaves."""
    return "base" not in kernel.more or not np.array_equal(kernel.residuals, kernel.innovations)


def autocorrelations(kernel: FittedSeries) -> pd.DataFrame:
    """Long table: which residuals, lag, autocorrelation, partial_autocorrelation, bound. ValueError where
    there are too few residuals."""
    if len(kernel.at) < FEWEST:
        raise ValueError("the model leaves too few residuals")
    lags, n = lags_of(kernel), len(kernel.at)
    frames = []
    for which, values in ((AS_THEY_ARE, kernel.residuals), (LEFT, kernel.innovations)):
        if which == LEFT and np.array_equal(kernel.residuals, kernel.innovations):
            continue
        frames.append(
            pd.DataFrame(
                {
                    "which": which,
                    "lag": np.arange(1, lags + 1),
                    "autocorrelation": acf(values, kernel.at, lags),
                    "partial_autocorrelation": pacf(values, kernel.at, lags),
                    "bound": NORMAL / np.sqrt(n),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _judged(kernel: FittedSeries, test: ResidualTest, first: float) -> tuple[Verdict, str]:
    """The verdict on what is left, and why."""
    box_words = f"Ljung-Box over {lags_of(kernel)} lags: p = {number(test.p_value, 2)}"
    left = test.p_value < SMALL_P
    if modelled(kernel):
        said = f"The errors were modelled ({kernel.errors}). "
        if left:
            return "concern", said + (
                f"What is left still hangs together ({box_words}): the model of the errors, the season or the"
                " trend leaves something out."
            )
        return "supports", said + f"What is left shows no further correlation ({box_words})."
    if kernel.errors.startswith("Newey-West"):
        said = f"The standard errors allow for correlation ({kernel.errors}; {box_words})."
        if first < 0 and left:
            return "concern", said + (
                " Negative correlation makes such errors small; in short series that is not to be relied on."
            )
        return "information" if left else "supports", said
    if not left:
        return "supports", f"That is no more than chance would give ({box_words})."
    said = (
        f"They hang together ({box_words}), and the standard errors take no account of it ({kernel.errors})."
    )
    said += (
        " Intervals are likely too narrow."
        if first > 0
        else " The correlation next door is not positive, so it points to a season or trend that the model"
        " lacks rather than to intervals that are too narrow."
    )
    return "concern", said


def autocorrelation_tests(study: Study) -> Check:
    """Ljung-Box, Breusch-Godfrey, Cumby-Huizinga and Durbin-Watson tests side by side.

    The regression tests look at the residuals of the plain regression; Ljung-Box also at what is left once
    the model of the errors is taken out.
    """
    kernel = fitted(study)
    lags, name = lags_of(kernel), "tests of autocorrelation"
    if len(kernel.at) < FEWEST:
        text = "The model leaves too few residuals to test."
        return Check(name=name, assumption=ERRORS, verdict="information", text=text)
    rows = [
        _row(f"Ljung-Box, {lags} lags", "residuals", lambda: ljung_box(kernel.residuals, kernel.at, lags))
    ]
    if modelled(kernel):
        rows.append(_row(f"Ljung-Box, {lags} lags", LEFT, lambda: box(kernel)))
    rows += _regression_rows(kernel, lags)
    table = pd.DataFrame(rows)
    known = table.dropna(subset=["p_value"])
    small = known[(known["p_value"] < SMALL_P) & (known["residuals"] != LEFT)]
    about = int((known["residuals"] != LEFT).sum())
    text = f"{len(small)} of {about} tests of the plain residuals find autocorrelation (p below {SMALL_P})."
    if len(small) not in (0, about):
        text += " They ask different questions (which lags, which direction); read them with the picture."
    return Check(name=name, assumption=ERRORS, verdict="information", text=text, table=table)


def _regression_rows(kernel: FittedSeries, lags: int) -> list[dict[str, Any]]:
    """Tests that need the regressors: of amounts by least squares, of counts by deviance residuals."""
    base: Any = kernel.more.get("base")
    problem: Any = kernel.more.get("problem")
    if base is None or problem is None:
        return []
    left = base.residuals if kernel.family == "gaussian" else base.deviance_residuals
    x, at = problem.x, problem.at
    return [
        _row("Breusch-Godfrey, 1 lag", "residuals", lambda: breusch_godfrey(left, x, at, 1)),
        _row(f"Breusch-Godfrey, {lags} lags", "residuals", lambda: breusch_godfrey(left, x, at, lags)),
        _row(f"Cumby-Huizinga, {lags} lags", "residuals", lambda: cumby_huizinga(left, x, at, lags)),
        _row("Durbin-Watson", "residuals", lambda: durbin_watson(left, x, at)),
    ]


def _row(test: str, residuals: str, run: Callable[[], ResidualTest]) -> dict[str, Any]:
    try:
        found = run()
    except ValueError as cause:
        nothing = ResidualTest(np.nan, np.nan, np.nan)
        return _figures(test, residuals, nothing) | {"note": str(cause)}
    return _figures(test, residuals, found) | {"note": ""}


def _figures(test: str, residuals: str, found: ResidualTest) -> dict[str, Any]:
    return {
        "test": test,
        "residuals": residuals,
        "statistic": found.statistic,
        "df": found.df,
        "p_value": found.p_value,
    }
