import pytest

from qieval.reports.rule import SuppressionRule
from qieval.reports.wording import Who, counts_in_text, sentence
from qieval.text import Count, Counted

RULE = SuppressionRule()
ORGANISATIONS = Who(units=False, clusters=False)


def test_marked_counts_are_replaced_wherever_they_stand() -> None:
    said = Counted("Of {all} people {few} left.", all=Count(120), few=Count(3))
    assert sentence(said, RULE) == "Of 120 people fewer than 10 left."


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("4 rows were left out.", "Fewer than 10 rows were left out."),
        ("1 unit was lost", "Fewer than 10 units was lost"),
        (
            "'x' is empty in 3 rows, and 2,500 rows are left.",
            "'x' is empty in fewer than 10 rows, and 2,500 rows are left.",
        ),
        (
            "7 treated clusters and 36 comparison clusters",
            "Fewer than 10 treated clusters and 36 comparison clusters",
        ),
        ("118 clusters (7 treated)", "118 clusters (fewer than 10 treated)"),
        ("5 periods before the start", "5 periods before the start"),
        ("admissions per 5 people a month", "admissions per 5 people a month"),
        ("The effect is 3.5 rows", "The effect is 3.5 rows"),
    ],
)
def test_numbers_before_nouns_for_people_are_recognised(said: str, shown: str) -> None:
    assert sentence(said, RULE) == shown


def test_counts_inside_the_fixed_words_of_a_marked_sentence_are_found_too() -> None:
    said = Counted("{rows} rows were left out: missing values in 'x' (4 rows)", rows=Count(4))
    assert (
        sentence(said, RULE) == "Fewer than 10 rows were left out: missing values in 'x' (fewer than 10 rows)"
    )
    assert sorted(counts_in_text(said, Who())) == [(4, "rows"), (4, "rows rows")]


def test_counts_of_organisations_are_left_alone() -> None:
    assert (
        sentence("7 treated clusters of 60 clusters", RULE, ORGANISATIONS)
        == "7 treated clusters of 60 clusters"
    )
    assert sentence("4 rows", RULE, ORGANISATIONS) == "Fewer than 10 rows"


def test_what_gives_the_number_of_people_away_is_banded_where_clusters_are_people() -> None:
    rule = SuppressionRule(band=1)
    said = "cluster-robust t with 117 degrees of freedom"
    assert sentence(said, rule) == "cluster-robust t with 110 to 119 degrees of freedom"
    assert sentence(said, rule, ORGANISATIONS) == said


def test_rows_are_hidden_by_how_many_a_person_has() -> None:
    who = Who(rows_each=12)
    assert sentence("119 rows of 15 people", RULE, who) == "Fewer than 120 rows of 15 people"
    assert sentence(Counted("{lost} rows of {n} people", lost=Count(119), n=Count(15)), RULE, who) == (
        "Fewer than 120 rows of 15 people"
    )
