"""Risk-set sampling: who could have been treated on the day somebody was, and what was known before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.data.extract import Extract, attrition_row
from qieval.data.lookups import Lookup, look_up, not_before, unseen, whole_days
from qieval.data.risk_set_sampling import RiskSetSampling, require, sampling
from qieval.errors import DataError
from qieval.text import plural

NEVER = 2**40
"""Later than any date, in days since 1970."""
MOST_ROWS = 50_000_000


@dataclass(frozen=True, eq=False)
class _People:
    """One row a person: ids, and days since 1970 (NEVER: not known to happen), each (n,); `frame` beside."""

    frame: pd.DataFrame
    entry: np.ndarray
    leave: np.ndarray
    treated: np.ndarray
    end: int


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One row each: number of the set, position of the person, whether it is the case, index day."""

    risk_set: np.ndarray
    person: np.ndarray
    case: np.ndarray
    day: np.ndarray


def risk_sets(
    people: pd.DataFrame | Extract,
    treated_date: str,
    at_risk_from: str,
    at_risk_to: str | None = None,
    baseline: Mapping[str, Lookup | str] | None = None,
    **options: Any,
) -> Extract:
    """For every treated person, controls who were at risk and untreated on the same day.

    people: one row a person. treated_date: missing for people never treated. at_risk_from, at_risk_to: days
    on which people come under observation and leave it (death, moving away; missing: not yet). The rest are
    fields of RiskSetSampling by name, such as person, per_case, exact, within, study_end, seed.

    The index date is the day of the treatment. A control entered on it or before, neither left nor was
    treated on it or before, and has the values that `exact` and `within` ask for. Times of day are ignored.
    baseline: {new column: Lookup} for what happened in a window before the index date, or {column of people:
    column with the day it was measured}, which must lie before the index date in every row. Other columns
    are taken over as they are: see that they do not change with time.

    The frame has risk_set (from 1, by index date), the person, index_date, treated (1: the case),
    follow_up_start, follow_up_end (the first of leaving, own later treatment of a control, and the study's
    end), follow_up_ended_by ("leaving", "treatment", "study end"), the baseline, and the columns of people.
    Matching with exact=("risk_set",) then matches inside sets. Treated people without a control are counted
    in notes and attrition.

    Sources: risk-set matching, Li, Propert and Rosenbaum (2001), JASA 96, and Lu (2005), Biometrics 61;
    immortal time, Suissa (2008), American Journal of Epidemiology 167. Checked by brute force, and by a
    simulation without effect in which comparing ever with never treated people shows one.

    Raises DataError, also when a baseline is dated on or after the index date or follow-up would start
    before it; DesignError for options that make no sense.

    >>> people = pd.DataFrame({
    ...     "person_id": [1, 2, 3],
    ...     "joined": pd.to_datetime(["2022-01-01"] * 3),
    ...     "left": pd.to_datetime([None, "2022-02-01", None]),
    ...     "started": pd.to_datetime(["2022-03-01", None, "2022-06-01"]),
    ... })
    >>> sets = risk_sets(people, "started", "joined", "left", study_end="2022-12-31")
    >>> sets.frame[["risk_set", "person_id", "treated", "follow_up_ended_by"]].to_numpy().tolist()
    [[1, 1, 1, 'study end'], [1, 3, 0, 'treatment']]
    """
    how = sampling(options)
    start = people if isinstance(people, Extract) else Extract(frame=people, source="a frame of people")
    require(start.frame, how, (treated_date, at_risk_from, at_risk_to), dict(baseline or {}))
    start = dataclasses.replace(start, person=how.person, attrition=_with_people(start, how.person))
    start = _complete(start, how, at_risk_from)
    held = _parsed(start.frame, how, treated_date, at_risk_from, at_risk_to)
    case = np.flatnonzero(held.treated < NEVER)
    if not case.size:
        raise DataError(f"treated_date: '{treated_date}' is empty for everybody, so there is no index date.")
    steps = [("treated people (from here on, one row each)", case)]
    case = case[(held.entry[case] + how.history <= held.treated[case]) & _stays(held, case)]
    steps.append(("treated while at risk", case))
    rng = np.random.default_rng(how.seed)
    order = np.lexsort((rng.random(case.size), held.treated[case]))
    drawn, counts = _draw(held, case[order], how, rng)
    steps.append(("with at least one eligible control", case[order][counts > 0]))
    return _assembled(start, held, drawn, _Plan(how, dict(baseline or {}), steps))


@dataclass(frozen=True, eq=False)
class _Plan:
    how: RiskSetSampling
    baseline: dict[str, Lookup | str]
    steps: list[tuple[str, np.ndarray]]


def _with_people(start: Extract, person: str) -> pd.DataFrame:
    """The attrition so far; made anew where it had not counted people."""
    if start.person is not None or len(start.attrition) > 1:
        return start.attrition
    return attrition_row(0, f"read from {start.source}", start.frame, person)


def _complete(start: Extract, how: RiskSetSampling, at_risk_from: str) -> Extract:
    """Without people whose day of entry or sampling characteristics are unknown; each loss is counted."""
    for name in dict.fromkeys((at_risk_from, *how.exact, *how.within)):
        known = start.frame[name].notna()
        if not known.all():
            start = start.keep(known, f"'{name}' is missing")
    if not len(start.frame):
        raise DataError("people: nobody is left who has a date of entry and the columns to sample by.")
    return start


def _parsed(
    frame: pd.DataFrame, how: RiskSetSampling, treated_date: str, at_risk_from: str, at_risk_to: str | None
) -> _People:
    """People in the order of their ids, with days as numbers."""
    frame = frame.sort_values(how.person, kind="stable", ignore_index=True)

    def days(name: str, role: str) -> np.ndarray:
        return np.asarray(np.nan_to_num(whole_days(frame[name], role), nan=NEVER), dtype=np.int64)

    entry = days(at_risk_from, "at_risk_from")
    leave = np.full(len(frame), NEVER) if at_risk_to is None else days(at_risk_to, "at_risk_to")
    end = NEVER
    if how.study_end is not None:
        end = int(whole_days(pd.Series([pd.Timestamp(how.study_end)]), "study_end")[0])
    elif (leave == NEVER).any():
        raise DataError(
            f"study_end: {plural(int((leave == NEVER).sum()), 'person', 'people')} have no date of leaving, "
            "so their follow-up has no end. Give the last day of the data, such as "
            'study_end="2023-03-31".'
        )
    if wrong := int((leave < entry).sum()):
        raise DataError(
            f"at_risk_to: {plural(wrong, 'person', 'people')} leave before they enter ('{at_risk_to}' before "
            f"'{at_risk_from}'). Correct these dates, or leave these people out."
        )
    return _People(frame, entry, leave, days(treated_date, "treated_date"), end)


def _stays(held: _People, case: np.ndarray) -> np.ndarray:
    """Whether follow-up of a case is longer than nothing."""
    return np.asarray(held.treated[case] < np.minimum(held.leave[case], held.end))


def _draw(
    held: _People, case: np.ndarray, how: RiskSetSampling, rng: np.random.Generator
) -> tuple[_Drawn, np.ndarray]:
    """Cases and their controls, set by set; and the number of controls of each set."""
    from qieval.numerics.kernels import risk_sets as kernels

    n = len(held.frame)
    stratum = np.zeros(n, dtype=np.int64)
    if how.exact:
        grouped = held.frame.groupby(list(how.exact), sort=True, observed=True)
        stratum = grouped.ngroup().to_numpy().astype(np.int64)
    leave = np.minimum(held.leave, held.treated)
    able = np.flatnonzero((held.entry + how.history < leave) & (how.future_treated | (held.treated == NEVER)))
    member = able[np.argsort(stratum[able], kind="stable")]
    edges = np.searchsorted(stratum[member], np.arange(stratum.max() + 2))
    near = held.frame[list(how.within)].to_numpy(dtype=float).reshape(n, len(how.within))
    width = np.array(list(how.within.values()), dtype=float)
    pool = kernels.Pool(member, edges, held.entry + how.history, leave, np.ascontiguousarray(near), width)
    cases = kernels.Cases(case, held.treated[case], stratum[case])
    most = np.full(case.size, how.per_case or 0, dtype=np.int64)
    if how.per_case is None:
        most = kernels.count_eligible(pool, cases)
        if most.sum() > MOST_ROWS:
            raise DataError(f"per_case: all controls would be {most.sum():,} rows. Ask for some of them.")
    controls, count = kernels.draw_controls(pool, cases, most, how.reuse, rng)
    taken = np.arange(most.sum()) - np.repeat(np.cumsum(most) - most, most) < np.repeat(count, most)
    full = np.flatnonzero(count)
    sets = np.concatenate([full, np.repeat(np.arange(case.size), count)])
    person = np.concatenate([case[full], controls[taken]])
    is_case = np.arange(sets.size) < full.size
    order = np.lexsort((person, ~is_case, sets))
    return _Drawn(sets[order], person[order], is_case[order], cases.day[sets[order]]), count


def _assembled(start: Extract, held: _People, drawn: _Drawn, plan: _Plan) -> Extract:
    """The extract: rows, baseline, attrition and notes."""
    drawn, begin, end, notes = _followed(held, drawn, plan.how)
    frame = _frame(held, drawn, (begin, end), plan.how)
    notes = [*start.notes, *_option_notes(plan), *notes]
    problems = []
    ids = pd.Index(held.frame[plan.how.person], name=plan.how.person)
    for name, given in plan.baseline.items():
        if isinstance(given, str):
            problems += not_before(frame, name, given, drawn.day)
            continue
        frame[name], more = look_up(given, ids, name, drawn.person, drawn.day)
        notes += more + unseen(name, given, held.entry[drawn.person], drawn.day)
    if problems:
        raise DataError(problems)
    attrition = start.attrition
    rows = [(reason, held.frame.iloc[case]) for reason, case in plan.steps]
    for reason, left in [*rows, ("risk sets (one row a set and person)", frame)]:
        step = attrition_row(len(attrition), reason, left, plan.how.person)
        attrition = pd.concat([attrition, step], ignore_index=True)
    return dataclasses.replace(start, frame=frame, attrition=attrition, notes=tuple(notes), sha256=None)


def _followed(
    held: _People, drawn: _Drawn, how: RiskSetSampling
) -> tuple[_Drawn, np.ndarray, np.ndarray, list[str]]:
    """Rows with follow-up, in sets that still compare something; first and last day of it; notes."""
    begin = drawn.day + how.lag
    if how.follow_up_from is not None:
        begin = _begin(held.frame[how.follow_up_from], drawn)
    end = np.minimum(held.leave[drawn.person], held.end)
    if how.censor_at_treatment:
        end = np.where(drawn.case, end, np.minimum(end, held.treated[drawn.person]))
    kept = end > begin
    complete = np.intersect1d(drawn.risk_set[kept & drawn.case], drawn.risk_set[kept & ~drawn.case])
    kept &= np.isin(drawn.risk_set, complete)
    notes = []
    if lost := int((~kept).sum()):
        notes.append(
            f"{plural(lost, 'row')} left out: their follow-up ended before it began, or nobody was left in "
            "the set to compare with."
        )
    if not kept.any():
        raise DataError(
            "risk sets: no treated person has a control. Ask for less in `exact`, `within`, `history` or the "
            "start of follow-up, and see that the dates of entry and leaving are those of observation."
        )
    sets = np.unique(drawn.risk_set[kept], return_inverse=True)[1] + 1
    left = _Drawn(sets, drawn.person[kept], drawn.case[kept], drawn.day[kept])
    return left, begin[kept], end[kept], notes


def _begin(dates: pd.Series[Any], drawn: _Drawn) -> np.ndarray:
    """Follow-up from a column of dates; DataError where it would begin before the index date."""
    begin = whole_days(dates, "follow_up_from")[drawn.person]
    if early := int((~(begin >= drawn.day)).sum()):
        raise DataError(
            f"follow_up_from: in {plural(early, 'row')} '{dates.name}' lies before the index date or is "
            "missing. The treated were certain to survive from then to their treatment and the controls were "
            "not (immortal time), so the comparison would favour the treatment. Leave the option out: "
            "follow-up then starts on the index date."
        )
    return np.asarray(begin, dtype=np.int64)


def _frame(
    held: _People, drawn: _Drawn, follow_up: tuple[np.ndarray, np.ndarray], how: RiskSetSampling
) -> pd.DataFrame:
    """One row a set and person; the columns of people behind those of the set."""
    begin, end = follow_up
    treated_first = how.censor_at_treatment & ~drawn.case & (end == held.treated[drawn.person])
    ended = np.where(treated_first, "treatment", "study end")
    ended = np.where(end == held.leave[drawn.person], "leaving", ended)
    made = {
        "risk_set": drawn.risk_set,
        how.person: held.frame[how.person].iloc[drawn.person].array,
        "index_date": drawn.day.astype("datetime64[D]"),
        "treated": drawn.case.astype(np.int64),
        "follow_up_start": begin.astype("datetime64[D]"),
        "follow_up_end": end.astype("datetime64[D]"),
        "follow_up_ended_by": ended,
    }
    others = held.frame.drop(columns=how.person).iloc[drawn.person].reset_index(drop=True)
    return pd.concat([pd.DataFrame(made), others], axis=1)


def _option_notes(plan: _Plan) -> list[str]:
    """Who is not in the sets, and options that change what the comparison means."""
    how = plan.how
    given, at_risk, matched = (len(case) for _, case in plan.steps)
    notes = []
    if given > at_risk:
        notes.append(
            f"{plural(given - at_risk, 'treated person', 'treated people')} left out: not at risk on the day "
            "of treatment (treated before entry or its required history, on or after leaving, or on or after "
            "the study's end)."
        )
    if at_risk > matched:
        notes.append(
            f"{plural(at_risk - matched, 'treated person', 'treated people')} left out: nobody eligible as a "
            "control. They are the treated people who are missing from the frame; the effect is not theirs."
        )
    if not how.future_treated:
        notes.append(
            "Controls are people never treated, which only the future tells: those who left early had less "
            "time to be treated, so outcomes of controls may look worse than they are."
        )
    elif not how.censor_at_treatment:
        notes.append("Controls who were treated later are followed on, so the contrast is diluted.")
    return notes
