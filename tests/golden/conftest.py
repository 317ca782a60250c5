"""Reference numbers and data of matching and weighting, as the public verbs get them."""

import json
from pathlib import Path

import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"
ABSENT = "the shared reference numbers are not beside the repository"


@pytest.fixture(scope="session")
def matching_reference():
    """Every number of matching.json."""
    file = SHARED / "reference" / "matching.json"
    if not file.is_file():
        pytest.skip(ABSENT)
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def lalonde_frame():
    """185 people in a job training programme and 429 from a survey; employed: any earnings in 1978."""
    file = SHARED / "data" / "matching_lalonde_matchit.csv"
    if not file.is_file():
        pytest.skip(ABSENT)
    return pd.read_csv(file).assign(employed=lambda frame: (frame["re78"] > 0).astype(int))


@pytest.fixture(scope="session")
def nhefs_frame():
    """1,566 smokers; gain5: gained more than 5 kg."""
    data = pytest.importorskip("causaldata", reason="NHEFS comes with the package causaldata").nhefs_complete
    frame = data.load_pandas().data.reset_index(drop=True)
    numbers = {name: frame[name].astype(float) for name in ("sex", "race", "qsmk")}
    return frame.assign(gain5=(frame["wt82_71"] > 5).astype(int), **numbers)


@pytest.fixture(scope="session")
def rhc_frame():
    """5,735 people in intensive care; a second diagnosis that is missing is the level "None"."""
    file = SHARED / "data" / "matching_rhc.csv.gz"
    if not file.is_file():
        pytest.skip(ABSENT)
    return pd.read_csv(file, keep_default_na=False, na_values=["", "NA"])
