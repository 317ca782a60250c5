"""Other averages of effects that are estimated already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from qieval.errors import DesignError
from qieval.methods.staggered_adoption import words
from qieval.methods.staggered_adoption.design import StaggeredAdoption
from qieval.methods.staggered_adoption.group_time import averages_of
from qieval.methods.staggered_adoption.inference import OF_INTERVALS, analytic_inference
from qieval.methods.staggered_adoption.table import (
    COHORT,
    KINDS,
    SINCE,
    cell_rows,
    overall_rows,
    part_rows,
)
from qieval.numerics.few_clusters import cautious_df
from qieval.result import Result
from qieval.rollout.effects import Effects

AGAIN = (
    "Averaged again from effects that were estimated already, with ordinary standard errors; with few"
    " clusters estimate again with this aggregation in the design."
)


def aggregate(
    result: Result,
    aggregation: str | None = None,
    *,
    event_window: tuple[int, int] | tuple[()] | None = None,
    balanced_to: int | None = None,
) -> Result:
    """Average the effects of a roll-out in another way, without estimating again (R did: aggte).

    result: what `estimate` gave for a StaggeredAdoption with approach='group-time'. aggregation: 'group',
    'simple', 'dynamic' or 'calendar' for the headline; event_window: the first and last period since the
    start to show (() for all); balanced_to: only cohorts followed at least this many periods after their
    start enter the effects by period since the start (-1: all). What is not given stays as it was. Intervals
    are analytic. The design of the result that comes back has the new values, so a locked protocol shows the
    change. Raises DesignError for other results and for values that a design refuses.

    >>> import qieval as qe
    >>> study = qe.data.simulate_rollout(practices=60, months=24, waves=(8, 14), seed=3)
    >>> design = qe.StaggeredAdoption(outcome="admissions_per_1000", unit="practice", time="month",
    ...     first_treated="started")
    >>> result = qe.estimate(design, study.frame)
    >>> aggregate(result, "dynamic", balanced_to=5).estimates.loc[0, "term"]
    'ATT'
    """
    effects, stated = result.kernel, result.design
    known = isinstance(effects, Effects) and isinstance(stated, StaggeredAdoption)
    if not known or effects.cells is None or effects.members is None:
        raise DesignError(
            "result: only effects by cohort and period can be averaged again. Give the result of a"
            " StaggeredAdoption with approach='group-time'; for others set `aggregation` in the design."
        )
    asked = {"aggregation": aggregation, "event_window": event_window, "balanced_to": balanced_to}
    changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    design: StaggeredAdoption = replace(stated, inference="analytic", **changed)  # type: ignore[call-arg, assignment]
    averages, _ = averages_of(design, effects.cells, effects.members, effects.clusters_of_units)
    made = replace(effects, averages=averages)
    assert result.facts is not None and result.estimates is not None
    facts = result.facts.copy()
    treated, clusters = int(facts["treated clusters"]), int(facts["clusters"])
    if stated.inference == "automatic":  # type: ignore[attr-defined]
        made = replace(made, df=cautious_df(made.df, max(min(treated, clusters - treated), 2)))
    inference = analytic_inference(design, made, clusters, treated)
    expected = float(facts["expected level without the intervention"])
    chosen = inference.overall[design.aggregation].estimate
    facts["interval by"] = inference.label
    facts["effect as share of the expected level"] = chosen / expected if expected > 0 else float("nan")
    rows = [overall_rows(design, made, inference)]
    rows += [_named(result, part_rows(term, design, made, inference, None), term) for term in KINDS]
    rows.append(cell_rows(design, made, inference, made.cell_names))
    longest = int(facts["longest time since the start"])
    return replace(
        result,
        design=design,
        headline=words.headline(design, longest, made, inference, expected),
        estimates=pd.concat(rows, ignore_index=True),
        facts=facts,
        notes=(*(note for note in result.notes if not str(note).startswith(OF_INTERVALS)), AGAIN),
        kernel=made,
    )


def _named(result: Result, rows: pd.DataFrame, term: str) -> pd.DataFrame:
    """Rows of parts with the names that they had."""
    assert result.estimates is not None
    if term == SINCE:
        return rows
    column = "cohort" if term == COHORT else "period"
    before = result.estimates[result.estimates["term"] == term].set_index("at")[column]
    return rows.assign(**{column: before.reindex(rows["at"]).to_numpy()})
