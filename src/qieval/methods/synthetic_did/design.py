"""The design of synthetic difference-in-differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qieval.donor_design import DonorDesign
from qieval.fields import choice, columns, number


@dataclass(frozen=True, kw_only=True, repr=False)
class SyntheticDifferenceInDifferences(DonorDesign):
    """Compare changes, between donors and periods that are weighted so that the treated are tracked.

    Unit weights make the donors move in parallel with the treated before the start, time weights make the
    periods before the start like those after it; the effect is the difference-in-differences under both.
    With `first_treated` units may start at different times: each wave is estimated on its own against the
    units never treated, and waves are averaged by their treated unit-periods.

    Intervals: 'placebo' puts donors in the place of the treated (every donor in turn for one treated unit)
    and inverts that test; 'bootstrap' takes percentiles over resampled units and 'jackknife' leaves one out,
    both need several treated units. 'automatic' takes the bootstrap from `draws` with more than five treated
    units, else placebos.

    optimiser='exact' finds the minimum of both weighting problems; 'as R synthdid' stops where that program
    stops, to reproduce published numbers.

    Missing values: outcomes must be complete in the periods used; with missing='complete cases' donors with
    gaps leave the pool and are counted.

    Raises DesignError when fields contradict each other.
    Source: Arkhangelsky, Athey, Hirshberg, Imbens and Wager 2021; Clarke, Pailanir, Athey and Imbens 2023
    (several starts); checked against R synthdid 0.0.9.

    >>> SyntheticDifferenceInDifferences(outcome="y", unit="site", time="year", treated="pilot", start=2022)
    SyntheticDifferenceInDifferences(outcome='y', unit='site', time='year', treated='pilot', start=2022)
    """

    title: ClassVar[str] = "Synthetic difference-in-differences"

    covariates: tuple[str, ...] = columns(
        "numeric", "measured characteristics that change over time, to adjust the outcome for"
    )
    adjust: str = choice(
        ("projected", "optimised"),
        "how covariates are adjusted for: by a regression on untreated cells, or together with the weights"
        " (as in R)",
        default="projected",
    )
    optimiser: str = choice(
        ("exact", "as R synthdid"),
        "whether the weights are the exact optimum, or those at which R synthdid stops",
        default="exact",
    )
    inference: str = choice(
        ("automatic", "placebo", "bootstrap", "jackknife"), "how the interval is made", default="automatic"
    )
    draws: int = number(
        "random draws of placebo groups or of the bootstrap", low=99, high=99999, default=200, whole=True
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.anticipation and self.first_treated is not None:
            found.append(
                "anticipation, first_treated: with several starts periods of anticipation cannot be left"
                " out of one common table. Move the starts earlier by the anticipation instead."
            )
        return found
