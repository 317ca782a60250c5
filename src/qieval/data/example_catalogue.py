"""The example data sets: what each is, where it comes from, and how it is made ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from qieval.data import public_files
from qieval.data.remote import RemoteFile
from qieval.data.series_scenario import SeriesScenario
from qieval.data.simulate import simulate
from qieval.data.simulate_charts import simulate_charts
from qieval.data.simulate_cohort import simulate_cohort
from qieval.data.simulate_hospital import simulate_hospital
from qieval.data.simulate_natural import (
    simulate_birth_weight,
    simulate_cutoff,
    simulate_frequent_attenders,
    simulate_instrument,
)
from qieval.data.simulate_rollout import simulate_rollout
from qieval.data.simulate_series import simulate_series

PACKAGE = "causaldata"
URGENT_CARE_LINE = SeriesScenario(
    family="negative binomial",
    baseline=420.0,
    trend=0.002,
    season=0.07,
    level=-0.128,
    noise=0.03,
    autocorrelation=0.4,
    size=400.0,
    controls=1,
    shared=0.5,
    seed=11,
)
"""The arguments of the example urgent_care_line."""
URGENT_CARE_NAMES = {
    "outcome": "emergency_admissions",
    "denominator": "population",
    "control_1": "control_admissions",
}


@dataclass(frozen=True)
class Example:
    """One data set: what it is, its size, and how to get it.

    `file` is a path inside the folder of `package`; the rows of `more` files follow those of it. `remote` is
    a public file that is fetched, `made` a function that makes the data.
    """

    what: str
    rows: int
    columns: int
    suits: str
    source: str
    licence: str = f"MIT (Python package {PACKAGE})"
    package: str = PACKAGE
    file: str = ""
    more: tuple[str, ...] = ()
    remote: RemoteFile | None = None
    made: Callable[[], pd.DataFrame] | None = None
    prepared: Callable[[pd.DataFrame], pd.DataFrame] | None = None


def _organ_donations(frame: pd.DataFrame) -> pd.DataFrame:
    """Quarter_Num as the package's own loader makes it (1 is the end of 2010); and who is treated."""
    quarters = ["Q42010", "Q12011", "Q22011", "Q32011", "Q42011", "Q12012"]
    number = frame["Quarter"].map({quarter: at for at, quarter in enumerate(quarters, start=1)})
    return frame.assign(Quarter_Num=number, california=(frame["State"] == "California").astype(int))


def _castle(frame: pd.DataFrame) -> pd.DataFrame:
    """Who ever passes the law, and when it is in force for the first time (missing: never)."""
    since = frame["year"].where(frame["post"] > 0).groupby(frame["sid"]).transform("min")
    return frame.assign(ever=since.notna().astype(int), since=since)


def _nsw(frame: pd.DataFrame) -> pd.DataFrame:
    """In types that squares and sums of earnings fit into; and who earned nothing before the programme."""
    small = {name: "int64" for name in frame.columns if frame[name].dtype == "int8"}
    short = {name: "float64" for name in frame.columns if frame[name].dtype == "float32"}
    frame = frame.astype(small | short)
    return frame.assign(u74=(frame["re74"] == 0).astype(int), u75=(frame["re75"] == 0).astype(int))


def _nsw_cps(frame: pd.DataFrame) -> pd.DataFrame:
    """The treated of the experiment, and nobody of its control group."""
    return _nsw(frame[(frame["treat"] == 1) | (frame["data_id"] == "CPS1")].reset_index(drop=True))


EXAMPLES = {
    "pilot": Example(
        "Simulated: 24 of 60 general practices start a pilot in April 2022 that lowers emergency "
        "admissions to 0.85 of what they would have been; practice by month. Truth: simulate(seed=3).truth.",
        2160,
        14,
        "difference-in-differences, synthetic control",
        "qieval's simulator, simulate(seed=3)",
        "MIT (made by qieval)",
        made=lambda: simulate(seed=3).panel,
    ),
    "pilot_staggered": Example(
        "Simulated: as pilot, but the 24 practices start in January, April or July 2022 (pilot_start).",
        2160,
        14,
        "staggered adoption, synthetic difference-in-differences",
        'qieval\'s simulator, simulate(start=("2022-01", "2022-04", "2022-07"))',
        "MIT (made by qieval)",
        made=lambda: simulate(start=("2022-01", "2022-04", "2022-07")).panel,
    ),
    "practice_roll_out": Example(
        "Simulated: 150 of 200 general practices start a service in three waves (January and July 2021,"
        " January 2022; started), deprived ones earlier; it lowers emergency admissions more the longer it"
        " runs, and most in the first wave; practice by month. Truth: simulate_rollout(seed=20).truth.",
        7200,
        10,
        "staggered adoption",
        "qieval's simulator, simulate_rollout(seed=20)",
        "MIT (made by qieval)",
        made=lambda: simulate_rollout(seed=20).frame,
    ),
    "one_hospital": Example(
        "Simulated: one hospital (programme) starts a discharge programme in January 2017 that lowers "
        "readmissions to 0.88 of what they would have been; 24 others, of which one has a programme of its "
        "own (similar_programme) and one (H19) counts more readmissions from July 2017 on; hospital by "
        "month. Truth: simulate_hospital(seed=4).truth.",
        2100,
        9,
        "synthetic control, synthetic difference-in-differences",
        "qieval's simulator, simulate_hospital(seed=4)",
        "MIT (made by qieval)",
        made=lambda: simulate_hospital(seed=4).frame,
    ),
    "community_service": Example(
        "Simulated: 4,000 people aged 50 to 95, about one in five of whom got a community service (service) "
        "that lowers emergency admissions to 0.8 of what they would have been; older, frailer and more often "
        "admitted people got it more often. elective_eye_surgery is a negative control. "
        "Truth: simulate_cohort(4000, seed=20).truth.",
        4000,
        16,
        "matching, weighting, regression adjustment",
        "qieval's simulator, simulate_cohort(4000, seed=20)",
        "MIT (made by qieval)",
        made=lambda: simulate_cohort(4000, seed=20).frame,
    ),
    "health_check": Example(
        "Simulated: 12,000 people aged 60 to 70, who are invited to a health check from 65 (age_months 780)"
        " on; 10% attend below and 55% above (health_check). It lowers cost by 400 and the chance of an"
        " emergency admission by 0.1. eye_test is a negative control. Truth: simulate_cutoff(seed=20).truth.",
        12_000,
        10,
        "regression discontinuity",
        "qieval's simulator, simulate_cutoff(seed=20)",
        "MIT (made by qieval)",
        made=lambda: simulate_cutoff(seed=20).frame,
    ),
    "birth_weight": Example(
        "Simulated: 20,000 newborns; those below 1,500 g receive extra care, which lowers deaths in the first"
        " year by 3.5 percentage points. Hospitals with little staff round weights to 100 g, and more of"
        " their newborns die: a trap. Truth: simulate_birth_weight(seed=2).truth.",
        20_000,
        7,
        "regression discontinuity",
        "qieval's simulator, simulate_birth_weight(seed=2)",
        "MIT (made by qieval)",
        made=lambda: simulate_birth_weight(seed=2).frame,
    ),
    "specialist_hospital": Example(
        "Simulated: 6,000 patients, taken to a specialist hospital more often the nearer it is"
        " (extra_distance) and the sicker they are, by a severity that is not in the data; it lowers deaths"
        " by 5 percentage points. cataract is a negative control. Truth: simulate_instrument(seed=20).truth.",
        6000,
        11,
        "instrumental variables",
        "qieval's simulator, simulate_instrument(seed=20)",
        "MIT (made by qieval)",
        made=lambda: simulate_instrument(seed=20).frame,
    ),
    "frequent_attenders": Example(
        "Simulated: people with four or more emergency visits in a year, who then got a case manager; visits"
        " in the year before and after. The case manager does nothing at all: a trap. In everybody the mean"
        " is 0.98 and the standard deviation 1.53. Truth: simulate_frequent_attenders(seed=20).truth.",
        1473,
        5,
        "before and after",
        "qieval's simulator, simulate_frequent_attenders(seed=20)",
        "MIT (made by qieval)",
        made=lambda: simulate_frequent_attenders(seed=20).frame,
    ),
    "organ_donations": Example(
        "Share of people registering as organ donors, 27 US states by quarter; California (california is"
        " 1) asked for an active choice from the third quarter of 2011 (Quarter_Num 4).",
        162,
        5,
        "difference-in-differences, synthetic control",
        "Kessler and Roth (2014), NBER working paper 20378",
        file="organ_donations/organ_donation.csv",
        prepared=_organ_donations,
    ),
    "castle": Example(
        "Crime in 50 US states 2000-2010; 21 pass a castle-doctrine law. Added: ever (0/1), and since, the"
        " first year in which post is 1 (lag0 marks the year before it in some states).",
        550,
        141,
        "staggered adoption",
        "Cheng and Hoekstra (2013), Journal of Human Resources 48",
        file="castle/castle.dta",
        prepared=_castle,
    ),
    "nhefs": Example(
        "1,629 smokers of the NHANES I follow-up: giving up smoking (qsmk) and change of weight 1971-82"
        " (wt82_71, missing for those lost to follow-up).",
        1629,
        67,
        "matching, weighting, regression adjustment",
        "National Center for Health Statistics; Hernan and Robins, Causal Inference: What If",
        file="nhefs/nhefs.dta",
    ),
    "nhefs_complete": Example(
        "The 1,566 smokers of nhefs whose weight in 1982 is known, as analysed in Causal Inference: What If "
        "(giving up smoking is qsmk, change of weight in kg wt82_71). Columns that the book does not use "
        "have missing values.",
        1566,
        67,
        "matching, weighting, regression adjustment",
        "National Center for Health Statistics; Hernan and Robins, Causal Inference: What If",
        file="nhefs_complete/nhefs_complete.dta",
    ),
    "nsw": Example(
        "An experiment: 185 people offered a job for 9 to 18 months (treat) and 260 not, earnings before and "
        "after (re74, re75, re78, in 1982 dollars). Added: u74 and u75, 1 for no earnings in that year.",
        445,
        13,
        "matching, weighting, regression adjustment",
        "LaLonde (1986), American Economic Review 76; Dehejia and Wahba (1999), JASA 94",
        file="nsw_mixtape/nsw_mixtape.dta",
        prepared=_nsw,
    ),
    "nsw_cps": Example(
        "The 185 treated of nsw beside 15,992 people of the Current Population Survey who were in no "
        "experiment. The experiment says what matching should find: about $1,790 more in 1978. u74, u75 as "
        "in nsw.",
        16177,
        13,
        "matching, weighting, regression adjustment",
        "LaLonde (1986), American Economic Review 76; Dehejia and Wahba (1999), JASA 94",
        file="nsw_mixtape/nsw_mixtape.dta",
        more=("cps_mixtape/cps_mixtape.dta",),
        prepared=_nsw_cps,
    ),
    "thornton_hiv": Example(
        "A trial in Malawi: cash at random (any, tinc) for learning one's HIV result (got), distance to the "
        "clinic.",
        4820,
        7,
        "instrumental variables, regression adjustment",
        "Thornton (2008), American Economic Review 98",
        file="thornton_hiv/thornton_hiv.dta",
    ),
    "card": Example(
        "Young men in the United States in 1976: the logarithm of their hourly wage (lwage), years of"
        " schooling (educ), and whether they grew up near a college for two years (nearc2) or four (nearc4).",
        3010,
        34,
        "instrumental variables, regression adjustment",
        "Card (1995), Using geographic variation in college proximity to estimate the return to schooling",
        "NCSA (Python package linearmodels)",
        package="linearmodels",
        file="datasets/card/card.csv.bz2",
    ),
    "gov_transfers": Example(
        "Households in Uruguay near an income cut-off (Income_Centered; below 0: eligible) for a cash"
        " transfer, and their support for the government.",
        1948,
        5,
        "regression discontinuity",
        "Manacorda, Miguel and Vigorito (2011), American Economic Journal: Applied Economics 3",
        file="gov_transfers/Government_Transfers_RDD_Data.csv",
    ),
    "urgent_care_line": Example(
        "Simulated: emergency admissions of one area by month; an urgent care line starts in January 2022. "
        "Truth: it lowers them to 0.88 of what they would have been, at once and for good. "
        "control_admissions are those of an area without it; both have a season and errors that follow one "
        "another.",
        72,
        5,
        "interrupted time series",
        "qieval's simulator, simulate_series",
        "MIT (made by qieval)",
        made=lambda: simulate_series(URGENT_CARE_LINE).frame.rename(columns=URGENT_CARE_NAMES),
    ),
    "ward_falls": Example(
        "Simulated: falls and bed days of a ward by month; the rate of falls drops to 0.65 of what it was in "
        "September 2022. Truth: simulate_charts(seed=2).truth.",
        36,
        3,
        "control chart, run chart",
        "qieval's simulator, simulate_charts(seed=2)",
        "MIT (made by qieval)",
        made=lambda: simulate_charts(seed=2).falls,
    ),
    "rare_harm": Example(
        "Simulated: the dates of rare events, 12 days apart on average, and rarer from September 2022 on. "
        "Truth: simulate_charts(seed=2).truth.",
        77,
        2,
        "control chart",
        "qieval's simulator, simulate_charts(seed=2)",
        "MIT (made by qieval)",
        made=lambda: simulate_charts(seed=2).rare_events.assign(events=1),
    ),
    "improvement_measures": Example(
        "Simulated: a process, an outcome and a balancing measure of one project by month (meeting out of "
        "cases); the first improves in September 2022, the second in January 2023, the third does not move. "
        "Truth: simulate_charts(seed=2).truth.",
        108,
        5,
        "control chart, run chart",
        "qieval's simulator, simulate_charts(seed=2)",
        "MIT (made by qieval)",
        made=lambda: simulate_charts(seed=2).family,
    ),
    "sicily": Example(
        "Admissions for acute coronary events in Sicily by month, January 2002 to November 2006; smoking in "
        "public places was banned in January 2005 (smoking_ban). population is the authors' denominator, "
        "standardised_population the same standardised for age.",
        59,
        5,
        "interrupted time series",
        "Lopez Bernal, Cummins and Gasparrini (2017), International Journal of Epidemiology 46; data from "
        "Barone-Adesi et al. (2011), Environmental Health Perspectives 119",
        "none stated; published by the authors with the article",
        remote=public_files.SICILY,
        prepared=public_files.sicily,
    ),
    "seat_belts": Example(
        "People killed or seriously injured in cars in Great Britain by month, 1969 to 1984, with distance "
        "driven (km) and the price of petrol; seat belts became compulsory for drivers and front passengers "
        "on 31 January 1983 (law).",
        192,
        9,
        "interrupted time series, control chart, run chart",
        "R data set Seatbelts; Harvey and Durbin (1986), Journal of the Royal Statistical Society A 149",
        "part of R (GPL-2 or GPL-3)",
        remote=public_files.SEAT_BELTS,
        prepared=public_files.seat_belts,
    ),
    "ae_attendances": Example(
        "Accident and emergency attendances in England by organisation, type of department and month, April "
        "2016 to March 2019: attendances, those that took over_4_hours, and emergency admissions.",
        12765,
        6,
        "interrupted time series, control chart, run chart",
        "NHS England, A&E attendances and emergency admissions, as in the R package NHSRdatasets",
        "Open Government Licence 3.0 (R package: CC0)",
        remote=public_files.ATTENDANCES,
        prepared=public_files.attendances,
    ),
    "drinking_age": Example(
        "Deaths per 100,000 young adults and year in the United States 1997-2003, one row for each 30 days of"
        " age from 19 to 23 years (age); at 21 drinking becomes legal.",
        48,
        10,
        "regression discontinuity",
        "Carpenter and Dobkin (2009), American Economic Journal: Applied Economics 1; Angrist and Pischke"
        " (2014), Mastering 'Metrics",
        "Apache 2.0 (repository CausalPy)",
        remote=public_files.DRINKING,
        prepared=public_files.drinking,
    ),
    "minimum_wage": Example(
        "The logarithm of teenagers in work in 500 US counties 2003-2007 (log_employment); raised is the"
        " first year in which the state's minimum wage was above the federal one (2004, 2006, 2007, never).",
        2500,
        5,
        "staggered adoption",
        "Callaway and Sant'Anna (2021), Journal of Econometrics 225; data set mpdta of the R package did",
        "MIT (repository csdid); R package did: GPL-2 or GPL-3",
        remote=public_files.MINIMUM_WAGE,
        prepared=public_files.minimum_wage,
    ),
    "tobacco_control": Example(
        "Sales of cigarettes (cigsale, packets per person) in 39 US states 1970-2000, with income, price, "
        "beer and age; California (california is 1) began tobacco control in 1989.",
        1209,
        8,
        "synthetic control, synthetic difference-in-differences",
        "Abadie, Diamond and Hainmueller (2010), Journal of the American Statistical Association 105",
        "MIT (repository SyntheticControlMethods and R package tidysynth)",
        remote=public_files.TOBACCO,
        prepared=public_files.tobacco,
    ),
}
