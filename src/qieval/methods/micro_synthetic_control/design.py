"""The design of a micro synthetic control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qieval.donor_design import DonorDesign
from qieval.fields import choice, columns, number


@dataclass(frozen=True, kw_only=True, repr=False)
class MicroSyntheticControl(DonorDesign):
    """Compare the totals of the treated small units with weighted totals of many untreated ones.

    For events counted in many small units (practices, wards, census blocks), several of them treated from
    the same period on. Control units get positive weights with which their totals equal those of the treated
    units: the number of units, `outcome` and `other_outcomes` in every fitted period, and the
    characteristics in `match_on` (means over the fitted periods; text becomes one 0/1 column per level but
    the first). Of all such weights 'minimum norm' takes the most even ones and 'raking' those of greatest
    entropy. Where none exist the totals come as near as can be and the result says so: first the number of
    units, then what is not named in `approximately`, then the rest.

    The effect on a total over all periods from the start on is given in events and in per cent.

    Intervals: 'linearised' takes units as drawn independently, with weights that would have followed;
    'permutation' puts random groups of as many units in the place of the treated and inverts that test
    (`draws` groups, each with weights of its own); 'jackknife' leaves out groups of units. 'automatic' is
    linearised with at least twenty treated units and control units enough for it, else permutation. 'as
    microsynth' takes every unit in every period as independent, which understates the error of a total, to
    reproduce published numbers (that program prints one-sided p-values and 90 % limits).

    With `population` the outcomes are rates per `per` people and are turned into counts first. Units that
    start at different times: one wave at a time.

    Missing values: outcomes must be complete in the periods used, and each characteristic known in one
    fitted period at least; with missing='complete cases' control units with gaps leave the pool and are
    counted.

    Raises DesignError when fields contradict each other.
    Source: Robbins, Saunders and Kilmer 2017; checked against R microsynth 2.0.51.

    >>> MicroSyntheticControl(outcome="crimes", unit="block", time="quarter", treated="treated", start=13)
    MicroSyntheticControl(outcome='crimes', unit='block', time='quarter', treated='treated', start=13)
    """

    title: ClassVar[str] = "Micro synthetic control"

    other_outcomes: tuple[str, ...] = columns(
        "numeric", "further outcomes, matched before the start like the first and evaluated beside it"
    )
    match_on: tuple[str, ...] = columns(
        "any", "characteristics fixed before the start whose totals should be equal as well"
    )
    approximately: tuple[str, ...] = columns(
        "any",
        "which of the outcomes and characteristics need only be matched as nearly as possible, when not all"
        " can be matched",
    )
    weighting: str = choice(
        ("minimum norm", "raking"),
        "which weights are taken where many match: the most even, or those of greatest entropy",
        default="minimum norm",
    )
    inference: str = choice(
        ("automatic", "linearised", "permutation", "jackknife", "as microsynth"),
        "how the interval is made",
        default="automatic",
    )
    draws: int = number(
        "random groups of units in a permutation test", low=99, high=99999, default=250, whole=True
    )

    @property
    def every_outcome(self) -> tuple[str, ...]:
        """The outcome and the other outcomes."""
        return (self.outcome, *self.other_outcomes)

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return self.every_outcome

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value: not those of which fitted periods are enough."""
        late = {*self.other_outcomes, *self.match_on}
        return tuple(name for name in super().required_columns() if name not in late)

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        roles = {"unit": self.unit, "time": self.time, "treated": self.treated}
        found += [
            f"{role}, {field}: both name the column '{name}'. Each role needs a column of its own."
            for field in ("other_outcomes", "match_on")
            for role, name in (roles | {"outcome": self.outcome}).items()
            if name in getattr(self, field)
        ]
        found += [
            f"other_outcomes, match_on: '{name}' is in both. An outcome is matched in every fitted period"
            " already; leave it out of match_on."
            for name in self.other_outcomes
            if name in self.match_on
        ]
        found += [
            f"approximately: '{name}' is neither an outcome nor in match_on, so it is not matched at all. Add"
            " it to match_on, or leave it out."
            for name in self.approximately
            if name not in (*self.every_outcome, *self.match_on)
        ]
        if self.first_treated is not None:
            found.append(
                "first_treated: units that start at different times cannot be added up in one total. Evaluate"
                " one wave at a time: keep the treated units of one start and leave first_treated out."
            )
        return found
