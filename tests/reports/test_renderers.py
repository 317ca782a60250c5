import pytest

from qieval.reports import blocks as b
from qieval.reports import html, markdown

BLOCKS = [
    (b.Paragraph("a < b"), "<p>a &lt; b</p>", r"a \< b"),
    (b.Paragraph("Main", "lead"), '<p class="lead">Main</p>', "**Main**"),
    (b.Bullets(("one", "two|three")), "<ul><li>one</li><li>two|three</li></ul>", "- one\n- two\\|three"),
    (b.Heading("Part"), "<h3>Part</h3>", "### Part"),
    (
        b.Facts((("Rows", "12"),)),
        "<dl><dt>Rows</dt><dd>12</dd></dl>",
        "|  |  |\n| --- | --- |\n| Rows | 12 |",
    ),
    (b.Code("x = '<'"), "<pre><code>x = &#x27;&lt;&#x27;</code></pre>", "```python\nx = '<'\n```"),
]


@pytest.mark.parametrize(("block", "as_html", "as_markdown"), BLOCKS)
def test_blocks(block: b.Block, as_html: str, as_markdown: str) -> None:
    assert html.render(block) == as_html
    assert markdown.render(block, lambda figure: "") == as_markdown


def test_tables() -> None:
    grid = b.Grid(("Name", "Rows"), (("a_b", "1,200"),), (False, True), "A caption.")
    assert '<th scope="col" class="n">Rows</th>' in html.render(grid)
    assert '<td>a_b</td><td class="n">1,200</td>' in html.render(grid)
    assert markdown.render(grid, lambda figure: "") == (
        "| Name | Rows |\n| --- | ---: |\n| a\\_b | 1,200 |\n\nA caption."
    )


def test_folded_tables_say_how_long_they_are() -> None:
    grid = b.Grid(("x",), (("1",), ("2",)), (True,), folded=True)
    assert html.render(grid).startswith("<details><summary>Show the numbers (2 lines)</summary>")


def test_verdicts_carry_a_sign_and_a_word() -> None:
    finding = b.Finding("concern", "trends", "They part.")
    assert "▲ concern" in html.render(finding)
    assert markdown.render(finding, lambda figure: "") == "### Trends (▲ concern)\n\nThey part."


def test_ledger_rows_leave_out_what_is_not_there() -> None:
    row = b.LedgerRow("untestable", "no spillover", "Nobody moved.", "", "", "If it fails: bias")
    text = markdown.render(b.Ledger((row,)), lambda figure: "")
    assert text == "### No spillover (? untestable)\n\nNobody moved.\n\nIf it fails: bias"
    assert "Argument" not in html.render(b.Ledger((row,)))


def test_pictures_are_addressed_as_asked() -> None:
    figure = b.Figure(b"png", "A [chart]", "Caption", "chart")
    assert markdown.render(figure, lambda shown: f"files/{shown.name}.png") == (
        "![A  chart ](files/chart.png)\n\n*Caption*"
    )
    assert 'src="data:image/png;base64,cG5n"' in html.render(figure)


@pytest.mark.parametrize("thing", ["text", 3, None])
def test_what_is_no_block_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="no block of a report"):
        html.render(thing)
    with pytest.raises(TypeError, match="no block of a report"):
        markdown.render(thing, lambda figure: "")  # type: ignore[arg-type]
