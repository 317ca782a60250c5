"""From a matched or weighted comparison to the data that the next method reads."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from qieval.chained_starts import FIRST, with_starts
from qieval.cohort_design import CohortDesign
from qieval.data.extract import Extract
from qieval.errors import DataError, DesignError, nearest
from qieval.provenance import fingerprint
from qieval.result import Result
from qieval.text import Count, Counted, listed, plural
from qieval.verbs import Data, _frame

WEIGHT, SET = "matching_weight", "matched_set"


def matched(
    result: Result,
    data: Data,
    *,
    panel: Data | None = None,
    unit: str | None = None,
    start: str | None = None,
    time: str | None = None,
) -> Extract:
    """The rows that take part in a comparison, with their weight and matched set, ready for another method.

    result: what `estimate` gave for a Matching, GeneticMatching or Weighting (with or without an outcome),
    data: the data of that estimate. The extract's frame has two columns more: `matching_weight`, and
    `matched_set` (whole numbers; partners share one; where nobody is paired, as after weighting or matching
    with replacement, each row is a set of its own). Use them as weights and clusters:
    `DifferenceInDifferences(..., weights="matching_weight", cluster="matched_set")`, so that standard errors
    know about the pairs. They take weights as given, also those that were estimated.

    panel: rows of people over time, from which the rows of matched people are kept; `unit` names the column
    that holds the person there, and in `data` too unless the design names another as person. The column that
    says who is treated is added where the panel lacks it. Match before you look at outcomes in the panel, on
    what was known before the start.

    start, time: for a panel of people who began at different times, the column of the data with each person's
    own start (empty: never), and the panel's column of periods. The panel rows then get `first_treated`: the
    start of treated people, empty (never) for comparison people. Whoever serves as comparison and begins
    later, as risk sets allow, stays 'never' and keeps only the rows before the period of their own start.
    People in several matched rows have their panel rows once for each, told apart by `matched_row`. Go on
    with `StaggeredAdoption(..., unit="matched_row", first_treated="first_treated", weights="matching_weight",
    cluster="matched_set")`, and where people take part several times `second_cluster` with the person.

    The rows that are left out are a step of the extract's attrition. Raises DataError when the data are not
    those of the result, row labels or people repeat, or the new columns are there already; DesignError for a
    result that has no weights of people, and for `start` without a panel or its `time`.

    >>> import qieval as qe
    >>> people = qe.data.simulate_cohort(500, seed=4).frame
    >>> design = qe.Matching(treated="service", covariates=("age", "frailty"), caliper=0.2)
    >>> pairs = qe.estimate(design, people)
    >>> both = qe.matched(pairs, people).frame.groupby("matched_set")["service"].agg(["size", "sum"])
    >>> both.drop_duplicates().values.tolist()
    [[2, 1]]
    """
    design = result.design
    if result.weights is None or not isinstance(design, CohortDesign):
        raise DesignError(
            f"result: {type(design).__name__} gives no weights of people to go on with. Give the result of a"
            " Matching, GeneticMatching or Weighting."
        )
    frame = _frame(data)
    _require_same(result, design, frame)
    weights = _weights(result, frame)
    if (start is None) != (time is None) or (start is not None and panel is None):
        raise DesignError(
            "start, time: they belong together and to a panel. Name the column of the data with each person's"
            " own start, and the panel's column of periods: panel=rows, start='started', time='month'."
        )
    if panel is None:
        held = _extract(data, "the data that were matched", design.person)
        kept = held.keep(frame.index.isin(weights.index), _reason(result))
        return dataclasses.replace(kept, frame=kept.frame.assign(**_columns(weights, kept.frame.index)))
    if start is not None:
        weights = weights.assign(**{FIRST: _starts(frame, start, weights)})
    return _panel(result, frame, weights, _extract(panel, "panel rows", None), (unit, time))


def _starts(frame: pd.DataFrame, start: str, weights: pd.DataFrame) -> pd.Series[Any]:
    """The own start of each matched row; DataError where treated people have none."""
    if start not in frame.columns:
        raise DataError(f"start: there is no column '{start}' in the data.{nearest(start, frame.columns)}")
    own: pd.Series[Any] = frame.loc[weights.index, start]
    if own[weights["treated"]].isna().any():
        raise DataError(
            f"start: '{start}' is empty for some treated people, so it is unknown when they began. Complete"
            " it, or leave them out before matching."
        )
    return own


def _require_same(result: Result, design: CohortDesign, frame: pd.DataFrame) -> None:
    used = [name for name in design.used_columns() if name in frame.columns]
    same = len(used) == len(design.used_columns())
    if result.record is not None and (not same or fingerprint(frame, used) != result.record.fingerprint):
        raise DataError(
            "data: these are not the data of the result (their fingerprints differ), so its weights would go"
            " to the wrong rows. Give the data that were estimated, or estimate again."
        )
    if not frame.index.is_unique:
        raise DataError(
            "data: row labels repeat, so it is unclear whose the weights are. Number the rows before you"
            " estimate: data.reset_index(drop=True)."
        )


def _weights(result: Result, frame: pd.DataFrame) -> pd.DataFrame:
    """Weight, set and arm by row label; rows that share no set get sets of their own."""
    assert result.weights is not None
    held = result.weights.set_index("row")
    sets = held["set"].to_numpy() if "set" in held else np.full(len(held), -1)
    alone = sets < 0
    sets = np.where(alone, sets.max(initial=-1) + np.cumsum(alone), sets)
    return pd.DataFrame(
        {WEIGHT: held["weight"].to_numpy(), SET: sets, "treated": (held["group"] == "treated").to_numpy()},
        index=held.index,
    )


def _columns(weights: pd.DataFrame, labels: pd.Index[Any]) -> dict[str, np.ndarray]:
    return {name: weights.loc[labels, name].to_numpy() for name in (WEIGHT, SET)}


def _reason(result: Result) -> str:
    made = result.design.title if result.facts is None else result.facts.get("made by", result.design.title)
    return f"not among those compared ({made})"


def _extract(data: Data, source: str, person: str | None) -> Extract:
    held = data if isinstance(data, Extract) else Extract(frame=_frame(data), source=source, person=person)
    if taken := [name for name in (WEIGHT, SET) if name in held.frame.columns]:
        raise DataError(
            f"data: {listed(taken)} {'is' if len(taken) == 1 else 'are'} there already, from an earlier"
            " match. Rename or drop them, so that it is clear which weights are used."
        )
    return held


def _panel(
    result: Result,
    frame: pd.DataFrame,
    weights: pd.DataFrame,
    panel: Extract,
    named: tuple[str | None, str | None],
) -> Extract:
    """The panel rows of matched people, with their weights. named: unit, and time where starts are known."""
    design: Any = result.design
    unit, time = named
    person, unit = design.person or unit, unit or design.person
    _require_unit(person, unit, frame, panel.frame)
    people = weights.set_axis(pd.Index(frame.loc[weights.index, person]), axis=0)
    repeated = int(people.index.duplicated().sum())
    if repeated and time is None:
        raise DataError(
            f"unit: {plural(repeated, 'person', 'people')} of '{person}' take part in several matched rows,"
            " and a panel row cannot count for several. Give each matched row a person of its own in data and"
            " panel (such as person and index date together), or name `start` and `time`, and panel rows are"
            " repeated for each."
        )
    kept = panel.keep(panel.frame[unit].isin(people.index).to_numpy(), _reason(result))
    if kept.frame.empty:
        raise DataError(
            f"panel: none of the matched people occurs in '{unit}'. Check that '{person}' in the data and"
            f" '{unit}' in the panel hold the same identifiers, in the same type."
        )
    kept = dataclasses.replace(
        kept, person=kept.person or unit, notes=(*kept.notes, *_without_rows(people, kept.frame[unit]))
    )
    if time is not None:
        return with_starts(kept, people.rename(columns={"treated": design.treated}), unit, time)
    columns: dict[str, Any] = _columns(people, pd.Index(kept.frame[unit]))
    if design.treated not in kept.frame.columns:
        columns[design.treated] = people.loc[kept.frame[unit], "treated"].to_numpy().astype(int)
    return dataclasses.replace(kept, frame=kept.frame.assign(**columns))


def _require_unit(person: str | None, unit: str | None, frame: pd.DataFrame, panel: pd.DataFrame) -> None:
    if person is None or unit is None:
        raise DesignError(
            "unit: nothing says who is who in the panel. Name the column with the person: unit='person_id'."
        )
    for role, name, held in (("data", person, frame), ("panel", unit, panel)):
        if name not in held.columns:
            raise DataError(
                f"unit: there is no column '{name}' in the {role}.{nearest(name, held.columns)} It must hold"
                " the person in both."
            )


def _without_rows(people: pd.DataFrame, seen: pd.Series[Any]) -> list[str]:
    """That some of the matched people do not occur in the panel."""
    absent = ~people.index.isin(seen)
    if not absent.any():
        return []
    broken = people.loc[absent, SET].nunique()
    return [
        Counted(
            "{units} matched people have no rows in the panel, which leaves {sets} matched sets incomplete.",
            units=Count(int(absent.sum())),
            sets=Count(int(broken)),
        )
    ]
