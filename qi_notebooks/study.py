"""One study from data to report, without any widget: what was chosen and what was found."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import qieval as qe
from qi_notebooks import guess, layout, presets

FORMAT = 1
"""The version of the file that `save_choices` writes."""
WORDS = ("question", "arguments")
"""Fields that change nothing in the numbers."""

OUTCOME_FIELDS = ("outcome", "measured_in", "effect", "outcome_model", "inference", "level", "draws")
"""Fields that change the effect, but not who is compared with whom."""
INTERVAL_FIELDS = ("measured_in", "inference", "level", "draws", "treated_in_placebos", "per")
"""The same for designs with donors, whose weights follow the outcome before the start."""

FEWEST = 10
"""Means of fewer people than this are not shown."""

Source = str | Path | pd.DataFrame | qe.Extract


class Study:
    """The state of a study. Each method does one step by qieval's functions and forgets what it outdates.

    `data`, `design`, `before` (design checks), `protocol`, `result`, `checks`, `variation` and `report` are
    None until their step is done. `open_lock` is True once the user has decided to go on without a protocol;
    `begun` once anything has been estimated. `trial` is who would be compared and how alike they would be,
    for designs that make groups alike, or the weights of donors and how they fit before the start; it stays
    to be looked at when the design has changed since, and `current` says whether it is still true. For one
    series it is how trend and season fit before the start. `looked` is True once design checks have been made
    on these data. `glimpse` is an estimate made while a setting is being moved; the one of the study is
    `result`.
    """

    def __init__(self, method: str) -> None:
        self.method = qe.method_named(method)
        self.source = ""
        self.data: pd.DataFrame | qe.Extract | None = None
        self._restart()

    def _restart(self) -> None:
        self.protocol: qe.Protocol | None = None
        self.open_lock = False
        self.begun = False
        self.looked = False
        self.trial: qe.Trial | qe.DonorTrial | qe.SeriesTrial | None = None
        self.current = False
        self._bench: qe.Tuning | qe.DonorTuning | qe.SeriesTuning | None = None
        self.set_aside()

    def set_aside(self) -> None:
        """Forget the design and all that came from it, but not that it was locked."""
        self.design: qe.Design | None = None
        self.before: qe.Checks | None = None
        self.current = False
        self._forget()

    def _forget(self) -> None:
        """Drop whatever came from a design that has changed."""
        self.result: qe.Result | None = None
        self.glimpse: qe.Result | None = None
        self.checks: qe.Checks | None = None
        self.variation: qe.Variation | None = None
        self.panel: qe.SideBySide | None = None
        self.altered: dict[str, list[Any]] = {}
        self.report: Any = None

    @property
    def one_series(self) -> bool:
        """Whether one series is followed over time, without other places or people."""
        return issubclass(self.method.design, qe.SeriesDesign)

    @property
    def quick(self) -> bool:
        """Whether an estimate is made in a moment, so that it can follow who moves a setting."""
        return self.one_series or bool(layout.moved(self.method.design))

    @property
    def settled(self) -> bool:
        """Whether outcomes after the start may be looked at: locked, or gone on without locking.

        A chart has nothing to close: it is read as it grows.
        """
        return self.protocol is not None or self.open_lock or self.improvement

    @property
    def improvement(self) -> bool:
        """Whether a measure is followed for improvement, and nothing is evaluated."""
        return layout.follows_a_measure(self.method.design)

    @property
    def few_people(self) -> bool:
        """Whether a group holds so few people that its mean would tell about single ones."""
        tables = [check.table for check in self.before or () if check.table is not None]
        sizes = [int(size) for table in tables if "units" in table for size in table["units"]]
        return getattr(self.design, "units_are", "") == "people" and any(size < FEWEST for size in sizes)

    def load(self, source: Source) -> pd.DataFrame | qe.Extract:
        """Read the data: 'example:NAME', a path, a table or an Extract. DataError when that fails."""
        if isinstance(source, (pd.DataFrame, qe.Extract)):
            data: pd.DataFrame | qe.Extract = source
            named = ""
        elif str(source).startswith(presets.EXAMPLE):
            data = qe.data.example(str(source).removeprefix(presets.EXAMPLE))
            named = str(source)
        else:
            data = qe.data.read(source)
            named = Path(source).as_posix()
        self.data, self.source = data, named
        self._restart()
        return data

    def proposed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values`, completed by what is known of a shipped example and by guesses from the columns."""
        design_class = qe.ControlChart if self.improvement else self.method.design
        found = {**presets.known(self.source, qe.fields_of(design_class)), **values}
        described = qe.data.describe(self._loaded())
        free = described[
            ~described["column"].isin([held for held in found.values() if isinstance(held, str)])
        ]
        guessed = {name: held for name, held in guess.roles(design_class, free).items() if name not in found}
        return {**guessed, **found}

    def revise(self, design: qe.Design) -> bool:
        """Take over a design. True when numbers have to be made anew, False when only words changed."""
        before, self.design = self.design, design
        if before is not None and _numbers_of(before) == _numbers_of(design):
            self._reword(design)
            return False
        self.before = None
        self.current = self.current and before is not None and _same_groups(before, design)
        self._forget()
        return True

    def _reword(self, design: qe.Design) -> None:
        """Put changed words into the results; no number depends on them."""
        self.report = None
        if self.result is not None:
            self.result = self.glimpse = dataclasses.replace(self.result, design=design)
        if self.checks is not None:
            self.checks = dataclasses.replace(self.checks, arguments=design.argued())

    def check_design(self) -> None:
        """Everything that can be known before outcomes after the start are looked at."""
        self.before = qe.design_checks(self._designed(), self._loaded())
        self.looked = True

    def try_design(self) -> None:
        """Who would be compared by the design as it stands, and how alike they would be; of donors the
        weights and the fit before the start."""
        design: Any = self._tried()
        if self._bench is None:
            self._bench = qe.tuning(design, self._loaded())
        self.trial = self._bench.trial(design)
        self.current = True

    def lock(self, folder: Path) -> None:
        """Lock the design and keep the protocol in a file; a design that was locked before keeps its time.

        Design checks of an earlier design are made again first, so that what is locked has been looked at.
        """
        if self.looked and self.before is None:
            self.check_design()
        self.protocol, self.open_lock = qe.lock(self._designed()), False
        path = folder / self.protocol_file
        if path.exists():
            self.protocol = qe.Protocol.load(path)
        else:
            self.protocol.save(path)

    @property
    def protocol_file(self) -> str:
        """The name of the file in which the protocol is kept; empty without one."""
        return "" if self.protocol is None else f"protocol-{self.protocol.sha256[:12]}.json"

    def go_on_unlocked(self) -> None:
        """Look at outcomes without a protocol; every result will say so."""
        self.protocol, self.open_lock = None, True

    def estimate(self) -> None:
        """Estimate, with the design checks of the same design if they have not been made."""
        if not self.settled:
            raise qe.DesignError(
                "lock: the design is not locked. Lock it first, or go on without a protocol on purpose."
            )
        if isinstance(self.design, qe.CohortDesign) and self.design.outcome is None:
            raise qe.DesignError(
                "outcome: no outcome has been named, so there is no effect to estimate. Choose its column."
            )
        if self.before is None and not (self.quick and (self.begun or self.improvement)):
            # They take longer than the estimate and would hold up whoever moves a slider.
            self.check_design()
        found = self.glimpse
        self._forget()
        self.result = found if found is not None else self._fresh()
        self.glimpse = self.result
        self.begun = True

    def peek(self) -> None:
        """Estimate the design as it stands while a setting is being moved; the outcome is open already."""
        if (self.begun or self.improvement) and self.glimpse is None:
            self.glimpse = self._fresh()

    def _fresh(self) -> qe.Result:
        return qe.estimate(self._designed(), self._loaded(), protocol=self.protocol)

    def diagnose(self) -> None:
        """Examine the assumptions."""
        self.checks = qe.diagnose(self._estimated(), self._loaded())
        self.report = None

    def vary(self, altered: Mapping[str, Sequence[Any]]) -> None:
        """Estimate again under altered designs."""
        self._estimated()
        self.altered = {name: list(held) for name, held in altered.items()}
        given: dict[str, Any] = dict(self.altered)
        self.variation = qe.vary(self._designed(), self._loaded(), **given)
        self.report = None

    def compare(self) -> None:
        """Answer the same question by every other reasonable method, for designs in which something was
        tried."""
        self._estimated()
        design: Any = self._designed()
        self.panel = qe.specifications(design, self._loaded())
        self.report = None

    def _sensitivity(self) -> qe.Variation | None:
        """Altered designs and other methods in one table, as far as they were made.

        Of several effects of a design the first enters, as in the panel of other methods.
        """
        if self.panel is None or self.variation is None:
            return self.panel if self.variation is None else self.variation
        table = self.variation.table
        first = table["term"].isna() | (table["term"] == table["term"][0])
        altered = table[first & (table["label"] != "as designed")].filter(list(self.panel.table))
        joined = pd.concat([self.panel.table, altered], ignore_index=True)
        return dataclasses.replace(self.panel, table=joined)

    def write(self) -> None:
        """Make the report of all that was done."""
        if self.checks is None:
            raise qe.DesignError(
                "assumptions: they have not been examined, and a report without them is not made."
            )
        if self.before is None:
            self.check_design()
        varied = self._sensitivity()
        self.report = qe.report(self._estimated(), self.checks, varied, design_checks=self.before)

    def choices(self) -> dict[str, Any]:
        """All that was chosen, ready for JSON, and the steps that were done."""
        done = {
            "design checks": self.before,
            "estimate": self.result,
            "assumptions": self.checks,
            "sensitivity": self.variation,
            "other methods": self.panel,
            "report": self.report,
        }
        return {
            "qieval_choices": FORMAT,
            "method": qe.method_of(self._designed()).stem,
            "data": self.source,
            "design": self._designed().to_dict(),
            "protocol": None if self.protocol is None else json.loads(self.protocol.to_json()),
            "without_protocol": self.open_lock,
            "altered": {name: [_plain(item) for item in held] for name, held in self.altered.items()},
            "done": [name for name, made in done.items() if made is not None],
        }

    def save_choices(self, path: Path) -> Path:
        """Write the choices to a small file; `replay` does all of it again from there."""
        path.write_text(json.dumps(self.choices(), indent=2, ensure_ascii=False), encoding="utf-8")
        return path

    def _loaded(self) -> pd.DataFrame | qe.Extract:
        if self.data is None:
            raise qe.DataError("data: no data have been chosen. Choose an example or a file first.")
        return self.data

    def _designed(self) -> qe.Design:
        if self.design is None:
            raise qe.DesignError("design: it is not complete. Fill in the fields of the data step first.")
        return self.design

    def _tried(self) -> qe.Design:
        design = self._designed()
        if not isinstance(design, (qe.CohortDesign, qe.DonorDesign, qe.InterruptedTimeSeries)):
            raise qe.DesignError(
                f"design: {design.title} makes no groups alike and weights no donors: nothing can be tried."
            )
        return design

    def _estimated(self) -> qe.Result:
        if self.result is None:
            raise qe.DesignError("estimate: nothing has been estimated with this design. Estimate first.")
        return self.result


def replay(path: str | Path, data: pd.DataFrame | qe.Extract | None = None) -> Study:
    """Do everything again that a file of choices records, without widgets; the numbers are the same.

    data: the table, when the study was made from a table in Python rather than from an example or a file.
    Paths in the file are relative to the current folder. Raises QievalError when the file is not one of ours.
    """
    held = _read_choices(Path(path))
    if data is None and not held["data"]:
        raise qe.DataError(
            "data: these choices were made on a table in Python. Give it: replay(path, data=table)."
        )
    study = Study(held["method"])
    study.load(data if data is not None else held["data"])
    study.revise(study.method.design.from_dict(held["design"]))
    if held["protocol"] is not None:
        study.protocol = qe.Protocol.from_json(json.dumps(held["protocol"]))
    study.open_lock = bool(held["without_protocol"])
    done = held["done"]
    if "design checks" in done:
        study.check_design()
    if "estimate" in done:
        study.estimate()
    if "assumptions" in done:
        study.diagnose()
    if "sensitivity" in done:
        study.vary(held["altered"])
    if "other methods" in done:
        study.compare()
    if "report" in done:
        study.write()
    return study


def _read_choices(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise qe.DataError(
            f"path: there is no file '{path.name}'. Give the file that 'Save my choices' wrote."
        )
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as cause:
        raise qe.DataError(f"path: '{path.name}' is not a file of choices (it is not JSON).") from cause
    if not isinstance(held, dict) or held.get("qieval_choices") != FORMAT:
        raise qe.DataError(
            f"path: '{path.name}' is not a file of choices that this version of qieval can read."
        )
    return held


def _same_groups(before: qe.Design, design: qe.Design) -> bool:
    """Whether two designs compare the same people or places with the same weights."""
    first, second = _numbers_of(before), _numbers_of(design)
    changed = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    if isinstance(design, qe.SeriesDesign):
        return changed <= {"measured_in"}
    return changed <= set(INTERVAL_FIELDS if isinstance(design, qe.DonorDesign) else OUTCOME_FIELDS)


def _numbers_of(design: qe.Design) -> dict[str, Any]:
    """The design without the words that change no number."""
    return {name: held for name, held in design.to_dict().items() if name not in WORDS}


def _plain(held: Any) -> Any:
    return list(held) if isinstance(held, tuple) else held
