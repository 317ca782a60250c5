"""What improvement charts take for granted, in words for the ledger."""

from __future__ import annotations

from qieval.charts.assumed import (
    DISTRIBUTION,
    ENOUGH_POINTS,
    FALSE_ALARMS,
    INDEPENDENT,
    NOT_WHY,
    REBASING,
    SAME_DEFINITION,
    STABLE_BASELINE,
    SUBGROUPS_RATIONAL,
)
from qieval.check import Assumption

PROVOST = "Provost and Murray 2011"

_COMMON = (
    Assumption(
        name=ENOUGH_POINTS,
        statement="There are enough points for the lines and the rules to mean something.",
        consequence="lines move with every new point, and rules miss changes or raise false alarms",
        source="Anhoej and Olesen 2014; " + PROVOST,
        testable=True,
    ),
    Assumption(
        name=STABLE_BASELINE,
        statement="The points that set the lines come from one process that did not change.",
        consequence="the lines describe a mixture: limits are too wide and the centre line fits no period",
        source=PROVOST,
        testable=True,
    ),
    Assumption(
        name=INDEPENDENT,
        statement="A point does not resemble the one before it more than the others.",
        consequence="limits are too narrow and runs come by themselves: chance is taken for a signal",
        source="Mohammed, Worthington and Woodall 2008",
        testable=True,
    ),
)
_LAST = (
    Assumption(
        name=REBASING,
        statement="New centre lines begin where a change was declared, not where the chart looks better.",
        consequence="signals are drawn away, or drawn in",
        source=PROVOST,
        testable=True,
    ),
    Assumption(
        name=FALSE_ALARMS,
        statement="A stable process of this length would rarely give a signal on this chart.",
        consequence="the more points, rules and charts are looked at, the more signals chance makes",
        source="Anhoej and Wentzel-Larsen 2018",
        testable=True,
    ),
    Assumption(
        name=SUBGROUPS_RATIONAL,
        statement=(
            "Within a point conditions are alike; what could change the process shows between the points."
        ),
        consequence="limits mix two sources of variation, and signals hide or appear everywhere",
        source="Shewhart 1931; " + PROVOST,
        testable=False,
        prompt="Say how periods and groups were chosen, and whether wards or case mix differ within a point.",
    ),
    Assumption(
        name=SAME_DEFINITION,
        statement="The measure was defined, recorded and counted in the same way all the time.",
        consequence="a change of definition, coding or reporting appears as a change of care",
        source="Benchimol et al. 2015 (RECORD), items 6 and 19",
        testable=False,
        prompt="Say whether definitions, data systems or the zeal of reporting changed, and when.",
    ),
    Assumption(
        name=NOT_WHY,
        statement=(
            "A chart shows that something changed. It compares with no one, so it cannot tell the improvement"
            " work from anything else that happened at the time."
        ),
        consequence="the work is credited, or blamed, for what season, policy or chance did",
        source="Perla, Provost and Murray 2011; Clarke et al. 2019, table 2, on designs that can say why",
        testable=False,
        prompt=(
            "To say why, evaluate: qe.InterruptedTimeSeries for one long series, with a control series where"
            " there is one; qe.DifferenceInDifferences or qe.SyntheticControl with other places to compare."
        ),
    ),
)

RUN_CHART_ASSUMPTIONS: tuple[Assumption, ...] = (*_COMMON, *_LAST)

ASSUMPTIONS: tuple[Assumption, ...] = (
    *_COMMON,
    Assumption(
        name=DISTRIBUTION,
        statement="The points vary by chance as the formula of the limits supposes.",
        consequence="limits are too narrow or too wide for the data",
        source="Mohammed, Worthington and Woodall 2008; Laney 2002; Benneyan 2001",
        testable=True,
    ),
    *_LAST,
)
