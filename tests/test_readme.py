"""The README: its table of methods is that of the catalogue, its ten lines run, its links lead somewhere."""

import re
from pathlib import Path

import qieval as qe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def methods_table() -> str:
    """The table as it must stand between the two marks of the README."""
    rows = ["| method | question | strengths | limits |", "|---|---|---|---|"]
    rows += [
        f"| {row.method} (`qe.{row.design}`) | {row.question} | {row.strengths} | {row.limits} |"
        for row in qe.methods().itertuples()
    ]
    return "\n".join(rows)


def test_methods_table_is_that_of_the_catalogue():
    found = re.search(r"<!-- methods: begin.*?-->\n(.*?)\n<!-- methods: end -->", README, flags=re.DOTALL)
    assert found and found.group(1) == methods_table(), f"put this table into the README:\n{methods_table()}"


def test_the_lines_of_python_run(tmp_path, monkeypatch):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_commands_come_first():
    assert README.index("make lab") < README.index("![")
    assert README.index("make lab") < README.index("##")
