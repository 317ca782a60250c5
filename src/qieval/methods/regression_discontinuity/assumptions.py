"""What a regression discontinuity takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"
CIT = "Cattaneo, Idrobo and Titiunik 2020"

RULE = Assumption(
    name="the rule moved who received the intervention",
    statement="At the cutoff the share of people who receive the intervention jumps, as the rule says.",
    consequence="there is no contrast to learn from, and a small jump blows up every imbalance",
    source=f"{CLARKE}; Imbens and Lemieux 2008",
    testable=True,
)
SORTING = Assumption(
    name="nobody could choose their side",
    statement=(
        "People and those who record them could not place a score just on the wanted side of the cutoff."
    ),
    consequence="people just on either side differ, and the difference is counted as an effect",
    source=f"{CLARKE}; McCrary 2008",
    testable=True,
)
HEAPING = Assumption(
    name="scores are not rounded in a way that matters",
    statement=(
        "Scores at round values, above all at the cutoff, are recorded for the same kind of people as others."
    ),
    consequence="people at round values differ, and those at the cutoff decide the estimate",
    source="Barreca, Guldi, Lindo and Waddell 2011; Barreca, Lindo and Waddell 2016",
    testable=True,
)
ALIKE = Assumption(
    name="people on either side are alike",
    statement="What was measured before does not jump at the cutoff.",
    consequence="a difference that was there before is counted as an effect",
    source=f"{CLARKE}; {CIT}",
    testable=True,
)
NOTHING_ELSE = Assumption(
    name="nothing else changes at the cutoff",
    statement="No other rule, service or payment uses the same cutoff.",
    consequence="the effect of the other rule is counted as the effect of the intervention",
    source=f"{CLARKE}; {CIT}",
    testable=False,
    prompt=(
        "List what else begins or ends at this cutoff (pensions, free prescriptions, screening, other"
        " clinics),"
        " and say whether it moves this outcome. Enter them under events."
    ),
)
FORM = Assumption(
    name="the outcome is smooth and described well near the cutoff",
    statement="Without the intervention the outcome would run on without a jump, as the fitted lines do.",
    consequence="a bend near the cutoff is mistaken for a jump",
    source=f"{CLARKE}; Gelman and Imbens 2019",
    testable=True,
)
ENOUGH = Assumption(
    name="enough people and different scores near the cutoff",
    statement="Enough people, with enough different scores, lie near the cutoff on both sides.",
    consequence="an effect is missed, or the bandwidth reaches so far that people are no longer alike",
    source=f"{CLARKE}; Kolesar and Rothe 2018",
    testable=True,
)
INTERVAL = Assumption(
    name="the interval allows for the error of the lines",
    statement=(
        "The interval allows for the bias of straight lines, for repeated scores and for shared clusters."
    ),
    consequence="chance or curvature looks like an effect",
    source="Calonico, Cattaneo and Titiunik 2014; Armstrong and Kolesar 2020",
    testable=True,
)
LOCAL = Assumption(
    name="speaks only for people near the threshold",
    statement="The effect at the cutoff is that of the people the question is about.",
    consequence="a decision about people far from the cutoff rests on people unlike them",
    source=CLARKE,
    testable=True,
)
ONE_WAY = Assumption(
    name="nobody is moved the other way",
    statement=(
        "Where the rule is not always followed: being on the treated side keeps nobody from the"
        " intervention, and"
        " acts on the outcome only through it."
    ),
    consequence="the estimate mixes people whom the rule moved in opposite directions",
    source="Hahn, Todd and van der Klaauw 2001",
    testable=False,
    prompt=(
        "Say who decides in practice, and why nobody would receive it only when the rule says they"
        " should not."
    ),
)
INTERFERENCE = Assumption(
    name="no spillover",
    statement="People on one side are not touched by what those on the other side receive.",
    consequence="the comparison shares the effect or suffers from displacement",
    source="Rubin 1980, stable unit treatment value",
    testable=False,
    prompt="Say why staff, beds or attention were not taken from people just on the other side.",
)
MEASUREMENT = Assumption(
    name="same measurement on both sides",
    statement="Outcomes were recorded in the same way on both sides of the cutoff.",
    consequence="those who receive the intervention are seen more often, and more is recorded about them",
    source="Benchimol et al. 2015 (RECORD), items 6 and 19",
    testable=False,
    prompt="Say whether the intervention itself leads to more contacts and so to more recording.",
)

ASSUMPTIONS = (
    RULE,
    SORTING,
    HEAPING,
    ALIKE,
    NOTHING_ELSE,
    FORM,
    ENOUGH,
    INTERVAL,
    LOCAL,
    ONE_WAY,
    INTERFERENCE,
    MEASUREMENT,
)
