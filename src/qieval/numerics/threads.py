"""The same work on several items at once, in the order of the items, and interruptible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qieval.progress import progress

Item = TypeVar("Item")
Found = TypeVar("Found")


def in_threads(work: Callable[[Item], Found], items: Iterable[Item], workers: int, what: str) -> list[Found]:
    """What `work` gives for each item, in order, from `workers` threads; progress is shown as `what`.

    The order and the numbers do not depend on how many threads there are. An error or an interruption cancels
    what has not begun and is passed on once the running items are finished.

    >>> in_threads(abs, [-2, 1, -3], 2, "sizes")
    [2, 1, 3]
    """
    threads = ThreadPoolExecutor(max(workers, 1))
    try:
        waiting = [threads.submit(work, item) for item in items]
        return [one.result() for one in progress(waiting, what)]
    finally:
        threads.shutdown(cancel_futures=True)
