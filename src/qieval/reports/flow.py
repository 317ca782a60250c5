"""Tables of what is left after each step, such that small losses cannot be found by subtraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pandas as pd

from qieval.errors import DataError
from qieval.reports.rule import SuppressionRule
from qieval.reports.wording import Who, reworded

FLOW_COLUMNS = ("step", "reason")
TOTALS = ("rows", "people", "units")
ALL_STEPS = "all steps together"


@dataclass(frozen=True)
class Flow:
    """Running totals of people or rows, never rising."""

    left: tuple[int, ...]

    @classmethod
    def of(cls, left: Sequence[int]) -> Flow:
        """A flow from its totals. DataError when a total rises."""
        totals = tuple(int(total) for total in left)
        if any(later > earlier for earlier, later in pairwise(totals)):
            raise DataError(
                "attrition: a step leaves more than the step before it, so the table does not account for "
                "losses. Order the steps as they were made, each counting what is left."
            )
        return cls(totals)

    @property
    def losses(self) -> tuple[int, ...]:
        """What each step lost."""
        return tuple(earlier - later for earlier, later in pairwise(self.left))

    def band(self, rule: SuppressionRule) -> int:
        """How wide bands must be: 0 when nothing is small, 1 when one loss is; more when steps go together.

        With one small number, bands as wide as the threshold leave it every value (two totals in one band
        differ by up to threshold - 1, totals in neighbouring bands by 1 or more; large losses shift totals by
        at least one band). Several small numbers could be worked out from each other, so their steps are put
        together and the bands made wide enough for one loss to take every value while the others take any.
        """
        small = sum(rule.hides(count) for count in (*self.losses, *self.left))
        return small if small < 2 else len(self.losses) + 1


def flow_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of running totals, if this is a table of a flow; otherwise none."""
    if not all(name in frame.columns for name in FLOW_COLUMNS):
        return []
    return [name for name in TOTALS if name in frame.columns and frame[name].notna().all()]


def guarded_flows(frame: pd.DataFrame, rule: SuppressionRule, who: Who) -> list[tuple[Flow, SuppressionRule]]:
    """The running totals of people in a table, each with its rule; none when it is no attrition table."""
    names = [name for name in flow_columns(frame) if who.units or name != "units"]
    return [(Flow.of(frame[name].tolist()), who.rule(rule, name)) for name in names]


def suppress_flow(frame: pd.DataFrame, rule: SuppressionRule, who: Who | None = None) -> pd.DataFrame:
    """An attrition table as text that gives no small loss away.

    frame: columns step, reason and running totals in rows, people or units. who: whether units are people; if
    not, the units are printed as they are. Result: step, reason and for each column what is left and what was
    lost, as text.

    - No small number: everything is printed.
    - One small loss or total: totals become bands as wide as the threshold, losses 'fewer than' or 'or more'.
    - Several small losses or totals: all steps are put together in one row with the first
      and the last total in wider bands, and the reasons are listed without numbers.

    Guarantee, for a flow that starts with at least `threshold`: even to a reader who knows these rules, the
    table leaves every whole number from 1 to threshold - 1 possible for each small loss.

    >>> steps = pd.DataFrame({"step": [0, 1], "reason": ["read", "age missing"], "rows": [1204, 1200]})
    >>> suppress_flow(steps, SuppressionRule())["rows lost"].tolist()
    ['', 'fewer than 10']
    >>> suppress_flow(steps, SuppressionRule())["rows left"].tolist()
    ['1,200 to 1,209', '1,200 to 1,209']
    """
    whose = who or Who()
    if not flow_columns(frame):
        raise DataError(
            "attrition: a table with the columns step, reason and at least one complete column of rows,"
            " people or units is needed, as `Extract.attrition` gives it."
        )
    band = max((flow.band(own) for flow, own in guarded_flows(frame, rule, whose)), default=0)
    return flow_as_text(frame, replace(rule, band=max(band, rule.band)), whose)


def flow_as_text(frame: pd.DataFrame, rule: SuppressionRule, who: Who) -> pd.DataFrame:
    """`suppress_flow` with a rule that is final: wider bands mean that steps go together."""
    return _together(frame, rule, who) if rule.band > 1 else _step_by_step(frame, rule, who)


def loss_sentence(text: str, rule: SuppressionRule, who: Who) -> str:
    """A sentence about losses: its counts say no more than the losses of the table may say."""
    if rule.band > 1:
        return reworded(text, lambda count, noun: "some" if count else "0", who)
    return reworded(text, lambda count, noun: who.rule(rule, noun).show_loss(count), who)


def _together(frame: pd.DataFrame, rule: SuppressionRule, who: Who) -> pd.DataFrame:
    """The flow in two rows: what there was and what all steps left, with reasons but without numbers."""
    if len(frame) < 2:
        return _step_by_step(frame, rule, who)
    first, last = frame.iloc[0], frame.iloc[-1]
    reasons = "; ".join(str(reason) for reason in frame["reason"].iloc[1:])
    ends = pd.DataFrame([first, last]).assign(
        step=[str(first["step"]), ALL_STEPS], reason=[first["reason"], reasons]
    )
    text = _step_by_step(ends, rule, who)
    for name in flow_columns(frame):
        if who.units or name != "units":
            text[f"{name} lost"] = ["", "not shown"]
    return text


def _step_by_step(frame: pd.DataFrame, rule: SuppressionRule, who: Who) -> pd.DataFrame:
    reasons = [loss_sentence(str(reason), rule, who) for reason in frame["reason"]]
    text = pd.DataFrame({"step": frame["step"].astype(str).tolist(), "reason": reasons})
    for name in flow_columns(frame):
        flow, own = Flow.of(frame[name].tolist()), who.rule(rule, name)
        guarded = who.units or name != "units"
        text[f"{name} left"] = [own.show(total) if guarded else f"{total:,}" for total in flow.left]
        text[f"{name} lost"] = [
            "",
            *(own.show_loss(loss) if guarded else f"{loss:,}" for loss in flow.losses),
        ]
    return text
