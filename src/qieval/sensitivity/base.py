"""What a sensitivity analysis gives, and words shared by all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from qieval import markup
from qieval.errors import DataError, nearest
from qieval.text import listed


@dataclass(frozen=True, eq=False, kw_only=True)
class Sensitivity:
    """A sensitivity analysis: what it says in words, the table behind it, further tables by name."""

    name: str
    text: str
    table: pd.DataFrame
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.name}: {self.text}"

    def _repr_html_(self) -> str:
        body = markup.paragraph(self.text) + markup.frame_table(self.table)
        return markup.card(self.name[:1].upper() + self.name[1:], body)


def known(role: str, given: str, allowed: Sequence[str]) -> None:
    """Raise DataError unless the word given is allowed."""
    if given not in allowed:
        raise DataError(
            f"{role}: '{given}' is not among the choices, so it is unclear what to do."
            f"{nearest(given, allowed)} Choose one of: {listed(allowed, 12)}."
        )
