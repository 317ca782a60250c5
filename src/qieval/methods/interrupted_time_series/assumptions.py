"""What an interrupted time series takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"
BERNAL = "Bernal, Cummins and Gasparrini 2017"

ENOUGH = Assumption(
    name="enough periods before and after",
    statement=(
        "There are enough values on both sides of the interruption to see how the series moves by itself, and"
        " each part of the season occurs on both sides."
    ),
    consequence="a trend or a season that was not seen is counted as an effect, or an effect is missed",
    source=f"{CLARKE}; Wagner et al. 2002",
    testable=True,
)
TREND = Assumption(
    name="the trend would have gone on",
    statement="Without the intervention the series would have gone on as it moved before.",
    consequence="whatever else would have bent the series is counted as an effect",
    source=f"{CLARKE}; {BERNAL}",
    testable=False,
    prompt=(
        "Say why what drove the series before would have gone on driving it; a control shows part of it."
    ),
)
FORM = Assumption(
    name="the trend and season are described well",
    statement="The form of trend and season fits what was seen before the interruption.",
    consequence="a bend of the trend or a part of the season is mistaken for a change at the start",
    source=f"{BERNAL}; Jandoc et al. 2015",
    testable=True,
)
TIMING = Assumption(
    name="the form and time of the change were stated beforehand",
    statement=(
        "When the change should show (start, lag, phasing in) and how (level, slope) was decided from what is"
        " known about the intervention, not from the series."
    ),
    consequence="the date or form that shows the largest change is picked, and chance looks like an effect",
    source=BERNAL,
    testable=True,
)
ERRORS = Assumption(
    name="neighbouring values are allowed for",
    statement="The standard errors allow for values near in time being alike (autocorrelation).",
    consequence="intervals are too narrow, and chance looks like an effect; sometimes the reverse",
    source="Wagner et al. 2002; Turner et al. 2021",
    testable=True,
)
DISTRIBUTION = Assumption(
    name="the outcome varies as the model says",
    statement="Counts vary as the family says (over-dispersion is allowed for), and no single value decides.",
    consequence="intervals are wrong, or one outlier makes the effect",
    source=BERNAL,
    testable=True,
)
NO_OTHER_CHANGE = Assumption(
    name="no other change at the same time",
    statement=(
        "Nothing else that moves the outcome happened at the interruption. One series does not exclude"
        " co-occurring events, whatever the p-value."
    ),
    consequence="the effect of the other change is counted as the effect of the intervention",
    source=f"{CLARKE}; {BERNAL}",
    testable=False,
    prompt=(
        "List other programmes, policy changes, seasons of illness and service closures around the start, and"
        " say whether they moved this outcome. A control series hit by the same events removes them."
    ),
)
NO_ANTICIPATION = Assumption(
    name="nothing changed before the start",
    statement="People and services did not react before the intervention began.",
    consequence="part of the effect is counted as trend before, and the effect looks smaller or larger",
    source="Bernal, Cummins and Gasparrini 2017",
    testable=True,
)
SAME_MEASURE = Assumption(
    name="the outcome was measured in the same way throughout",
    statement="Definition, coding and completeness did not change, and recent data are complete.",
    consequence="a change of recording looks like a change of care",
    source="Clarke et al. 2019; Turner et al. 2020",
    testable=False,
    prompt="Say which definition and source were used, and what changed in coding or collection, and when.",
)
SAME_PEOPLE = Assumption(
    name="the same kind of people throughout",
    statement="The people behind the outcome are of the same kind before and after.",
    consequence="a change in who is counted looks like an effect",
    source=f"{BERNAL}; Lopez Bernal, Cummins and Gasparrini 2018",
    testable=True,
)
CONTROL = Assumption(
    name="the control series shares other events and not the intervention",
    statement=(
        "The control series is hit by the same other events as this one, in the same measure, and is not"
        " reached by the intervention."
    ),
    consequence=(
        "a shock that only one of them felt, or an effect that spilled over, is mixed with the effect"
    ),
    source="Lopez Bernal, Cummins and Gasparrini 2018",
    testable=True,
    prompt="Say why this control would have felt whatever else happened, and why the intervention missed it.",
)

ASSUMPTIONS = (
    ENOUGH,
    TREND,
    FORM,
    TIMING,
    ERRORS,
    DISTRIBUTION,
    NO_OTHER_CHANGE,
    NO_ANTICIPATION,
    SAME_MEASURE,
    SAME_PEOPLE,
    CONTROL,
)
