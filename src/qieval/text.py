"""Sentences that know which of their numbers are counts, so that a report can suppress small ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable


class Count(int):
    """An integer that counts people (or rows about people) and so may have to be suppressed.

    >>> Count(3), Count(3) + 1
    (3, 4)
    """


class Counted(str):
    """A sentence made from a template and counts. It prints in full; `rendered` lets the caller replace
    small counts.

    >>> sentence = Counted("{lost} rows were left out.", lost=Count(3))
    >>> sentence
    '3 rows were left out.'
    >>> sentence.rendered(lambda count: "fewer than 10" if count < 10 else f"{count:,}")
    'fewer than 10 rows were left out.'
    """

    template: str
    counts: dict[str, Count]

    def __new__(cls, template: str, **counts: Count) -> Counted:
        """A sentence that remembers its template and its counts."""
        made = super().__new__(cls, template.format(**{key: f"{int(n):,}" for key, n in counts.items()}))
        made.template = template
        made.counts = counts
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Count]]:
        """What pickle needs to make the sentence again."""
        return (self.template,), self.counts

    def rendered(self, show: Callable[[Count], str]) -> str:
        """The sentence with every count passed through `show`, a function from Count to text."""
        return self.template.format(**{key: show(count) for key, count in self.counts.items()})


def plural(number: int, singular: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> plural(1, "unit"), plural(12000, "unit"), plural(2, "category", "categories")
    ('1 unit', '12,000 units', '2 categories')
    """
    return f"{number:,} {singular if number == 1 else many or singular + 's'}"


def listed(items: Iterable[object], most: int = 5) -> str:
    """The first few items of an iterable in words.

    >>> listed([1, 2, 3], most=2)
    '1, 2 and 1 more'
    >>> listed(["a", "b"])
    'a, b'
    """
    shown = [str(item) for item in items]
    head = ", ".join(shown[:most])
    return head if len(shown) <= most else f"{head} and {len(shown) - most:,} more"


def number(value: float, digits: int = 3) -> str:
    """A number as a person writes it: `digits` meaningful digits, no exponent for ordinary sizes.

    >>> number(-0.0224589), number(1234.567), number(0.0), number(float("inf")), number(12.0)
    ('-0.0225', '1,235', '0', 'infinity', '12')
    """
    if math.isnan(value):
        return "not available"
    if math.isinf(value):
        return "infinity" if value > 0 else "minus infinity"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    if decimals > 8:
        return f"{value:.{digits - 1}e}"
    text = f"{round(value, decimals):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
