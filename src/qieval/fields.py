"""What a field of a design may declare. Validation, forms, documentation and report text read the same
declaration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, Literal

from qieval.errors import nearest

Role = Literal["column", "columns", "choice", "number", "value", "values", "text", "texts", "switch"]
Kind = Literal["numeric", "binary", "time", "any"]
Step = Literal["question", "data", "analysis"]

METADATA_KEY = "qieval"


@dataclass(frozen=True)
class Field:
    """The declaration of one field: its role, what it means, and what it may hold.

    `step` says where a guided study asks for it: with the question, with the data, or with the analysis
    options. `empty` is what an empty value means, in a word.
    """

    role: Role
    help: str
    kind: Kind = "any"
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False
    optional: bool = False
    step: Step = "data"
    empty: str = "none"


def _declare(spec: Field, default: Any) -> Any:
    metadata = {METADATA_KEY: spec}
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def column(kind: Kind, help: str, *, default: Any = MISSING, step: Step = "data") -> Any:
    """One column of the data. `default=None` makes it optional."""
    return _declare(Field("column", help, kind=kind, optional=default is None, step=step), default)


def columns(kind: Kind, help: str, *, default: tuple[str, ...] = (), step: Step = "data") -> Any:
    """Several columns of the data, perhaps none."""
    return _declare(Field("columns", help, kind=kind, optional=True, step=step), default)


def choice(options: tuple[str, ...], help: str, *, default: str, step: Step = "analysis") -> Any:
    """One of a few words."""
    return _declare(Field("choice", help, choices=options, step=step), default)


def stated_choice(options: tuple[str, ...], help: str, *, step: Step = "data") -> Any:
    """One of a few words that must be stated: there is no default."""
    return _declare(Field("choice", help, choices=options, step=step), MISSING)


def number(
    help: str, *, low: float, high: float, default: float, whole: bool = False, step: Step = "analysis"
) -> Any:
    """A number within limits (both included)."""
    return _declare(Field("number", help, low=low, high=high, whole=whole, step=step), default)


def value(help: str, *, default: Any = MISSING, step: Step = "data") -> Any:
    """A value of the time column, such as a date or a period."""
    return _declare(Field("value", help, kind="time", optional=default is None, step=step), default)


def values(help: str, *, step: Step = "analysis", empty: str = "none") -> Any:
    """Several values that occur in a column, perhaps none; `empty` says what none of them means."""
    return _declare(Field("values", help, optional=True, step=step, empty=empty), ())


def text(help: str, *, step: Step = "question") -> Any:
    """Words of the user, shown in the report."""
    return _declare(Field("text", help, optional=True, step=step), "")


def texts(help: str, *, step: Step = "question") -> Any:
    """Words of the user by heading, shown in the report: {heading: words}."""
    return _declare(Field("texts", help, optional=True, step=step), {})


def declared(design_class: type) -> dict[str, Field]:
    """The declarations of a design class by field name, in the order in which they are asked.

    >>> from qieval.design import PanelDesign
    >>> declared(PanelDesign)["treated"].kind
    'binary'
    """
    found: dict[str, Field] = {}
    for item in dataclasses.fields(design_class):
        spec = item.metadata.get(METADATA_KEY)
        if spec is None:
            raise TypeError(
                f"{design_class.__name__}.{item.name} declares nothing; use a function of qieval.fields"
            )
        found[item.name] = spec
    return found


def problems(name: str, spec: Field, held: Any) -> list[str]:
    """What is wrong with the value `held` by the field `name`, in words; empty when nothing is."""
    if held is None:
        return [] if spec.optional else [f"{name}: nothing is given. It says {spec.help}; a value is needed."]
    check = _CHECKS.get(spec.role)
    return check(name, spec, held) if check else []


def _column(name: str, spec: Field, held: Any) -> list[str]:
    if isinstance(held, str) and held:
        return []
    return [
        f"{name}: {held!r} is not the name of a column. It says {spec.help}; give the column's name as text."
    ]


def _columns(name: str, spec: Field, held: Any) -> list[str]:
    found = [issue for item in held for issue in _column(name, spec, item)]
    repeated = sorted({item for item in held if list(held).count(item) > 1})
    return found + [f"{name}: '{item}' is named more than once. Name each column once." for item in repeated]


def _choice(name: str, spec: Field, held: Any) -> list[str]:
    if held in spec.choices:
        return []
    options = ", ".join(repr(option) for option in spec.choices)
    return [f"{name}: {held!r} is not one of the choices ({options}).{nearest(str(held), spec.choices)}"]


def _number(name: str, spec: Field, held: Any) -> list[str]:
    if isinstance(held, bool) or not isinstance(held, (int, float)):
        return [f"{name}: {held!r} is not a number. It says {spec.help}."]
    if spec.low is None or spec.high is None or not spec.low <= held <= spec.high:
        hint = ""
        if spec.high is not None and spec.high <= 1 < held <= 100:
            hint = f" For {held:g}% write {held / 100:g}."
        return [f"{name}: {held!r} lies outside {spec.low:g} to {spec.high:g}. It says {spec.help}.{hint}"]
    if spec.whole and held != int(held):
        return [f"{name}: {held!r} is not a whole number. It says {spec.help}."]
    return []


def _text(name: str, spec: Field, held: Any) -> list[str]:
    return [] if isinstance(held, str) else [f"{name}: {held!r} is not text. It says {spec.help}."]


def _texts(name: str, spec: Field, held: Any) -> list[str]:
    if isinstance(held, Mapping) and all(isinstance(part, str) for pair in held.items() for part in pair):
        return []
    return [
        f"{name}: {held!r} is not a mapping of text to text. It says {spec.help}; give {{'heading':"
        " 'words'}."
    ]


_CHECKS = {
    "column": _column,
    "columns": _columns,
    "choice": _choice,
    "number": _number,
    "text": _text,
    "texts": _texts,
}
