"""How risk sets are drawn, and whether a frame of people allows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from qieval.data.lookups import Lookup
from qieval.errors import DataError, DesignError, nearest
from qieval.text import plural

MADE = ("risk_set", "index_date", "treated", "follow_up_start", "follow_up_end", "follow_up_ended_by")


@dataclass(frozen=True, kw_only=True)
class RiskSetSampling:
    """How risk sets are drawn.

    - `person`: the column that tells people apart.
    - `per_case`: controls drawn for each treated person, without replacement within the set; None: everybody
      eligible.
    - `exact`: columns in which controls must equal the treated person. `within`: {numeric column: largest
      difference}, such as {"birth_year": 2}.
    - `reuse`: whether one person may be a control in several sets. If not, sets are filled by index date
      (chance decides among those of one day). A control may become a case later either way.
    - `future_treated`: whether people who are treated later may serve until then. False looks into the future
      and tends to bias (whoever lives long enough is treated), and is noted.
    - `censor_at_treatment`: whether such controls are followed only until their own treatment.
    - `history`: days that everybody must have been at risk before the index date, so that look-back windows
      are seen in full.
    - `lag`: follow-up starts so many days after the index date, in both groups; whoever leaves before drops
      out.
    - `follow_up_from`: a column of dates instead, which must not lie before the index date.
    - `study_end`: last day of the data ("2023-03-31"); follow-up ends there at the latest.
    - `seed`: the same seed and data, in whatever order of rows, give the same sets.

    Raises DesignError.
    """

    person: str = "person_id"
    per_case: int | None = 5
    exact: tuple[str, ...] = ()
    within: Mapping[str, float] = field(default_factory=dict)
    reuse: bool = True
    future_treated: bool = True
    censor_at_treatment: bool = True
    history: int = 0
    lag: int = 0
    follow_up_from: str | None = None
    study_end: str | pd.Timestamp | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        found = []
        if self.per_case is not None and self.per_case < 1:
            found.append(f"per_case: {self.per_case} is not a number of controls. Give 1 or more, or None.")
        if self.history < 0:
            found.append("history: days before the index date are counted from 0 upwards.")
        if self.lag < 0:
            found.append(
                "lag: follow-up would start before the index date. The treated were certain to survive until "
                "then and the controls were not (immortal time). Give 0 or more days."
            )
        if self.lag and self.follow_up_from is not None:
            found.append("follow_up_from: give this column or a lag, not both.")
        found += [f"within: {k!r} for '{name}' is below 0." for name, k in self.within.items() if k < 0]
        if found:
            raise DesignError(found)


def sampling(options: dict[str, Any]) -> RiskSetSampling:
    """The options by their names; DesignError for unknown ones."""
    known = [item.name for item in dataclasses.fields(RiskSetSampling)]
    unknown = [
        f"{name}: risk_sets has no such option. It has {', '.join(known)}.{nearest(name, known)}"
        for name in options
        if name not in known
    ]
    if unknown:
        raise DesignError(unknown)
    exact = options.get("exact", ())
    return RiskSetSampling(**options | {"exact": (exact,) if isinstance(exact, str) else tuple(exact)})


def require(
    frame: pd.DataFrame,
    how: RiskSetSampling,
    dates: tuple[str, str, str | None],
    baseline: dict[str, Lookup | str],
) -> None:
    """DataError for columns that are missing, taken or unfit."""
    roles = dict(zip(("treated_date", "at_risk_from", "at_risk_to"), dates, strict=True))
    wanted: list[tuple[str, str | None]] = [*roles.items(), ("person", how.person)]
    wanted += [("follow_up_from", how.follow_up_from), *(("exact", name) for name in how.exact)]
    wanted += [("within", name) for name in how.within]
    for new, given in baseline.items():
        wanted += [("baseline", new), ("baseline", given)] if isinstance(given, str) else []
    columns = list(frame.columns)
    found = [
        f"{role}: the people have no column '{name}'.{nearest(name, columns)}"
        for role, name in wanted
        if name is not None and name not in columns
    ]
    found += [
        f"{name}: risk_sets makes a column of this name. Rename it"
        + (" (whether somebody is ever treated is only known later)." if name == "treated" else ".")
        for name in MADE
        if name in columns
    ]
    found += [
        f"baseline: '{name}' is a column of the people already. Choose another name."
        for name, given in baseline.items()
        if not isinstance(given, str) and (name in columns or name in MADE)
    ]
    found += [
        f"within: '{name}' is not numeric."
        for name in how.within
        if name in columns and not pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
    if found:
        raise DataError(found)
    ids = frame[how.person]
    if ids.isna().any() or ids.duplicated().any():
        raise DataError(
            f"person: '{how.person}' is empty or repeated in"
            f" {plural(int((ids.isna() | ids.duplicated()).sum()), 'row')}; one row a person is needed."
        )
