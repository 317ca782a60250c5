import dataclasses

import numpy as np
import pandas as pd
import pytest

from qieval.check import Check
from qieval.errors import DataError
from qieval.reports.gate import NO_MEAN, NOT_SHOWN, Findings, Gate
from qieval.reports.rule import SuppressionRule
from qieval.text import Count, Counted

RULE = SuppressionRule()


def _with_facts(findings: Findings, **facts: object) -> Findings:
    held = findings.facts.to_dict() | {name.replace("_", " "): value for name, value in facts.items()}
    result = dataclasses.replace(findings.result, facts=pd.Series(held, dtype=object))
    return dataclasses.replace(findings, result=result)


def test_nothing_is_banded_where_nothing_is_small(organisations) -> None:
    gate = Gate(organisations.findings, RULE)
    assert (gate.rule.band, gate.small_groups, gate.steps_together) == (0, False, False)
    assert gate.value(Count(480), "rows used", "Estimate") == "480"
    assert not gate.log


def test_one_small_count_anywhere_makes_bands_everywhere(organisations) -> None:
    small = dataclasses.replace(
        organisations.findings.checks.checks[0], text=Counted("{n} people", n=Count(3)), table=None
    )
    checks = dataclasses.replace(organisations.checks, checks=(small, *organisations.checks.checks[1:]))
    gate = Gate(dataclasses.replace(organisations.findings, checks=checks), RULE)
    assert gate.value(Count(480), "rows used", "Estimate") == "480 to 489"


def test_counts_of_organisations_are_printed(organisations) -> None:
    gate = Gate(_with_facts(organisations.findings, treated_units=4, rows_used=Count(470)), RULE)
    assert gate.value(4, "treated units", "Estimate") == 4
    assert gate.value(4, "clusters", "Estimate") == 4


def test_counts_of_people_are_hidden_also_where_they_are_plain_numbers(people) -> None:
    gate = Gate(people.findings, RULE)
    assert gate.value(np.int64(7), "treated clusters", "Estimate") == "fewer than 10"
    assert gate.value(5, "periods before the start", "Estimate") == 5
    assert gate.log[("Estimate", "counts hidden")] == 1


def test_clusters_of_people_may_be_organisations(people) -> None:
    design = dataclasses.replace(people.result.design, cluster="practice")
    findings = dataclasses.replace(people.findings, result=dataclasses.replace(people.result, design=design))
    assert (findings.who.units, findings.who.clusters) == (True, False)


def test_a_person_has_as_many_rows_as_there_are_periods(people, organisations) -> None:
    assert people.findings.who.rows_each == 8
    assert organisations.findings.who.rows_each == 1


def test_groups_of_unknown_size_count_as_small(people) -> None:
    facts = people.result.facts.drop("treated units")
    unknown = dataclasses.replace(people.result, facts=facts)
    assert Gate(dataclasses.replace(people.findings, result=unknown), RULE).small_groups


def test_large_groups_of_people_may_be_drawn(people) -> None:
    large = _with_facts(people.findings, treated_units=Count(40), comparison_units=Count(80))
    gate = Gate(large, RULE)
    assert not gate.small_groups
    assert gate.withholds_picture("trajectory", "Estimate") == ""


def test_means_of_a_small_group_are_withheld(people) -> None:
    gate = Gate(people.findings, RULE)
    assert gate.small_groups
    assert "fewer than 10 people" in gate.withholds_picture("trajectory", "Estimate")
    assert gate.withholds_picture("event study", "Estimate") == ""
    assert gate.value(11.9, "expected level without the intervention", "Estimate") == NOT_SHOWN
    table = pd.DataFrame(
        {"characteristic": ["y"], "treated": [1.5], "comparison": [2.5], "difference": [0.1]}
    )
    shown = gate.table(table, "Balance")
    assert shown.iloc[0].tolist() == ["y", NOT_SHOWN, NOT_SHOWN, 0.1]
    said = gate.text("Up 1.5 in all. At 3.5 the level of the treated was 11.3. Last 2.5.", "Scale")
    assert said == f"Up 1.5 in all. {NO_MEAN} Last 2.5."


def test_shares_of_people_are_withheld_where_counts_are_small(people) -> None:
    gate = Gate(people.findings, RULE)
    shown = gate.table(pd.DataFrame({"share_observed": [1.0, 0.97, 0.0, np.nan]}), "Composition")
    assert shown["share_observed"].tolist() == ["100%", NOT_SHOWN, "0%", ""]
    assert "97%" not in gate.text("Units observed: 97% of the treated, 99% of the comparison units.", "x")


def test_leaving_out_one_person_is_not_shown(people, organisations) -> None:
    check = Check(
        name="leave one out",
        assumption="no single unit decides the result",
        verdict="supports",
        text="x",
        table=pd.DataFrame({"label": ["without cluster 3"], "estimate": [1.0]}),
        picture="intervals",
    )
    assert "one person" in Gate(people.findings, RULE).withholds(check)
    assert Gate(organisations.findings, RULE).withholds(check) == ""


def test_several_small_losses_put_the_steps_together(people) -> None:
    gate = Gate(people.findings, RULE)
    assert gate.steps_together
    assert gate.text(Counted("{rows} rows were lost.", rows=Count(4)), "Data") == "Some rows were lost."
    assert gate.table(people.result.record.attrition, "Data")["rows lost"].tolist() == ["", "not shown"]


def test_a_loss_between_the_data_and_the_estimate_counts_too(organisations) -> None:
    """Nothing is small by itself, but 480 rows in the data less 476 rows used would give the loss away."""
    findings = _with_facts(organisations.findings, rows_used=Count(476))
    gate = Gate(findings, RULE)
    assert gate.value(Count(480), "rows in the data", "Data") == "480 to 489"
    assert gate.value(Count(476), "rows used", "Data") == "470 to 479"


@pytest.mark.parametrize("held", [[1], {"a": 1}, np.zeros(3), object()])
def test_values_of_unknown_kinds_are_refused(organisations, held: object) -> None:
    with pytest.raises(DataError, match=r"weird: a .* cannot be printed safely"):
        Gate(organisations.findings, RULE).value(held, "weird", "Estimate")


def test_a_reason_switches_everything_off(people) -> None:
    gate = Gate(people.findings, SuppressionRule(threshold=0, reason="simulated"))
    assert gate.value(Count(3), "units", "Estimate") == "3"
    assert not gate.small_groups
    assert gate.table(people.result.record.attrition, "Data")["people lost"].tolist() == ["", "2"]
    assert not gate.log
