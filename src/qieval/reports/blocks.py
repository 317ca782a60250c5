"""What a report is made of: sections with blocks, as frozen data that hold text and pictures only."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    """A paragraph. kind: '' for body text, 'lead' for the main finding, 'note' for small print."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list of short texts."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table of final text. numeric: columns aligned to the right; folded: shown on demand."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Facts:
    """Named single values."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A picture as PNG bytes. alt: what it shows, for those who cannot see it; name: for its file."""

    png: bytes
    alt: str
    caption: str
    name: str

    def __repr__(self) -> str:
        return f"Figure({self.name!r}, {len(self.png):,} bytes)"


@dataclass(frozen=True)
class LedgerRow:
    """One assumption in the ledger, in text."""

    verdict: str
    assumption: str
    statement: str
    seen: str
    argument: str
    consequence: str


@dataclass(frozen=True)
class Ledger:
    """The assumption ledger: one row per assumption of the method."""

    rows: tuple[LedgerRow, ...]


@dataclass(frozen=True)
class Finding:
    """One check: its verdict and its sentence."""

    verdict: str
    name: str
    text: str


@dataclass(frozen=True)
class Code:
    """Python that a reader may copy."""

    text: str


Block = Paragraph | Bullets | Heading | Grid | Facts | Figure | Ledger | Finding | Code


@dataclass(frozen=True)
class Section:
    """A titled part of a report."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The title as a name for links."""
        return slug(self.title)


def slug(words: str) -> str:
    """Words as a name for a link or a file.

    >>> slug("Data and attrition (flow)")
    'data-and-attrition-flow'
    """
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
