"""The picture of planned roll-outs: the chance to find an effect by its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from qieval.plots import theme

if TYPE_CHECKING:
    from plotnine import ggplot

LINES = ("solid", "dashed", "dotted", "dashdot")
COLOURS = (theme.BLUE, theme.ORANGE, theme.INK, theme.GREY)
TARGET = 0.8


def power_of_schedules(curves: pd.DataFrame, quantity: str) -> ggplot:
    """One line for each schedule, told apart by colour, line and point: columns schedule, effect, power.

    Beyond twelve schedules lines could not be told apart; then the first twelve are shown.
    """
    from plotnine import (
        aes,
        geom_hline,
        geom_line,
        geom_point,
        ggplot,
        labs,
        scale_color_manual,
        scale_linetype_manual,
        scale_shape_manual,
        scale_y_continuous,
    )

    names = list(dict.fromkeys(curves["schedule"]))[:12]
    shown = curves[curves["schedule"].isin(names)]
    shown = shown.assign(schedule=pd.Categorical(shown["schedule"], categories=names))
    looks = range(len(names))
    return (
        ggplot(shown, aes("effect", "power", color="schedule", linetype="schedule", shape="schedule"))
        + geom_hline(yintercept=TARGET, color=theme.GREY, linetype="dashed", size=0.5)
        + geom_line(size=0.9)
        + geom_point(size=1.8)
        + scale_color_manual(values=[COLOURS[at % 4] for at in looks])
        + scale_linetype_manual(values=[LINES[at // 4 % 3] if at > 3 else LINES[at] for at in looks])
        + scale_shape_manual(values=["o^sDvP*X<>dh"[at] for at in looks])
        + scale_y_continuous(limits=(0, 1), labels=lambda held: [f"{one:.0%}" for one in held])
        + theme.house_theme()
        + labs(
            title="What effect would each roll-out find?",
            x=theme.wrap(f"full effect on {quantity}", 90),
            y="studies that find it",
            caption=theme.wrap(
                "Simulated from outcomes before the roll-out. The dashed line marks 80%, the power at which"
                " the minimum detectable effect is read."
            ),
        )
    )
