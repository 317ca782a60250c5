"""What else happened: the register that the user fills in."""

from __future__ import annotations

import pandas as pd

from qieval.check import Check
from qieval.result import Study
from qieval.text import plural


def concurrent_events(study: Study) -> Check:
    """List the events of the design. No data can show that the register is complete."""
    events = study.design.events
    if not events:
        text = (
            "No other event has been entered in the register. That is a statement of the evaluator, not a"
            " finding."
        )
    else:
        text = (
            f"{plural(len(events), 'other event')} in the register; each may have moved the outcome of one"
            " group."
        )
    return Check(
        name="register of concurrent events",
        assumption="no other change at the same time",
        verdict="information",
        text=text,
        table=(
            pd.DataFrame({"when": list(events), "what_happened": list(events.values())}) if events else None
        ),
    )
