"""Did the outcome of the treated move just before the start?"""

from __future__ import annotations

import pandas as pd

from qieval.check import Check
from qieval.diagnostics.placebo import as_label
from qieval.result import Study, figures
from qieval.text import number


def anticipation(study: Study) -> Check:
    """Pretend that the intervention began in the last period before the start, with all earlier periods as
    before."""
    panel = study.panel
    last = panel.start - 1 - int(getattr(study.design, "anticipation", 0))
    name, assumption = "jump just before the start", "no anticipation"
    if last < 1:
        text = "There is only one period before the start, so a reaction just before it cannot be seen."
        return Check(name=name, assumption=assumption, verdict="information", text=text)
    moment = as_label(panel, last)
    found = study.again(start=moment, last_period=moment, anticipation=0, events={})
    table = pd.DataFrame(
        [{"label": f"{panel.periods.shown()[last]} against earlier periods", **figures(found)}]
    )
    moved = bool(found["p_value"] < 1 - study.design.level)
    text = (
        "In the last period before the start the treated differ from their earlier course by"
        f" {number(found['estimate'])} ({study.design.level:.0%} interval {number(found['conf_low'])} to"
        f" {number(found['conf_high'])})"
    )
    text += (
        ", more than chance alone would explain: the start may be dated too late, or people reacted early."
        if moved
        else "; that gives no sign of an early reaction."
    )
    return Check(
        name=name,
        assumption=assumption,
        verdict="concern" if moved else "supports",
        text=text,
        table=table,
        picture="intervals",
    )
