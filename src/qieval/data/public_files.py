"""Public data sets that are fetched from where they were published, and their tidy columns."""

from __future__ import annotations

import pandas as pd

from qieval.data.remote import RemoteFile

SICILY = RemoteFile(
    name="sicily.csv",
    repository="gasparrini/2017_lopezbernal_IJE_codedata",
    commit="c88b53fc3c787ef87f33e27901dc3f7a6c781926",
    path="sicily.csv",
    sha256="780806fc955e64e559d28d31a41a20933ed88c6351ce8788aada23df06047fb8",
)
SEAT_BELTS = RemoteFile(
    name="seatbelts.csv",
    repository="vincentarelbundock/Rdatasets",
    commit="c65edd84dfff0fbdce02d34828c554aabf017884",
    path="csv/datasets/Seatbelts.csv",
    sha256="4feb01f7560b8e0f334de1277d28eac2055cdda2d33064cc6675d1e004e840b2",
)
ATTENDANCES = RemoteFile(
    name="ae_attendances.csv",
    repository="MaireadBermingham/Working_with_data_types_and_structures_in_Python_and_R_2021_22",
    commit="738e6e837d43b3c2744522c8a2d1e8ee7026ade2",
    path="RawData/ae_attendances.csv",
    sha256="44c580469450e694e95aa2c33e6a616590ae5cfee438be3b1de8dd2590b4fa23",
)
TOBACCO = RemoteFile(
    name="smoking_data.csv",
    repository="OscarEngelbrektson/SyntheticControlMethods",
    commit="9bfbee79da2ba83343dea31d5097483c9feda54a",
    path="examples/datasets/smoking_data.csv",
    sha256="b9e2accc3942d8fd17bd84548d4543bdd2fe4ba9d6c526fc9e1b2177b4a13c96",
)
DRINKING = RemoteFile(
    name="drinking.csv",
    repository="pymc-labs/CausalPy",
    commit="4cab835b2cea72711a68daf5823648f702bc1579",
    path="causalpy/data/drinking.csv",
    sha256="ef20275c38fe3ecff16ebb53cb7dc1d01cdb52879b1e54caf6fb287737579bfa",
)
MINIMUM_WAGE = RemoteFile(
    name="mpdta.csv",
    repository="d2cml-ai/csdid",
    commit="f78f4d79cb682b18d2b0ef65e394c3a13e773ccb",
    path="data/mpdta.csv",
    sha256="2283bea1221a152420f98dfa20f633c5d054ea51d881115c8cd702a97bcd3167",
)
DEPARTMENTS = {"1": "major", "2": "single specialty", "other": "other"}
"""Types of accident and emergency department in the words of NHS England."""


def sicily(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a month, with the authors' columns under longer names."""
    return pd.DataFrame(
        {
            "month": _months(frame["year"], frame["month"]),
            "coronary_events": frame["aces"],
            "smoking_ban": frame["smokban"],
            "population": frame["pop"],
            "standardised_population": frame["stdpop"],
        }
    )


def seat_belts(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a month from January 1969, with the columns of R's Seatbelts under longer names."""
    number = pd.Series(range(len(frame)))
    return pd.DataFrame(
        {
            "month": _months(1969 + number // 12, 1 + number % 12),
            "drivers_killed": frame["DriversKilled"],
            "drivers_killed_or_injured": frame["drivers"],
            "front_killed_or_injured": frame["front"],
            "rear_killed_or_injured": frame["rear"],
            "van_drivers_killed": frame["VanKilled"],
            "distance": frame["kms"],
            "petrol_price": frame["PetrolPrice"],
            "law": frame["law"],
        }
    )


def attendances(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an organisation, type of department and month, in this order."""
    tidy = pd.DataFrame(
        {
            "organisation": frame["org_code"].astype("str"),
            "department": frame["type"].astype("str").map(DEPARTMENTS).astype("str"),
            "month": frame["period"].astype("str").str.slice(0, 7),
            "attendances": frame["attendances"],
            "over_4_hours": frame["breaches"],
            "admissions": frame["admissions"],
        }
    )
    return tidy.sort_values(["organisation", "department", "month"], ignore_index=True)


def tobacco(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole years, and which state it is about."""
    return frame.assign(
        year=frame["year"].astype(int), california=(frame["state"] == "California").astype(int)
    )


def drinking(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a step of age, without the authors' fitted values, under longer names."""
    return pd.DataFrame(
        {
            "age": frame["agecell"],
            "all_deaths": frame["all"],
            "internal_causes": frame["internal"],
            "external_causes": frame["external"],
            "alcohol": frame["alcohol"],
            "homicide": frame["homicide"],
            "suicide": frame["suicide"],
            "motor_vehicle": frame["mva"],
            "drugs": frame["drugs"],
            "other_external": frame["externalother"],
        }
    )


def minimum_wage(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a county and year, under longer names; an empty start for counties that never begin."""
    start = frame["first.treat"]
    return pd.DataFrame(
        {
            "county": frame["countyreal"],
            "year": frame["year"],
            "log_employment": frame["lemp"],
            "log_population": frame["lpop"],
            "raised": start.where(start > 0).astype("Int64"),
        }
    )


def _months(year: pd.Series[int], month: pd.Series[int]) -> pd.Series[str]:
    """Months as text that sorts, such as 2002-01."""
    return pd.Series(
        year.astype("str").str.zfill(4) + "-" + month.astype("str").str.zfill(2), dtype="str", name="month"
    )
