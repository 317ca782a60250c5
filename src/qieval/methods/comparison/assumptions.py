"""What comparing similar people takes for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"

UNMEASURED = Assumption(
    name="no unmeasured confounding",
    statement=(
        "People who are alike in the measured characteristics would have had the same outcomes without the"
        " intervention: nothing unmeasured led people to receive it and bears on the outcome."
    ),
    consequence="the difference between the groups is counted as an effect, however well the measured"
    " characteristics are balanced",
    source=CLARKE,
    testable=False,
    prompt=(
        "Say which characteristics led people to receive the intervention, which of them are not in the"
        " data (frailty, home circumstances, a clinician's judgement), and how strong they would have to be."
    ),
)
BALANCE = Assumption(
    name="balance on what was measured",
    statement="After matching or weighting the groups are alike in the measured characteristics.",
    consequence="what difference is left between the groups is counted as an effect",
    source="Stuart 2010, section 4; Austin 2009",
    testable=True,
)
OVERLAP = Assumption(
    name="overlap",
    statement="For everyone whose effect is asked for there are similar people in the other group.",
    consequence="a few people stand for many, or the estimate rests on the model instead of on people",
    source="Rosenbaum and Rubin 1983; Crump et al. 2009",
    testable=True,
)
POPULATION = Assumption(
    name="the estimate speaks for the people it is meant for",
    statement="Those compared represent those whose effect is asked for.",
    consequence="the answer is about other people than the question",
    source=f"{CLARKE}; Rosenbaum and Rubin 1985",
    testable=True,
)
SCORE = Assumption(
    name="the score is well estimated",
    statement=(
        "The model of who received the intervention holds what matters and can be estimated from the data."
    ),
    consequence="matching on a wrong score does not balance the groups",
    source=CLARKE,
    testable=True,
    prompt="No score was estimated.",
)
BEFORE = Assumption(
    name="characteristics were measured before the intervention",
    statement=(
        "Nothing that people are matched on was changed by the intervention or recorded after its start."
    ),
    consequence="part of the effect is matched away, or people are chosen by their future (immortal time)",
    source="Rosenbaum 1984; Suissa 2008",
    testable=True,
)
ONE_CHOICE = Assumption(
    name="no single choice decides the result",
    statement="Other reasonable ways to make the groups alike give a similar answer.",
    consequence="the answer is one of many that the same data would have given",
    source="Ho et al. 2007; Silberzahn et al. 2018",
    testable=True,
)
INTERFERENCE = Assumption(
    name="no spillover",
    statement="The intervention did not touch the comparison people, and people did not affect each other.",
    consequence=(
        "the comparison shares the effect (estimate too small) or suffers from displacement (too large)"
    ),
    source="Rubin 1980, stable unit treatment value",
    testable=False,
    prompt="Say why staff, beds or habits were not shared between the groups because of the intervention.",
)
ONE_INTERVENTION = Assumption(
    name="one intervention",
    statement=(
        "Everyone who counts as treated received the same thing, in a way that a decision maker could repeat."
    ),
    consequence="the estimate mixes several interventions and speaks for none of them",
    source="Hernan and Taubman 2008",
    testable=False,
    prompt=(
        "Say what was delivered, whether it varied between places or over time, and who counts as treated."
    ),
)
MEASUREMENT = Assumption(
    name="same measurement in both groups",
    statement="Outcomes and characteristics were recorded in the same way for both groups.",
    consequence=(
        "people who are seen more often have more recorded, which looks like illness or like an effect"
    ),
    source="Benchimol et al. 2015 (RECORD), items 6 and 19",
    testable=False,
    prompt="Say whether the intervention itself led to more contacts and so to more recording.",
)
INTERVAL = Assumption(
    name="the interval allows for how the groups were made",
    statement=(
        "The standard error takes matched sets, repeated use of people and shared hospitals into account."
    ),
    consequence="the interval is too narrow or too wide",
    source="Abadie and Imbens 2006; Abadie and Spiess 2022",
    testable=True,
)
SEARCH = Assumption(
    name="the search found what there is to find",
    statement="Other runs of the search reach a similar balance and a similar estimate.",
    consequence="the answer is that of one lucky or unlucky draw",
    source=f"{CLARKE}; Diamond and Sekhon 2013",
    testable=True,
)

MATCHING: tuple[Assumption, ...] = (
    UNMEASURED,
    BALANCE,
    OVERLAP,
    POPULATION,
    SCORE,
    BEFORE,
    ONE_CHOICE,
    INTERVAL,
    INTERFERENCE,
    ONE_INTERVENTION,
    MEASUREMENT,
)
WEIGHTING = MATCHING
GENETIC = (*MATCHING[:4], SEARCH, *MATCHING[5:])
