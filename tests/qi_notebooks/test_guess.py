"""Guessing roles of columns."""

import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import guess

FRAME = pd.DataFrame(
    {
        "practice": ["a", "b"],
        "month": ["2022-04", "2022-05"],
        "pilot": [0, 1],
        "admissions": [1.5, 2.5],
        "list_size": [1000, 2000],
    }
)


def guessed(frame):
    return guess.roles(qe.DifferenceInDifferences, qe.data.describe(frame))


def test_usual_names_and_lone_kinds_are_taken_and_the_rest_is_left():
    assert guessed(FRAME) == {"unit": "practice", "time": "month", "treated": "pilot"}


def test_a_lone_column_of_a_telling_kind_needs_no_usual_name():
    renamed = FRAME.rename(columns={"pilot": "new_model", "month": "when"})
    assert guessed(renamed) == {"unit": "practice", "time": "when", "treated": "new_model"}


def test_two_columns_without_a_usual_name_are_not_guessed_between():
    renamed = FRAME.rename(columns={"pilot": "new_model"}).assign(rural=[1, 0])
    assert "treated" not in guessed(renamed)


def test_a_usual_name_of_the_wrong_kind_is_not_taken():
    assert "treated" not in guessed(FRAME.assign(pilot=["yes", "no"]))


def test_the_same_name_goes_before_a_name_that_contains_it():
    assert guessed(FRAME.assign(**{"time of day": ["2022-01", "2022-02"], "time": [3, 4]}))["time"] == "time"


def test_a_column_gets_one_role():
    found = guessed(pd.DataFrame({"y": [0, 1], "unit": [1, 2]}))
    assert found == {"outcome": "y", "unit": "unit"}


@pytest.mark.parametrize("name", ["Month", "REPORT_MONTH", "calendar month"])
def test_names_are_read_by_words_in_any_case(name):
    assert guessed(FRAME.rename(columns={"month": name}).assign(other=["2022-01", "2022-02"]))["time"] == name
