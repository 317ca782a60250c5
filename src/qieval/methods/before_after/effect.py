"""The change of the same people, and how much of it regression to the mean would bring by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import EstimationError
from qieval.methods.before_after.design import BeforeAfter
from qieval.methods.before_after.expected import expected_change
from qieval.methods.rows import row_of
from qieval.methods.words import amount, between
from qieval.numerics.contrasts import Contrast, Precision, all_contrasts, difference
from qieval.numerics.means import Means, covariance, n_clusters
from qieval.paired import Paired, read_paired
from qieval.result import Result
from qieval.text import Count, number

HYPOTHESIS = "This design cannot show what caused the change; read it as a hypothesis, not as an effect."
ROUTES = (
    "Stronger designs for the same question: the same measurements in people who did not receive it"
    " (difference-in-differences), or the outcome of successive cohorts month by month over a longer time"
    " (interrupted time series)."
)


def estimate(design: BeforeAfter, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """The mean change with its interval, and what regression to the mean would be expected to bring."""
    pairs = read_paired(design, frame)
    means = means_of(pairs)
    matrix = covariance(means, pairs.cluster, adjust=True)
    groups = n_clusters(pairs.cluster, np.ones(len(pairs), dtype=bool))
    _require_variation(design, pairs, groups)
    precision = Precision(df=groups - 1.0, level=design.level)
    kind: Any = pairs.kind
    contrasts = _in_order(design, all_contrasts(means, matrix, kind, precision))
    rows = [row_of(item, item.name.replace("difference", "change")) for item in contrasts]
    if design.expected_change:
        known = replace(means, mean1=means.mean1 - design.expected_change)
        rows.append(row_of(difference(known, matrix, precision, "change beyond the expected trend")))
    expected = expected_change(design, pairs)
    if expected is not None:
        rows += map(row_of, expected.rows(means, matrix, precision))
    label = "paired" if pairs.cluster is None else f"paired, clustered by '{design.cluster}'"
    return Result(
        design=design,
        headline=_headline(design, pairs, contrasts[0]),
        estimates=pd.DataFrame(rows),
        facts=pd.Series(_facts(design, pairs, means, label), dtype=object),
        notes=(HYPOTHESIS, *([] if brief else [ROUTES]), *pairs.notes),
        kernel=Kernel(pairs, expected),
    )


def _require_variation(design: BeforeAfter, pairs: Paired, groups: int) -> None:
    """EstimationError where nothing can be said about how much changes differ."""
    if groups < 2:
        raise EstimationError(
            f"cluster: everybody belongs to one cluster ('{design.cluster}'), so nobody can tell how much"
            " changes"
            " differ between clusters. Name what people share within it, or leave cluster empty."
        )
    if np.ptp(pairs.rate_after - pairs.rate_before) == 0 and np.ptp(pairs.rate_before) == 0:
        raise EstimationError(
            "outcome: everybody has the same value before and the same value after, so there is nothing to"
            " estimate. Check that these are the right columns."
        )


@dataclass(frozen=True, eq=False)
class Kernel:
    """What checks and pictures need: the pairs and the regression to the mean that is to be expected."""

    pairs: Paired
    expected: Any


def means_of(pairs: Paired) -> Means:
    """Means (risks, rates) after and before with the influence of each person on both."""
    influence = np.empty((len(pairs), 2))
    found = []
    for at, (value, time) in enumerate(((pairs.after, pairs.time_after), (pairs.before, pairs.time_before))):
        if value is None:
            raise RuntimeError("the values after of blind data were asked for")
        spell = np.ones(len(pairs)) if time is None else time
        mean = float(value.sum() / spell.sum())
        influence[:, at] = (value - mean * spell) / spell.sum()
        found.append(mean)
    return Means(found[0], found[1], influence)


def _in_order(design: BeforeAfter, contrasts: tuple[Contrast, ...]) -> list[Contrast]:
    """The contrasts that suit one group, the one asked for first: no odds ratio, no number needed."""
    kept = [item for item in contrasts if item.name.endswith("difference") or item.name.endswith("ratio")]
    kept = [item for item in kept if item.name != "odds ratio"]
    return sorted(kept, key=lambda item: not item.name.endswith(design.effect))


def _facts(design: BeforeAfter, pairs: Paired, means: Means, label: str) -> dict[str, Any]:
    counted = Count if design.units_are == "people" else int
    return {
        "units seen before and after": counted(len(pairs)),
        "before": pairs.labels[0],
        "after": pairs.labels[1],
        "outcome after": means.mean1,
        "outcome before": means.mean0,
        "standard error": label,
        "standing": "generates a hypothesis",
    }


def _headline(design: BeforeAfter, pairs: Paired, shown: Contrast) -> str:
    outcome = design.measured_in or design.outcome.replace("_", " ")
    how = f"{design.level:.0%} interval"
    if shown.name.endswith("ratio"):
        size = (
            f"{number(shown.estimate)} times as high after as before ({how} {number(shown.low)} to"
            f" {number(shown.high)})"
        )
    else:
        percent = pairs.kind == "risk"
        ends = between(shown.low, shown.high, percent)
        size = f"{amount(shown.estimate, percent)} after than before ({how} {ends})"
    who = "people" if design.units_are == "people" else "organisations"
    return f"In the same {who}, {outcome}: {size}. {HYPOTHESIS}"
