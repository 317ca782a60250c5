"""Whom does the instrument speak for, and does it push everybody the same way?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.errors import EstimationError
from qieval.instrumented.fit import FirstStage, sampling_of
from qieval.instrumented.subgroups import GroupStages, stages_in_groups
from qieval.numerics.instruments_compliers import Compliers, compliers
from qieval.numerics.monotonicity import validity
from qieval.numerics.resampling import Resampling
from qieval.progress import progress
from qieval.result import Study
from qieval.text import Count, listed, number

MONOTONICITY = "nobody is moved the other way"
COMPLIERS = "speaks for those whom the instrument moved"
FEWEST_DESCRIBED = 10
"""Means of fewer people than this are not shown, since they would describe persons."""
MOST_SPLITS = 12
CLEAR = 3.84
"""F of a coefficient whose 95% interval excludes zero."""
MOST_LEVELS = 20
NAME = "compliers"


def complier_profile(design: Any, first: FirstStage) -> Check:
    """How many people the instrument moved, and how they differ from everybody. Always information."""
    made = first.made
    if not made.binary:
        text = (
            f"'{design.received}' is an amount: the estimate weighs people by how much the instrument moved"
            " them, and those who were not moved count for nothing. Nobody can list them."
        )
        return Check(name=NAME, assumption=COMPLIERS, verdict="information", text=text)
    try:
        found = _compliers(first)
    except EstimationError as cause:
        text = (
            "The estimate speaks for people whom the instrument moved; how many they are cannot be said,"
            f" because {str(cause).rstrip('.')}."
        )
        return Check(name=NAME, assumption=COMPLIERS, verdict="information", text=text)
    how = "" if made.one_binary else " (the instruments cut at the median of their push)"
    text = (
        f"About {found.share.value:.0%} were moved by the instrument{how};"
        f" {_share(found.share_always.value)} would have received it anyway and"
        f" {_share(found.share_never.value)} not in either case. The estimate speaks for the first, whom"
        " nobody can list."
    )
    table = None
    if made.data.x_names and found.share.value * len(made) >= FEWEST_DESCRIBED:
        table = _profile(first, found)
        text += f" {_most_different(table)}" if len(table) else ""
    return Check(name=NAME, assumption=COMPLIERS, verdict="information", text=text, table=table)


def _compliers(first: FirstStage) -> Compliers:
    """Given the covariates; outright where these tell the instrument without error."""
    made = first.made
    named = made.profile.shape[1] > 0
    controls, profile = (made.controls, made.profile) if named else (None, made.x[:, None])
    try:
        return compliers(made.x, first.arm, profile, controls, None, sampling_of(made))
    except EstimationError:
        if controls is None:
            raise
        return compliers(made.x, first.arm, profile, None, None, sampling_of(made))


def _share(value: float) -> str:
    return f"{max(value, 0.0):.0%}"


def _profile(first: FirstStage, found: Compliers) -> pd.DataFrame:
    """Means of everybody and of compliers, and their difference in standard deviations."""
    made = first.made
    shown = ~_rare(made.profile, found)
    return pd.DataFrame(
        {
            "characteristic": made.data.x_names,
            "mean_everybody": found.overall.value,
            "mean_compliers": found.complier.value,
            "difference_in_sd": found.difference.value / made.profile.std(axis=0),
            "ratio": found.ratio.value,
        }
    )[shown]


def _rare(profile: np.ndarray, found: Compliers) -> np.ndarray:
    """Characteristics (q,) of fewer than ten people, or lacking in fewer, whose means would count them."""
    yes_no = np.isin(profile, (0.0, 1.0)).all(axis=0)
    moved = found.share.value * len(profile)
    counts = np.array([profile.sum(axis=0), moved * found.complier.value])
    totals = np.array([[len(profile)], [moved]])
    few = (np.minimum(counts, totals - counts) < FEWEST_DESCRIBED).any(axis=0)
    return np.asarray(yes_no & few)


def _most_different(table: pd.DataFrame) -> str:
    row = table.iloc[int(np.nanargmax(table["difference_in_sd"].abs()))]
    return (
        f"They differ most in {row['characteristic']} (mean {number(row['mean_compliers'])}; everybody"
        f" {number(row['mean_everybody'])})."
    )


def moved_whom(study: Study) -> Check:
    """That the effect is that of compliers."""
    facts = study.facts
    text = (
        f"What is estimated: {facts['estimand']}. Whether people whom this instrument did not move would"
        " gain or lose as much, these data cannot say; another instrument may move others and give another"
        " answer."
    )
    return Check(name="whom it speaks for", assumption=COMPLIERS, verdict="information", text=text)


def same_direction(design: Any, first: FirstStage) -> Check:
    """The first stage in subgroups: one sign is what everybody being moved the same way implies."""
    name, splits = "first stage in subgroups", _splits(design, first)
    if not splits:
        text = "There is no characteristic to split people by: name some under subgroups."
        return Check(name=name, assumption=MONOTONICITY, verdict="information", text=text)
    rows: list[dict[str, Any]] = []
    against, tests, all_clear = [], 0, True
    for label, codes, levels in progress(splits, name):
        found = stages_in_groups(first, codes)
        own = _rows(levels, found, design)
        tests += bool(own)
        rows += own
        known = found.std_error > 0
        all_clear &= bool(((found.slope[known] / found.std_error[known]) ** 2 > CLEAR).all())
        if found.opposite:
            against.append((label, found.p_opposite))
    if not rows:
        text = "The first stage could not be estimated in any subgroup."
        return Check(name=name, assumption=MONOTONICITY, verdict="information", text=text)
    verdict, text = _direction(against, tests, len(rows), 1 - design.level)
    if verdict == "supports" and not all_clear:
        verdict, text = "information", f"{text} In some of them the first stage is not clear of zero."
    return Check(
        name=name,
        assumption=MONOTONICITY,
        verdict=verdict,
        text=text,
        table=pd.DataFrame(rows),
        picture="intervals",
    )


def _direction(
    against: list[tuple[str, float]], tests: int, groups: int, alpha: float
) -> tuple[Verdict, str]:
    clear = [label for label, p in against if p * tests < alpha]
    if clear:
        return (
            "concern",
            f"In some subgroups of {listed(clear, 3)} the instrument moves people the other way, beyond"
            " chance, so the estimate is no average over any group of people.",
        )
    if against:
        return (
            "information",
            f"In some subgroups of {listed([label for label, _ in against], 3)} the instrument seems to"
            " move people the other way, within what chance gives.",
        )
    return (
        "supports",
        f"In all {groups} subgroups the instrument moves people the same way, as it has to; it may still move"
        " single people the other way.",
    )


def _splits(design: Any, first: FirstStage) -> list[tuple[str, np.ndarray, list[str]]]:
    """Ways to split people: the named subgroups, otherwise covariates (numbers at their median)."""
    made = first.made
    if design.subgroups:
        found = []
        for name in design.subgroups:
            column = made.data.rows[name]
            if pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_LEVELS:
                found.append(_halves(name, column.to_numpy(dtype=float, na_value=np.nan)))
                continue
            codes, levels = pd.factorize(column, sort=True)
            found.append((name, np.asarray(codes), [f"{name}: {level}" for level in levels]))
        return found
    names = made.data.x_names[:MOST_SPLITS]
    return [_halves(name, made.profile[:, j]) for j, name in enumerate(names)]


def _halves(name: str, held: np.ndarray) -> tuple[str, np.ndarray, list[str]]:
    """Codes 0 and 1 below and above a cut; -1 for missing values."""
    values = np.unique(held[np.isfinite(held)])
    if len(values) <= 2:
        codes = np.where(np.isfinite(held), np.searchsorted(values, held), -1)
        return name, codes.astype(np.intp), [f"{name} = {value:g}" for value in values]
    cut = float(np.nanmedian(held))
    cut = cut if (held > cut).any() else float(values[-2])
    codes = np.where(np.isfinite(held), (held > cut).astype(int), -1)
    said = number(cut, 4)
    return name, codes.astype(np.intp), [f"{name} up to {said}", f"{name} above {said}"]


def _rows(levels: list[str], found: GroupStages, design: Any) -> list[dict[str, Any]]:
    counted = Count if design.units_are == "people" else int
    half = float(scipy.special.ndtri((1 + design.level) / 2))
    return [
        {
            "label": level,
            "people": counted(int(found.n[j])),
            "estimate": float(found.slope[j]),
            "conf_low": float(found.slope[j] - half * found.std_error[j]),
            "conf_high": float(found.slope[j] + half * found.std_error[j]),
        }
        for j, level in enumerate(levels)
        if found.n[j]
    ]


def inequalities(study: Study) -> Check:
    """What validity and everybody being moved the same way imply for the outcomes (Kitagawa 2015)."""
    design, first, name = study.design, study.result.kernel.first, "implied inequalities"
    made = first.made
    if not (made.binary and made.one_binary):
        text = (
            "The test of inequalities that a valid instrument implies (Kitagawa 2015) is for a 0/1"
            " instrument and a 0/1 intervention, so it was not made."
        )
        return Check(name=name, assumption=MONOTONICITY, verdict="information", text=text)
    draws = Resampling(draws=999, seed=int(design.seed))
    found = validity(made.data.outcome, made.x, first.arm, made.data.cluster, draws)
    violated = found.p_value < 1 - design.level
    text = (
        "The inequalities that a valid instrument implies for outcomes are violated beyond chance (p ="
        f" {number(found.p_value, 2)}): the instrument acts in another way too, or moves some people the"
        " other way."
        if violated
        else "The inequalities that a valid instrument implies for outcomes are not violated beyond chance"
        f" (p = {number(found.p_value, 2)}), which does not show that it is valid."
    )
    if made.data.x_names or made.data.weights is not None:
        text += " The test does not allow for covariates or weights."
    verdict: Verdict = "concern" if violated and not made.data.x_names else "information"
    return Check(name=name, assumption=MONOTONICITY, verdict=verdict, text=text)
