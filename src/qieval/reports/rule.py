"""The rule by which small counts of people are hidden."""

from __future__ import annotations

from dataclasses import dataclass

from qieval.errors import DesignError

DEFAULT_THRESHOLD = 10
"""Counts below ten are hidden unless the user says otherwise; the default of the checking tool ACRO."""

LEAST_THRESHOLD = 3
"""With zeros shown, 'fewer than 2' could only mean 1, so a lower threshold hides nothing."""


@dataclass(frozen=True, kw_only=True)
class SuppressionRule:
    """Which counts of people may be printed, and how.

    threshold: counts from 1 to threshold - 1 are printed as 'fewer than <threshold>'. A threshold below 3
    hides nothing and needs a `reason`, which the report prints. Zero is printed: it says that nobody was
    concerned. band: 0 prints larger counts as they are; otherwise they are printed as bands of band x
    threshold whole numbers ('40 to 49'). Reports use bands as soon as one of their counts is hidden, because
    a hidden count could otherwise be found by subtracting the others: a band as wide as the threshold leaves
    every value from 1 to threshold - 1 possible for the difference of two counts.
    Raises DesignError for a threshold that is no whole number, or a low one without a reason.

    >>> rule = SuppressionRule()
    >>> rule.show(4), rule.show(0), rule.show(1234), SuppressionRule(band=1).show(1234)
    ('fewer than 10', '0', '1,234', '1,230 to 1,239')
    """

    threshold: int = DEFAULT_THRESHOLD
    reason: str = ""
    band: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, int) or self.threshold < 0:
            raise DesignError(
                f"threshold: {self.threshold!r} is not a whole number of people. Counts below it are hidden; "
                f"{DEFAULT_THRESHOLD} is usual."
            )
        if not self.active and not self.reason.strip():
            raise DesignError(
                f"threshold: {self.threshold} hides no small number, and small numbers can identify people."
                f" Use {LEAST_THRESHOLD} or more, or say in reason=... why they may be shown; the report"
                " prints it."
            )

    @property
    def active(self) -> bool:
        """Whether the rule hides anything."""
        return self.threshold >= LEAST_THRESHOLD

    def hides(self, count: int) -> bool:
        """Whether a count is small enough to be hidden."""
        return self.active and 0 < count < self.threshold

    def show(self, count: int) -> str:
        """A count as it may be printed."""
        if count < 0:
            raise ValueError(f"a count of people cannot be {count}")
        if self.hides(count):
            return f"fewer than {self.threshold:,}"
        if not self._bands(count):
            return f"{count:,}"
        width = self.band * self.threshold
        low = count - count % width
        return f"{max(low, self.threshold):,} to {low + width - 1:,}"

    def show_loss(self, count: int) -> str:
        """What a step lost, as it may be printed beside its total: with bands, only whether it is small."""
        return f"{self.threshold:,} or more" if self._bands(count) else self.show(count)

    def _bands(self, count: int) -> bool:
        return self.active and self.band > 0 and count >= self.threshold

    def sentence(self) -> str:
        """The rule in words, for the report."""
        if not self.active:
            return f"Small numbers are shown: {self.reason.strip()}"
        said = (
            f"Counts of people from 1 to {self.threshold - 1} are printed as 'fewer than {self.threshold}'."
            " Zero is printed, as it says that nobody was concerned. Counts of organisations, estimates and"
            " their intervals are printed."
        )
        if self.band:
            said += (
                " Because this report holds small counts, its other counts of people are given as bands of "
                f"{self.band * self.threshold} numbers, so that no small count can be found by subtraction."
            )
        return said
