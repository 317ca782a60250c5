"""The Python that does what was clicked."""

from typing import Any

from qi_notebooks import presets
from qi_notebooks.study import Study

LONGEST = 88
JOINED = (
    "table = variation.table",
    "first = table['term'].isna() | (table['term'] == table['term'][0])",
    "altered = table[first & (table['label'] != 'as designed')].filter(list(panel.table))",
    "joined = pd.concat([panel.table, altered], ignore_index=True)",
    "panel = dataclasses.replace(panel, table=joined)",
)
"""Other methods and altered designs in one table, for the report."""


def script(study: Study) -> str:
    """The steps done so far, as Python that gives the same numbers."""
    joined = study.panel is not None and study.variation is not None
    more = ["import dataclasses", "", "import pandas as pd", ""] if joined else []
    lines = [*more, "import qieval as qe", ""]
    lines += _data(study)
    if study.design is None:
        return "\n".join([*lines, "# The design follows when its fields are filled in."])
    lines += _call("design", f"qe.{type(study.design).__name__}", study.design.stated())
    if study.before is not None:
        lines += ["before = qe.design_checks(design, data)"]
    if study.trial is not None and study.current:
        lines += ["trial = qe.tuning(design, data).try_()"]
    if study.protocol is not None:
        lines += [f'protocol = qe.Protocol.load("{study.protocol_file}")']
    if study.result is not None:
        given = ", protocol=protocol" if study.protocol is not None else ""
        lines += [f"result = qe.estimate(design, data{given})"]
    if study.checks is not None:
        lines += ["checks = qe.diagnose(result, data)"]
    if study.variation is not None:
        lines += _call("variation", "qe.vary", study.altered, first=("design", "data"))
    if study.panel is not None:
        lines += ["panel = qe.specifications(design, data)"]
    if joined:
        lines += JOINED
    if study.report is not None:
        varied = ", panel" if study.panel is not None else ""
        varied = varied or (", variation" if study.variation is not None else "")
        lines += [f"report = qe.report(result, checks{varied}, design_checks=before)"]
    return "\n".join(lines)


def _data(study: Study) -> list[str]:
    if study.source.startswith(presets.EXAMPLE):
        return [f"data = qe.data.example({study.source.removeprefix(presets.EXAMPLE)!r})"]
    if study.source:
        return [f"data = qe.data.read({study.source!r})"]
    if study.data is not None:
        return ["# data: the table that was given to the App"]
    return ["# The data follow when they are chosen."]


def _call(target: str, function: str, given: dict[str, Any], first: tuple[str, ...] = ()) -> list[str]:
    """An assignment of a call, on one line if it fits."""
    parts = [*first, *(f"{name}={_written(held)}" for name, held in given.items())]
    line = f"{target} = {function}({', '.join(parts)})"
    if len(line) <= LONGEST:
        return [line]
    return [f"{target} = {function}(", *(f"    {part}," for part in parts), ")"]


def _written(held: Any) -> str:
    return repr(dict(held)) if isinstance(held, dict) else repr(held)
