"""What methods with donors take for granted, in words for the ledger."""

from __future__ import annotations

from qieval.check import Assumption

CLARKE = "Clarke et al. 2019, table 2"

GOOD_FIT = Assumption(
    name="the donors reproduce the treated unit before the start",
    statement="A weighted mean of the donors had the same outcomes (and predictors) before the start.",
    consequence="the distance that was there before is counted as an effect",
    source="Abadie, Diamond and Hainmueller 2010; Abadie 2021, section 5",
    testable=True,
)
LONG_ENOUGH = Assumption(
    name="enough periods before the start",
    statement="The time before the start is long, and long for the number of donors.",
    consequence="the weights fit noise, and the estimate is biased over a short time before the start",
    source=f"{CLARKE}; Abadie, Diamond and Hainmueller 2010, appendix B",
    testable=True,
)
UNCERTAINTY = Assumption(
    name="the statement of uncertainty is approximate",
    statement="The test treats the intervention as if any unit (or any time) might have received it as well.",
    consequence="with one treated unit no sampling error can be computed; p-values and intervals mislead",
    source=f"{CLARKE}; Firpo and Possebom 2018; Chernozhukov, Wüthrich and Zhu 2021",
    testable=True,
)
LASTING = Assumption(
    name="the donors would have gone on tracking the treated unit",
    statement=(
        "Without the intervention the weighted donors would have followed the treated unit afterwards too."
    ),
    consequence="whatever else drove them apart is counted as an effect",
    source=f"{CLARKE}; Abadie 2021, section 3",
    testable=False,
    prompt=(
        "Say why the treated unit and its donors are moved by the same things, before and after the start."
    ),
)
NO_OTHER_CHANGE = Assumption(
    name="no other change at the same time",
    statement=(
        "Nothing else that affects the outcome happened to the treated unit alone, at or after the start."
    ),
    consequence="the effect of the other change is counted as the effect of the intervention",
    source=CLARKE,
    testable=False,
    prompt="List other programmes, policy changes and service closures, and say whom they reached.",
)
NO_SPILLOVER = Assumption(
    name="no spillover to the donors",
    statement="The intervention did not reach the donors.",
    consequence="the donors share the effect (estimate too small) or suffer from displacement (too large)",
    source="Rubin 1980, stable unit treatment value; Abadie 2021, section 5",
    testable=False,
    prompt="Say why patients, staff or trade did not move to the donors because of the intervention.",
)
CLEAN_DONORS = Assumption(
    name="no donor had a shock or programme of its own",
    statement="No donor with weight went through a similar intervention or another large change.",
    consequence="the change of a donor is read as an effect of the opposite sign",
    source="Abadie 2021, section 5",
    testable=True,
)
NO_ANTICIPATION = Assumption(
    name="no anticipation",
    statement="Nobody reacted to the intervention before its start.",
    consequence="part of the effect enters the fit and is missed",
    source="Abadie 2021, section 5",
    testable=True,
)
NO_SINGLE_DONOR = Assumption(
    name="no single donor decides the result",
    statement="The estimate does not hang on one donor.",
    consequence="an oddity of one place is reported as the effect of a programme",
    source="Abadie, Diamond and Hainmueller 2015",
    testable=True,
)
IDENTIFIED = Assumption(
    name="the weights are determined by the data",
    statement="No other weights fit as well, and the search found the best ones.",
    consequence="another program, or another start of the search, gives another answer",
    source="Becker and Klößner 2018; Abadie and L'Hour 2021",
    testable=True,
)
SPECIFICATION = Assumption(
    name="the result does not hang on how donors are weighted",
    statement="Other predictors and other ways of weighting give a similar answer.",
    consequence="the answer is that of a choice, not of the data",
    source="Ferman, Pinto and Possebom 2020",
    testable=True,
)
INTERPOLATION = Assumption(
    name="the donors are like the treated unit one by one",
    statement="Donors with weight are near the treated unit, not far on either side of it.",
    consequence="averaging unlike donors is biased when the outcome is not linear in their characteristics",
    source="Abadie, Diamond and Hainmueller 2010; Abadie and L'Hour 2021",
    testable=True,
)
SAME_MEASUREMENT = Assumption(
    name="same measurement throughout",
    statement="The outcome was recorded in the same way in all units and over the whole time.",
    consequence="a change of coding, of completeness or of linkage in one unit looks like an effect",
    source="Benchimol et al. 2015 (RECORD), items 6 and 19",
    testable=False,
    prompt=(
        "Say whether coding, data systems, or the completeness of the latest records differ between units."
    ),
)

MOVED_IN_PARALLEL = Assumption(
    name="the weighted donors moved in parallel before the start",
    statement="Before the start the weighted donors moved in parallel with the treated units.",
    consequence="the groups were already drifting apart, and the drift is counted as an effect",
    source="Arkhangelsky et al. 2021, section 2",
    testable=True,
)
PARALLEL_AFTER = Assumption(
    name="the weighted donors would have moved in parallel afterwards",
    statement="Without the intervention the treated would have changed as the weighted donors did.",
    consequence="whatever else drove them apart is counted as an effect",
    source=f"{CLARKE}; Arkhangelsky et al. 2021, section 4",
    testable=False,
    prompt="Say why the treated units and the donors with weight are moved by the same things.",
)
SAME_NOISE = Assumption(
    name="the treated are as variable as the donors",
    statement=(
        "Placebos show the spread of the estimate only if donors vary from period to period as the treated"
        " do."
    ),
    consequence="the interval is too narrow where the treated are smaller or more variable than the donors",
    source=f"{CLARKE} (uncertainty is hard to quantify); Arkhangelsky et al. 2021, algorithm 4",
    testable=True,
)

FACTORS_CAPTURE = Assumption(
    name="the factors capture what moves the units",
    statement=(
        "Without the intervention the treated would have gone on following the common factors as before; what"
        " the factors miss moved no treated unit at or after the start."
    ),
    consequence="an unobserved change that the factors miss is counted as an effect",
    source=f"{CLARKE}; Xu 2017, assumptions 1 and 2",
    testable=False,
    prompt=(
        "Say which influences (season, tariffs, demand) the factors may stand for, and why none of them"
        " began or changed in the treated units alone."
    ),
)
ENOUGH_FOR_FACTORS = Assumption(
    name="enough periods and units for the factors",
    statement="There are many periods before the start, and many donors, for each factor.",
    consequence="loadings fit noise, and estimates are biased over a short time before the start",
    source=f"{CLARKE}; Xu 2017, section 4 (biased with fewer than about ten periods before the start)",
    testable=True,
)
NUMBER_OF_FACTORS = Assumption(
    name="the number of factors is right",
    statement="The factors (or the penalty) are as many as predict best where nothing happened.",
    consequence="too few leave out an influence, too many fit noise",
    source="Xu 2017, algorithm 1; Athey et al. 2021, section 4",
    testable=True,
)
FITS_BEFORE = Assumption(
    name="the model fits before the start",
    statement="Before the start observed and predicted outcomes of the treated do not differ.",
    consequence="what the model misses before the start goes on afterwards and is counted as an effect",
    source="Liu, Wang and Xu 2024, section on diagnostics; Clarke et al. 2019",
    testable=True,
)
INSIDE_LOADINGS = Assumption(
    name="the treated respond to the factors as some donors do",
    statement="The loadings of the treated lie inside those of the donors.",
    consequence="the prediction extrapolates to a unit of a kind that no donor is",
    source="Xu 2017, section 5 (overlap of loadings)",
    testable=True,
)
OTHER_MODELS = Assumption(
    name="the result does not hang on the model",
    statement="One factor more or fewer, and the other way of estimating, give a similar answer.",
    consequence="the answer is that of a choice, not of the data",
    source="Liu, Wang and Xu 2024; Athey et al. 2021",
    testable=True,
)

GENERALISED: tuple[Assumption, ...] = (
    FACTORS_CAPTURE,
    ENOUGH_FOR_FACTORS,
    NUMBER_OF_FACTORS,
    FITS_BEFORE,
    INSIDE_LOADINGS,
    OTHER_MODELS,
    UNCERTAINTY,
    NO_OTHER_CHANGE,
    NO_SPILLOVER,
    CLEAN_DONORS,
    NO_ANTICIPATION,
    NO_SINGLE_DONOR,
    SAME_MEASUREMENT,
)

SYNTHETIC_CONTROL: tuple[Assumption, ...] = (
    GOOD_FIT,
    LONG_ENOUGH,
    UNCERTAINTY,
    LASTING,
    NO_OTHER_CHANGE,
    NO_SPILLOVER,
    CLEAN_DONORS,
    NO_ANTICIPATION,
    NO_SINGLE_DONOR,
    IDENTIFIED,
    SPECIFICATION,
    INTERPOLATION,
    SAME_MEASUREMENT,
)
SYNTHETIC_DID: tuple[Assumption, ...] = (
    MOVED_IN_PARALLEL,
    PARALLEL_AFTER,
    LONG_ENOUGH,
    SAME_NOISE,
    NO_OTHER_CHANGE,
    NO_SPILLOVER,
    CLEAN_DONORS,
    NO_ANTICIPATION,
    NO_SINGLE_DONOR,
    SPECIFICATION,
    SAME_MEASUREMENT,
)

EQUAL_TOTALS = Assumption(
    name="the weighted units equal the treated before the start",
    statement=(
        "Weighted totals of the control units equal those of the treated units, in every fitted period and"
        " characteristic."
    ),
    consequence="the distance that was there before is counted as an effect",
    source=f"{CLARKE}; Robbins, Saunders and Kilmer 2017, section 2",
    testable=True,
)
NOT_BESIDE = Assumption(
    name=NO_SPILLOVER.name,
    statement=(
        "The intervention did not reach the control units. Small units lie next to one another, so events"
        " that move to the neighbours, or an effect that spreads there, are the main threat."
    ),
    consequence=NO_SPILLOVER.consequence,
    source="Rubin 1980, stable unit treatment value; Robbins, Saunders and Kilmer 2017, section 6",
    testable=False,
    prompt=(
        "Say which control units border on the treated ones, and why events did not move there. Keep them out"
        " of the pool (`spillover`) if they may have."
    ),
)
SEPARATE_UNITS = Assumption(
    name=UNCERTAINTY.name,
    statement=(
        "The interval takes every small unit as if it had varied, and received the intervention, by itself."
    ),
    consequence=(
        "units that lie together rise and fall together, so intervals are too narrow and p-values too small"
    ),
    source=f"{CLARKE}; Robbins, Saunders and Kilmer 2017, section 3",
    testable=True,
)
MICRO: tuple[Assumption, ...] = (
    EQUAL_TOTALS,
    LONG_ENOUGH,
    SEPARATE_UNITS,
    LASTING,
    NO_OTHER_CHANGE,
    NOT_BESIDE,
    CLEAN_DONORS,
    NO_ANTICIPATION,
    NO_SINGLE_DONOR,
    SPECIFICATION,
    SAME_MEASUREMENT,
)
