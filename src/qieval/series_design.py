"""Designs for one series: a value a period, as in interrupted time series and improvement charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qieval.design import Design
from qieval.fields import column, number, texts, value


@dataclass(frozen=True, kw_only=True, repr=False)
class SeriesDesign(Design):
    """One series over time: what is measured, when, and out of how many.

    `left_out` names periods by a label such as 2020-04, or a range such as '2020-03 to 2020-06', each with
    the reason; they stay in the data and in pictures and take no part in the computation.
    """

    outcome: str = column("numeric", "what is measured: an amount, or a count of events")
    time: str = column("time", "when it was measured: a date, a period such as 2022-04, or a whole number")
    denominator: str | None = column(
        "numeric",
        "out of how many: the people, bed days or attendances behind a count",
        default=None,
    )
    per: float = number(
        "rates are shown per this many of the denominator", low=1e-9, high=1e9, default=1, step="data"
    )
    left_out: Mapping[str, str] = texts(
        "periods that are left out, each with the reason: {period, or 'first to last': why}", step="data"
    )
    first_period: Any = value("the first period to use (by default all)", default=None, step="analysis")
    last_period: Any = value("the last period to use (by default all)", default=None, step="analysis")

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return (self.outcome,)

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value.

        Not the outcome: an empty outcome is a period without a value, like a row that is not there.
        """
        return tuple(name for name in self.used_columns() if name not in self.outcome_columns())

    def _contradictions(self) -> list[str]:
        roles = {"time": self.time, "outcome": self.outcome, "denominator": self.denominator}
        found = [
            f"{role}, {other}: both name the column '{name}'. Each role needs a column of its own."
            for role, name in roles.items()
            for other, taken in roles.items()
            if name is not None and role < other and name == taken
        ]
        if self.per != 1 and self.denominator is None:
            found.append(
                f"per: rates are to be shown per {self.per:g}, but no denominator is given. Name its column,"
                " or leave `per` at 1."
            )
        found += [
            f"left_out: no reason is given for leaving out {period}. Say why; the report states it."
            for period, why in self.left_out.items()
            if not why.strip()
        ]
        found += [
            f"left_out: '{period}' names no period. Write one such as 2020-04, or '2020-03 to 2020-06'."
            for period in self.left_out
            if period.strip().lower() in ("", "each")
        ]
        return found
