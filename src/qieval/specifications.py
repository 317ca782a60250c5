"""The specification panel: the same question by every reasonable method, side by side with balance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.catalogue import method_of
from qieval.cohort_design import CohortDesign
from qieval.design import Design
from qieval.donor_design import DonorDesign
from qieval.donor_specifications import donor_rows, ways_with_donors
from qieval.errors import DesignError, EstimationError, QievalError, nearest
from qieval.fields import declared, problems
from qieval.methods.matching import GeneticMatching, Matching
from qieval.methods.staggered_adoption import StaggeredAdoption
from qieval.methods.weighting import Weighting
from qieval.progress import progress
from qieval.result import Result, overall
from qieval.rollout_specifications import rollout_rows, ways_of_rollout
from qieval.text import number, plural
from qieval.verbs import Data, Variation, _frame

Way = tuple[type[CohortDesign], dict[str, Any]]

AS_DESIGNED = "as designed"
COLUMNS = (
    *("label", "term", "estimate", "std_error", "conf_low", "conf_high", "p_value"),
    *("largest_difference", "treated_used", "comparison_effective", "estimand", "note"),
)
ROUNDS = 20_000_000
"""How many people times characteristics times weightings the genetic search of a panel goes through."""
LEAST, MOST = 300, 2000
"""Weightings that a short search tries; with fewer its groups are no more alike than by chance."""

WORDS = ("arguments", "events")
"""Fields that change no number."""
KEPT = ("exact", "score", "learner")
"""Fields beyond those of every cohort design that belong to the question, where a way has them."""

WITH_ESTIMATES = ("estimate", "std_error", "conf_low", "conf_high", "p_value")


@dataclass(frozen=True, eq=False, repr=False)
class SideBySide(Variation):
    """Estimates side by side with balance, under a title and with what has to be said about them.

    Columns of `table`: label, term, estimate, std_error, conf_low, conf_high, p_value; largest_difference
    (the largest standardised difference that is left), treated_used (people), comparison_effective (size of
    an equally weighted comparison group of the same precision), estimand (what was reached), note (why there
    is no estimate, where there is none).
    """

    title: str = "The same question by other methods"
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([self.table.to_string(index=False), *self.notes])

    def _repr_html_(self) -> str:
        shown = self.table.drop(columns=["std_error"], errors="ignore")
        blank = shown.isna() | (shown == "")
        shown = shown.loc[:, ~blank.all().to_numpy()].astype(object).where(~blank, "")
        return markup.card(self.title, markup.frame_table(shown) + markup.bullets(self.notes))


def specifications(
    design: CohortDesign | DonorDesign | StaggeredAdoption,
    data: Data,
    ways: Iterable[str] | Mapping[str, Any] | None = None,
) -> SideBySide:
    """Estimate the same effect by every reasonable method: matching, weighting and regression for people,
    synthetic controls and factor models for places with donors, group-time effects and their relatives for
    roll-outs.

    design: a Matching, GeneticMatching, Weighting or RegressionAdjustment; what it asks (treated,
    covariates, outcome, whose effect, exact characteristics) is kept, how it answers is varied. ways: some of
    the labels that `ways_of(design)` has, or {label: design} of your own; by default all. The first row is
    the design as it stands. A way that cannot be carried out, such as matching for the effect in everybody,
    keeps its row with the reason. Rows may speak for different people: read the estimand beside the estimate.
    Without an outcome only balance and sizes are compared, so the panel may serve to choose.

    For a design with donors the ways are those of `ways_of(design)` too: outcomes alone, predictors,
    demeaned, penalised, ridge-augmented, synthetic difference-in-differences and factor models; the table
    then has the rank among all units and the root mean squared gap before the start in place of balance.

    For a StaggeredAdoption they are group-time effects by comparison group, use of covariates and rule for
    units that lack periods, interaction-weighted, imputed, two-stage and stacked effects, the two-way
    regression as a warning, and ratios where the outcome is a count. Beside the estimates stand what they
    average, the rows used, the units compared with, and the share of treated observations with negative
    weight. Ratios keep a term of their own, and the picture draws only rows with the term of the first.

    Raises DesignError for a design that compares no similar people and for unknown labels, DataError when
    the data do not fit the design.

    >>> import qieval as qe
    >>> people = qe.data.simulate_cohort(600, seed=3).frame
    >>> design = qe.Matching(treated="service", covariates=("age", "frailty"), outcome="cost", caliper=0.2)
    >>> panel = qe.specifications(design, people, ways=["full matching", "entropy balancing"])
    >>> panel.table["label"].tolist()
    ['as designed', 'full matching', 'entropy balancing']
    >>> bool((panel.table["largest_difference"] < 0.2).all())
    True
    """
    if isinstance(design, DonorDesign):
        table, notes = donor_rows(design, _frame(data), ways)
        return SideBySide(design, table, notes=notes)
    if isinstance(design, StaggeredAdoption):
        table, notes = rollout_rows(design, _frame(data), ways)
        return SideBySide(design, table, notes=notes)
    if not isinstance(design, CohortDesign):
        raise DesignError(
            f"design: {type(design).__name__} does not compare people by weights, so there are no other ways"
            " to make them alike. Give a Matching, GeneticMatching or Weighting, or use qe.vary."
        )
    frame = _frame(data)
    method_of(design).parse(design, frame)  # a problem of the data would be one of every way
    asked: dict[str, Way | CohortDesign] = {AS_DESIGNED: design, **_asked(design, ways)}
    rows = [attempt(label, frame, way) for label, way in progress(asked.items(), "specifications")]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"treated_used": "Int64"})
    return SideBySide(design, table, notes=_said(table, design))


def _asked(
    design: CohortDesign, ways: Iterable[str] | Mapping[str, CohortDesign] | None
) -> Mapping[str, Way | CohortDesign]:
    if isinstance(ways, Mapping):
        return ways
    known = ways_of(design)
    if ways is None:
        return {label: way for label, way in known.items() if not _same(design, way)}
    wanted = [ways] if isinstance(ways, str) else list(ways)
    if unknown := [label for label in wanted if label not in known]:
        raise DesignError(
            [
                f"ways: '{label}' is not one of them.{nearest(label, known)} Choose from: {', '.join(known)};"
                " or give {label: design}."
                for label in unknown
            ]
        )
    return {label: known[label] for label in wanted}


def _same(design: CohortDesign, way: Way) -> bool:
    """Whether a way is the design as it stands, words and subgroups apart."""
    kind, asked = way
    defaults = {item.name: item.default for item in dataclasses.fields(kind)}
    said = {name: held for name, held in asked.items() if held != defaults[name] and held != {}}
    stated = {name: held for name, held in design.stated().items() if name not in (*WORDS, "subgroups")}
    return type(design) is kind and said == stated


def ways_of(design: CohortDesign | DonorDesign | StaggeredAdoption) -> dict[str, Any]:
    """The reasonable ways to answer the question of a design, as {label: (class of design, its fields)}.

    >>> list(ways_of(Matching(treated="t", covariates=("age",))))[:2]
    ['nearest, caliper 0.2 SD', 'nearest, any distance']
    """
    if isinstance(design, DonorDesign):
        return dict(ways_with_donors(design))
    if isinstance(design, StaggeredAdoption):
        return dict(ways_of_rollout(design))
    rates = bool(design.person_time)
    wide: dict[str, Any] = {"inference": "robust"} if rates else {}
    measured = getattr(design, "mahalanobis_on", ()) or design.covariates
    near: dict[str, Any] = {"caliper": 0.2}
    regressed = {"outcome_model": "covariates"}
    made: dict[str, Way] = {
        "nearest, caliper 0.2 SD": (Matching, near),
        "nearest, any distance": (Matching, {}),
        "nearest with replacement": (Matching, {**near, **wide, "replacement": "with"}),
        "2:1 nearest": (Matching, {**near, "ratio": 2}),
        "optimal pairs": (Matching, {"method": "optimal"}),
        "full matching": (Matching, {"method": "full"}),
        "10 groups by the score": (Matching, {"method": "subclassification", "groups": 10}),
        "Mahalanobis in a caliper": (Matching, {**near, "mahalanobis_on": measured}),
        "genetic matching, short search": (GeneticMatching, {**wide, "restarts": 1, "with_score": "yes"}),
        "inverse probability": (Weighting, {}),
        "overlap weights": (Weighting, {"estimand": "ATO"}),
        "entropy balancing": (Weighting, {"method": "entropy balancing"}),
        "CBPS": (Weighting, {"method": "CBPS"}),
        "regression after nearest": (Matching, {**near, **regressed}),
        "regression with weights": (Weighting, regressed),
    }
    return {label: (way, _shared(design, way) | fields) for label, (way, fields) in made.items()}


def _shared(design: CohortDesign, way: type[CohortDesign]) -> dict[str, Any]:
    """The question of a design, in the fields of a way to answer it."""
    fields = {name: getattr(design, name) for name in declared(CohortDesign) if name not in WORDS}
    fields |= {
        name: getattr(design, name)
        for name in KEPT
        if hasattr(design, name) and name in declared(way) and _has(way, name, getattr(design, name))
    }
    fields |= {"subgroups": (), "outcome_model": "none"}
    if "exact" not in declared(way):  # weights cannot force equality, but can balance
        fields["covariates"] = tuple(dict.fromkeys((*design.covariates, *getattr(design, "exact", ()))))
    return fields


def _has(way: type[CohortDesign], name: str, value: Any) -> bool:
    """Whether a value is one that the field of a way may hold (learners differ between ways)."""
    return not problems(name, declared(way)[name], value)


def attempt(label: str, frame: pd.DataFrame, way: Way | CohortDesign) -> dict[str, Any]:
    """One row of a panel: the estimate and the balance of one way, or the reason why there is none."""
    row: dict[str, Any] = {"label": label, "note": ""}
    try:
        design = way if isinstance(way, Design) else way[0](**_short(way, len(frame)))
        found = method_of(design).refit(design, frame)
    except QievalError as cause:
        return row | {"note": str(cause)}
    return row | beside(found)


def beside(found: Result) -> dict[str, Any]:
    """Estimate, interval, balance, sizes and estimand of a result, as a row of a panel."""
    facts = pd.Series(dtype=object) if found.facts is None else found.facts
    row: dict[str, Any] = {
        "largest_difference": facts.get("largest standardised difference after", np.nan),
        "treated_used": facts.get("treated units"),
        "comparison_effective": facts.get("effective size of the comparison group", np.nan),
        "estimand": facts.get("estimand", ""),
    }
    if found.estimates is None:
        return row
    main = overall(found)
    return row | {name: main.get(name, np.nan) for name in ("term", *WITH_ESTIMATES)}


def _short(way: Way, n: int) -> dict[str, Any]:
    """The fields of a way; a search gets as many evaluations as a panel has time for."""
    kind, fields = way
    if kind is not GeneticMatching:
        return fields
    evaluations = ROUNDS // max(n * len(fields["covariates"]), 1)
    if evaluations < LEAST:
        raise EstimationError(
            f"evaluations: a short search finds nothing good for {len(fields['covariates'])} characteristics"
            f" of {n:,} people, so none was made. Let a GeneticMatching search for longer, and add it:"
            " ways={'genetic matching': design}."
        )
    return {"evaluations": min(evaluations, MOST), **fields}


def _said(table: pd.DataFrame, design: CohortDesign) -> tuple[str, ...]:
    """How far estimates lie apart, among how many ways, and how many of them balance."""
    done = table[table["note"] == ""]
    balanced = done[done["largest_difference"] <= design.balance_rule]
    notes = [
        f"{len(balanced)} of {plural(len(done), 'way')} keep every standardised difference within"
        f" {design.balance_rule:g}."
    ]
    if done["estimate"].notna().any():
        notes.insert(0, f"Over {plural(len(done), 'way')} the estimate runs {_span(done)}.")
        if 0 < len(balanced) < len(done):
            notes.append(f"Among those that do it runs {_span(balanced)}.")
    if done["estimand"].nunique() > 1:
        notes.append("They do not all speak for the same people: see the estimand of each.")
    if failed := table.loc[table["note"] != "", "label"].tolist():
        notes.append(f"No answer from: {'; '.join(failed)}. The note says why.")
    return tuple(notes)


def _span(table: pd.DataFrame) -> str:
    return f"from {number(float(table['estimate'].min()))} to {number(float(table['estimate'].max()))}"
