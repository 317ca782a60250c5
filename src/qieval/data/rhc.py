"""Right heart catheterisation: from the public file to the frame that is usually analysed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qieval.errors import DataError, nearest
from qieval.text import listed

YES_NO = ("resp", "card", "neuro", "gastr", "renal", "meta", "hema", "seps", "trauma", "ortho")
"""Diagnoses on admission, Yes or No in the public file."""
HISTORY = (
    *("cardiohx", "chfhx", "dementhx", "psychhx", "chrpulhx", "renalhx"),
    *("liverhx", "gibledhx", "malighx", "immunhx", "transhx", "amihx"),
)
MEASURED = (
    *("das2d3pc", "surv2md1", "aps", "scoma1", "meanbp1", "wblc1", "hrt1", "resp1", "temp1", "pafi1"),
    *("alb1", "hema1", "bili1", "crea1", "sod1", "pot1", "paco21", "ph1", "weight_kg"),
)
GROUPS = ("age", "sex", "race", "edu", "income", "insurance", "cat1", "cat2", "cancer")
OUTCOMES = ("death30", "t30", "los", "death_recorded")
COLUMNS = ("id", "rhc", *OUTCOMES, *GROUPS, *YES_NO, *HISTORY, *MEASURED, "dnr", "adld3p", "urin1")

PUBLIC = {
    "ptid": "id",
    "swang1": "rhc",
    "dth30": "death30",
    "t3d30": "t30",
    "death": "death_recorded",
    "ninsclas": "insurance",
    "ca": "cancer",
    "aps1": "aps",
    "wtkilo1": "weight_kg",
    "dnr1": "dnr",
}
"""Names in the public file that differ from those of the analysis frame."""
LABELS = {"No RHC": 0, "RHC": 1, "No": 0, "Yes": 1}
WHERE = (
    "The right heart catheterisation data are in no installed package. Download rhc.csv from the data sets "
    "of Vanderbilt University's biostatistics department (hbiostat.org/data) and give it to "
    "qe.data.prepare_rhc(pd.read_csv('rhc.csv'))."
)


def prepare_rhc(frame: pd.DataFrame) -> pd.DataFrame:
    """The analysis frame of the right heart catheterisation study, 5,735 patients in intensive care.

    frame: the public file rhc.csv as pandas reads it (columns swang1, dth30, sadmdte, ...), or a copy cleaned
    before (columns rhc, death30, insurance, ...). The result has `COLUMNS`, in the order of the rows given:
    yes and no as 1 and 0; rhc 1 for a catheter within 24 hours of admission; los in days from admission to
    discharge; t30 days to death, at most 30. Category "ARF" is acute respiratory failure; copies that call it
    renal failure are put right. cat2 is "None" without a second diagnosis. Values are otherwise as given: a
    weight of 0 means unknown, and adld3p and urin1 are mostly missing. The public file has more digits than
    cleaned copies, which moves estimates in about the fourth digit.

    death_recorded is a death at any time of follow-up, which for some lasted years, although the column is
    often described as death within 180 days; from the public file, which has dates, death180 is added.

    Source: Connors et al. (1996), JAMA 276. Raises DataError for columns that are missing and labels that are
    not known.
    """
    public = "swang1" in frame.columns
    made = _renamed(frame) if public else frame.rename(columns={"death180": "death_recorded"})
    missing = [name for name in COLUMNS if name not in made.columns]
    if missing:
        hint = nearest(missing[0], made.columns)
        raise DataError(
            f"frame: these are not the right heart catheterisation data; there is no {listed(missing)}."
            f"{hint} {WHERE}"
        )
    flags = ("rhc", "death30", "death_recorded", "dnr", *YES_NO)
    made = made.assign(
        **{name: _recoded(made[name]).astype("int64") for name in flags},
        cat1=made["cat1"].replace({"ARenalF": "ARF"}),
        cat2=made["cat2"].fillna("None").replace({"ARenalF": "ARF"}),
        cancer=made["cancer"].astype("str"),
    )
    added = ["death180"] if public else []
    return made[[*COLUMNS, *added]].reset_index(drop=True)


def _renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """The public file with the names and labels of the analysis frame."""
    needed = [*PUBLIC, "sadmdte", "dschdte", "dthdte", "race", "income"]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise DataError(f"frame: the public file has a column {missing[0]}, which is not here. " + WHERE)
    made = frame.rename(columns=PUBLIC)
    return made.assign(
        los=made["dschdte"] - made["sadmdte"],
        death180=((made["dthdte"] - made["sadmdte"]) <= 180).astype("int64"),
        race=made["race"].str.capitalize(),
        income=made["income"].str.replace("$", "", regex=False),
        insurance=made["insurance"].str.replace("&", "and", regex=False),
    )


def _recoded(column: pd.Series[Any]) -> pd.Series[Any]:
    """Yes and no as 1 and 0; numbers stay. DataError for other words."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    unknown = sorted({str(value) for value in column.unique() if value not in LABELS})
    if unknown:
        raise DataError(f"{column.name}: {listed(unknown)} is neither yes nor no.")
    return column.map(LABELS)
