"""What an instrumental variable analysis takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption
from qieval.methods.instrumental_variables.design import EXCLUSION as EXCLUSION_NAME

CLARKE = "Clarke et al. 2019, table 2"
AIR = "Angrist, Imbens and Rubin 1996"

RELEVANCE = Assumption(
    name="the instrument moves who receives the intervention",
    statement="Who received the intervention depends on the instrument, and strongly enough.",
    consequence=(
        "a weak instrument makes the estimate lean towards the ordinary comparison, and the usual interval"
        " wrong"
    ),
    source=f"{CLARKE}; Andrews, Stock and Sun 2019",
    testable=True,
)
EXCLUSION = Assumption(
    name=EXCLUSION_NAME,
    statement="Nothing but the intervention carries the instrument's influence to the outcome.",
    consequence=(
        "the instrument's own effect, divided by a small first stage, is counted as the intervention's"
    ),
    source=f"{CLARKE}; {AIR}",
    testable=False,
    prompt="Say which other ways from the instrument to the outcome you thought of, and why they are closed.",
)
INDEPENDENCE = Assumption(
    name="the instrument shares no causes with the outcome",
    statement=(
        "Given the covariates people with different values of the instrument are alike in everything that"
        " bears"
        " on the outcome, measured or not."
    ),
    consequence="differences between places or clinicians are counted as an effect of the intervention",
    source=f"{CLARKE}; Swanson and Hernan 2013",
    testable=False,
    prompt="Say how the instrument comes about, and who might choose or avoid a value of it.",
)
BALANCE = Assumption(
    name="balance of what was measured by instrument",
    statement="Measured characteristics do not differ between values of the instrument.",
    consequence=(
        "an imbalance is blown up by one over the first stage, so that even small ones can bias more than the"
        " ordinary comparison"
    ),
    source="Jackson and Swanson 2015; Brookhart and Schneeweiss 2007",
    testable=True,
)
MONOTONICITY = Assumption(
    name="nobody is moved the other way",
    statement=(
        "The instrument makes nobody less likely to receive the intervention whom it should make more so."
    ),
    consequence="the estimate is no average over any group of people and can even have the wrong sign",
    source=AIR,
    testable=True,
)
COMPLIERS = Assumption(
    name="speaks for those whom the instrument moved",
    statement=(
        "The effect in people who were moved by the instrument is that of the people the question is about."
    ),
    consequence="a decision about others rests on a group that may differ from them and cannot be listed",
    source=f"{CLARKE}; Imbens and Angrist 1994",
    testable=True,
)
LARGE = Assumption(
    name="enough people for the method",
    statement=(
        "There are enough people and clusters for large-sample standard errors and for a usable precision."
    ),
    consequence=(
        "the estimate is imprecise and leans towards the ordinary comparison; intervals are too narrow"
    ),
    source=f"{CLARKE}; Bound, Jaeger and Baker 1995",
    testable=True,
)
INTERVAL = Assumption(
    name="the interval is right for an instrument of this strength",
    statement="The interval shown covers as often as it says, given how strong the instrument is.",
    consequence="chance looks like an effect",
    source="Anderson and Rubin 1949; Lee, McCrary, Moreira and Porter 2022",
    testable=True,
)
FORM = Assumption(
    name="no single choice decides the result",
    statement="Other estimators and ways to adjust give a similar answer.",
    consequence="the answer is one of many that the same data would have given",
    source="Angrist and Pischke 2009, chapter 4",
    testable=True,
)
INTERFERENCE = Assumption(
    name="no spillover",
    statement="Whether one person receives the intervention does not change another one's outcome.",
    consequence="the comparison shares the effect or suffers from displacement",
    source=AIR,
    testable=False,
    prompt=(
        "Say why staff, beds or habits were not shared between people with different values of the"
        " instrument."
    ),
)
MEASUREMENT = Assumption(
    name="same measurement at every value of the instrument",
    statement="Outcomes and characteristics were recorded in the same way whatever the instrument.",
    consequence="a difference in recording, divided by the first stage, looks like an effect",
    source="Benchimol et al. 2015 (RECORD), items 6 and 19",
    testable=False,
    prompt="Say whether places or clinicians with other values of the instrument record differently.",
)

ASSUMPTIONS = (
    RELEVANCE,
    EXCLUSION,
    INDEPENDENCE,
    BALANCE,
    MONOTONICITY,
    COMPLIERS,
    LARGE,
    INTERVAL,
    FORM,
    INTERFERENCE,
    MEASUREMENT,
)
