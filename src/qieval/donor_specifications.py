"""The same question by every reasonable way of making a comparison out of donors, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from qieval.catalogue import method_of
from qieval.design import Design
from qieval.donor_design import DonorDesign
from qieval.errors import DesignError, QievalError, nearest
from qieval.fields import declared
from qieval.methods.generalised_synthetic_control import GeneralisedSyntheticControl
from qieval.methods.micro_synthetic_control import MicroSyntheticControl
from qieval.methods.synthetic_control import SyntheticControl
from qieval.methods.synthetic_did import SyntheticDifferenceInDifferences
from qieval.progress import progress
from qieval.result import overall
from qieval.text import number, plural

COLUMNS = (
    *("label", "estimate", "conf_low", "conf_high", "p_value"),
    *("rank", "units", "gap_before", "note"),
)
WORDS = ("arguments", "events", "question", "measured_in")


Way = tuple[type[DonorDesign], dict[str, Any]]


def ways_with_donors(design: DonorDesign) -> dict[str, Way]:
    """The reasonable ways to answer the question of a design with donors, as {label: (class, its fields)}.

    >>> list(ways_with_donors(SyntheticControl(outcome="y", unit="u", time="t", treated="d", start=5)))[:2]
    ['outcomes alone', 'demeaned']
    """
    shared = {name: getattr(design, name) for name in declared(DonorDesign)}
    predictors = dict(getattr(design, "predictors", {}))
    several = getattr(design, "several", "automatic")
    apart = {**shared, "several": "unit by unit" if several == "partially pooled" else several}
    stated = {**apart, "predictors": predictors}
    ways: dict[str, Way] = {"outcomes alone": (SyntheticControl, {**shared, "several": several})}
    if predictors:
        ways["predictors, nested weights"] = (SyntheticControl, stated)
        ways["predictors, inverse variance"] = (SyntheticControl, {**stated, "v": "inverse variance"})
    ways["demeaned"] = (SyntheticControl, {**shared, "several": several, "method": "demeaned"})
    ways["penalised"] = (SyntheticControl, {**apart, "method": "penalised"})
    ways["ridge-augmented"] = (SyntheticControl, {**apart, "method": "ridge-augmented"})
    ways["synthetic difference-in-differences"] = (SyntheticDifferenceInDifferences, shared)
    for estimator in ("interactive fixed effects", "matrix completion"):
        ways[estimator] = (GeneralisedSyntheticControl, {**shared, "estimator": estimator})
    return ways


def donor_rows(
    design: DonorDesign, frame: pd.DataFrame, ways: Iterable[str] | Mapping[str, Design] | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table of the panel, the design as it stands first, and what has to be said about it."""
    if isinstance(design, MicroSyntheticControl):
        raise DesignError(
            "design: the effect of a MicroSyntheticControl is a total over many small units, which the"
            " other ways do not estimate. Use qe.vary, such as weighting=['minimum norm', 'raking']."
        )
    asked: dict[str, Way | Design] = {"as designed": design, **_asked(design, ways)}
    rows = [_attempt(label, way, frame) for label, way in progress(asked.items(), "specifications")]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"rank": "Int64", "units": "Int64"})
    return table, _said(table)


def _asked(
    design: DonorDesign, ways: Iterable[str] | Mapping[str, Design] | None
) -> Mapping[str, Way | Design]:
    if isinstance(ways, Mapping):
        return ways
    known = ways_with_donors(design)
    if ways is None:
        return {label: way for label, way in known.items() if not _same(design, way)}
    wanted = [ways] if isinstance(ways, str) else list(ways)
    if unknown := [label for label in wanted if label not in known]:
        raise DesignError(
            [
                f"ways: '{label}' is not one of them.{nearest(label, known)} Choose from:"
                f" {', '.join(known)}; or"
                " give {label: design}."
                for label in unknown
            ]
        )
    return {label: known[label] for label in wanted}


def _same(design: DonorDesign, way: Way) -> bool:
    """Whether a way is the design as it stands, words apart."""
    kind, asked = way
    if type(design) is not kind:
        return False
    free = (*WORDS, "level", "missing", "seed")
    stated = {name: held for name, held in design.stated().items() if name not in free}
    fields = {item.name: item.default for item in dataclasses.fields(kind)}
    other = {
        name: held for name, held in asked.items() if name not in free and held not in (fields[name], {}, ())
    }
    return stated == other


def _attempt(label: str, way: Way | Design, frame: pd.DataFrame) -> dict[str, Any]:
    try:
        design = way if isinstance(way, Design) else way[0](**way[1])
        found = method_of(design).refit(design, frame)
    except QievalError as cause:
        return {"label": label, "note": str(cause)}
    row, facts = overall(found), found.facts if found.facts is not None else pd.Series(dtype=object)
    units = int(facts.get("units ranked", 0))
    return {
        "label": label,
        **{name: row[name] for name in ("estimate", "conf_low", "conf_high", "p_value")},
        "rank": int(facts["rank among all units"]) if units > 1 else None,
        "units": units if units > 1 else None,
        "gap_before": facts.get("root mean squared gap before the start", np.nan),
        "note": "",
    }


def _said(table: pd.DataFrame) -> tuple[str, ...]:
    done = table[table["note"] == ""]
    if done.empty:
        return ("No way gave an answer; the notes say why.",)
    low, high = float(done["estimate"].min()), float(done["estimate"].max())
    notes = [f"Over {plural(len(done), 'way')} the estimate runs from {number(low)} to {number(high)}."]
    ranked = done.dropna(subset=["rank"]).sort_values("rank", kind="stable")
    if len(ranked):
        best, worst = ranked.iloc[0], ranked.iloc[-1]
        notes.append(
            f"The rank of the treated among all units runs from {best['rank']} of {best['units']}"
            f" ({best['label']}) to {worst['rank']} of {worst['units']} ({worst['label']})."
        )
    if failed := table.loc[table["note"] != "", "label"].tolist():
        notes.append(f"No answer from: {'; '.join(failed)}. The note says why.")
    return tuple(notes)
