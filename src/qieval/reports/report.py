"""The report of a study: one file with everything a reader needs to judge it, free of small numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from qieval import markup
from qieval.check import Checks
from qieval.errors import DesignError
from qieval.reports import html, markdown
from qieval.reports.blocks import Figure, Section
from qieval.reports.gate import Findings
from qieval.reports.rule import DEFAULT_THRESHOLD, SuppressionRule
from qieval.reports.sections import sections
from qieval.result import Result
from qieval.verbs import Variation

SUFFIXES = (".html", ".md")


@dataclass(frozen=True, repr=False)
class Report:
    """A report as sections of text, tables and pictures. It holds no rows of data and no small counts.

    `html` is one self-contained document, `markdown` the same with the pictures inside; `save` writes either.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    rule: SuppressionRule = field(default_factory=SuppressionRule)

    @property
    def html(self) -> str:
        """The report as one HTML document that needs nothing from outside."""
        return html.document(self.title, self.subtitle, self.sections, self._footer)

    @property
    def markdown(self) -> str:
        """The report as Markdown with the pictures inside the text."""
        return self._markdown(lambda figure: html.data_uri(figure.png))

    def save(self, path: str | Path) -> Path:
        """Write the report and return its path.

        path: ends in .html (one file), or in .md (pictures go to a folder beside it: study.md, study_files/).
        A report that is there already is written over, since a report can always be made again from its
        study. DesignError for another ending, or when the folder does not exist (folders are not made, so
        that a typing error is seen).
        """
        target = Path(path)
        if target.suffix.lower() not in SUFFIXES:
            raise DesignError(
                f"path: '{target.name}' ends in neither {' nor '.join(SUFFIXES)}, so the format is not"
                " clear. Name the file report.html or report.md."
            )
        if not target.parent.is_dir():
            raise DesignError(
                f"path: there is no folder '{target.parent.name}' to write '{target.name}' to. Make it "
                "first, or correct the path."
            )
        if target.suffix.lower() == ".html":
            target.write_text(self.html, encoding="utf-8")
        else:
            self._save_markdown(target)
        return target

    def figures(self) -> Iterator[Figure]:
        """The pictures of the report, in order."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Figure))

    def _save_markdown(self, target: Path) -> None:
        names = {figure: f"{at:02d}-{figure.name}.png" for at, figure in enumerate(self.figures(), start=1)}
        folder = target.with_name(f"{target.stem}_files")
        if names:
            folder.mkdir(exist_ok=True)
        for figure, name in names.items():
            (folder / name).write_bytes(figure.png)
        folder_address = folder.name.replace(" ", "%20")
        target.write_text(
            self._markdown(lambda figure: f"{folder_address}/{names[figure]}"), encoding="utf-8"
        )

    def _markdown(self, address: Callable[[Figure], str]) -> str:
        return markdown.document(self.title, self.subtitle, self.sections, self._footer, address)

    @property
    def _footer(self) -> str:
        shown = (
            f"Counts of people below {self.rule.threshold} are hidden."
            if self.rule.active
            else f"Small numbers are shown: {self.rule.reason.strip()}"
        )
        return f"Made with qieval. {shown}"

    def __repr__(self) -> str:
        parts = ", ".join(section.title for section in self.sections)
        return (
            f"Report: {self.title}\n  sections: {parts}\n  {self._footer}\n  Next: report.save('report.html')"
        )

    def _repr_html_(self) -> str:
        body = markup.bullets(section.title for section in self.sections)
        body += markup.paragraph(self._footer, "qieval-note")
        return markup.card(
            f"Report: {self.title}",
            body + markup.paragraph("Next: report.save('report.html')", "qieval-note"),
        )


def report(  # noqa: PLR0913 - two of the seven only say what small numbers are
    result: Result,
    checks: Checks,
    variation: Variation | None = None,
    *,
    design_checks: Checks | None = None,
    title: str | None = None,
    threshold: int = DEFAULT_THRESHOLD,
    reason: str = "",
) -> Report:
    """Write up a study: question, design, protocol, data, checks, estimate, ledger, sensitivity, limitations.

    checks: all that `diagnose` returned, since the assumption ledger cannot be left out. variation: what
    `vary` returned for the same design. design_checks: what `design_checks` returned. title: by default the
    question, or the method and the outcome. threshold: counts of people from 1 to threshold - 1 are hidden,
    and what would give them away by subtraction; below 3 nothing is hidden, which needs a `reason` that the
    report prints. Drawing the pictures takes a few seconds. DesignError when something of the ledger is
    missing or the variation belongs to another design; DataError for values that cannot be printed safely.

    >>> import qieval as qe
    >>> data = qe.simulate_panel(n_units=60, n_periods=8, n_treated=30, effect=2.0, seed=1)
    >>> design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=5)
    >>> result = qe.estimate(design, data)
    >>> study = report(result, qe.diagnose(result, data))
    >>> study.sections[7].title
    'Assumption ledger'
    """
    rule = SuppressionRule(threshold=threshold, reason=reason)
    made = sections(Findings(result, checks, variation, design_checks), rule)
    design = result.design
    named = (
        title or design.question or f"{design.title}: {getattr(design, 'outcome', 'study').replace('_', ' ')}"
    )
    made_at = f"estimated {_moment(result.record.made)}" if result.record else "no record of data and time"
    subtitle = f"{design.title}, {made_at}"
    return Report(named, subtitle, made, rule)


def _moment(stamp: str) -> str:
    """A time in UTC to the minute."""
    return datetime.fromisoformat(stamp).astimezone(UTC).strftime("%d %B %Y, %H:%M UTC")
