"""The picture of a check, drawn from its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from qieval.check import Check
from qieval.errors import DesignError
from qieval.plots import theme
from qieval.plots.adjustment import calibration
from qieval.plots.comparison import search_trace
from qieval.plots.cutoff_evidence import (
    bandwidth_curve,
    covariate_jumps,
    donut_curve,
    hidden_differences,
    power_by_effect,
    smoothness_curve,
)
from qieval.plots.instrument import bias_ratio, direct_effect, instrument_intervals
from qieval.plots.interrupted_evidence import (
    autocorrelation_bars,
    criterion_by_date,
    power_by_change,
    statistics_by_date,
)
from qieval.plots.love import love
from qieval.plots.mirror import mirror
from qieval.plots.rollout_evidence import honest_bounds
from qieval.plots.rollout_pictures import (
    balance_by_cohort,
    courses_before,
    order,
    roll_out,
    same_cohorts,
    two_by_two,
)
from qieval.plots.synthetic import dots, earlier_dates, shared_means, weight_bars
from qieval.plots.trajectory import before_start
from qieval.plots.variation import no_effect

if TYPE_CHECKING:
    from plotnine import ggplot


def evidence(check: Check) -> ggplot:
    """Draw the evidence of a check. DesignError when the check has no picture, only a sentence or a table."""
    if check.table is None or check.picture is None:
        raise DesignError(
            f"kind: the check '{check.name}' has no picture; its sentence and table say everything."
        )
    return _PICTURES[check.picture](check.table, check)


def intervals(table: pd.DataFrame, check: Check) -> ggplot:
    """Dots with intervals: columns label, estimate, conf_low, conf_high."""
    from plotnine import aes, coord_flip, geom_hline, geom_linerange, geom_point, ggplot, labs

    shown = table.dropna(subset=["estimate"])
    order = list(dict.fromkeys(shown["label"].astype(str)))[::-1]
    shown = shown.assign(label=pd.Categorical(shown["label"].astype(str), categories=order))
    return (
        ggplot(shown, aes("label", "estimate"))
        + geom_hline(yintercept=no_effect(shown), color=theme.INK, size=0.5)
        + geom_linerange(aes(ymin="conf_low", ymax="conf_high"), size=0.8, color=theme.BLUE)
        + geom_point(size=2.4, color=theme.BLUE)
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.2 + 0.3 * len(order)))
        + labs(title=_title(check), x="", y="estimate with interval")
    )


def differences(table: pd.DataFrame, check: Check) -> ggplot:
    """Standardised differences: columns characteristic, standardised_difference; lines at 0.1 either side."""
    sides = "left out minus compared" if "mean_left_out" in table else "treated minus comparison"
    from plotnine import aes, coord_flip, geom_hline, geom_point, ggplot, labs

    order = list(dict.fromkeys(table["characteristic"]))[::-1]
    shown = table.assign(characteristic=pd.Categorical(table["characteristic"], categories=order))
    return (
        ggplot(shown, aes("characteristic", "standardised_difference"))
        + geom_hline(yintercept=0, color=theme.INK, size=0.5)
        + geom_hline(yintercept=[-0.1, 0.1], color=theme.GREY, linetype="dashed")
        + geom_point(size=3, color=theme.BLUE)
        + coord_flip()
        + theme.house_theme(height=max(2.4, 1.2 + 0.32 * len(order)))
        + labs(
            title=_title(check),
            x="",
            y=f"standardised difference ({sides})",
            caption="Dashed lines at 0.1 either side.",
        )
    )


def trends(table: pd.DataFrame, check: Check) -> ggplot:
    """Group means before the start: columns time, group, observed."""
    return before_start(table, "outcome")


def power_curve(table: pd.DataFrame, check: Check) -> ggplot:
    """The chance of detecting an effect by its size: columns effect, power."""
    from plotnine import aes, geom_hline, geom_line, geom_point, ggplot, labs, scale_y_continuous

    return (
        ggplot(table, aes("effect", "power"))
        + geom_hline(yintercept=0.8, color=theme.GREY, linetype="dashed")
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=2.2)
        + scale_y_continuous(limits=(0, 1))
        + theme.house_theme()
        + labs(
            title=_title(check),
            x="size of the true effect, in units of the outcome",
            y="chance of detecting it",
            caption="Simulated from the periods before the start. Dashed: 80%.",
        )
    )


def balance(table: pd.DataFrame, check: Check) -> ggplot:
    """Standardised differences before and after: see `love`."""
    return love(table)


def scores(table: pd.DataFrame, check: Check) -> ggplot:
    """The propensity score of both groups: see `mirror`."""
    return mirror(table.rename(columns={"share_before": "weight_before", "share_after": "weight_after"}))


def search(table: pd.DataFrame, check: Check) -> ggplot:
    """The progress of a search: see `search_trace`."""
    return search_trace(table)


def hidden_bias(table: pd.DataFrame, check: Check) -> ggplot:
    """The largest p-value that hidden bias allows: columns gamma, p_value_at_most."""
    from plotnine import aes, geom_hline, geom_line, geom_point, ggplot, labs, scale_y_continuous

    return (
        ggplot(table, aes("gamma", "p_value_at_most"))
        + geom_hline(yintercept=0.05, color=theme.GREY, linetype="dashed")
        + geom_line(color=theme.BLUE)
        + geom_point(color=theme.BLUE, size=1.8)
        + scale_y_continuous(limits=(0, 1))
        + theme.house_theme()
        + labs(
            title=_title(check),
            x="how much more likely one of a pair was to get the intervention (gamma)",
            y="largest p-value",
            caption="Rosenbaum bounds, one-sided. Dashed: 0.05. At 1 there is no hidden bias.",
        )
    )


def several(table: pd.DataFrame, check: Check) -> ggplot:
    """Estimates by label: see `dots`."""
    return dots(table, _title(check))


def dates(table: pd.DataFrame, check: Check) -> ggplot:
    """Gaps at pretended dates: see `earlier_dates`."""
    return earlier_dates(table, _title(check))


def shared(table: pd.DataFrame, check: Check) -> ggplot:
    """Treated, synthetic and donor means: see `shared_means`."""
    return shared_means(table, _title(check))


def bars(table: pd.DataFrame, check: Check) -> ggplot:
    """Weights of the donors: see `weight_bars`."""
    return weight_bars(table)


def balance_of_instrument(table: pd.DataFrame, check: Check) -> ggplot:
    """Bias of each characteristic by instrument and by treatment: see `bias_ratio`."""
    return bias_ratio(table)


def by_direct_effect(table: pd.DataFrame, check: Check) -> ggplot:
    """The estimate by a direct effect of the instrument: see `direct_effect`."""
    return direct_effect(table)


def pieces(table: pd.DataFrame, check: Check) -> ggplot:
    """Intervals that may have several pieces or no end: see `instrument_intervals`."""
    return instrument_intervals(table)


def observed_by_expected(table: pd.DataFrame, check: Check) -> ggplot:
    """Observed outcomes by predicted ones in each group: see `calibration`."""
    return calibration(table)


_PICTURES = {
    "intervals": intervals,
    "differences": differences,
    "trends": trends,
    "power": power_curve,
    "love": balance,
    "mirror": scores,
    "search": search,
    "gamma": hidden_bias,
    "dots": several,
    "dates": dates,
    "shared": shared,
    "weights": bars,
    "autocorrelation": autocorrelation_bars,
    "change point": criterion_by_date,
    "placebo dates": statistics_by_date,
    "power of changes": power_by_change,
    "bandwidths": bandwidth_curve,
    "donut": donut_curve,
    "smoothness": smoothness_curve,
    "jumps of covariates": covariate_jumps,
    "power at the cutoff": power_by_effect,
    "hidden differences": hidden_differences,
    "calibration": observed_by_expected,
    "bias ratio": balance_of_instrument,
    "direct effect": by_direct_effect,
    "instrument intervals": pieces,
    "honest bounds": honest_bounds,
    "roll-out": roll_out,
    "two by two comparisons": two_by_two,
    "same cohorts throughout": same_cohorts,
    "order of the roll-out": order,
    "balance before the roll-out": balance_by_cohort,
    "trends before the roll-out": courses_before,
}


def _title(check: Check) -> str:
    return check.name[:1].upper() + check.name[1:]
