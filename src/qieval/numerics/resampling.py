"""What resampling methods share: how many draws, from which seed, and pieces of a long loop."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """Number of draws, seed of the generator, level of intervals, and whether to show progress."""

    draws: int = 9999
    seed: int = 0
    level: float = 0.95
    progress: bool = False

    def pieces(self, total: int, width: int, what: str) -> Iterator[slice]:
        """Slices of range(total) small enough that a block with `width` columns stays near 16 MB."""
        from tqdm.auto import tqdm

        step = max(1, 2_000_000 // max(1, width))
        starts = range(0, total, step)
        for start in tqdm(starts, desc=what, disable=not self.progress):
            yield slice(start, min(start + step, total))
