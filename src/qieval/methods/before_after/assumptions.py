"""What a before-and-after study takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"

MEAN = Assumption(
    name="no regression to the mean",
    statement="People were not picked because they were doing unusually badly (or well) at the time.",
    consequence="people who are picked at their worst are better next time, whatever is done",
    source=f"{CLARKE}; Morton and Torgerson 2003",
    testable=True,
)
TREND = Assumption(
    name="no secular trend",
    statement="Without the intervention the outcome would have stayed as it was before.",
    consequence="what would have changed anyway is counted as an effect of the intervention",
    source=CLARKE,
    testable=True,
)
OTHER = Assumption(
    name="no other change at the same time",
    statement="Nothing else happened between the two measurements that moves the outcome.",
    consequence="the effect of the other change is counted as the effect of the intervention",
    source=CLARKE,
    testable=False,
    prompt="List what else changed in the service, the season and the people between the two measurements.",
)
AGEING = Assumption(
    name="people did not change by themselves",
    statement="People neither recovered nor grew older and sicker by themselves between the measurements.",
    consequence="the natural course of an illness is counted as an effect",
    source="Cook and Campbell 1979 (maturation)",
    testable=False,
    prompt="Say what the natural course would have been over this time.",
)
LOST = Assumption(
    name="those lost are like those kept",
    statement="People who have only one of the two values are like those who have both.",
    consequence="those who left (or died) take their outcomes with them, which looks like a change",
    source="Clarke et al. 2019; Little and Rubin 2019",
    testable=True,
)
SAME_MEASURE = Assumption(
    name="same measurement before and after",
    statement=(
        "Definition, coding and completeness were the same, and measuring once did not change the second."
    ),
    consequence="a change of recording looks like a change of care",
    source="Benchimol et al. 2015 (RECORD), items 6 and 19",
    testable=False,
    prompt="Say which definition and source were used on both sides.",
)
INTERVAL = Assumption(
    name="the interval allows for shared places",
    statement="Changes of people who share a place hang together, and the interval allows for it.",
    consequence="the interval is too narrow",
    source="Cameron and Miller 2015",
    testable=True,
)
STANDING = Assumption(
    name="the result is a hypothesis",
    statement="The change is used to ask a better question, not to claim an effect.",
    consequence="a service is extended, or closed, on a change that nobody caused",
    source=CLARKE,
    testable=True,
)

ASSUMPTIONS = (MEAN, TREND, OTHER, AGEING, LOST, SAME_MEASURE, INTERVAL, STANDING)
