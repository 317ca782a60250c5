"""Are there enough independent clusters for the interval?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.design import PanelDesign
from qieval.numerics.few_clusters import FEW_CLUSTERS, FEW_PER_ARM, reliable
from qieval.result import Study
from qieval.shapes import Panel
from qieval.text import plural

NAME, ASSUMPTION = "number of clusters", "enough independent units for the interval"


def clusters_by_arm(design: PanelDesign, panel: Panel) -> Check:
    """The number of clusters in each group, before any outcome after the start is seen."""
    treated, comparison = _arms(panel)
    table = pd.DataFrame({"group": ["treated", "comparison"], "clusters": [treated, comparison]})
    enough = reliable(panel.n_clusters, min(treated, comparison))
    text = f"{plural(treated, 'treated cluster')} and {plural(comparison, 'comparison cluster')}"
    text += (
        ": enough for cluster-robust intervals."
        if enough
        else (
            f": fewer than {FEW_CLUSTERS} in all or {FEW_PER_ARM} in a group, so ordinary intervals would be"
            " too narrow and the interval has to come from a wild cluster bootstrap or from permuting who is"
            " treated."
        )
    )
    return Check(
        name=NAME, assumption=ASSUMPTION, verdict="supports" if enough else "concern", text=text, table=table
    )


def enough_clusters(study: Study) -> Check:
    """Whether the interval that was reported can be relied on, given the number of clusters."""
    facts, design = study.facts, study.design
    treated, comparison = (
        int(facts["treated clusters"]),
        int(facts["clusters"]) - int(facts["treated clusters"]),
    )
    by = str(facts["interval by"])
    enough = reliable(treated + comparison, min(treated, comparison))
    text = (
        f"{plural(treated, 'treated cluster')}, {plural(comparison, 'comparison cluster')}; interval by"
        f" {by}. "
    )
    verdict, said = _judged(design, enough, treated, comparison, study.panel.n_periods)
    return Check(name=NAME, assumption=ASSUMPTION, verdict=verdict, text=text + said)


def _judged(design: object, enough: bool, treated: int, comparison: int, periods: int) -> tuple[Verdict, str]:
    variance = getattr(design, "variance", "cluster")
    if variance != "cluster" and periods > 2 and not getattr(design, "repeats", False):
        return (
            "concern",
            (
                f"Errors of the same unit are taken as independent over time (variance='{variance}'), which"
                " makes intervals far too narrow when outcomes persist (Bertrand, Duflo and Mullainathan"
                " 2004). Use variance='cluster'."
            ),
        )
    if enough:
        return "supports", "That is enough for the interval."
    if getattr(design, "inference", "analytic") == "analytic":
        return (
            "concern",
            (
                "That is too few for a cluster-robust interval, which will be too narrow. Use"
                " inference='automatic'."
            ),
        )
    if min(treated, comparison) == 1:
        return (
            "concern",
            (
                "One group is a single cluster: the interval compares it with what the others would show by"
                " chance and cannot tell the intervention from anything else that happened there."
            ),
        )
    return (
        "information",
        (
            "That is too few for an ordinary cluster-robust interval; the interval shown is made for few"
            " clusters and is wide for that reason."
        ),
    )


def _arms(panel: Panel) -> tuple[int, int]:
    treated = np.unique(panel.cluster[panel.treated]).size
    return int(treated), int(np.unique(panel.cluster[~panel.treated]).size)
