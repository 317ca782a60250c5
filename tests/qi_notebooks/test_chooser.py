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
    assert chooser.advise(answers).fits == tuple(chooser.NEEDS)
    several = chooser.advise({**answers, "one start": "no"})
    assert "synthetic_difference_in_differences" in several.fits
    assert several.fits[-3:] == ("matching", "genetic_matching", "weighting")
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


def test_only_examples_for_methods_that_exist_are_listed():
    shown = chooser.Examples()
    assert {"pilot", "organ_donations"} <= set(shown.table["name"])
    assert "thornton_hiv" not in shown._repr_html_()
    assert "organ_donations" in shown._repr_html_()


def test_the_chooser_follows_the_answers():
    made = chooser.Chooser()
    assert "may fit" in made._advice.value
    made._asked["comparison"].value = "no"
    assert made._links["interrupted_time_series"].outputs
    made._asked["long before"].value = "no"
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
    advice = chooser.advise(answers)
    assert {"synthetic_control", "difference_in_differences"} <= set(advice.fits)
    assert list(advice.cautions) == ["difference_in_differences", "interrupted_time_series"]
    assert "look at synthetic control first" in chooser.described(advice)
    many = chooser.advise({**answers, "one place": "no", "nothing else": "no"})
    assert many.cautions == {}
    assert "synthetic_control" in many.unfit


def test_several_starts_lead_to_synthetic_difference_in_differences():
    answers = {
        **dict.fromkeys(chooser.QUESTIONS, "no"),
        "comparison": "yes",
        "long before": "yes",
        "same measure": "yes",
    }
    assert chooser.advise(answers).fits[0] == "synthetic_difference_in_differences"
