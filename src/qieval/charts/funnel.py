"""Funnel plots: organisations beside each other, with the variation that chance gives to their size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.columns import numbers
from qieval.errors import DataError, DesignError, nearest
from qieval.numerics.chart_funnel import (
    Dispersion,
    funnel_dispersion,
    funnel_limits,
    funnel_scores,
    funnel_target,
)
from qieval.text import listed, number, plural

CHOSEN = "chosen from the data"
KINDS = (CHOSEN, "proportion", "rate", "ratio")
LIMITS = (CHOSEN, "exact", "normal", "multiplicative", "additive")
LEVELS = (0.95, 0.998)
"""Two and three standard deviations, as usual in funnel plots (Spiegelhalter 2005)."""
FEWEST = 5
"""Over-dispersion cannot be told from fewer organisations."""
CURVE_POINTS = 160
WITHIN, NEAR, OUTSIDE = "within 95%", "between 95% and 99.8%", "outside 99.8%"


@dataclass(frozen=True, eq=False, repr=False)
class Funnel:
    """Organisations against the limits that chance gives to their size.

    units: one row per organisation, by size: unit, events, denominator, value, lower_95, upper_95,
    lower_998, upper_998, z (on the scale of the limits), where ('within 95%', ...), side (+1 above the
    common value, -1 below). curve: the limits as lines over denominators. target: the common value. phi:
    mean squared z after winsorising; tau: variation between organisations on the transformed scale. Draw it
    with `qe.plot`.
    """

    what: str
    kind: str
    limits: str
    why: str
    target: float
    per: float
    phi: float
    tau: float
    units: pd.DataFrame
    curve: pd.DataFrame
    better: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([self.headline, *(f"Note: {note}" for note in self.notes)])

    @property
    def headline(self) -> str:
        """What stands out, in a sentence."""
        out = self.units[self.units["where"] == OUTSIDE]
        near = int((self.units["where"] == NEAR).sum())
        chance = 0.05 * len(self.units)
        said = (
            f"{len(out)} of {plural(len(self.units), 'organisation')} lie outside the 99.8% limits and"
            f" {near} more outside the 95% limits, where chance alone would put about {number(chance, 2)}."
        )
        if len(out):
            said += f" Outside 99.8%: {listed(out['unit'], 6)}. A funnel says who differs, not why."
        return said

    def _repr_html_(self) -> str:
        body = markup.paragraph(self.headline, "qieval-headline")
        shown = self.units[self.units["where"] != WITHIN]
        shown = shown[["unit", "events", "denominator", "value", "z", "where"]]
        body += markup.frame_table(shown) if len(shown) else ""
        return markup.card("Funnel plot", body + markup.bullets(self.notes))


def funnel(  # noqa: PLR0913 - roles of columns, and how limits are made
    data: pd.DataFrame,
    outcome: str,
    denominator: str,
    unit: str,
    *,
    kind: str = CHOSEN,
    limits: str = CHOSEN,
    target: float | None = None,
    per: float = 1,
    better: str = "neither",
) -> Funnel:
    """Compare organisations with limits that allow for their size.

    data: rows of organisations; several rows of one are added up. outcome: counts of events. kind:
    'proportion' (events out of people), 'rate' (events per exposure) or 'ratio' (observed events, with
    expected ones as denominator; the target is then 1); by default a proportion where no count exceeds its
    denominator and rates are not shown per many, else a rate. limits: 'exact' and 'normal' allow for chance
    alone; 'multiplicative' and 'additive' also for differences between organisations that nobody has
    explained; by default additive when organisations differ more than chance makes them. target: by default
    all events over all denominators, in units of `per`. Missing values are refused. DataError lists what
    does not fit. Source: Spiegelhalter 2005; Spiegelhalter et al. 2012.

    >>> data = pd.DataFrame({"trust": list("ABCDEF"), "deaths": [20, 31, 12, 25, 60, 18],
    ...                      "admissions": [1000, 1500, 700, 1200, 1400, 950]})
    >>> made = funnel(data, "deaths", "admissions", "trust", limits="exact")
    >>> made.units.loc[made.units["where"] == "outside 99.8%", "unit"].tolist()
    ['E']
    """
    _require_choices(
        kind=(kind, KINDS), limits=(limits, LIMITS), better=(better, ("higher", "lower", "neither"))
    )
    table = _table(data, outcome, denominator, unit, kind)
    y, n = table["events"].to_numpy(), table["denominator"].to_numpy()
    kind = _kind(kind, y, n, per)
    common = _target(kind, y, n, None if target is None else target / per)
    spread = (
        funnel_dispersion(kind, y, n, common) if len(table) >= FEWEST else Dispersion(1.0, 0.0, len(table))
    )
    how, why = _how(limits, spread)
    made = partial(funnel_limits, kind, target=common, how=how, dispersion=spread)
    units = _placed(table, kind, common, how, spread, made, per)
    return Funnel(
        what=outcome.replace("_", " "),
        kind=kind,
        limits=how,
        why=why,
        target=common * per,
        per=per,
        phi=spread.phi,
        tau=float(np.sqrt(spread.tau2)),
        units=units,
        curve=_curve(n, kind, made, per),
        better=better,
        notes=(why, *_notes(table, kind)),
    )


def _require_choices(**given: tuple[str, tuple[str, ...]]) -> None:
    wrong = [
        f"{name}: {held!r} is not one of the choices ({', '.join(options)}).{nearest(str(held), options)}"
        for name, (held, options) in given.items()
        if held not in options
    ]
    if wrong:
        raise DesignError(wrong)


def _table(data: pd.DataFrame, outcome: str, denominator: str, unit: str, kind: str) -> pd.DataFrame:
    """One row per organisation with unit, events, denominator; DataError with every problem."""
    roles = {"outcome": outcome, "denominator": denominator, "unit": unit}
    issues = [
        f"{role}: there is no column '{name}' in the data.{nearest(name, data.columns)}"
        for role, name in roles.items()
        if name not in data.columns
    ]
    if issues:
        raise DataError(issues)
    for role, name in roles.items():
        if empty := int(data[name].isna().sum()):
            issues.append(
                f"{role}: '{name}' is empty in {plural(empty, 'row')}, and an organisation cannot be placed"
                " without it. Fill it in or leave the rows out."
            )
    if issues:
        raise DataError(issues)
    y = numbers(data[outcome], "outcome", outcome, issues)
    n = numbers(data[denominator], "denominator", denominator, issues)
    if issues:
        raise DataError(issues)
    table = (
        pd.DataFrame({"unit": data[unit].astype(str).to_numpy(), "events": y, "denominator": n})
        .groupby("unit", as_index=False)
        .sum()
    )
    if issues := _impossible(table, outcome, denominator, kind):
        raise DataError(issues)
    return table.sort_values(["denominator", "unit"], ignore_index=True)


def _impossible(table: pd.DataFrame, outcome: str, denominator: str, kind: str) -> list[str]:
    y, n = table["events"], table["denominator"]
    found = []
    if len(table) < 2:
        found.append("unit: a funnel compares organisations, and there are fewer than two. Add the others.")
    if (bad := (y < 0) | (y != y.round())).any():
        found.append(
            f"outcome: '{outcome}' must hold counts of events, but is negative or a fraction for"
            f" {listed(table.loc[bad, 'unit'], 3)}. Give the counts, with the denominator beside them."
        )
    if (bad := n <= 0).any():
        found.append(
            f"denominator: '{denominator}' is zero or less for {listed(table.loc[bad, 'unit'], 3)}, so there"
            " is no rate. Leave these organisations out or correct the number."
        )
    if kind == "proportion" and (bad := y > n).any():
        found.append(
            f"outcome, denominator: '{outcome}' exceeds '{denominator}' for"
            f" {listed(table.loc[bad, 'unit'], 3)}, and a proportion cannot be more than all. Check the"
            " columns, or choose kind='rate'."
        )
    if kind == "proportion" and (n != n.round()).any():
        found.append(
            f"denominator: '{denominator}' holds fractions, and a proportion is out of a whole number. Choose"
            " kind='rate'."
        )
    if not found and not y.sum() > 0:
        found.append(f"outcome: '{outcome}' is zero everywhere, so organisations do not differ.")
    if not found and kind == "proportion" and y.sum() == n.sum():
        found.append(
            f"outcome: '{outcome}' equals '{denominator}' everywhere, so organisations do not differ."
        )
    return found


def _kind(kind: str, y: np.ndarray, n: np.ndarray, per: float) -> str:
    if kind != CHOSEN:
        return kind
    bounded = (y <= n).all() and (n == np.round(n)).all() and y.sum() < n.sum()
    return "proportion" if bounded and per in (1, 100) else "rate"


def _target(kind: str, y: np.ndarray, n: np.ndarray, target: float | None) -> float:
    if target is None:
        return 1.0 if kind == "ratio" else funnel_target(y, n)
    if not 0 < target < (1 if kind == "proportion" else np.inf):
        raise DesignError(
            [
                f"target: {number(target)} (after division by `per`) is no {kind} that can occur. Give it"
                " in the units of `per`."
            ]
        )
    return float(target)


def _how(limits: str, spread: Dispersion) -> tuple[Any, str]:
    times = number(float(np.sqrt(spread.phi)), 2)
    said = f"With extremes drawn in, organisations differ {times} times as much as chance would make them"
    if limits != CHOSEN:
        more = (
            ""
            if limits in ("multiplicative", "additive") or spread.tau2 == 0
            else ("; these limits allow for chance alone, so many may lie outside")
        )
        return limits, f"Limits asked for: {limits}. {said}{more}."
    if spread.n_units < FEWEST:
        return "exact", f"Fewer than {FEWEST} organisations: limits allow for chance alone."
    if spread.tau2 > 0:
        return "additive", (
            f"{said} (over-dispersion): the limits allow for differences that case mix and the like leave"
            " behind (additive random effects)."
        )
    return "exact", f"{said}: no more than chance, so the limits allow for chance alone."


Limits = Callable[..., tuple[np.ndarray, np.ndarray]]


def _placed(  # noqa: PLR0913 - what the limits were made from
    table: pd.DataFrame, kind: str, common: float, how: str, spread: Dispersion, made: Limits, per: float
) -> pd.DataFrame:
    """The organisations with their limits and where they lie."""
    y, n = table["events"].to_numpy(), table["denominator"].to_numpy()
    value = y / n
    (low, high), (lower, upper) = (made(n, level=level) for level in LEVELS)
    outside, near = (value < lower) | (value > upper), (value < low) | (value > high)
    scores = funnel_scores(kind, y, n, common)
    error = scores.standard_error
    if how == "additive":
        error = np.sqrt(error**2 + spread.tau2)
    elif how == "multiplicative":
        error = error * np.sqrt(max(spread.phi, 1.0))
    return table.assign(
        value=value * per,
        lower_95=low * per,
        upper_95=high * per,
        lower_998=lower * per,
        upper_998=upper * per,
        z=scores.value / error,
        where=np.where(outside, OUTSIDE, np.where(near, NEAR, WITHIN)),
        side=np.sign(value - common).astype(int),
    )


def _curve(n: np.ndarray, kind: str, made: Limits, per: float) -> pd.DataFrame:
    """The limits as lines over the range of denominators."""
    at = np.geomspace(max(n.min() * 0.8, 1e-9), n.max() * 1.05, CURVE_POINTS)
    if kind == "proportion":
        at = np.unique(np.maximum(np.round(at), 1))
    frames = []
    for level in LEVELS:
        lower, upper = made(at, level=level)
        for side, height in (("lower", lower), ("upper", upper)):
            frames.append(
                pd.DataFrame({"denominator": at, "height": height * per, "level": level, "side": side})
            )
    return pd.concat(frames, ignore_index=True)


def _notes(table: pd.DataFrame, kind: str) -> list[str]:
    found = []
    if kind == "proportion":
        found.append("Proportions: if one person can count more than once, choose kind='rate'.")
    if few := int((table["events"] < FEWEST).sum()):
        found.append(
            f"{plural(few, 'organisation')} had fewer than {FEWEST} events: little can be said of them."
        )
    return found
