"""How alike the groups were before the start."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.design import PanelDesign
from qieval.shapes import Panel
from qieval.text import listed

NOTABLE = 0.1
"""A standardised difference that is usually called notable (Austin 2009)."""


def balance_before(design: PanelDesign, panel: Panel) -> Check:
    """Standardised differences of covariates and of the outcome's level, from values before the start.

    Unit means over the periods before the start; the difference of the groups' means is divided by the
    pooled standard deviation sqrt((s1^2 + s0^2) / 2). Difference-in-differences does not need equal levels,
    but groups that are alike are more likely to share their trend.
    """
    before = (panel.time < panel.start) & np.isfinite(panel.outcome)
    columns = {design.outcome: panel.outcome}
    columns |= {name: panel.x[:, j] for j, name in enumerate(panel.x_names)}
    columns |= {name: panel.baseline[:, j] for j, name in enumerate(panel.baseline_names)}
    rows = [
        {"characteristic": name, **_difference(panel, values, before)} for name, values in columns.items()
    ]
    table = pd.DataFrame(rows)
    apart = table.loc[table["standardised_difference"].abs() > NOTABLE, "characteristic"].tolist()
    text = (
        f"Before the start the groups differ by more than {NOTABLE:g} standard deviations in:"
        f" {listed(apart, 8)}."
        if apart
        else f"Before the start no characteristic differs by more than {NOTABLE:g} standard deviations."
    )
    text += (
        " Different levels do not bias the estimate, different trends do. Nothing here speaks about"
        " unmeasured differences."
    )
    return Check(
        name="balance before the start",
        assumption="parallel trends after the start",
        verdict="information",
        text=text,
        table=table,
        picture="differences",
    )


def _difference(panel: Panel, values: np.ndarray, before: np.ndarray) -> dict[str, float]:
    means, treated = unit_means(panel, values, before)
    one, none = means[treated], means[~treated]
    spread = np.sqrt((_variance(one) + _variance(none)) / 2)
    gap = one.mean() - none.mean()
    return {
        "treated": float(one.mean()),
        "comparison": float(none.mean()),
        "standardised_difference": float(gap / spread) if spread > 0 else (0.0 if gap == 0 else np.nan),
    }


def unit_means(panel: Panel, values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of `values` over the given rows of each unit, and which of these unit means belong to
    treated rows.

    Where a unit holds treated and other rows (repeated cross-sections) each part is a unit of its own.
    """
    code = panel.unit[rows] * 2 + panel.treated[rows]
    count = np.bincount(code)
    total = np.bincount(code, weights=values[rows])
    seen = count > 0
    return total[seen] / count[seen], (np.flatnonzero(seen) % 2).astype(bool)


def _variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0
