"""Balance and overlap as light HTML."""

import re

import numpy as np
import pytest

import qieval as qe
from qi_notebooks import live


@pytest.fixture(scope="module")
def bench():
    people = qe.data.simulate_cohort(600, seed=4).frame
    return qe.tuning(qe.Matching(treated="service", covariates=("age", "sex", "frailty")), people)


def rows(drawn):
    return re.findall(r"<th scope='row'>(.*?)</th>.*?<td>(.*?)</td><td[^>]*>(.*?)</td></tr>", drawn)


def test_each_characteristic_has_a_row_with_its_differences(bench):
    trial = bench.try_(caliper=0.1)
    table = trial.balance.table
    sizes = table.assign(size=table["standardised_difference"].abs()).set_index(["characteristic", "sample"])
    drawn = rows(live.love(trial))
    assert {name for name, _, _ in drawn} == set(table["characteristic"])
    for name, before, after in drawn:
        assert float(before) == pytest.approx(sizes.loc[(name, "before"), "size"], abs=6e-4)
        assert float(after) == pytest.approx(sizes.loc[(name, "after"), "size"], abs=6e-4)
    assert [float(before) for _, before, _ in drawn] == sorted(
        (float(before) for _, before, _ in drawn), reverse=True
    )


def test_a_moved_caliper_moves_the_marks_but_not_the_rows(bench):
    wide, narrow = (live.love(bench.try_(caliper=caliper)) for caliper in (2.0, 0.01))
    assert [name for name, *_ in rows(wide)] == [name for name, *_ in rows(narrow)]
    assert wide != narrow
    assert "says nothing about unmeasured ones" in wide


def test_the_line_of_numbers_says_who_takes_part_and_whether_the_rule_is_met(bench):
    trial = bench.try_(caliper=0.05)
    shown = re.sub("<[^>]+>", "", live.numbers(trial))
    took, every = trial.treated
    assert f"{took} of {every} treated people" in shown
    assert f"{trial.left_out} left out" in shown
    assert f"largest difference {trial.largest[0]:.3f} ({trial.largest[1]})" in shown
    assert ("✓ balance rule met" in shown) is trial.met
    assert "✗ balance rule not met" in live.numbers(bench.try_(balance_rule=0.01, caliper=2.0))


def test_names_of_columns_are_escaped():
    rng = np.random.default_rng(1)
    people = qe.data.simulate_cohort(300, seed=4).frame.assign(**{"<b>x": rng.normal(size=300)})
    trial = qe.tuning(qe.Matching(treated="service", covariates=("age", "<b>x")), people).try_()
    assert "<b>x" not in live.love(trial)
    assert "&lt;b&gt;x" in live.love(trial)


def test_many_characteristics_are_cut_and_it_is_said():
    rng = np.random.default_rng(2)
    names = [f"a rather long name of a characteristic, number {at}" for at in range(live.MOST + 5)]
    people = (
        qe.data.simulate_cohort(900, seed=4)
        .frame[["service"]]
        .assign(**{name: rng.normal(size=900) for name in names})
    )
    drawn = live.love(qe.tuning(qe.Matching(treated="service", covariates=tuple(names)), people).try_())
    assert len(rows(drawn)) == live.MOST
    assert "5 more characteristics are not drawn" in drawn
    assert all(name in names for name, *_ in rows(drawn))


def test_overlap_draws_both_groups_before_and_after(bench):
    drawn = live.overlap(bench.try_(caliper=0.05))
    assert drawn.count("qi-bar-outline") > 10
    assert "qi-bar-treated" in drawn
    assert "qi-bar-comparison" in drawn
    heights = [float(found) for found in re.findall(r"height='([\d.]+)'", drawn)]
    assert max(heights) == pytest.approx(live.HIGH, abs=0.1)


def test_without_covariates_or_score_it_is_said():
    people = qe.data.simulate_cohort(300, seed=4).frame
    trial = qe.tuning(qe.Matching(treated="service", method="exact", exact=("sex",)), people).try_()
    assert "No characteristic is named" in live.love(trial)
    assert "no propensity score" in live.overlap(trial)
    assert live.search(trial) == ""


def test_a_search_shows_its_restarts(bench):
    design = qe.GeneticMatching(treated="service", covariates=("age", "frailty"), evaluations=60, restarts=2)
    people = qe.data.simulate_cohort(300, seed=4).frame
    drawn = live.search(qe.tuning(design, people).try_())
    assert "restart 2" in drawn
    assert "smallest p-value" in drawn
