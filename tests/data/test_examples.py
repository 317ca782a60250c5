"""Examples are there offline and are what the list says."""

import importlib.util
import subprocess
import sys

import pytest

from qieval.data import example, examples
from qieval.errors import DataError, DependencyError

LISTED = examples().set_index("name")


@pytest.mark.parametrize("name", LISTED.index)
def test_the_list_tells_the_truth(name):
    extract = example(name).check()
    assert extract.frame.shape == (LISTED.loc[name, "rows"], LISTED.loc[name, "columns"])
    assert LISTED.loc[name, ["what", "source", "licence", "suits"]].str.len().min() > 3
    assert extract.source == LISTED.loc[name, "source"]
    for column in extract.frame:
        assert extract.frame[column].dtype != object, column
        assert extract.frame[column].dtype.name != "category", column


def test_organ_donations_is_the_published_comparison():
    frame = example("organ_donations").frame
    assert frame["State"].nunique() == 27
    assert sorted(frame["Quarter_Num"].unique()) == [1, 2, 3, 4, 5, 6]
    mean = frame.groupby(["california", frame["Quarter_Num"] >= 4])["Rate"].mean()
    effect = mean[1, True] - mean[1, False] - mean[0, True] + mean[0, False]
    assert effect == pytest.approx(-0.02246, abs=5e-5)


def test_the_pilot_is_the_simulator():
    frame = example("pilot").frame
    assert frame["practice"].nunique() == 60
    assert frame.groupby("practice")["pilot"].max().sum() == 24
    assert example("pilot_staggered").frame["pilot_start"].dropna().nunique() == 3


def test_castle_laws_begin_with_the_first_year_of_post():
    frame = example("castle").frame
    since = frame.groupby("sid")["since"].first()
    assert since.notna().sum() == 21
    assert since[10] == 2006  # Florida passed it in October 2005
    assert (since.notna() == frame.groupby("sid")["ever"].first().astype(bool)).all()


def test_an_unknown_name():
    with pytest.raises(DataError, match="Did you mean 'pilot'"):
        example("pilots")


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install causaldata"):
        example("nhefs")
    assert len(example("pilot").frame) == 2160


def test_reading_an_example_does_not_load_statsmodels():
    code = (
        "import sys; from qieval.data.examples import example; example('organ_donations'); "
        "sys.exit('statsmodels' in sys.modules or 'causaldata' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
