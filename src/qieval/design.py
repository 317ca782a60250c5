"""Designs: frozen statements of what is compared with what. A design holds no data."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
import pandas as pd

from qieval import fields, markup
from qieval.errors import DesignError, nearest
from qieval.fields import choice, column, columns, number, text, texts, value, values


class Words(dict[str, str]):
    """Words of the user by heading; cannot be changed, so that a design stays what it was when it was
    locked."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(
            "The words of a design cannot be changed in place; use dataclasses.replace(design, ...)."
        )

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))

    def __reduce__(self) -> tuple[type[Words], tuple[dict[str, str]]]:
        return Words, (dict(self),)


@dataclass(frozen=True, kw_only=True, repr=False)
class Design:
    """What every design states, whatever its method.

    Validation reads the declarations of the fields; a DesignError lists all problems at once.
    `repr(design)` is Python that rebuilds the design and `to_dict()` is ready for JSON, so a study's
    protocol can be stored and compared.
    """

    title: ClassVar[str] = "design"

    question: str = text("the question of the evaluation in one sentence")
    arguments: Mapping[str, str] = texts(
        "why an assumption that no data can test is believed: {assumption: argument}"
    )
    events: Mapping[str, str] = texts(
        "other things that happened: {date or period: what happened, and to whom}"
    )
    measured_in: str = text(
        "the units of the outcome, such as 'admissions per 1,000 people a month'", step="data"
    )
    level: float = number("the coverage of the intervals", low=0.5, high=0.999, default=0.95)
    missing: str = choice(
        ("refuse", "complete cases"),
        "what to do with rows in which a used column is empty: refuse to estimate, or leave them out and"
        " count them",
        default="refuse",
    )
    seed: int = number("the seed of every random draw", low=0, high=2**32 - 1, default=20190620, whole=True)

    def __post_init__(self) -> None:
        for item, spec in self._declared():
            object.__setattr__(self, item, _settled(spec, getattr(self, item)))
        found = [
            issue
            for item, spec in self._declared()
            for issue in fields.problems(item, spec, getattr(self, item))
        ]
        found += self._contradictions() if not found else []
        if found:
            raise DesignError(found)

    def _contradictions(self) -> list[str]:
        """Problems between fields; each design adds its own."""
        return []

    @classmethod
    def _declared(cls) -> Iterator[tuple[str, fields.Field]]:
        return iter(fields.declared(cls).items())

    def used_columns(self) -> tuple[str, ...]:
        """The names of all columns that the design reads, each once."""
        names: list[str] = []
        for item, spec in self._declared():
            held = getattr(self, item)
            if spec.role == "column" and held is not None:
                names.append(held)
            elif spec.role == "columns":
                names.extend(held)
        return tuple(dict.fromkeys(names))

    def required_columns(self) -> tuple[str, ...]:
        """The used columns in which every row needs a value."""
        return self.used_columns()

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return ()

    def argued(self) -> Mapping[str, str]:
        """The arguments of the user by assumption, wherever the design keeps them."""
        return self.arguments

    def to_dict(self) -> dict[str, Any]:
        """The design as plain JSON-ready values, with the name of its class under 'design'."""
        plain = {item: _plain(getattr(self, item)) for item, _ in self._declared()}
        return {"design": type(self).__name__, **plain}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild a design from `to_dict()`. DesignError names fields that this version does not know."""
        given = {key: held for key, held in stored.items() if key != "design"}
        known = [item for item, _ in cls._declared()]
        unknown = [key for key in given if key not in known]
        if unknown:
            raise DesignError(
                [
                    f"{key}: {cls.__name__} has no such field.{nearest(key, known)} Remove it."
                    for key in unknown
                ]
            )
        return cls(**given)

    def stated(self) -> dict[str, Any]:
        """The fields that were set to something else than their default, in order."""
        said = {}
        for item in dataclasses.fields(self):
            held = getattr(self, item.name)
            default = (
                item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
            )
            if default is dataclasses.MISSING or held != default:
                said[item.name] = held
        return said

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={_plain_repr(held)}" for key, held in self.stated().items())
        return f"{type(self).__name__}({inside})"

    def _repr_html_(self) -> str:
        declared = dict(self._declared())
        rows = [(key, markup.words(held), declared[key].help) for key, held in self.stated().items()]
        return markup.card(f"Design: {self.title}", markup.rows_table(("field", "value", "meaning"), rows))


@dataclass(frozen=True, kw_only=True, repr=False)
class PanelDesign(Design):
    """Units observed over time; some of them are exposed to the intervention from `start` on."""

    outcome: str = column("numeric", "what is measured")
    unit: str = column("any", "who or what is followed over time")
    time: str = column("time", "when it was measured: a date, a period such as 2022-04, or a whole number")
    treated: str = column(
        "binary", "1 for units that ever receive the intervention, 0 for the comparison units"
    )
    start: Any = value("the first period with the intervention")
    first_period: Any = value("the first period to use (by default all)", default=None, step="analysis")
    last_period: Any = value("the last period to use (by default all)", default=None, step="analysis")

    @property
    def units_are(self) -> str:
        """Whether units are organisations or places, which may be named, or people, who never are."""
        return "organisations"

    @property
    def covariates(self) -> tuple[str, ...]:
        """Columns to adjust for, for designs that have them."""
        return ()

    @property
    def baseline_covariates(self) -> tuple[str, ...]:
        """Columns fixed before the start to adjust for, for designs that have them."""
        return ()

    @property
    def cluster(self) -> str | None:
        """The column of what the intervention was assigned to, where it is not the unit."""
        return None

    @property
    def weights(self) -> str | None:
        """The column of weights of rows, for designs that have them."""
        return None

    @property
    def comparison(self) -> str | None:
        """The column of groups of comparison units, for designs that have them."""
        return None

    @property
    def comparison_groups(self) -> tuple[Any, ...]:
        """Which groups of comparison units to use."""
        return ()

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return (self.outcome,)

    def _contradictions(self) -> list[str]:
        roles = {"unit": self.unit, "time": self.time, "treated": self.treated, "outcome": self.outcome}
        return [
            f"{role}, {other}: both name the column '{name}'. Each role needs a column of its own."
            for role, name in roles.items()
            for other, taken in roles.items()
            if role < other and name == taken
        ]


@dataclass(frozen=True, kw_only=True, repr=False)
class AdjustedPanelDesign(PanelDesign):
    """Units observed over time whose comparison may be adjusted for characteristics, weighted and
    clustered."""

    units_are: str = choice(
        ("people", "organisations"),
        "whether a unit is a person or an organisation: counts of people are suppressed in reports when"
        " small",
        default="people",
        step="data",
    )
    covariates: tuple[str, ...] = columns(
        "any", "measured characteristics to adjust for, as they change over time"
    )
    baseline_covariates: tuple[str, ...] = columns(
        "any",
        "characteristics fixed before the start; their association with the outcome may differ in each"
        " period",
    )
    cluster: str | None = column(
        "any", "what the intervention was assigned to (by default the unit)", default=None
    )
    weights: str | None = column(
        "numeric", "the weight of each row, such as the number of people", default=None
    )
    comparison: str | None = column(
        "any", "a column that names groups of comparison units", default=None, step="analysis"
    )
    comparison_groups: tuple[Any, ...] = values(
        "which groups of comparison units to use (by default all)", empty="all"
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        roles = {"unit": self.unit, "time": self.time, "treated": self.treated, "outcome": self.outcome}
        found += [
            f"covariates: '{name}' is already the {role}; it cannot adjust for itself. Remove it."
            for role, name in roles.items()
            if name in self.covariates + self.baseline_covariates
        ]
        found += [
            f"covariates, baseline_covariates: '{name}' is in both. Keep it in one."
            for name in self.covariates
            if name in self.baseline_covariates
        ]
        if self.comparison_groups and self.comparison is None:
            found.append(
                "comparison: comparison_groups are given but not the column that holds them. Name the column."
            )
        return found


def _settled(spec: fields.Field, held: Any) -> Any:
    """A held value in the one form in which designs store it."""
    if spec.role in ("columns", "values"):
        several = isinstance(held, Iterable) and not isinstance(held, str)
        return tuple(_scalar(item) for item in held) if several else (_scalar(held),)
    if spec.role == "texts" and isinstance(held, Mapping):
        return Words(held)
    if spec.role == "column" and held == "":
        return None
    return _scalar(held)


def _scalar(held: Any) -> Any:
    """Dates and numpy scalars as plain Python values; a missing date as nothing."""
    if held is pd.NaT:
        return None
    if isinstance(held, pd.Period):
        return str(held)
    if isinstance(held, (pd.Timestamp, datetime.datetime)):
        return held.date().isoformat() if held.time() == datetime.time() else held.isoformat()
    if isinstance(held, datetime.date):
        return held.isoformat()
    if isinstance(held, np.datetime64):
        return _scalar(pd.Timestamp(held))
    return held.item() if isinstance(held, np.generic) else held


def _plain(held: Any) -> Any:
    if isinstance(held, tuple):
        return list(held)
    return dict(held) if isinstance(held, Mapping) else held


def _plain_repr(held: Any) -> str:
    return repr(dict(held)) if isinstance(held, Mapping) else repr(held)
