"""Rosenbaum bounds: hidden bias inside matched pairs and sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from qieval.errors import DataError
from qieval.numerics import rosenbaum as bounds_of
from qieval.sensitivity.base import Sensitivity, known
from qieval.text import number, plural

Floats: TypeAlias = npt.NDArray[np.float64]

GAMMAS = tuple(float(odds) for odds in np.round(np.arange(1.0, 2.51, 0.05), 2))


def rosenbaum(
    treated: Any, comparison: Any, *, direction: str = "as found", gammas: Sequence[float] = GAMMAS
) -> Sensitivity:
    """How much hidden bias within matched pairs or sets the p-value of the finding can bear.

    treated (n,): outcomes of treated people; comparison (n,) of their partners, or (n, m) with NaN where a
    set has fewer. Outcomes of 0 and 1 in pairs: McNemar's test. Other pairs: signed rank test, with bounds
    of the Hodges-Lehmann estimate. Sets: Rosenbaum's M-statistic. direction: "more", "less" or "as found".
    One-sided p-values. Source: Rosenbaum (2002, 2007).
    """
    known("direction", direction, ("as found", "more", "less"))
    sets = _sets(treated, comparison)
    if not len(gammas) or not min(gammas) >= 1:
        raise DataError(
            "gammas: every Gamma must be at least 1, where 1 means no hidden bias; odds cannot differ less."
            " Leave them out for 1 to 2.5."
        )
    raises = np.nanmean(sets[:, 0] - np.nanmean(sets[:, 1:], axis=1)) >= 0
    sign = 1.0 if direction == "more" or (direction == "as found" and raises) else -1.0
    test, bounds = _test_of(sets * sign)
    found = bounds(np.asarray(gammas, dtype=float))
    table = pd.DataFrame({"gamma": found.gamma, "p_low": found.low, "p_high": found.high})
    if test == "signed rank test":
        shift = bounds_of.hodges_lehmann_bounds(sets[:, 0] - sets[:, 1], gammas)
        table = table.assign(estimate_low=shift.low, estimate_high=shift.high)
    critical = bounds_of.critical_gamma(lambda odds: float(bounds(np.array([odds])).high[0]))
    text = (
        f"The one-sided p-value ({test}) is above 0.05 even if there is no hidden bias, so there is no"
        " finding for hidden bias to overturn."
        if np.isnan(critical)
        else f"The finding would keep a one-sided p-value below 0.05 ({test}) unless something unmeasured"
        f" changed the odds of treatment within a matched set by a factor of {number(critical)} or more"
        " and all but decided the outcome."
    )
    shown = pd.DataFrame({"test": [test], "critical_gamma": [critical], "sets": [len(sets)]})
    return Sensitivity(name="Rosenbaum bounds", text=text, table=table, details={"critical": shown})


def _sets(treated: Any, comparison: Any) -> Floats:
    """The matched sets (n, 1 + m), the treated person first."""
    one, others = np.asarray(treated, dtype=float), np.asarray(comparison, dtype=float)
    others = others[:, None] if others.ndim == 1 else others
    if one.ndim != 1 or others.shape[0] != one.size or one.size == 0:
        raise DataError(
            f"comparison: {one.size:,} treated people but {others.shape[0]:,} matched rows, so the pairs"
            " cannot be told. Give one row per matched set, in the same order."
        )
    lacking = ~np.isfinite(one) | ~np.isfinite(others).any(axis=1)
    if lacking.any():
        raise DataError(
            f"treated, comparison: {plural(int(lacking.sum()), 'set')} lack the outcome of the treated person"
            " or of every partner, and cannot be compared. Leave those sets out."
        )
    return np.column_stack([one, others])


def _test_of(sets: Floats) -> tuple[str, Callable[[Floats], bounds_of.Bounds]]:
    """The test that suits the sets (signed so that the finding is an increase), and its bounds."""
    if sets.shape[1] > 2:
        scores = bounds_of.m_scores(sets)
        return "M-statistic", lambda gammas: bounds_of.m_bounds(scores, gammas)
    gaps = sets[:, 0] - sets[:, 1]
    if np.isin(np.abs(sets), (0, 1)).all():
        more, fewer = int((gaps > 0).sum()), int((gaps < 0).sum())
        return "McNemar's test", lambda gammas: bounds_of.binary_bounds(more, fewer, gammas)
    return "signed rank test", lambda gammas: bounds_of.signed_rank_bounds(gaps, gammas)
