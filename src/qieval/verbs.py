"""The verbs of the grammar: estimate, design_checks, diagnose, vary, plot. Each works on every method."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval import markup
from qieval.catalogue import method_of
from qieval.charts import Family, Funnel, SafetyCross
from qieval.check import Check, Checks
from qieval.covariate_balance import BalanceTable
from qieval.data.extract import Extract
from qieval.design import Design
from qieval.errors import DataError, DesignError, QievalError, nearest
from qieval.plots import chart_others
from qieval.plots import variation as variation_plot
from qieval.plots.distribution import distribution
from qieval.plots.evidence import evidence
from qieval.plots.love import love
from qieval.plots.sensitivity_picture import of_sensitivity
from qieval.progress import progress
from qieval.provenance import Protocol, Record, fingerprint
from qieval.result import Result, Study, main_estimates
from qieval.sensitivity.base import Sensitivity

if TYPE_CHECKING:
    from plotnine import ggplot

Data = pd.DataFrame | Extract


def estimate(design: Design, data: Data, *, protocol: Protocol | None = None) -> Result:
    """Estimate the effect that a design defines.

    data: a pandas DataFrame or an Extract; it is never altered. protocol: what `lock` returned beforehand;
    the result says whether the design is as locked, or lists each field changed since. Missing values: as
    `design.missing` says. Raises DataError when data and design do not fit, EstimationError when no
    estimate can be computed.

    >>> import qieval as qe
    >>> data = qe.simulate_panel(n_units=60, n_periods=8, n_treated=30, effect=2.0, seed=1)
    >>> design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=4)
    >>> bool(abs(qe.estimate(design, data).estimates.loc[0, "estimate"] - 2) < 1)
    True
    """
    frame = _frame(data)
    result = method_of(design).estimate(design, frame)
    return replace(result, record=_record(design, data, frame), protocol=protocol)


def design_checks(design: Design, data: Data) -> Checks:
    """Everything that can be known before outcomes after the start are looked at.

    Outcomes at or after the start are never read (not even to see whether they are missing), so these
    checks may decide about the design. Raises DataError when data and design do not fit.

    >>> import qieval as qe
    >>> data = qe.simulate_panel(n_units=60, n_periods=8, n_treated=30, seed=1)
    >>> design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=4)
    >>> qe.design_checks(design, data)["missing values"].verdict
    'supports'
    """
    method = method_of(design)
    parsed = method.blind(design, _frame(data))
    found = tuple(check(design, parsed) for check in progress(method.design_checks, "design checks"))
    title = "Design checks, made without any outcome after the start"
    return Checks(found, title=title if method.track == "evaluation" else "Design checks")


def diagnose(result: Result, data: Data) -> Checks:
    """Examine every assumption of the method: the ledger. `data` are the data of the estimate.

    Raises DataError when the data are not those that the result was estimated from.

    >>> import qieval as qe
    >>> data = qe.simulate_panel(n_units=60, n_periods=8, n_treated=30, effect=2.0, seed=1)
    >>> design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=4)
    >>> ledger = qe.diagnose(qe.estimate(design, data), data).ledger.set_index("assumption")
    >>> ledger.loc["no spillover", "verdict"]
    'untestable'
    """
    method = method_of(result.design)
    frame = _frame(data)
    if (
        result.record is not None
        and fingerprint(frame, result.design.used_columns()) != result.record.fingerprint
    ):
        raise DataError(
            "data: these are not the data of the result (their fingerprints differ), so the checks would"
            " examine another study. Give the data that were estimated, or estimate again."
        )
    study = Study(result, frame, method.parse(result.design, frame), method.refit)
    found = tuple(check(study) for check in progress(method.checks, "checks"))
    return Checks(found, method.assumptions, result.design.argued())


@dataclass(frozen=True, eq=False, repr=False)
class Variation:
    """Estimates under altered designs: one row per design and overall term, the design as stated first.

    Columns of `table`: label, one column per altered field, term, estimate, std_error, conf_low, conf_high,
    p_value, note (why there is no estimate, where there is none).
    """

    design: Design
    table: pd.DataFrame

    def __repr__(self) -> str:
        return self.table.to_string(index=False)

    def _repr_html_(self) -> str:
        shown = self.table.drop(columns=["std_error"], errors="ignore")
        return markup.card("Estimates under altered designs", markup.frame_table(shown))


def vary(design: Design, data: Data, *, cross: bool = False, **fields: Iterable[Any]) -> Variation:
    """Estimate again with one field altered at a time (`cross=True`: all combinations of the given values).

    A design that cannot be estimated keeps its row, with the reason as its note. Progress is shown; an
    interruption by the keyboard stops the loop.

    >>> import qieval as qe
    >>> data = qe.simulate_panel(n_units=40, n_periods=8, n_treated=20, effect=2.0, seed=1)
    >>> design = qe.DifferenceInDifferences(outcome="y", unit="unit", time="time", treated="treated", start=4)
    >>> len(qe.vary(design, data, start=[3, 5]).table)
    3
    """
    known = [item for item, _ in design._declared()]
    if unknown := [name for name in fields if name not in known]:
        raise DesignError(
            [f"{name}: {type(design).__name__} has no such field.{nearest(name, known)}" for name in unknown]
        )
    frame = _frame(data)
    changes: list[dict[str, Any]] = [{}, *_alterations(fields, cross)]
    rows = [row for change in progress(changes, "altered designs") for row in _varied(design, frame, change)]
    return Variation(design, pd.DataFrame(rows))


Drawable = Result | Check | Variation | BalanceTable | Sensitivity | Funnel | SafetyCross | Family


def plot(thing: Drawable, kind: str | None = None) -> ggplot:
    """Draw a Result (one of its method's plots), a Check, a Variation, a BalanceTable (love plot; with
    `kind` the distribution of that characteristic), a Sensitivity, or a Funnel, SafetyCross or Family of
    `qe.charts`. Returns a plotnine object.

    kind: the name of the plot; by default the first of the method. Raises DesignError for an unknown kind.
    """
    if isinstance(thing, BalanceTable):
        return love(thing.table) if kind is None else distribution(thing.distribution(kind), kind)
    if isinstance(thing, Funnel | SafetyCross | Family):
        return chart_others.drawn(thing)
    if isinstance(thing, Sensitivity):
        return of_sensitivity(thing.name, thing.table, thing.details)
    if isinstance(thing, Variation):
        return variation_plot.variation(thing.table)
    if isinstance(thing, Check):
        return evidence(thing)
    pictures = {picture.__name__.replace("_", " "): picture for picture in method_of(thing.design).plots}
    wanted = (kind or next(iter(pictures))).replace("_", " ")
    if wanted not in pictures:
        raise DesignError(
            f"kind: there is no plot '{kind}' of this result.{nearest(wanted, pictures)} Choose from:"
            f" {', '.join(pictures)}."
        )
    return pictures[wanted](thing)


def plots_of(result: Result) -> dict[str, ggplot]:
    """All plots of a result by name."""
    return {picture.__name__.replace("_", " "): picture(result) for picture in method_of(result.design).plots}


def _frame(data: Data) -> pd.DataFrame:
    if isinstance(data, Extract):
        return data.frame
    if isinstance(data, pd.DataFrame):
        return data
    raise DataError(
        f"data: a pandas DataFrame or an Extract is needed, not {type(data).__name__}. Read a file with"
        " qe.data.read(path)."
    )


def _record(design: Design, data: Data, frame: pd.DataFrame) -> Record:
    used = design.used_columns()
    made: dict[str, Any] = {
        "fingerprint": fingerprint(frame, used),
        "rows": len(frame),
        "columns": used,
        "seed": design.seed,
    }
    if isinstance(data, Extract):
        made |= {"source": data.source, "attrition": data.attrition}
    return Record(**made)


def _alterations(fields: dict[str, Iterable[Any]], cross: bool) -> Iterator[dict[str, Any]]:
    if cross:
        for combination in itertools.product(*fields.values()):
            yield dict(zip(fields, combination, strict=True))
        return
    for name, held in fields.items():
        for item in held:
            yield {name: item}


def _varied(design: Design, frame: pd.DataFrame, change: dict[str, Any]) -> list[dict[str, Any]]:
    declared = dict(design._declared())
    label = (
        ", ".join(f"{name} = {markup.words(held) or declared[name].empty}" for name, held in change.items())
        or "as designed"
    )
    shown = {name: markup.words(held) for name, held in change.items()}
    try:
        altered = replace(design, **change)
        found = main_estimates(method_of(altered).refit(altered, frame))
    except QievalError as cause:
        return [{"label": label, **shown, "note": str(cause)}]
    if found is None:
        return [{"label": label, **shown, "note": "this method gives no overall estimate"}]
    return [
        {"label": label, **shown, **{str(name): row[name] for name in found.columns}, "note": ""}
        for _, row in found.iterrows()
    ]
