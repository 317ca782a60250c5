"""The base of designs that build what would have happened out of donors: units that never got the
intervention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qieval.design import PanelDesign
from qieval.fields import column, number, texts, value, values


@dataclass(frozen=True, kw_only=True, repr=False)
class DonorDesign(PanelDesign):
    """One unit or a few receive the intervention; a pool of donors shows what would have happened without it.

    Units are organisations or places, which are named in results. Rows about people are added up to places
    first (`qe.data.panel`).
    """

    first_treated: str | None = column(
        "time",
        "each unit's own first period with the intervention, when they begin at different times (empty for"
        " donors); `start` is then the earliest of them",
        default=None,
    )
    donors: tuple[Any, ...] = values(
        "which untreated units may be donors (by default all)", step="data", empty="all"
    )
    not_donors: Mapping[str, str] = texts(
        "units kept out of the donor pool, with the reason: {unit: why}", step="data"
    )
    similar_intervention: str | None = column(
        "binary",
        "1 for units that had a similar intervention of their own; they cannot be donors",
        default=None,
    )
    spillover: str | None = column(
        "binary",
        "1 for units that the intervention may have reached, such as neighbours; they cannot be donors",
        default=None,
    )
    size: str | None = column(
        "numeric", "the size of a unit, to leave out donors of quite another size", default=None
    )
    size_ratio: float = number(
        "donors may be at most this many times larger or smaller than the treated unit (0: any size)",
        low=0,
        high=1000,
        default=0,
        step="data",
    )
    population: str | None = column(
        "numeric",
        "the people behind a rate, so that effects are also given as numbers of events",
        default=None,
    )
    per: float = number(
        "the outcome is a rate per this many people (used with `population`)",
        low=1e-9,
        high=1e9,
        default=1,
        step="data",
    )
    anticipation: int = number(
        "how many periods before the start may already be affected; they are not fitted",
        low=0,
        high=120,
        default=0,
        whole=True,
    )
    fit_from: Any = value(
        "the first period to fit (by default the first of the data)", default=None, step="analysis"
    )

    @property
    def levels_may_differ(self) -> bool:
        """Whether a constant distance between the treated and their comparison may remain."""
        return True

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value.

        Not the starts, which donors do not have, and not the outcome: an empty outcome is a gap in the series
        like a row that is not there.
        """
        return tuple(name for name in self.used_columns() if name not in (self.first_treated, self.outcome))

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.size_ratio and self.size is None:
            found.append("size: size_ratio is given but not the column that holds the size. Name the column.")
        if 0 < self.size_ratio < 1:
            found.append(
                f"size_ratio: {self.size_ratio:g} is less than 1, so no donor could qualify. Give how many"
                " times larger or smaller a donor may be, such as 2."
            )
        return found
