"""What difference-in-differences takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"

ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        name="parallel trends before the start",
        statement="Before the start, the outcome moved in parallel in both groups.",
        consequence="the groups were already drifting apart, and the drift is counted as an effect",
        source="Angrist and Pischke 2009, section 5.2",
        testable=True,
    ),
    Assumption(
        name="parallel trends after the start",
        statement=(
            "Without the intervention the outcome of the treated would have changed as that of the comparison"
            " units: no unobserved difference between the groups changes over time."
        ),
        consequence="the estimate is biased by whatever else drove the groups apart",
        source=CLARKE,
        testable=False,
        prompt=(
            "No data can show what would have happened. Say why nothing else would have driven the groups"
            " apart."
        ),
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
        name="no spillover",
        statement=(
            "The intervention did not touch the comparison units, and treated units did not affect each"
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
        statement="Nothing else that affects the outcome happened to one group only, at or after the start.",
        consequence="the effect of the other change is counted as the effect of the intervention",
        source=CLARKE,
        testable=False,
        prompt="List other programmes, policy changes and service closures, and say whom they reached.",
    ),
    Assumption(
        name="same measurement throughout",
        statement="The outcome was recorded in the same way in both groups and over the whole time.",
        consequence="a change of coding, of completeness or of linkage in one group looks like an effect",
        source="Benchimol et al. 2015 (RECORD), items 6 and 19",
        testable=False,
        prompt=(
            "Say whether coding, data systems, or the completeness of the latest records differ between the"
            " groups."
        ),
    ),
    Assumption(
        name="stable composition",
        statement="The same kind of people or units is observed before and after, in both groups.",
        consequence="a change in who is counted looks like a change in outcomes",
        source="Lechner 2011, section 3",
        testable=True,
    ),
    Assumption(
        name="covariates are not affected by the intervention",
        statement="The characteristics adjusted for were not themselves changed by the intervention.",
        consequence="part of the effect is adjusted away, or bias is introduced",
        source="Rosenbaum 1984; Caetano and Callaway 2024",
        testable=True,
        prompt="No characteristic that changes over time is adjusted for.",
    ),
    Assumption(
        name="no single unit decides the result",
        statement="The estimate does not hang on one unit.",
        consequence="an oddity of one place or person is reported as the effect of a programme",
        source="Young 2022",
        testable=True,
    ),
    Assumption(
        name="enough independent units for the interval",
        statement=(
            "There are enough independent clusters in each group for the interval to have its stated"
            " coverage."
        ),
        consequence="the interval is too narrow and chance is mistaken for an effect",
        source="Bertrand, Duflo and Mullainathan 2004; MacKinnon and Webb 2018",
        testable=True,
    ),
    Assumption(
        name="trends are parallel on the scale used",
        statement=(
            "The groups would have changed by the same amount (not by the same percentage) without the"
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
