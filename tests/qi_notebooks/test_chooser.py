"""The chooser: which method fits, said honestly."""

from pathlib import Path

import qi_notebooks
import qieval as qe
from qi_notebooks import chooser


def test_each_method_of_the_catalogue_has_advice_and_a_template():
    stems = [qe.method_named(name).stem for name in qe.methods()["design"]]
    assert list(chooser.NEEDS) == stems
    templates = Path(qi_notebooks.__file__).parent / "templates"
    assert all((templates / f"{stem}.ipynb").is_file() for stem in stems)


def test_the_chooser_says_honestly_when_nothing_fits():
    answers = dict.fromkeys(chooser.QUESTIONS, "yes")
    everything = chooser.advise(answers)
    kept_back = {*chooser.LAST_RESORT, *chooser.SIMPLER}
    assert everything.fits == tuple(stem for stem in chooser.NEEDS if stem not in kept_back)
    simpler = chooser.SIMPLER["staggered_adoption"][1]
    assert everything.unfit == {"staggered_adoption": (simpler,), "before_after": (chooser.STRONGER,)}
    answers |= dict.fromkeys(("cutoff", "moved by chance", "measured twice"), "no")
    several = chooser.advise({**answers, "one start": "no"})
    assert "synthetic_difference_in_differences" in several.fits
    assert several.fits[-4:] == ("matching", "genetic_matching", "weighting", "regression_adjustment")
    assert "synthetic_control" in several.unfit
    assert "difference_in_differences" in several.unfit
    alone = chooser.advise({**answers, "comparison": "no"})
    assert alone.fits == ("interrupted_time_series",)
    advice = chooser.advise({**answers, "comparison": "no", "nothing else": "no"})
    assert advice.fits == ()
    assert chooser.QUESTIONS["nothing else"].otherwise in chooser.described(advice)
    assert "None of the methods" in chooser.described(advice)
    assert chooser.QUESTIONS["comparison"].otherwise in chooser.described(advice)
    unsure = chooser.advise({**answers, "before": chooser.UNSURE})
    assert chooser.QUESTIONS["before"].words in chooser.described(unsure)


def test_a_rule_or_an_instrument_needs_no_comparison_group():
    answers = {**dict.fromkeys(chooser.QUESTIONS, "no"), "cutoff": "yes", "near the cutoff": "yes"}
    rule = chooser.advise(answers)
    assert rule.fits == ("regression_discontinuity",)
    assert "only for people near the cutoff" in chooser.described(rule)
    chance = chooser.advise({**answers, "near the cutoff": "no", "moved by chance": "yes"})
    assert chance.fits == ("instrumental_variables",)
    assert "argue it in writing" in chooser.described(chance)


def test_before_and_after_is_only_ever_a_last_resort():
    answers = {**dict.fromkeys(chooser.QUESTIONS, "no"), "measured twice": "yes"}
    alone = chooser.advise(answers)
    assert (alone.fits, alone.perhaps, alone.last_resort) == ((), {}, ("before_after",))
    said = chooser.described(alone)
    assert "As a last resort: Before and after" in said
    assert all(route in said for route in chooser.INSTEAD)
    unsure = chooser.advise({**answers, "moved by chance": chooser.UNSURE})
    assert unsure.last_resort == ()
    assert unsure.unfit["before_after"] == (chooser.STRONGER,)
    made = chooser.Chooser()
    for key, held in made._asked.items():
        held.value = answers[key]
    assert [stem for stem, place in made._links.items() if place.outputs] == ["before_after"]


def test_only_examples_for_methods_that_exist_are_listed():
    shown = chooser.Examples()
    assert {"pilot", "organ_donations"} <= set(shown.table["name"])
    assert "ward_falls" not in set(shown.table["name"])
    assert "organ_donations" in shown._repr_html_()


def test_the_chooser_follows_the_answers():
    made = chooser.Chooser()
    assert "may fit" in made._advice.value
    made._asked["comparison"].value = "no"
    assert made._links["interrupted_time_series"].outputs
    for key in ("long before", "cutoff", "moved by chance", "measured twice"):
        made._asked[key].value = "no"
    assert "None of the methods" in made._advice.value
    assert all(place.outputs == () for place in made._links.values())


def test_who_follows_a_measure_is_led_to_charts_and_asked_nothing_else():
    made = chooser.Chooser()
    assert made._chart.outputs == ()
    made._aim.value = chooser.AIMS[1]
    assert made._questions.layout.display == "none"
    assert "not say why" in made._advice.value
    assert "improvement_charts.ipynb" in made._chart.outputs[0]["data"]["text/html"]
    assert all(place.outputs == () for place in made._links.values())
    made._aim.value = chooser.AIMS[0]
    assert made._chart.outputs == ()
    assert "may fit" in made._advice.value


def test_one_place_leads_to_synthetic_control_and_a_caution_about_the_plain_comparison():
    answers = {**dict.fromkeys(chooser.QUESTIONS, "yes"), "people": "no", "many small": "no"}
    answers |= {"cutoff": "no", "moved by chance": "no"}
    advice = chooser.advise(answers)
    assert {"synthetic_control", "difference_in_differences"} <= set(advice.fits)
    assert list(advice.cautions) == ["difference_in_differences", "interrupted_time_series"]
    assert "look at synthetic control first" in chooser.described(advice)
    many = chooser.advise({**answers, "one place": "no", "nothing else": "no"})
    assert many.cautions == {}
    assert "synthetic_control" in many.unfit


def test_one_start_leads_to_the_simple_comparison_and_several_to_staggered_adoption():
    answers = {**dict.fromkeys(chooser.QUESTIONS, "no"), "comparison": "yes", "before": "yes"}
    answers["same measure"] = "yes"
    several = chooser.advise(answers)
    assert several.fits == ("staggered_adoption",)
    assert chooser.QUESTIONS["one start"].otherwise in several.unfit["difference_in_differences"]
    one = chooser.advise({**answers, "one start": "yes"})
    assert one.fits == ("difference_in_differences",)
    assert "in a simpler way" in chooser.described(one)
    unsure = chooser.advise({**answers, "one start": chooser.UNSURE})
    assert (unsure.fits, list(unsure.perhaps)) == (("staggered_adoption",), ["difference_in_differences"])


def test_several_starts_lead_to_synthetic_difference_in_differences():
    answers = {
        **dict.fromkeys(chooser.QUESTIONS, "no"),
        "comparison": "yes",
        "long before": "yes",
        "same measure": "yes",
    }
    assert chooser.advise(answers).fits[0] == "synthetic_difference_in_differences"
