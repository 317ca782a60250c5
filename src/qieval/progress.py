"""Progress bars for work that takes longer than a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, *, delay: float = 1.0) -> Iterator[Item]:
    """The items one by one, with a progress bar named `what` once they take longer than `delay` seconds.

    >>> sum(progress(range(4), "adding"))
    6
    """
    from tqdm.auto import tqdm

    yield from tqdm(items, desc=what, leave=False, delay=delay)
