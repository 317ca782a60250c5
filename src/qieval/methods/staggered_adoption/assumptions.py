"""What difference-in-differences for roll-outs takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"

ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        name="parallel trends before the start",
        statement="Before they began, the outcome of each cohort moved in parallel with its comparison.",
        consequence="the groups were already drifting apart, and the drift is counted as an effect",
        source="Callaway and Sant'Anna 2021; Roth 2022",
        testable=True,
    ),
    Assumption(
        name="parallel trends after the start",
        statement=(
            "Without the intervention the outcome of each cohort would have changed as that of its comparison"
            " (given the covariates): no unobserved difference between the groups changes over time."
        ),
        consequence="the estimate is biased by whatever else drove the groups apart",
        source=CLARKE,
        testable=False,
        prompt=(
            "No data can show what would have happened. Say why those who began earlier would not have"
            " drifted"
            " away from the others in any case."
        ),
    ),
    Assumption(
        name="robust to some departure from parallel trends",
        statement="The conclusion would stand if trends had parted a little after the start.",
        consequence="a small drift that nobody could have noticed is reported as an effect",
        source="Rambachan and Roth 2023",
        testable=True,
    ),
    Assumption(
        name="who began when had other reasons than the outcome",
        statement="Units did not begin early or late because of how their outcome was developing.",
        consequence=(
            "units that began when things went badly return to normal by themselves, and this is counted"
            " as an"
            " effect"
        ),
        source="Roth and Sant'Anna 2023, random timing; Clarke et al. 2019, table 2",
        testable=True,
    ),
    Assumption(
        name="no anticipation",
        statement="Nobody reacted to the intervention before its start.",
        consequence=(
            "the level before the start already holds part of the effect, which is then missed or reversed"
        ),
        source="Callaway and Sant'Anna 2021, assumption 3",
        testable=True,
    ),
    Assumption(
        name="comparisons only with units that have not begun",
        statement="The estimate compares no unit with others that had the intervention already.",
        consequence=(
            "effects that grow or fade over time enter with the wrong sign, and the estimate may lie"
            " outside all"
            " true effects"
        ),
        source="Goodman-Bacon 2021; de Chaisemartin and D'Haultfoeuille 2020",
        testable=True,
    ),
    Assumption(
        name="followed long enough",
        statement="Units were followed for longer than the intervention needs to work.",
        consequence="an intervention that needs time is reported as one that does not work",
        source=CLARKE,
        testable=True,
    ),
    Assumption(
        name="no spillover",
        statement=(
            "The intervention did not touch units that had not begun, and treated units did not affect each"
            " other."
        ),
        consequence=(
            "the comparison shares the effect (estimate too small) or suffers from displacement (too large)"
        ),
        source="Rubin 1980, stable unit treatment value",
        testable=False,
        prompt=(
            "Say why patients, staff or resources did not move between the groups because of the"
            " intervention."
        ),
    ),
    Assumption(
        name="no other change at the same time",
        statement="Nothing else that affects the outcome happened to a cohort only, when it began or after.",
        consequence="the effect of the other change is counted as the effect of the intervention",
        source=CLARKE,
        testable=False,
        prompt="List other programmes, policy changes and service closures, and say whom they reached.",
    ),
    Assumption(
        name="same measurement throughout",
        statement="The outcome was recorded in the same way in all units and over the whole time.",
        consequence="a change of coding, of completeness or of linkage in one group looks like an effect",
        source="Benchimol et al. 2015 (RECORD), items 6 and 19",
        testable=False,
        prompt=(
            "Say whether coding, data systems, or the completeness of the latest records differ between the"
            " units."
        ),
    ),
    Assumption(
        name="stable composition",
        statement="The same units are observed before and after, and the same cohorts in every average.",
        consequence="a change in who is counted looks like a change in outcomes or an effect that grows",
        source="Callaway and Sant'Anna 2021, section 3.1; Lechner 2011, section 3",
        testable=True,
    ),
    Assumption(
        name="a comparison for every treated unit",
        statement="For every kind of unit that began there are like units that had not begun (overlap).",
        consequence="the effect rests on a few comparison units, or on a model where there are none",
        source="Callaway and Sant'Anna 2021, assumption 6",
        testable=True,
    ),
    Assumption(
        name="no single cohort or cluster decides the result",
        statement="The estimate does not hang on one cohort, place or person.",
        consequence="an oddity of one place or one year is reported as the effect of a programme",
        source="Young 2022",
        testable=True,
    ),
    Assumption(
        name="enough independent units for the interval",
        statement=(
            "There are enough independent clusters that begin, and that do not, for the interval to have its"
            " stated coverage."
        ),
        consequence="the interval is too narrow and chance is mistaken for an effect",
        source="MacKinnon, Nielsen and Webb 2023; MacKinnon and Webb 2018",
        testable=True,
    ),
    Assumption(
        name="trends are parallel on the scale used",
        statement=(
            "Groups would have changed by the same amount (for ratios: by the same percentage) without the"
            " intervention."
        ),
        consequence=(
            "groups that start at different levels cannot be parallel on both scales, and the answer depends"
            " on the choice"
        ),
        source="Roth and Sant'Anna 2023",
        testable=True,
    ),
)
