"""An Extract accounts for every row and shows none."""

import numpy as np
import pandas as pd
import pytest

from qieval.data import Extract
from qieval.errors import DataError


@pytest.fixture
def extract():
    frame = pd.DataFrame(
        {
            "person": [11, 11, 12, 13],
            "practice": ["Elm St", "Elm St", "Oak Rd", "Oak Rd"],
            "age": [70.0, 71.0, np.nan, 40.0],
        }
    )
    return Extract(frame=frame, source="visits.csv", person="person", notes=("age: 1 cell became missing.",))


def test_keep_adds_a_row_of_attrition_and_leaves_the_original(extract):
    kept = extract.keep(extract.frame["age"].notna(), "age is missing").keep(
        lambda frame: frame["age"] > 65, "65 or under"
    )
    assert kept.attrition.to_dict("list") == {
        "step": [0, 1, 2],
        "reason": ["read from visits.csv", "age is missing", "65 or under"],
        "rows": [4, 3, 2],
        "people": [3, 2, 1],
    }
    assert len(extract.frame) == 4 and len(extract.attrition) == 1


def test_conditions_are_matched_by_label(extract):
    condition = (extract.frame["age"] > 65).iloc[::-1]
    assert extract.keep(condition, "young").frame.index.tolist() == [0, 1]
    assert extract.keep(np.array([True, False, False, False]), "first").frame["age"].tolist() == [70.0]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (pd.Series([True, None, False, True], dtype="boolean"), "1 value of it missing"),
        (np.array([True, False]), "2 values, the frame has 4 rows"),
        (np.array([1, 0, 1, 0]), "true or false"),
        (pd.Series([True] * 4, index=[10, 11, 12, 13]), "row labels"),
    ],
)
def test_conditions_that_say_nothing(extract, condition, words):
    with pytest.raises(DataError, match=words):
        extract.keep(condition, "whatever")


def test_no_row_is_shown(extract):
    for shown in (repr(extract), extract._repr_html_()):
        assert "4 rows" in shown and "3 columns" in shown
        assert "25.0% missing" in shown and "1 cell became missing" in shown
        assert "Elm" not in shown and "70" not in shown and "11" not in shown


def test_html_is_escaped():
    shown = Extract(frame=pd.DataFrame({"<b>": [1]}), source="<script>")._repr_html_()
    assert "<script>" not in shown and "<b>" not in shown


def test_check_finds_what_cannot_be_analysed(extract):
    assert extract.check() is extract
    nobody = extract.keep(np.zeros(4, dtype=bool), "nobody is left")
    with pytest.raises(DataError, match="no rows left"):
        nobody.check()
    twice = Extract(frame=pd.DataFrame([[1, 2]], columns=["a", "a"]), source="x")
    with pytest.raises(DataError, match="a: several columns have this name"):
        twice.check()
    with pytest.raises(DataError, match="y: the column holds no value"):
        Extract(frame=pd.DataFrame({"y": [np.nan, np.nan]}), source="x").check()
    stale = Extract(frame=extract.frame.iloc[:2], source="visits.csv", attrition=extract.attrition)
    with pytest.raises(DataError, match=r"2 rows, the attrition table ends with 4"):
        stale.check()


def test_the_frame_given_is_not_the_frame_held():
    frame = pd.DataFrame({"a": [1, 2]})
    held = Extract(frame=frame, source="x")
    frame.loc[0, "a"] = 99
    assert held.frame["a"].tolist() == [1, 2]


def test_a_person_column_that_does_not_exist():
    with pytest.raises(DataError, match="Did you mean 'person'"):
        Extract(frame=pd.DataFrame({"person": [1]}), source="x", person="persn")
    with pytest.raises(DataError, match="not list"):
        Extract(frame=[1, 2], source="x")
