import itertools
from collections import defaultdict

import pandas as pd
import pytest

from qieval.errors import DataError
from qieval.reports.flow import ALL_STEPS, suppress_flow
from qieval.reports.rule import SuppressionRule
from qieval.reports.wording import Who

RULE = SuppressionRule()


def _table(left: tuple[int, ...], column: str = "rows") -> pd.DataFrame:
    return pd.DataFrame({"step": range(len(left)), "reason": ["r"] * len(left), column: left})


def _narrowed(threshold: int, steps: int) -> list[tuple[tuple[int, ...], int]]:
    """Of all flows, grouped by what is printed for them, the small losses that the print narrows.

    The reader knows the algorithm: a flow counts as possible only if it would be printed in exactly the same
    way.
    """
    rule = SuppressionRule(threshold=threshold)
    highest = 2 * (steps + 1) * threshold - 1
    by_print = defaultdict(list)
    for left in itertools.combinations_with_replacement(range(highest, -1, -1), steps + 1):
        if left[0] >= threshold:
            by_print[suppress_flow(_table(left), rule).to_csv()].append(left)
    found = []
    for same in by_print.values():
        for step in range(steps):
            possible = {left[step] - left[step + 1] for left in same}
            small = possible & set(range(1, threshold))
            if small and small != set(range(1, threshold)):
                found.append((same[0], step))
    return found


@pytest.mark.parametrize(("threshold", "steps"), [(3, 1), (10, 1), (3, 2)])
def test_no_small_loss_can_be_narrowed_even_by_a_reader_who_knows_the_rules(
    threshold: int, steps: int
) -> None:
    assert _narrowed(threshold, steps) == []


@pytest.mark.slow
def test_no_small_loss_can_be_narrowed_with_a_wider_threshold() -> None:
    assert _narrowed(4, 2) == []


def test_the_search_would_notice_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qieval.reports.flow.Flow.band", lambda flow, rule: 1)
    assert _narrowed(3, 2) != []


def test_large_losses_are_printed_as_they_are() -> None:
    text = suppress_flow(_table((1200, 1100, 1000)), RULE)
    assert text["rows left"].tolist() == ["1,200", "1,100", "1,000"]
    assert text["rows lost"].tolist() == ["", "100", "100"]


def test_one_small_loss_turns_totals_into_bands(steps: pd.DataFrame) -> None:
    text = suppress_flow(steps, RULE)
    assert text["rows left"].tolist() == ["1,200 to 1,209", "1,200 to 1,209", "1,100 to 1,109"]
    assert text["rows lost"].tolist() == ["", "fewer than 10", "10 or more"]
    assert text["reason"].tolist() == ["read", "no age (fewer than 10 rows)", "under 18"]


def test_several_small_losses_are_put_together() -> None:
    table = _table((1204, 1200, 1198)).assign(reason=["read", "no age (4 rows)", "no sex (2 rows)"])
    text = suppress_flow(table, RULE)
    assert text["step"].tolist() == ["0", ALL_STEPS]
    assert text["reason"].tolist() == ["read", "no age (some rows); no sex (some rows)"]
    assert text["rows left"].tolist() == ["1,200 to 1,229", "1,170 to 1,199"]
    assert text["rows lost"].tolist() == ["", "not shown"]


def test_units_that_are_organisations_are_printed() -> None:
    table = _table((60, 57), "units").assign(rows=[2000, 1900])
    text = suppress_flow(table, RULE, Who(units=False, clusters=False))
    assert text["units left"].tolist() == ["60", "57"]
    assert text["units lost"].tolist() == ["", "3"]
    assert suppress_flow(table, RULE)["units lost"].tolist() == ["", "fewer than 10"]


def test_rows_are_judged_by_how_many_a_person_has() -> None:
    text = suppress_flow(_table((1200, 1164)), RULE, Who(rows_each=12))
    assert text["rows lost"].tolist() == ["", "fewer than 120"]


def test_nothing_changes_without_suppression(steps: pd.DataFrame) -> None:
    text = suppress_flow(steps, SuppressionRule(threshold=0, reason="published"))
    assert text["rows lost"].tolist() == ["", "4", "100"]


@pytest.mark.parametrize(
    ("table", "message"),
    [(pd.DataFrame({"rows": [3]}), "step, reason"), (_table((5, 6)), "leaves more than the step before")],
)
def test_tables_that_are_no_flow_are_refused(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        suppress_flow(table, RULE)
