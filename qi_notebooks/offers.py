"""What a data set offers to the fields of a design: columns that fit, observed periods, names of groups."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

import qieval as qe

MOST_PERIODS = 1500
MOST_GROUPS = 100
"""Longer lists are not shown: nobody can use them, and they might not be groups at all."""
MOST_UNITS = 2000
"""More units than this are not offered one by one."""

COVARIATE_FIELDS = (
    "categories",
    "squares",
    "mahalanobis_on",
    "measured",
    "cutpoints",
    "interacted_with",
    "effect_at",
)
"""Fields that choose among the covariates."""
UNIT_FIELDS = ("donors", "not_donors")
"""Fields that choose among the untreated units."""
HORIZONS = (1, 3, 6, 12, 18, 24, 36, 48, 60)
"""Numbers of periods after the start at which an effect can be stated."""
AFTERWARDS = ("outcome", "person_time", "person", "received", "first_treated", "treatment", "eligible")
"""Fields whose columns are no characteristics from before."""
APART = {"covariates": "instruments", "instruments": "covariates"}
"""Columns that are named in the one field are not offered in the other."""


class Offers:
    """Column names, period labels and group labels of a data set; no other value ever leaves it.

    Options of widgets are stored in a notebook, so whatever is offered here must not identify anyone.
    """

    def __init__(self, data: pd.DataFrame | qe.Extract) -> None:
        self._frame = data.frame if isinstance(data, qe.Extract) else data
        self.described = qe.data.describe(self._frame)
        self._read: dict[str, list[int | str]] = {}
        self._untreated: dict[tuple[str, str], list[Any]] = {}

    def columns(self, kind: str) -> list[str]:
        """The columns that fit a kind, in the order of the data."""
        fits = zip(self.described["column"], self.described["fits"], strict=True)
        return [name for name, kinds in fits if kind in kinds]

    def periods(self, column: str | None) -> list[int | str]:
        """The observed periods in order, as a design states them: whole numbers, or ISO text.

        Empty when no time column is chosen, or when it cannot be read as time, which the design's check
        explains.
        """
        if column is None or column not in self.columns("time"):
            return []
        if column not in self._read:
            self._read[column] = self._periods(column)
        return self._read[column]

    def _periods(self, column: str) -> list[int | str]:
        found = qe.periods_of(self._frame[column])
        return found if len(found) <= MOST_PERIODS else []

    def groups(self, column: str | None, organisations: bool) -> list[Any]:
        """The labels of groups of units: only of organisations, and only as many as one can choose from."""
        if not organisations or column not in self._frame:
            return []
        found: Sequence[Any] = self._frame[column].dropna().unique().tolist()
        return sorted(found, key=str) if len(found) <= MOST_GROUPS else []

    def untreated(self, unit: str | None, treated: str | None) -> list[Any]:
        """The labels of the places or organisations that never receive the intervention, in order.

        Empty when there are more than one can choose from, or when the labels look like identifiers of
        people.
        """
        if unit is None or treated is None or treated not in self.columns("binary"):
            return []
        if (unit, treated) not in self._untreated:
            self._untreated[unit, treated] = self._never(unit, treated)
        return self._untreated[unit, treated]

    def _never(self, unit: str, treated: str) -> list[Any]:
        row = self.described.set_index("column").loc[unit]
        if row["suspicious"] or row["distinct"] > MOST_UNITS:
            return []
        ever = self._frame.groupby(unit, sort=True)[treated].max()
        labels: list[Any] = ever.index[ever == 0].tolist()
        return labels


class FieldOffers:
    """What a data set offers to each field of a design, given what the other fields hold."""

    def __init__(
        self,
        offers: Offers,
        specs: Mapping[str, Any],
        held: Callable[[str], Any],
        required: Sequence[str],
    ) -> None:
        self._offers, self._specs, self._held = offers, specs, held
        self._time = next(
            (name for name, spec in specs.items() if spec.role == "column" and spec.kind == "time"), ""
        )
        self._taken = [held(name) for name in (*required, *AFTERWARDS)]

    def of(self, name: str) -> Sequence[Any] | None:
        """Columns, periods, groups or units to choose from; None when the field does not depend on the
        data."""
        spec = self._specs[name]
        if name in COVARIATE_FIELDS:
            return tuple(self._held("covariates"))
        if name in UNIT_FIELDS:
            units = self._offers.untreated(self._held("unit"), self._held("treated"))
            return units if spec.role == "values" else [str(unit) for unit in units]
        if name in ("predictors", "predictor_weights"):
            return self._characteristics() if name == "predictors" else tuple(self._held("predictors"))
        if spec.role == "column":
            return self._offers.columns(spec.kind)
        if spec.role == "columns" or name == "calipers":
            kind = "numeric" if name == "calipers" else spec.kind
            # One population can be the denominator of several series.
            below = [] if name == "control_denominators" else [self._held("denominator")]
            apart = [*self._taken, *below, *(self._held(APART.get(name, "")) or ())]
            return [column for column in self._offers.columns(kind) if column not in apart]
        if spec.role == "value":
            return self._offers.periods(self._held(self._time))
        if name == "further_starts":
            return self._after_the_start()
        if name == "horizons":
            return HORIZONS
        return self._groups(name) if spec.role == "values" and name.endswith("_groups") else None

    def _characteristics(self) -> list[str]:
        """Numbers that may be shared with donors, the outcome before the start among them."""
        rows = [self._held(name) for name in ("unit", "time", "treated")]
        return [column for column in self._offers.columns("numeric") if column not in rows]

    def _after_the_start(self) -> list[int | str]:
        periods = self._offers.periods(self._held(self._time))
        start = self._held("start")
        return periods[periods.index(start) + 1 :] if start in periods else []

    def _groups(self, name: str) -> list[Any]:
        organisations = self._held("units_are") == "organisations"
        return self._offers.groups(self._held(name.removesuffix("_groups")), organisations)
