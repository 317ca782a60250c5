import base64
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import qieval as qe
from qieval.errors import DesignError
from qieval.reports import sections as order
from qieval.reports.blocks import Code, Figure, Grid, Ledger, Paragraph
from qieval.reports.report import Report, report

pytestmark = pytest.mark.xdist_group("reports")

TITLES = [
    "Question",
    "Answer in brief",
    "Design",
    "Protocol",
    "Data and attrition",
    "Design checks",
    "Estimate",
    "Assumption ledger",
    "Evidence for each check",
    "Sensitivity",
    "Limitations",
    "How to read this report",
    "Reporting checklist",
    "Small numbers",
    "Reproducibility",
]


@pytest.fixture(scope="session")
def full(organisations) -> Report:
    return report(
        organisations.result,
        organisations.checks,
        organisations.variation,
        design_checks=organisations.design_checks,
    )


@pytest.fixture(scope="session")
def guarded(people) -> Report:
    return report(people.result, people.checks, people.variation, design_checks=people.design_checks)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures, which take seconds."""
    drawn = ("design_checks", "estimate", "evidence", "sensitivity")
    kept = [part for part in order.IN_ORDER if part.__name__ not in drawn]
    monkeypatch.setattr(order, "IN_ORDER", tuple(kept))


class Page(HTMLParser):
    """What a page refers to and holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _section(made: Report, title: str) -> str:
    part = next(section for section in made.sections if section.title == title)
    alone = dataclasses.replace(made, sections=(part,))
    return re.sub(r"\(data:[^)]*\)", "", alone.markdown)


def test_all_sections_are_there_in_order(full: Report) -> None:
    assert [section.title for section in full.sections] == TITLES


def test_the_page_needs_nothing_from_outside(full: Report) -> None:
    page = Page(full.html)
    assert not page.open
    assert not page.named("script")
    assert not page.named("link")
    addresses = [
        str(value)
        for _, held in page.tags
        for name, value in held.items()
        if name in ("src", "href", "srcset")
    ]
    assert addresses
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert "@import" not in full.html
    assert "url(" not in full.html


def test_every_link_of_the_contents_has_its_section(full: Report) -> None:
    page = Page(full.html)
    targets = {held.get("id") for _, held in page.tags}
    assert {str(held["href"])[1:] for held in page.named("a")} <= targets
    assert len(page.named("section")) == len(TITLES)


def test_the_page_can_be_read_by_everyone(full: Report) -> None:
    page = Page(full.html)
    assert page.named("html") == [{"lang": "en-GB"}]
    assert all(str(held["alt"]).startswith("Chart. ") for held in page.named("img"))
    assert all(held.get("scope") == "col" for held in page.named("th"))
    assert {"class": "skip", "href": "#content"} in page.named("a")


def test_pictures_are_pictures(full: Report) -> None:
    figures = list(full.figures())
    assert len(figures) >= 5
    assert all(figure.png.startswith(b"\x89PNG") for figure in figures)
    names = {figure.name for figure in figures}
    assert {"trajectory", "event-study", "sensitivity"} <= names
    held = str(Page(full.html).named("img")[0]["src"]).split(",")[1]
    assert base64.b64decode(held) == figures[0].png


def test_words_of_the_user_cannot_act_as_html(full: Report) -> None:
    assert "Did &lt;it&gt; work &amp; how?" in full.html
    assert "<it>" not in full.html
    assert r"Did \<it\> work & how?" in full.markdown


def test_the_headline_the_protocol_and_the_ledger_are_told(full: Report, organisations) -> None:
    text = _section(full, "Answer in brief")
    assert organisations.result.headline in text.replace("\\", "")
    assert "as locked" in text
    ledger = next(block for section in full.sections for block in section.blocks if isinstance(block, Ledger))
    assert [row.assumption for row in ledger.rows] == [item.name for item in organisations.checks.assumptions]
    argued = {row.assumption: row.argument for row in ledger.rows}
    assert argued["no spillover"] == "The sites are far apart."
    assert argued["parallel trends after the start"] == "No argument has been given yet."


def test_limitations_list_what_is_open_and_what_rests_on_argument(full: Report) -> None:
    text = _section(full, "Limitations")
    opened, argued = text.split("### Resting on an argument alone")
    assert "Parallel trends after the start" in opened
    assert "No spillover" not in opened
    assert "No spillover: The sites are far apart." in argued


@pytest.mark.usefixtures("quick")
def test_changes_since_the_protocol_are_exploratory(organisations) -> None:
    result = organisations.result
    moved = qe.lock(dataclasses.replace(result.design, start=4))
    made = report(dataclasses.replace(result, protocol=moved), organisations.checks)
    text = _section(made, "Protocol")
    assert "Exploratory: 1 field of the design changed" in text
    assert "| Start | 4 | 5 |" in text
    assert "does not follow a locked protocol" in _section(made, "Limitations")


def test_without_protocol_design_checks_and_variation_the_report_says_so(organisations) -> None:
    bare = dataclasses.replace(organisations.result, protocol=None, record=None)
    made = report(bare, organisations.checks)
    assert "No protocol was locked" in _section(made, "Protocol")
    assert "No design checks were given" in _section(made, "Design checks")
    assert "No sensitivity analysis was made." in _section(made, "Sensitivity")
    assert "no record of its data" in _section(made, "Data and attrition")
    assert (
        "STROBE | 17 | Other analyses, such as sensitivity analyses | for the authors to write"
        in _section(made, "Reporting checklist")
    )


def test_the_checklist_points_to_sections_that_exist(full: Report) -> None:
    grid = next(block for block in full.sections[12].blocks if isinstance(block, Grid))
    pointed = {
        row[3].removeprefix("Section '").removesuffix("'")
        for row in grid.rows
        if row[3].startswith("Section")
    }
    assert pointed <= set(TITLES)
    assert {"Protocol", "Sensitivity", "Data and attrition"} <= pointed


def test_the_code_rebuilds_the_design(full: Report, organisations) -> None:
    code = next(block.text for block in full.sections[-1].blocks if isinstance(block, Code))
    stated = code.split("design = ")[1].split("\nresult")[0]
    assert eval(stated, {"qe": qe}) == organisations.result.design


def test_the_ledger_cannot_be_left_out(organisations) -> None:
    checks = organisations.checks
    filtered = dataclasses.replace(checks, assumptions=checks.assumptions[1:])
    with pytest.raises(DesignError, match=r"lacks 1 assumption .*parallel trends before the start"):
        report(organisations.result, filtered)
    with pytest.raises(DesignError, match="lacks 11 assumptions"):
        report(organisations.result, organisations.design_checks)


def test_no_check_can_be_left_out(organisations) -> None:
    fewer = dataclasses.replace(organisations.checks, checks=organisations.checks.checks[:-1])
    with pytest.raises(DesignError, match=r"10 of the 11 checks"):
        report(organisations.result, fewer)


def test_a_variation_of_another_design_is_refused(organisations) -> None:
    other = dataclasses.replace(organisations.variation.design, level=0.9)
    with pytest.raises(DesignError, match="variation: it was made from another design"):
        report(
            organisations.result,
            organisations.checks,
            dataclasses.replace(organisations.variation, design=other),
        )


@pytest.mark.usefixtures("quick")
def test_words_written_after_the_variation_do_not_matter_and_are_the_ones_shown(organisations) -> None:
    design = dataclasses.replace(organisations.result.design, arguments={"no spillover": "Written later."})
    made = report(
        dataclasses.replace(organisations.result, design=design),
        organisations.checks,
        organisations.variation,
    )
    assert "Argument: Written later." in _section(made, "Assumption ledger")


def test_a_low_threshold_needs_a_reason_which_is_printed(people) -> None:
    with pytest.raises(DesignError, match="reason"):
        report(people.result, people.checks, threshold=1)
    made = report(people.result, people.checks, threshold=1, reason="the people are simulated")
    assert "Small numbers are shown: the people are simulated" in _section(made, "Small numbers")
    assert "Small numbers are shown: the people are simulated" in made.html
    assert "| Treated units | 7 |" in _section(made, "Estimate")


def test_small_numbers_are_nowhere_in_the_report_of_people(guarded: Report) -> None:
    text = re.sub(r"\(data:[^)]*\)", "", guarded.markdown).replace("A person has up to 8 rows", "")
    assert "| Treated units | fewer than 10 |" in text
    assert not re.search(r"\b[1-9] (rows|people|treated|units|clusters)\b", text)
    assert not re.search(
        r"(?<![\d.,])(942|944|940|118|111|113|936)\b", text
    )  # totals that give small losses away


def test_pictures_and_tables_of_a_small_group_are_left_out_with_the_reason(
    guarded: Report, full: Report
) -> None:
    names = {figure.name for figure in guarded.figures()}
    assert "trajectory" in {figure.name for figure in full.figures()}
    assert not names & {"trajectory", "leave-one-out", "trends-before-the-start-without-later-outcomes"}
    assert "a group has fewer than 10 people" in _section(guarded, "Estimate")
    assert "one person" in _section(guarded, "Evidence for each check")


def test_estimates_without_one_person_are_given_neither_in_words_nor_in_numbers(
    guarded: Report, people
) -> None:
    said = people.checks["leave one out"].text
    low, high = re.findall(r"(?:from|to) (-?[\d.]+\d)", said)
    text = _section(guarded, "Evidence for each check") + _section(guarded, "Assumption ledger")
    assert low not in text
    assert high not in text
    assert "its range is not shown" in text


def test_what_was_withheld_is_logged(guarded: Report, full: Report) -> None:
    assert "Nothing had to be withheld." in _section(full, "Small numbers")
    text = _section(guarded, "Small numbers")
    assert "| Estimate | counts hidden |" in text
    assert "| Estimate | tables or pictures left out | 1 |" in text
    assert "A person has up to 8 rows" in text


def test_the_report_holds_text_and_pictures_only(full: Report) -> None:
    def leaves(held: object) -> set[type]:
        if dataclasses.is_dataclass(held):
            return {leaf for item in dataclasses.fields(held) for leaf in leaves(getattr(held, item.name))}
        if isinstance(held, tuple):
            return {leaf for item in held for leaf in leaves(item)}
        return {type(held)}

    assert leaves(full) <= {str, bytes, bool, int}


def test_html_is_saved_as_one_file_and_written_over(full: Report, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert full.save(target) == target
    assert target.read_text(encoding="utf-8") == full.html
    assert list(tmp_path.iterdir()) == [target]


def test_markdown_is_saved_with_its_pictures_beside_it(full: Report, tmp_path: Path) -> None:
    target = full.save(tmp_path / "my study.md")
    linked = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", target.read_text(encoding="utf-8"))
    assert len(linked) == len(list(full.figures()))
    stored = [(tmp_path / address.replace("%20", " ")).read_bytes() for address in linked]
    assert stored == [figure.png for figure in full.figures()]


@pytest.mark.parametrize("name", ["report.pdf", "report", "report.docx"])
def test_other_endings_are_refused(full: Report, tmp_path: Path, name: str) -> None:
    with pytest.raises(DesignError, match=re.escape(name)):
        full.save(tmp_path / name)


def test_folders_are_not_made_silently(full: Report, tmp_path: Path) -> None:
    with pytest.raises(DesignError, match="no folder 'missing'"):
        full.save(tmp_path / "missing" / "report.html")
    assert not (tmp_path / "missing").exists()


def test_the_display_in_a_notebook_is_a_short_card(full: Report) -> None:
    card = full._repr_html_()
    assert len(card) < 6000
    assert "Did &lt;it&gt; work" in card
    assert "data:" not in card
    assert repr(full).startswith("Report: Did <it> work & how?")


@pytest.mark.usefixtures("quick")
def test_the_title_falls_back_on_method_and_outcome(people) -> None:
    made = report(people.result, people.checks)
    assert made.title == "Difference-in-differences: y"
    assert report(people.result, people.checks, title="Mine").title == "Mine"


def test_the_range_of_the_variation_is_told(full: Report, organisations) -> None:
    text = _section(full, "Sensitivity")
    assert "Over 3 designs the estimate runs from" in text
    assert "start = 4" in text


def test_pictures_are_not_kept_open(full: Report) -> None:
    from matplotlib import pyplot

    assert list(full.figures())
    assert pyplot.get_fignums() == []


def test_paragraphs_and_figures_have_plain_representations(full: Report) -> None:
    figure = next(full.figures())
    assert isinstance(figure, Figure)
    assert re.fullmatch(r"Figure\('[a-z-]+', [\d,]+ bytes\)", repr(figure))
    assert Paragraph("x").kind == ""
