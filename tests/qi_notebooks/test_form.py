"""Forms: set values, read the design; options fit the data and hold nothing of people."""

import json

import pandas as pd
import pytest

import qieval as qe
from qi_notebooks.controls import TicksControl
from qi_notebooks.controls_lists import ArgumentsControl
from qi_notebooks.form import Form
from qi_notebooks.offers import MOST_GROUPS, MOST_PERIODS, Offers


@pytest.fixture
def frame():
    made = qe.simulate_panel(12, 8, 6, seed=2)
    return made.assign(
        month=[f"2022-{t + 1:02d}" for t in made["time"]],
        site=[f"CANARY-{u}" for u in made["unit"]],
        region=["north" if u % 2 else "south" for u in made["unit"]],
    )


@pytest.fixture
def form(frame):
    made = Form(qe.DifferenceInDifferences, frame)
    made.set(outcome="y", unit="unit", time="month", treated="treated", start="2022-05")
    return made


def options(form, name):
    return [held for _, held in form.controls[name].inner.options]


def test_every_field_has_a_control_with_its_help(form):
    assert list(form.controls) == list(qe.fields_of(qe.DifferenceInDifferences))
    for name, spec in qe.fields_of(qe.DifferenceInDifferences).items():
        assert spec.help.split(": {")[0][1:] in form.controls[name].help.value.replace("&#x27;", "'"), name


def test_the_form_gives_the_design_that_was_filled_in(form):
    made = form.design()
    assert made == qe.DifferenceInDifferences(
        outcome="y", unit="unit", time="month", treated="treated", start="2022-05"
    )


def test_the_form_shows_any_design_and_gives_it_back(form):
    wanted = qe.DifferenceInDifferences(
        question="Did it work?",
        outcome="y",
        unit="unit",
        time="time",
        treated="treated",
        start=4,
        covariates=("month",),
        cluster="region",
        units_are="organisations",
        comparison="region",
        comparison_groups=("north",),
        level=0.9,
        anticipation=1,
        first_period=1,
        inference="permutation",
        events={"3": "a new tariff, everywhere"},
        arguments={"no spillover": "far apart", "something of one's own": "kept"},
    )
    form.set(**{name: getattr(wanted, name) for name in form.controls})
    assert form.design() == wanted


def test_dropdowns_offer_the_columns_that_fit(form):
    assert options(form, "treated") == [None, "treated"]
    assert options(form, "outcome") == [None, "unit", "time", "treated", "y"]
    assert options(form, "time") == [None, "unit", "time", "treated", "month"]
    assert options(form, "unit") == [None, "unit", "time", "treated", "y", "month", "site", "region"]


def test_the_start_is_one_of_the_periods_of_the_chosen_time_column(form):
    assert options(form, "start")[1:] == [f"2022-{month:02d}" for month in range(1, 9)]
    form.controls["time"].inner.value = "time"
    assert options(form, "start")[1:9] == list(range(8))
    assert form.controls["start"].get() == "2022-05", "a value is kept until the user changes it"


def test_no_label_of_a_person_is_an_option(form):
    form.set(unit="site", comparison="site")
    assert "CANARY" not in json.dumps(
        [form.controls[name].inner.get_state() for name in form.controls], default=str
    )
    assert form.controls["comparison_groups"]._boxes == {}
    form.set(units_are="organisations", comparison="region")
    assert list(form.controls["comparison_groups"]._boxes) == ["north", "south"]


def test_groups_that_are_too_many_to_choose_from_are_not_offered():
    many = pd.DataFrame({"who": [f"id{n}" for n in range(MOST_GROUPS + 1)]})
    assert Offers(many).groups("who", organisations=True) == []


def test_periods_that_are_too_many_to_choose_from_are_not_offered():
    offers = Offers(pd.DataFrame({"t": range(MOST_PERIODS + 1), "u": 1}))
    assert offers.periods("t") == []
    assert offers.periods("u") == [1]
    assert offers.periods("nowhere") == []


def test_problems_are_shown_beside_the_field(form):
    form.set(start=None, outcome="unit")
    with pytest.raises(qe.DesignError):
        form.design()
    assert "nothing is given" in form.controls["start"].message.value
    form.set(start="2022-05")
    with pytest.raises(qe.DesignError, match="both name the column 'unit'"):
        form.design()
    assert "role='alert'" in form.controls["outcome"].message.value
    assert form.controls["start"].message.value == ""
    form.set(outcome="y")
    form.design()
    assert form.controls["outcome"].message.value == ""


def test_a_column_of_another_data_set_is_named(form, frame):
    form.offer(frame.drop(columns="y"))
    with pytest.raises(qe.DesignError, match="no column 'y'"):
        form.design()


def test_problems_about_no_field_are_handed_back(form):
    problem = qe.DataError(["start: too late.", "The file is empty."])
    assert form.complain(problem) == ("The file is empty.",)
    assert "too late" in form.controls["start"].message.value


def test_proposals_say_so_until_they_are_changed(frame):
    form = Form(qe.DifferenceInDifferences, frame.drop(columns="month"))
    form.propose()
    assert form.controls["unit"].get() == "unit"
    assert form.controls["outcome"].get() == "y"
    assert "Proposed" in form.controls["unit"].message.value
    assert form.controls["start"].get() is None, "nobody can guess the start"
    form.controls["unit"].inner.value = "site"
    assert "Proposed" not in form.controls["unit"].message.value


def test_proposals_leave_alone_what_was_chosen(form):
    form.propose()
    assert form.controls["time"].get() == "month"


def test_units_of_another_outcome_are_dropped(form):
    form.set(measured_in="points")
    form.controls["outcome"].inner.value = "time"
    assert form.values()["measured_in"] == ""


def test_an_unknown_field_is_refused(form):
    with pytest.raises(qe.DesignError, match="outcom: DifferenceInDifferences has no such field"):
        form.set(outcom="y")


def test_clear_brings_back_the_defaults(form):
    form.set(level=0.8, covariates=("time",))
    form.clear()
    assert form.values() == Form(qe.DifferenceInDifferences).values()


def test_changes_are_reported_and_programmed_ones_only_once(form):
    seen = []
    form.observe(lambda: seen.append(form.values()["outcome"]))
    form.controls["outcome"].inner.value = "time"
    assert seen == ["time"]
    form.set(outcome="y", level=0.9, anticipation=1)
    assert seen == ["time", "y"]


def test_many_columns_are_ticked_not_scrolled_through(frame):
    wide = frame.assign(**{f"x{n}": n for n in range(30)})
    form = Form(qe.DifferenceInDifferences, wide)
    held = form.controls["covariates"]
    assert isinstance(held, TicksControl)
    boxes = dict(held._boxes)
    boxes["x7"].value = True
    boxes["x3"].value = True
    assert held.get() == ("x3", "x7")
    form.controls["outcome"].inner.value = "y"
    assert held._boxes["x7"] is boxes["x7"], "a change elsewhere must not build the boxes anew"
    assert held.get() == ("x3", "x7")


def test_columns_with_a_role_are_no_covariates(form):
    assert list(form.controls["covariates"]._boxes) == ["time", "site", "region"]
    form.controls["time"].inner.value = "time"
    assert list(form.controls["covariates"]._boxes) == ["month", "site", "region"]


def test_each_untestable_assumption_has_its_own_area(form):
    untestable = [
        item.name for item in qe.method_of(qe.DifferenceInDifferences).assumptions if not item.testable
    ]
    held = form.controls["arguments"]
    assert isinstance(held, ArgumentsControl)
    assert list(held._areas) == untestable
    held._areas["no spillover"].value = "  The practices share no patients.  "
    assert form.values()["arguments"] == {"no spillover": "The practices share no patients."}


def test_events_are_added_and_removed(form):
    held = form.controls["events"]
    held._add("2022-03", "a strike, everywhere")
    held._add("", "words without a date do not count")
    assert form.values()["events"] == {"2022-03": "a strike, everywhere"}
    held._remove(held._rows[0])
    assert form.values()["events"] == {}
