import numpy as np
import pandas as pd
import pytest

from qieval.reports.cells import MOST_ROWS, facts, grid, heading, p_value, value


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        (None, ""),
        (pd.NaT, ""),
        (True, "yes"),
        (np.int64(2160), "2,160"),
        (-0.022458956, "-0.0225"),
        (float("nan"), "not available"),
        (pd.Timestamp("2022-04-01"), "Apr 2022"),
        (pd.Timestamp("2022-04-13"), "13 Apr 2022"),
        ("as it is", "as it is"),
    ],
)
def test_single_values(held: object, shown: str) -> None:
    assert value(held) == shown


def test_estimates_share_their_decimals_and_never_show_twelve_digits() -> None:
    table = pd.DataFrame(
        {
            "term": ["ATT", "other"],
            "estimate": [-1.834980123456, 0.0],
            "std_error": [0.237967, -0.0001],
            "conf_low": [-2.3, -np.inf],
            "conf_high": [-1.358809, np.nan],
            "p_value": [1.7e-10, 0.0316],
        }
    )
    made = grid(table)
    assert made.head == ("Quantity", "Estimate", "Standard error", "Interval from", "Interval to", "P-value")
    assert made.rows[0] == (
        "average effect on the treated (ATT)",
        "-1.83",
        "0.24",
        "-2.30",
        "-1.36",
        "below 0.001",
    )
    assert made.rows[1] == ("other", "0.00", "0.00", "no limit", "", "0.032")
    assert made.numeric == (False, True, True, True, True, True)


def test_shares_are_percentages_and_periods_carry_their_sign() -> None:
    made = grid(pd.DataFrame({"at": [-2.0, 0.0, 3.0], "share_observed": [1.0, 0.975, np.nan]}))
    assert made.rows == (("-2", "100.0%"), ("0", "97.5%"), ("+3", ""))
    assert facts({"effect as share of the level": -0.154}).rows == (
        ("Effect as share of the level", "-15.4%"),
    )


def test_empty_columns_are_left_out_and_headings_have_no_underscores() -> None:
    made = grid(pd.DataFrame({"conf_low": [0.1], "note": [""], "time_of_day": ["noon"]}))
    assert made.head == ("Interval from", "Time of day")
    assert heading("share_of_cells_without_rows") == "Share of cells without rows"


def test_suppressed_counts_are_aligned_like_numbers_but_labels_are_not() -> None:
    made = grid(pd.DataFrame({"label": ["3", "4"], "people": ["fewer than 10", "1,230 to 1,239"]}))
    assert made.numeric == (False, True)


def test_long_tables_are_cut_and_say_so() -> None:
    made = grid(pd.DataFrame({"estimate": np.arange(100.0)}), "All.")
    assert len(made.rows) == MOST_ROWS
    assert made.caption == f"All. The first {MOST_ROWS} of 100 lines."


def test_only_long_tables_are_folded() -> None:
    assert not grid(pd.DataFrame({"estimate": [1.0]}), folded=True).folded
    assert grid(pd.DataFrame({"estimate": np.arange(20.0)}), folded=True).folded


def test_numbers_kept_as_objects_are_still_numbers() -> None:
    made = grid(pd.DataFrame({"estimate": pd.Series([1.23456789], dtype=object)}))
    assert made.rows == (("1.23",),)


@pytest.mark.parametrize(
    ("held", "shown"), [(0.05, "0.050"), (0.0009, "below 0.001"), (float("nan"), ""), (1.0, "1.000")]
)
def test_p_values(held: float, shown: str) -> None:
    assert p_value(held) == shown


def test_a_term_on_a_smaller_scale_is_not_rounded_away() -> None:
    table = pd.DataFrame(
        {"term": ["cost", "uptake"], "estimate": [-405.1, 0.408], "std_error": [81.2, 0.039]}
    )
    made = grid(table)
    assert made.rows == (("cost", "-405.1", "81.2"), ("uptake", "0.408", "0.039"))
