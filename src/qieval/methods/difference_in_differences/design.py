"""The design of difference-in-differences with two groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qieval.design import AdjustedPanelDesign
from qieval.fields import choice, number


@dataclass(frozen=True, kw_only=True, repr=False)
class DifferenceInDifferences(AdjustedPanelDesign):
    """Compare the change over time in treated units with the change in comparison units.

    The effect is the average effect on the treated (ATT): the coefficient of treated x after in a
    regression with unit and period effects (two-way fixed effects), exact for one common start. Periods
    within `anticipation` of the start count neither as before nor as after. The event study gives the
    effect in each period relative to the last period before the start (less `anticipation`).

    Intervals: `inference='analytic'` uses `variance` (by default cluster-robust, t with G-1 degrees of
    freedom, small sample factor as in fixest); 'wild cluster bootstrap' and 'permutation' are valid with
    few clusters; 'automatic' chooses by the number of clusters and says so. With `data='repeated cross-
    sections'` other people are sampled in each period and the effects of the two groups take the place of
    unit effects; with 'repeated cross- sections of units' people are sampled within units (practices,
    sites) that keep their own effects.

    Missing values: see `missing`. Raises DesignError when fields contradict each other.
    Source: Angrist and Pischke 2009, chapter 5; checked against fixest 0.14 and linearmodels.

    >>> DifferenceInDifferences(outcome="y", unit="id", time="month", treated="pilot", start="2022-04")
    DifferenceInDifferences(outcome='y', unit='id', time='month', treated='pilot', start='2022-04')
    """

    title: ClassVar[str] = "Difference-in-differences"

    data: str = choice(
        ("panel", "repeated cross-sections", "repeated cross-sections of units"),
        "whether the same units are followed (panel) or other people are sampled in each period",
        default="panel",
    )
    anticipation: int = number(
        "how many periods before the start may already be affected", low=0, high=120, default=0, whole=True
    )
    inference: str = choice(
        ("automatic", "analytic", "wild cluster bootstrap", "permutation"),
        "how the interval is made; automatic uses a method that is valid with few clusters where there"
        " are few",
        default="automatic",
    )
    variance: str = choice(
        ("cluster", "hc1", "iid"),
        "which errors the analytic standard error allows for: dependent within clusters, unequal, or equal"
        " variance",
        default="cluster",
    )
    small_sample: str = choice(
        ("fixest", "stata", "areg", "none"),
        "the small-sample factor of the standard error, named after the software that uses it",
        default="fixest",
    )
    draws: int = number(
        "random draws of the bootstrap or the permutation", low=99, high=99999, default=1999, whole=True
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.variance != "cluster" and self.inference in ("wild cluster bootstrap", "permutation"):
            found.append(
                f"inference, variance: '{self.inference}' works on clusters, but variance is"
                f" '{self.variance}'. Set variance='cluster', or inference='analytic'."
            )
        return found

    @property
    def repeats(self) -> bool:
        """Whether a unit may have several rows in a period."""
        return self.data != "panel"
