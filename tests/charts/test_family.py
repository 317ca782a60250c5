"""A family of measures: its table, and the notes about missing types and too many measures."""

import numpy as np
import pandas as pd
import pytest

from qieval.charts import family
from qieval.errors import DataError, DesignError
from qieval.methods.control_charts import ControlChart, RunChart
from qieval.methods.synthetic_did import SyntheticDifferenceInDifferences

RNG = np.random.default_rng(8)
DATA = pd.DataFrame(
    {
        "month": pd.period_range("2022-01", periods=24, freq="M").astype(str),
        "falls": np.r_[RNG.poisson(9, 12), RNG.poisson(2, 12)],
        "audits": np.tile([28, 26, 29, 27], 6),
        "all": 40,
        "stay": RNG.normal(6, 0.5, 24),
    }
)
OUTCOME = ControlChart(outcome="falls", time="month", better="lower", measure="outcome", target=6)
PROCESS = ControlChart(outcome="audits", denominator="all", time="month", better="higher", measure="process")
BALANCING = RunChart(outcome="stay", time="month", measure="balancing")


def test_table_in_the_order_given():
    made = family({"Falls": OUTCOME, "Audits passed": PROCESS, "Length of stay": BALANCING}, DATA)
    table = made.table.set_index("measure")
    assert table["chart"].tolist() == ["C chart", "P chart", "Run chart"]
    assert table["type"].tolist() == ["outcome", "process", "balancing"]
    assert table.loc["Falls", "signals"] != "0" and table.loc["Audits passed", "signals"] == "0"
    assert table.loc["Falls", "last"] == DATA["falls"].iloc[-1]
    assert made.notes == ("1 chart of 3 shows a signal. With many charts some do so by chance alone.",)


def test_missing_types_and_many_measures_are_told():
    one = family([BALANCING], DATA)
    assert "No outcome and no process measure" in one.notes[0]
    many = {f"measure {each}": OUTCOME for each in range(8)}
    assert "8 measures are more than usual" in family(many, DATA).notes[0]
    more = family(many | {f"further {each}": PROCESS for each in range(4)}, DATA)
    assert "more than anyone can follow" in more.notes[0]


def test_a_table_for_each_measure():
    made = family({"Falls": OUTCOME, "Stay": BALANCING}, {"Falls": DATA, "Stay": DATA.head(12)})
    assert made.table["points"].tolist() == ["24", "12"]
    with pytest.raises(DataError, match="no table for 'Stay'"):
        family({"Stay": BALANCING}, {"Falls": DATA})


def test_the_measure_with_a_problem_is_named():
    with pytest.raises(DataError, match=r"Falls: outcome: there is no column 'falls'"):
        family({"Falls": OUTCOME}, DATA.drop(columns="falls"))


def test_designs_that_do_not_fit_are_refused():
    with pytest.raises(DesignError, match="no design"):
        family([], DATA)
    with pytest.raises(DesignError, match="more than once"):
        family([OUTCOME, OUTCOME], DATA)
    other = SyntheticDifferenceInDifferences(outcome="y", unit="u", time="t", treated="d", start=4)
    with pytest.raises(DesignError, match="a family holds RunChart"):
        family({"other": other}, DATA)


def test_displays():
    made = family([OUTCOME, BALANCING], DATA)
    assert "qieval-card" in made._repr_html_() and "Note:" in repr(made)


def test_too_few_points_have_no_verdict():
    made = family([OUTCOME], DATA.head(5))
    assert made.table.loc[0, "signals"] == "too few points" and made.table.loc[0, "variation"] == ""
