"""How large must the effect be to be seen? Judged before any outcome after the start is looked at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.design import PanelDesign
from qieval.numerics.power import Power, simulate_power
from qieval.numerics.resampling import Resampling
from qieval.shapes import Panel
from qieval.text import number, plural

NAME, ASSUMPTION = "minimum detectable effect", "enough data"
DRAWS = 999
MOST_SERIES = 2_000
"""Beyond this many clusters a random part of them is simulated and the result scaled to their number."""


def minimum_detectable_effect(design: PanelDesign, panel: Panel) -> Check:
    """Simulate the estimate from the periods before the start, and find the effect that 80% of studies
    would see.

    Unadjusted difference in mean change with a cluster-robust test. In repeated cross-sections the series
    of a cluster is its mean in each period.
    """
    periods = panel.start - int(getattr(design, "anticipation", 0))
    outcomes, treated, cluster = _series(design, panel, periods)
    kept, share = _sampled(cluster, treated, design.seed)
    found = simulate_power(
        outcomes[kept],
        treated[kept],
        cluster[kept],
        panel.n_periods - panel.start,
        Resampling(draws=DRAWS, seed=design.seed, level=design.level),
    )
    if found.reason:
        text = f"It cannot be computed before the start: {found.reason}"
        return Check(name=NAME, assumption=ASSUMPTION, verdict="information", text=text)
    scale = float(np.sqrt(share))
    level = float(np.nanmean(outcomes[treated]))
    text = (
        f"With these units and {plural(panel.n_periods - panel.start, 'period')} of follow-up, an effect of"
        f" {number(found.mde * scale, 2)} would be seen in 80% of studies like this one"
    )
    text += f" ({found.mde * scale / level:.0%} of the level before the start)." if level > 0 else "."
    text += (
        " A smaller true effect will often be missed: a wide interval around zero is no proof of no effect."
    )
    return Check(
        name=NAME,
        assumption=ASSUMPTION,
        verdict="information",
        text=text,
        table=_curve(found, scale),
        picture="power",
    )


def _curve(found: Power, scale: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"effect": found.effects * scale, "power": found.power, "monte_carlo_error": found.power_error}
    )


def _series(design: PanelDesign, panel: Panel, periods: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes before the start (series, periods), NaN where not observed; which are treated; their
    clusters."""
    code = panel.cluster * 2 + panel.treated if getattr(design, "repeats", False) else panel.unit
    seen = (panel.time < periods) & np.isfinite(panel.outcome)
    size = int(code.max()) + 1
    cell = code[seen] * periods + panel.time[seen]
    count = np.bincount(cell, minlength=size * periods)
    total = np.bincount(cell, panel.outcome[seen], size * periods)
    with np.errstate(invalid="ignore"):
        outcomes = (total / count).reshape(size, periods)
    treated, cluster = np.zeros(size, dtype=bool), np.zeros(size, dtype=np.intp)
    treated[code], cluster[code] = panel.treated, panel.cluster
    held = np.bincount(code, minlength=size) > 0
    return outcomes[held], treated[held], cluster[held]


def _sampled(cluster: np.ndarray, treated: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Which series to simulate, and the share of all clusters that they stand for (the same in both arms)."""
    n_clusters = int(np.unique(cluster).size)
    if n_clusters <= MOST_SERIES:
        return np.ones(len(cluster), dtype=bool), 1.0
    random = np.random.default_rng(seed)
    share = MOST_SERIES / n_clusters
    chosen = np.zeros(int(cluster.max()) + 1, dtype=bool)
    for arm in (np.unique(cluster[treated]), np.unique(cluster[~treated])):
        chosen[random.choice(arm, max(2, round(share * len(arm))), replace=False)] = True
    return chosen[cluster], share
