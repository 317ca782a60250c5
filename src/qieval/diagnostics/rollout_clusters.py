"""Are there enough independent clusters that begin, and that do not, for the interval?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_rows import ENOUGH, RATIOS, altered, cohort_names, said, stated
from qieval.numerics.few_clusters import FEW_CLUSTERS, FEW_PER_ARM, reliable
from qieval.result import Study
from qieval.rollout.panel import Rollout
from qieval.text import listed, plural

MOST_JACKKNIFED = 100
MUCH_WIDER = 1.15
"""An interval that is so much wider when clusters are left out in turn is a sign of too few of them."""


@dataclass(frozen=True)
class Arms:
    """Clusters that begin within the data, that are compared with, and in all; and of each cohort."""

    begin: int
    compared: int
    total: int
    cohorts: tuple[int, ...]

    @property
    def enough(self) -> bool:
        """Whether ordinary cluster-robust intervals can be relied on."""
        return reliable(self.total, min(self.begin, self.compared))


def arms_of(design: Any, rollout: Rollout) -> Arms:
    """Numbers of clusters; compared: those that never begin, or with not-yet-treated controls begin later."""
    first, cluster = rollout.first, rollout.cluster
    never = getattr(design, "control_group", "never") == "never" and rollout.has_never
    others = np.isinf(first) if never else first > rollout.starts.min()
    cohorts = tuple(_distinct(cluster[first == start]) for start in rollout.starts)
    return Arms(
        _distinct(cluster[np.isfinite(first)]), _distinct(cluster[others]), _distinct(cluster), cohorts
    )


def _distinct(codes: np.ndarray) -> int:
    return int(np.unique(codes).size)


def enough_clusters(study: Study) -> Check:
    """The clusters behind the interval, and the interval by other means where there are few."""
    arms = arms_of(study.design, study.panel)
    rows = [stated(study, f"as reported: {study.facts['interval by']}"), *_others(study, arms)]
    table = pd.DataFrame(rows)
    verdict, judged = _judged(study, arms, table)
    text = f"{_counted(study.panel, arms)} Interval by {study.facts['interval by']}. {judged}"
    return Check(
        name="number of clusters",
        assumption=ENOUGH,
        verdict=verdict,
        text=text,
        table=table.assign(error=table["std_error"]).drop(columns="std_error") if len(rows) > 1 else None,
        picture="intervals" if table["estimate"].notna().sum() > 1 else None,
    )


def _others(study: Study, arms: Arms) -> list[dict[str, Any]]:
    """Intervals by leaving out clusters, and by drawing the order again where it was drawn by lot."""
    design, rows = study.design, []
    if not str(study.facts["interval by"]).startswith("standard errors"):
        rows.append(altered(study, "analytic", inference="analytic"))
    if not str(study.facts["interval by"]).startswith("jackknife") and arms.total <= MOST_JACKKNIFED:
        rows.append(altered(study, "jackknife over clusters", inference="cluster jackknife"))
    drawn = design.rollout_randomised == "yes" and design.approach not in RATIOS
    if drawn and design.inference != "randomisation" and study.panel.began is not None:
        label = "order of the roll-out drawn again"
        rows.append(altered(study, label, inference="randomisation", draws=min(design.draws, 499)))
    return rows


def _counted(rollout: Rollout, arms: Arms) -> str:
    smallest = int(np.argmin(arms.cohorts))
    return (
        f"{plural(arms.begin, 'cluster')} that begin, compared with {plural(arms.compared, 'cluster')}; the"
        f" smallest cohort ({cohort_names(rollout)[smallest]}) has"
        f" {plural(arms.cohorts[smallest], 'cluster')}."
    )


def _judged(study: Study, arms: Arms, table: pd.DataFrame) -> tuple[Verdict, str]:
    lone = [name for name, n in zip(cohort_names(study.panel), arms.cohorts, strict=False) if n == 1]
    alone = (
        f" Cohorts of a single cluster ({listed(lone, 4)}): how much it varies cannot be told, so intervals"
        " of these cohorts are too narrow."
        if lone
        else ""
    )
    beside = "".join(
        f" {row['label'].capitalize()}: {said(row)}."
        for _, row in table.iloc[1:].dropna(subset="estimate").iterrows()
    )
    reported = str(study.facts["interval by"])
    robust = reported.startswith(("jackknife", "randomisation", "wild"))
    if min(arms.begin, arms.compared) == 1:
        return "concern", (
            "One side is a single cluster, so nothing tells the intervention from anything else that"
            " happened there." + beside
        )
    if study.panel.began is None and study.design.cluster in (None, study.design.unit):
        return "information", (
            "Every row is taken as independent. People sampled in the same place hang together: if the"
            " intervention"
            " was given to places, name them (cluster)." + alone + beside
        )
    wider = _wider(table)
    if arms.enough:
        spoilt = np.isfinite(wider) and wider > MUCH_WIDER and not robust
        opening = (
            "That is enough for the overall interval." if not spoilt else "The jackknife interval is wider."
        )
        return ("information" if spoilt or lone else "supports"), opening + alone + beside
    if robust:
        return "information", (
            "That is few for an ordinary interval; the one shown is made for few clusters and is wide for"
            " that reason." + alone + beside
        )
    return "concern", (
        f"That is fewer than {FEW_CLUSTERS} in all or {FEW_PER_ARM} on a side, and ordinary intervals tend to"
        " be too"
        " narrow. Use inference='cluster jackknife'." + alone + beside
    )


def _wider(table: pd.DataFrame) -> float:
    """How much larger the standard error of the jackknife is than the one reported."""
    held = table.loc[table["label"] == "jackknife over clusters", "std_error"]
    return float(held.iloc[0] / table["std_error"].iloc[0]) if len(held) else float("nan")


def clusters_by_cohort(design: Any, rollout: Rollout) -> Check:
    """The clusters of each cohort, before any outcome after the start is seen."""
    arms = arms_of(design, rollout)
    names = cohort_names(rollout)
    counts = [*arms.cohorts]
    if rollout.has_never:
        counts.append(_distinct(rollout.cluster[np.isinf(rollout.first)]))
    table = pd.DataFrame({"cohort": names, "clusters": counts})
    text = _counted(rollout, arms)
    text += (
        " That is enough for cluster-robust intervals of the overall effect."
        if arms.enough
        else (
            f" With fewer than {FEW_CLUSTERS} clusters in all or {FEW_PER_ARM} on a side ordinary intervals"
            " would be too narrow; inference='automatic' leaves out one cluster after the other instead."
        )
    )
    lone = [name for name, n in zip(names, arms.cohorts, strict=False) if n == 1]
    if lone:
        text += f" Cohorts of one cluster have no dependable interval of their own: {listed(lone, 4)}."
    return Check(
        name="clusters by cohort",
        assumption=ENOUGH,
        verdict="supports" if arms.enough and not lone else "information" if arms.enough else "concern",
        text=text,
        table=table,
    )
