"""The same question about a roll-out by every reasonable estimator and comparison, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.catalogue import method_of
from qieval.design import Design
from qieval.errors import DesignError, QievalError, nearest
from qieval.fields import declared
from qieval.methods.staggered_adoption import StaggeredAdoption
from qieval.progress import progress
from qieval.result import Result, overall
from qieval.rollout.panel import Rollout
from qieval.rollout_reach import WARNINGS, reach, share_negative
from qieval.text import Count, number, plural

COLUMNS = (
    *("label", "term", "estimate", "std_error", "conf_low", "conf_high", "p_value"),
    *("averaged", "rows_used", "units_compared", "share_negative", "note"),
)
RATIOS = ("poisson", "poisson two-way")
ONLY_ASKED = ("group-time, universal base period",)
"""Ways whose overall effect is that of another way whatever the data; they differ before the start."""
AVERAGED = {
    "group": "cohorts by size",
    "simple": "all treated periods by size",
    "dynamic": "periods since the start, plainly",
    "calendar": "calendar periods, plainly",
}
OWN_AVERAGE = {
    "stacked": "periods since the start within the window, plainly",
    "two-way": "one coefficient",
    "poisson two-way": "one coefficient",
}
CONTROLS = {"never": "never-treated", "not yet": "not-yet-treated"}
ESTIMATORS = {"doubly robust": "doubly robust", "ipw": "by weighting", "regression": "by regression"}
MODELS = {
    "interaction-weighted": "interaction-weighted (Sun and Abraham)",
    "imputation": "imputation (Borusyak, Jaravel and Spiess)",
    "two-stage": "two-stage (Gardner)",
    "stacked": "stacked (Wing and others)",
    "two-way": "two-way regression (a warning: not clean)",
}
UNBALANCED = {
    "pairs": "group-time, pairs of periods",
    "drop": "group-time, units seen in every period",
    "cross-sections": "group-time, rows as if sampled anew",
}
COUNTED = {
    "poisson": "ratio by cohort and period (Poisson)",
    "poisson two-way": "ratio, two-way (a warning: not clean)",
}

Way = tuple[type[StaggeredAdoption], dict[str, Any]]
Changes = dict[str, Any]


def ways_of_rollout(design: StaggeredAdoption) -> dict[str, Way]:
    """The reasonable ways to answer the question of a roll-out, as {label: (class, its fields)}.

    Ways that the design rules out are not among them: ratios alone with an `exposure` (to compare rates as
    differences, make them a column), group-time effects alone with `eligible`, nothing that follows units in
    repeated cross-sections. The interval is made as the design says where a way has it, else automatically.

    >>> list(ways_of_rollout(StaggeredAdoption(outcome="y", unit="u", time="t", first_treated="g")))[:2]
    ['group-time, never-treated compared', 'group-time, not-yet-treated compared']
    """
    made: dict[str, Way] = {}
    seen = set()
    for label, changes in _candidates(design):
        fields = _fields(design, changes)
        if (key := _key(fields)) not in seen:
            seen.add(key)
            made[label] = (StaggeredAdoption, fields)
    return made


def rollout_rows(
    design: StaggeredAdoption, frame: pd.DataFrame, ways: Iterable[str] | Mapping[str, Design] | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table of the panel, the design as it stands first, and what has to be said about it.

    By default the ways of `ways_of_rollout` that differ on these data: rules for units that lack periods
    where some do, ratios of an outcome without `exposure` where it is a count, never-treated controls where
    there are some. Columns: label, term, estimate, std_error, conf_low, conf_high, p_value; averaged (what
    `aggregation` the number is), rows_used, units_compared (units that serve as comparison at some time; rows
    in cross-sections), share_negative (of the treated observations that the way gives a negative weight;
    missing where it is not known), note (why there is no estimate).
    """
    parsed: Rollout = method_of(design).parse(design, frame)  # a problem of the data would be one of all
    asked = {"as designed": design, **_asked(design, parsed, ways)}
    found = [_attempt(label, way, frame) for label, way in progress(asked.items(), "specifications")]
    table = pd.DataFrame(found, columns=list(COLUMNS))
    table["rows_used"] = table["rows_used"].astype(object).where(table["rows_used"].notna(), None)
    table["units_compared"] = (
        table["units_compared"].astype(object).where(table["units_compared"].notna(), None)
    )
    return table, _said(design, parsed, table, list(asked.values()))


def _candidates(design: StaggeredAdoption) -> list[tuple[str, Changes]]:
    """Labels and changed fields; some of them may come to the same."""
    if design.exposure is not None:
        return _counted(design)
    base: Changes = {"approach": "group-time"}
    made: list[tuple[str, Changes]] = [
        (f"group-time, {CONTROLS[who]} compared", {**base, "control_group": who}) for who in CONTROLS
    ]
    if design.covariates:
        made += [(f"group-time, {ESTIMATORS[how]}", {**base, "estimator": how}) for how in ESTIMATORS]
        made.append(("group-time without covariates", {**base, "covariates": ()}))
    made.append((ONLY_ASKED[0], {**base, "base_period": "universal"}))
    if design.data == "panel":
        made += [
            (label, {**base, "unbalanced": rule})
            for rule, label in UNBALANCED.items()
            if rule != "cross-sections" or design.eligible is None
        ]
    if design.data == "panel" and design.eligible is None:
        models: list[tuple[str, Changes]] = [(MODELS[each], {"approach": each}) for each in MODELS]
        if design.covariates:
            models.insert(2, ("imputation without covariates", {"approach": "imputation", "covariates": ()}))
        made += models
    return made + (_counted(design) if design.eligible is None else [])


def _counted(design: StaggeredAdoption) -> list[tuple[str, Changes]]:
    """Ratios of counts or rates."""
    made: list[tuple[str, Changes]] = [(COUNTED["poisson"], {"approach": "poisson"})]
    if design.covariates:
        made.append((f"{COUNTED['poisson']}, no covariates", {"approach": "poisson", "covariates": ()}))
    if design.data == "panel":
        made.append((COUNTED["poisson two-way"], {"approach": "poisson two-way"}))
    return made


def _fields(design: StaggeredAdoption, changes: Changes) -> Changes:
    """The fields of a design with changes, and without what the approach does not have."""
    made = {name: getattr(design, name) for name in declared(StaggeredAdoption)} | changes
    approach = made["approach"]
    if made["unbalanced"] == "cross-sections" and approach not in ("group-time", "poisson"):
        made["unbalanced"] = "pairs"
    only = {
        "multiplier bootstrap": ("group-time",),
        "wild cluster bootstrap": ("interaction-weighted", "two-way"),
    }
    if approach not in only.get(made["inference"], (approach,)):
        made["inference"] = "automatic"
    return made


def _key(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a way different: the approach and the fields that it reads."""
    approach, covariates = fields["approach"], tuple(fields["covariates"])
    own = approach == "group-time"
    return (
        approach,
        covariates,
        fields["unbalanced"],
        fields["control_group"] if own or approach == "stacked" else "",
        fields["estimator"] if own and covariates else "",
        fields["base_period"] if own else "",
    )


def _asked(
    design: StaggeredAdoption, parsed: Rollout, ways: Iterable[str] | Mapping[str, Design] | None
) -> Mapping[str, Way | Design]:
    if isinstance(ways, Mapping):
        return ways
    known = ways_of_rollout(design)
    if ways is None:
        own = _key({name: getattr(design, name) for name in declared(StaggeredAdoption)})
        fits = _Fits(design, parsed)
        return {
            label: way
            for label, way in known.items()
            if label not in ONLY_ASKED and _key(way[1]) != own and fits.differ(way[1])
        }
    wanted = [ways] if isinstance(ways, str) else list(ways)
    if unknown := [label for label in wanted if label not in known]:
        raise DesignError(
            [
                f"ways: '{label}' is not one of them.{nearest(label, known)} Choose from: {'; '.join(known)};"
                " or give {label: design}."
                for label in unknown
            ]
        )
    return {label: known[label] for label in wanted}


@dataclass(frozen=True)
class _Fits:
    """Which ways have something of their own to say about the data."""

    design: StaggeredAdoption
    rollout: Rollout

    def differ(self, fields: Mapping[str, Any]) -> bool:
        """Whether a way has an answer of its own."""
        if fields["unbalanced"] != self.design.unbalanced and self.rollout.is_grid:
            return False
        never = fields["approach"] == "group-time" and fields["control_group"] == "never"
        if never and not self.rollout.has_never:
            return False
        return fields["approach"] not in RATIOS or self.design.exposure is not None or self.is_count

    @property
    def is_count(self) -> bool:
        """Whether the outcome is a number of events: whole numbers, none below 0, more than yes and no."""
        held = self.rollout.outcome
        return bool((held >= 0).all() and (held == np.round(held)).all() and held.max() > 1)


def _attempt(label: str, way: Way | Design, frame: pd.DataFrame) -> dict[str, Any]:
    """One row of the panel, or the reason why there is no estimate."""
    try:
        design = way if isinstance(way, Design) else way[0](**way[1])
        found = method_of(design).refit(design, frame)
    except QievalError as cause:
        return {"label": label, "note": str(cause)}
    row = overall(found)
    figures = ("term", "estimate", "std_error", "conf_low", "conf_high", "p_value")
    made = {"label": label, **{name: row[name] for name in figures}, "note": ""}
    if isinstance(design, StaggeredAdoption):
        made |= _beside(design, found, method_of(design).parse(design, frame))
    return made


def _beside(design: StaggeredAdoption, found: Result, rollout: Rollout) -> dict[str, Any]:
    """What the number averages, and what it rests on."""
    rows, compared = reach(design, rollout)
    people = Count if design.units_are == "people" else int
    return {
        "averaged": OWN_AVERAGE.get(design.approach, AVERAGED[design.aggregation]),
        "rows_used": Count(rows),
        "units_compared": people(compared),
        "share_negative": share_negative(design, found),
    }


def _said(
    design: StaggeredAdoption, parsed: Rollout, table: pd.DataFrame, ways: list[Way | Design]
) -> tuple[str, ...]:
    """How far the estimates lie apart, apart for ratios and for the regressions that are a warning."""
    done = (table["note"] == "").to_numpy()
    if not done.any():
        return ("No way gave an answer; the notes say why.",)
    unclean = np.array([_approach(way) in WARNINGS for way in ways]) & (len(parsed.starts) > 1)
    notes = []
    for term, rows in table[done & ~unclean].groupby("term", sort=False):
        what = "estimate" if term == "ATT" else str(term)
        if len(rows) > 1:
            notes.append(f"Over {plural(len(rows), 'way')} the {what} runs {_span(rows)}.")
    if table.loc[done & ~unclean, "term"].nunique() > 1:
        notes.append(
            "Differences and ratios are different quantities, with trends parallel on different scales."
        )
    notes += [_warned(row) for row in table[done & unclean].to_dict("records")]
    if table.loc[done & ~unclean, "averaged"].nunique() > 1:
        notes.append("They do not all average the same periods and cohorts: see `averaged` beside each.")
    if design.second_cluster is not None:
        notes.append("Only group-time effects have standard errors that know about `second_cluster`.")
    if failed := table.loc[~done, "label"].tolist():
        notes.append(f"No answer from: {'; '.join(failed)}. The note says why.")
    return tuple(notes)


def _approach(way: Way | Design) -> str:
    return str(way[1]["approach"]) if isinstance(way, tuple) else str(getattr(way, "approach", ""))


def _span(rows: pd.DataFrame) -> str:
    return f"from {number(float(rows['estimate'].min()))} to {number(float(rows['estimate'].max()))}"


def _warned(row: Mapping[Any, Any]) -> str:
    """What a regression gives that also compares with units that have begun."""
    said = (
        f"'{row['label']}' gives {number(float(row['estimate']))}; it also compares units with others that"
        " began earlier and is there to compare with, not to report."
    )
    if row["share_negative"] > 0:
        said += f" It gives negative weight to {row['share_negative']:.0%} of the treated observations."
    return said
