"""What regression to the mean alone would be expected to bring in people who were picked by a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qieval.errors import EstimationError
from qieval.methods.before_after.design import BeforeAfter
from qieval.numerics.contrasts import Contrast, Precision, difference
from qieval.numerics.means import Means
from qieval.numerics.regression_to_mean import (
    Population,
    SeparatedEffect,
    regression_of_chosen,
    separated_effect,
)
from qieval.numerics.regression_to_mean_counts import CountPopulation
from qieval.paired import Paired
from qieval.text import number

BEYOND = "change beyond regression to the mean"


@dataclass(frozen=True, eq=False, kw_only=True)
class Expected:
    """The change to be expected with nothing done. how and inputs say where it comes from.

    apart: the change taken apart by a regression of the value after on the value before (Mee and Chua 1991),
    where that can be done: people by themselves, without clusters and person-time.
    """

    change: float
    how: str
    inputs: Mapping[str, float]
    apart: SeparatedEffect | None

    def rows(self, means: Means, matrix: np.ndarray, precision: Precision) -> list[Contrast]:
        """The expected change, and what is left of the change without it, the inputs taken as known."""
        known = replace(means, mean1=means.mean1 - self.change)
        unknown = (np.nan,) * 4
        found = [
            Contrast("expected from regression to the mean", self.change, *unknown, scale="difference"),
            difference(known, matrix, precision, BEYOND),
        ]
        if self.apart is not None:
            part = self.apart
            figures = (part.effect, part.std_error, part.low, part.high, part.p_value)
            found.append(
                Contrast(f"{BEYOND}, by regression on the value before", *figures, scale="difference")
            )
        return found


def expected_change(design: BeforeAfter, pairs: Paired) -> Expected | None:
    """The expected change; None where people were not picked by the value before, or too little is known.

    The share of a distance from the population's mean that persists is the reliability as given, that of
    counts (1 - mean / variance in everybody: Poisson counts about gamma rates), or the correlation of the
    periods before, whichever is known first. Source: Gardner and Heady 1973; Hauer 1997.
    """
    if design.selected == "no" or design.selected_on is not None or design.population_mean is None:
        return None
    mean = float(design.population_mean)
    found = _persisting(design, pairs)
    if found is None:
        return None
    share, source = found
    picked = pairs.picked
    _require_extreme(design, float(picked.mean()), mean)
    spread = float(design.population_sd or np.std(picked, ddof=1) or 1.0)
    change = regression_of_chosen(picked, Population(mean=mean, sd=spread, reliability=share)).change
    return Expected(
        change=change,
        how=(
            f"{number(100 * (1 - share))}% of the distance between their mean of"
            f" {number(float(picked.mean()))} and"
            f" everybody's of {number(mean)} goes; {source}"
        ),
        inputs={
            "mean of those picked": float(picked.mean()),
            "mean of everybody": mean,
            "reliability": share,
            "expected change": change,
        },
        apart=_apart(design, pairs, mean),
    )


def _require_extreme(design: BeforeAfter, picked: float, mean: float) -> None:
    """EstimationError where those picked do not lie on the side that they are said to be picked from."""
    high = design.selected == "high values"
    if picked > mean if high else picked < mean:
        return
    raise EstimationError(
        f"selected, population_mean: people are said to be picked by {design.selected}, but their mean of"
        f" {number(picked)} does not lie {'above' if high else 'below'} everybody's of {number(mean)}."
        " Correct"
        " one of the two; units may differ (per month, per year)."
    )


def _persisting(design: BeforeAfter, pairs: Paired) -> tuple[float, str] | None:
    """The share of a distance from the mean that persists, and where it comes from."""
    if design.reliability:
        return float(design.reliability), "reliability as given"
    if design.population_sd is not None and _are_counts(pairs):
        counts = CountPopulation(
            mean=float(design.population_mean), variance=float(design.population_sd) ** 2
        )
        return counts.kept, "reliability of counts, from their mean and variance in everybody"
    return _correlation(pairs)


def _are_counts(pairs: Paired) -> bool:
    values = pairs.before
    return bool(pairs.time_before is None and (values >= 0).all() and (values == np.round(values)).all())


def _correlation(pairs: Paired) -> tuple[float, str] | None:
    """The correlation of the two periods furthest from the choice: those long before the start."""
    earlier = pairs.earlier
    if earlier.shape[1] < 2:
        return None
    one, two = earlier[:, 0], earlier[:, 1]
    both = np.isfinite(one) & np.isfinite(two)
    if both.sum() < 3 or np.ptp(one[both]) == 0 or np.ptp(two[both]) == 0:
        return None
    found = float(np.corrcoef(one[both], two[both])[0, 1])
    if not 0 < found < 1:
        return None
    return (
        found,
        "reliability from the first two periods before, which is too low if people were picked by them",
    )


def _apart(design: BeforeAfter, pairs: Paired, mean: float) -> SeparatedEffect | None:
    plain = pairs.cluster is None and pairs.time_before is None
    if pairs.after is None or not plain or len(pairs) < 3 or np.ptp(pairs.rate_before) == 0:
        return None
    return separated_effect(pairs.rate_before, pairs.rate_after, mean, level=design.level)
