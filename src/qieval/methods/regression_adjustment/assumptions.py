"""What regression adjustment takes for granted, in words for the ledger."""

from __future__ import annotations

from dataclasses import replace

from qieval.check import Assumption
from qieval.methods.comparison import assumptions as shared

OVERLAP = replace(
    shared.OVERLAP,
    consequence="the regression answers for people who are not in the data: it extrapolates",
    source=f"{shared.CLARKE}; King and Zeng 2006; Crump et al. 2009",
)
ALIKE = Assumption(
    name="the groups are alike enough for a regression",
    statement="What the models have to bridge between the groups is small.",
    consequence="the answer rests on the models rather than on people who can be compared",
    source="Rubin 2001; Imbens and Rubin 2015, chapter 14",
    testable=True,
)
FORM = Assumption(
    name="the outcome model has the right form",
    statement="The regression has the right link, terms and products for the outcome in each group.",
    consequence="differences between the groups that the regression gets wrong are counted as an effect",
    source=f"{shared.CLARKE}; Ramsey 1969",
    testable=True,
)
SCORE = replace(
    shared.SCORE,
    consequence="weighting by a wrong score does not make the groups alike (a doubly robust estimate can do"
    " with one right model)",
)
CHOSEN = Assumption(
    name="the model was chosen without looking at its answer",
    statement="Covariates, terms and estimator were settled before any effect on the outcome was seen.",
    consequence="of many specifications the one that gave the wanted answer may have been reported",
    source=f"{shared.CLARKE}; Simmons, Nelson and Simonsohn 2011",
    testable=True,
)
ONE_CHOICE = replace(
    shared.ONE_CHOICE, statement="Other reasonable models of the same people give a similar answer."
)
INTERVAL = Assumption(
    name="the interval allows for how the estimate was made",
    statement="The standard error takes estimated models and shared hospitals into account, and no single"
    " person decides it.",
    consequence="the interval is too narrow or too wide",
    source="Stefanski and Boos 2002; Lunceford and Davidian 2004",
    testable=True,
)
BEFORE = replace(
    shared.BEFORE,
    statement="Nothing that is adjusted for was changed by the intervention or recorded after its start.",
    consequence="part of the effect is adjusted away, or bias is brought in by a common consequence",
)

ASSUMPTIONS: tuple[Assumption, ...] = (
    shared.UNMEASURED,
    OVERLAP,
    ALIKE,
    FORM,
    SCORE,
    CHOSEN,
    ONE_CHOICE,
    shared.POPULATION,
    BEFORE,
    INTERVAL,
    shared.INTERFERENCE,
    shared.ONE_INTERVENTION,
    shared.MEASUREMENT,
)
