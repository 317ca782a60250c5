"""Does the instrument move who received the intervention, and are there people enough?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.instrumented.fit import OLD_RULE, FirstStage
from qieval.numerics.few_clusters import FEW_CLUSTERS
from qieval.numerics.instruments_strength import strength
from qieval.result import Study
from qieval.text import Count, number, plural

RELEVANCE = "the instrument moves who receives the intervention"
LARGE = "enough people for the method"
TOO_FEW_CLUSTERS = 10
"""With fewer clusters an F says little about strength."""
FEW_ROWS = 200
FEWEST_DESCRIBED = 10
"""Shares that rest on fewer people than this are not put into sentences."""
SHARED_VALUES = 0.05
"""With fewer different values than this share of the rows, rows share the instrument like a place."""


def of_result(study: Study) -> FirstStage:
    """The first stage of a result."""
    first: FirstStage = study.result.kernel.first
    return first


def first_stage(design: Any, first: FirstStage) -> Check:
    """The effective F of the instruments against its critical values, with partial F and R2."""
    found, f = first.regression, first.strength.f
    many = first.parts.k > 1
    subject = f"The {first.parts.k} instruments explain" if many else "The instrument explains"
    what = f"the variation of '{design.received}'"
    text = (
        f"{subject} {found.partial_r2:.2%} of {what} beyond the covariates. The effective F is"
        f" {number(f)}; {number(first.critical)} is needed for the estimate to lean towards the ordinary"
        " comparison by at most a tenth of the worst case (Montiel Olea and Pflueger)."
    )
    verdict: Verdict = "supports"
    clusters = first.made.data.n_clusters
    if 0 < clusters < TOO_FEW_CLUSTERS and not first.weak:
        verdict = "information"
        text += f" With {plural(clusters, 'cluster')} these figures are not to be relied on."
    if first.weak:
        verdict = "concern" if f < OLD_RULE else "information"
        text += (
            " The instrument is weak: read the Anderson-Rubin interval, not the Wald one."
            if f < OLD_RULE
            else " It is above 10, the old rule of thumb, but not clearly strong: read the Anderson-Rubin"
            " interval."
        )
    return Check(
        name="strength of the first stage",
        assumption=RELEVANCE,
        verdict=verdict,
        text=text,
        table=_strength_table(first),
    )


def _strength_table(first: FirstStage) -> pd.DataFrame:
    """Statistics of strength, then the coefficient of each instrument."""
    found, made = first.regression, first.strength
    rows: list[tuple[str, float]] = [("effective F", made.f)]
    rows += [
        (f"critical value for a bias of at most {tau:.0%}", value)
        for tau, value in zip(made.taus, made.simplified, strict=True)
    ]
    rows += [
        ("partial F", found.f),
        ("p-value of the partial F", found.p_value),
        ("partial F if variances were equal (Cragg-Donald)", strength(first.reduced).cragg_donald),
        ("partial R2", found.partial_r2),
    ]
    errors = zip(first.names, found.coefficients, found.errors, strict=True)
    for name, value, error in errors:
        rows += [(f"coefficient of {name}", float(value)), (f"its standard error ({name})", float(error))]
    return pd.DataFrame(rows, columns=["what", "value"])


def uptake_by_instrument(design: Any, first: FirstStage) -> Check:
    """Who received the intervention, by the instrument: counts, and whether anybody crossed over."""
    name, made = "who received it by instrument", first.made
    if not made.binary:
        return Check(
            name=name,
            assumption=RELEVANCE,
            verdict="information",
            text=f"'{design.received}' is an amount, so nobody can be counted as having received it or not.",
        )
    arm = first.arm
    rows = []
    for pushed, label in ((1.0, "pushed towards it"), (0.0, "not pushed")):
        here = arm == pushed
        took = int(made.x[here].sum())
        small = design.units_are == "people" and 0 < min(took, int(here.sum()) - took) < FEWEST_DESCRIBED
        share = np.average(
            made.x[here], weights=None if made.data.weights is None else made.data.weights[here]
        )
        rows.append(
            {
                "group": label,
                "received": _counted(design, took),
                "did not receive": _counted(design, int(here.sum()) - took),
                "share who received": np.nan if small else float(share),
            }
        )
    table = pd.DataFrame(rows)
    high, low = table["share who received"]
    how = "" if made.one_binary else " (above or below the median push of the instruments)"
    cells = table[["received", "did not receive"]].to_numpy(dtype=int)
    if design.units_are == "people" and ((cells > 0) & (cells < FEWEST_DESCRIBED)).any():
        text = f"Some of the four groups by push and uptake{how} hold fewer than ten people."
    else:
        text = f"Of those pushed towards it {high:.0%} received it, of the others {low:.0%}{how}."
    if low == 0:
        text += " Nobody received it without the push: one-sided, so nobody was certain to take it."
    if high == 1:
        text += " Everybody received it with the push: one-sided, so nobody was certain to go without."
    return Check(name=name, assumption=RELEVANCE, verdict="information", text=text, table=table)


def _counted(design: Any, count: int) -> int:
    return Count(count) if design.units_are == "people" else count


def size_of_study(design: Any, first: FirstStage) -> Check:
    """Whether there are rows, clusters and few enough instruments for large-sample intervals."""
    made, worries = first.made, []
    rows, k = len(made), first.parts.k
    if made.data.cluster is not None:
        said = (
            f"{plural(made.data.n_clusters, 'cluster')} of '{design.cluster}' and {plural(k, 'instrument')}."
        )
        if made.data.n_clusters < FEW_CLUSTERS:
            worries.append("That is few clusters for large-sample intervals, which are then too narrow.")
    else:
        said = f"Rows are taken as independent, with {plural(k, 'instrument')}."
        if shared := _shared(first):
            said += (
                f" The {'instruments have' if k > 1 else 'instrument has'} only {shared} different values, so"
                " people share them; where they share a place or a clinician too, name it under cluster."
            )
    if rows < FEW_ROWS:
        worries.append("There are few rows: estimates by instruments lean and spread in small samples.")
    if k > 1 and k > rows / 50:
        worries.append("There are many instruments for so few rows; LIML or Fuller lean less than 2SLS.")
    large = not first.weak and (made.data.cluster is not None or not _shared(first))
    verdict: Verdict = "concern" if worries else "supports" if large else "information"
    text = " ".join([said, *worries]) if worries else f"{said} No rule of thumb for small samples is broken."
    return Check(name="size of the study", assumption=LARGE, verdict=verdict, text=text)


def _shared(first: FirstStage) -> int:
    """The number of different pushes if rows share them and there is no single 0/1 instrument; or 0."""
    if first.made.one_binary:
        return 0
    found = len(np.unique(first.push))
    return found if found < SHARED_VALUES * len(first.made) else 0


def precision(study: Study) -> Check:
    """What the instrument costs: the width of its interval beside that of the ordinary comparison."""
    table = study.result.estimates
    assert table is not None
    plain = table[table["term"].str.endswith("least squares")].iloc[0]
    low, high = float(study.overall["conf_low"]), float(study.overall["conf_high"])
    width, usual = high - low, float(plain["conf_high"] - plain["conf_low"])
    name = "precision"
    if not np.isfinite(width):
        text = "The interval is unbounded or empty: these data cannot say how large the effect is."
        return Check(name=name, assumption=LARGE, verdict="concern", text=text)
    times = width / usual if usual else np.nan
    text = (
        f"The interval is {number(times, 2)} times as wide as that of the ordinary comparison; what is gained"
        " in bias is paid in precision."
    )
    return Check(name=name, assumption=LARGE, verdict="information", text=text)
