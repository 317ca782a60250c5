"""One guided study for every method: the steps, the form, and the study that they show."""

import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

import qieval as qe
from qi_notebooks import layout, look, presets
from qi_notebooks.chart_form import ChartForm, design_of
from qi_notebooks.form import WAIT, Form
from qi_notebooks.later import Later
from qi_notebooks.steps import Step, steps_of
from qi_notebooks.study import Source, Study, replay

QUICK = 0.1
"""Seconds of quiet after which a setting counts as tried: balance follows a slider while it is moved."""
PATIENT = 1.5
"""The same until the whole estimate is made again where a quick one was shown at once."""


class App:
    """A guided study: Question, Data, Design checks, (Choose,) Lock, Estimate, Assumptions,
    Sensitivity, Report. An improvement chart: Measure, Data, Chart, Signals, Checks, More views, Report.

    method: a method of the catalogue. data: 'example:NAME', the path of a file, a table or an Extract.
    choices: values of fields of the design; None means: propose. Displaying the app shows all steps;
    `app.step("estimate")` gives one of them for a cell of its own. With `interactive=False` nothing is
    clicked: `app.step(name)` carries out the step by its defaults, and errors are raised. `app.result`,
    `app.checks`, `app.variation` and `app.report` hold what was made; nothing of the rows of the data is held
    by any widget.

    >>> data = qe.simulate_panel(40, 8, 20, seed=1)
    >>> app = App("DifferenceInDifferences", data, interactive=False, outcome="y", start=4)
    >>> app.step("data").state
    'done'
    >>> app.design
    DifferenceInDifferences(outcome='y', unit='unit', time='time', treated='treated', start=4)
    """

    def __init__(
        self, method: str, /, data: Source | None = None, *, interactive: bool = True, **choices: Any
    ) -> None:
        self.interactive = interactive
        self.study = Study(method)
        self.busy = False
        self._missed = False
        self._source = data
        self._choices = {name: held for name, held in choices.items() if held is not None}
        made = [step(self, at) for at, step in enumerate(steps_of(self.study.method.design), start=1)]
        self._steps = {step.name.lower(): step for step in made}
        self._found = self._steps.get("estimate") or self._steps["signals"]
        moved = layout.moved(self.study.method.design)
        self._live = self._steps.get("choose") or self._steps.get("chart") or (self._found if moved else None)
        if not interactive:
            self._design_without_form()
            return
        self.form = (ChartForm if self.study.improvement else Form)(self.study.method.design)
        if self._live is not None:
            section = self.form.sections.get("choose")
            tried = moved if section is None else (*section.again, *section.names)
            self.form.observe(self._settings_tried, tried, QUICK)
        self.form.observe(self._form_changed, wait=PATIENT if self.study.quick else WAIT)
        self.attempt(self._steps["data"], self._begin)

    @property
    def design(self) -> qe.Design | None:
        """The design as it stands; None while it is incomplete."""
        return self.study.design

    @property
    def result(self) -> qe.Result | None:
        """The estimate of the design as it stands."""
        return self.study.result

    @property
    def checks(self) -> qe.Checks | None:
        """The examined assumptions."""
        return self.study.checks

    @property
    def variation(self) -> qe.Variation | None:
        """The estimates under altered designs."""
        return self.study.variation

    @property
    def report(self) -> Any:
        """The report."""
        return self.study.report

    def step(self, name: str) -> Step:
        """A step by its name. Without a screen it is carried out, after those before it, if it is not done.

        Raises QievalError for an unknown name; without a screen also when the step cannot be carried out.
        """
        wanted = self._steps.get(name.lower())
        if wanted is None:
            raise qe.QievalError(f"step: there is no step '{name}'. The steps are: {', '.join(self._steps)}.")
        if not self.interactive:
            for step in self._steps.values():
                if not step.done():
                    step.carry_out()
                if step is wanted:
                    break
        return wanted

    @property
    def by_name(self) -> Mapping[str, Step]:
        """The steps by their names in small letters."""
        return self._steps

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(self._steps.values())

    @staticmethod
    def replay(path: str | Path, data: pd.DataFrame | qe.Extract | None = None) -> Study:
        """Do everything again that 'Save my choices' recorded, without widgets."""
        return replay(path, data)

    def take_data(self, source: Source, values: Mapping[str, Any] | None = None) -> None:
        """Read data, fill the form with what is known of them, and propose the rest."""
        data = self.study.load(source)
        self.form.clear()
        self.form.offer(data)
        self.form.set(**presets.known(self.study.source, self.form.specs), **(values or {}))
        self.form.propose()
        self._take_design()

    def _design_without_form(self) -> None:
        """Read the data and make the design from the choices and the proposals."""
        if self._source is None:
            raise qe.DataError(
                "data: no data were given. Give an example or a file, such as data='example:pilot'."
            )
        self.study.load(self._source)
        values = self.study.proposed(self._choices)
        required = dict.fromkeys(layout.stated(self.study.method.design))
        self.study.revise(design_of(self.study.method.design, {**required, **values}))

    def attempt(self, step: Step, action: Callable[[], None], *, quick: bool = False) -> None:
        """Do something for a step; whatever goes wrong is told there in words, and all steps follow.

        quick: without saying that work is going on, which would make the page jump while a slider is moved.
        This is the boundary between the program and its user: a traceback in a notebook helps nobody who
        clicks.
        """
        if self.busy:
            return
        self.busy = True
        step.say("")
        with nullcontext() if quick else step.working():
            step.say(self._outcome(action))
        self.busy = False
        if self._missed:
            self._missed = False
            self._catch_up()

    def _catch_up(self) -> None:
        """Show what was changed while something else was being done, and estimate it after a pause."""
        if self._live is None or self.study.data is None:
            return
        self.attempt(self._live, self._take_design, quick=True)
        if self.study.begun and not self._is_taken():
            Later(self._form_changed, PATIENT)()

    def _outcome(self, action: Callable[[], None]) -> str:
        """Do it, and return what the user has to be told; nothing when all went well."""
        try:
            action()
            self._refresh()
        except qe.QievalError as problem:
            self.form.complain(problem)
            self._refresh()
            return look.problems(problem.problems)
        except KeyboardInterrupt:
            return look.problems(["Stopped. Press the button again when you want this step done."])
        except Exception as problem:  # noqa: BLE001 - the one place where everything else ends, and is shown
            return _unexpected(problem)
        return ""

    def _begin(self) -> None:
        if self._source is not None:
            self.take_data(self._source, self._choices)

    def _form_changed(self) -> None:
        """A changed form changes the design; after the first estimate it is estimated again at once."""
        if self.study.data is None:
            return
        if self.busy:
            self._missed = True
            self._take_design()
            return
        if not self._is_taken():
            self.attempt(self._found if self.study.begun else self._steps["data"], self._take_and_estimate)

    def _settings_tried(self) -> None:
        """A changed setting of 'Choose' shows there at once; an estimate waits for a longer pause."""
        self._missed = self._missed or self.busy
        if self.study.data is not None and not self.busy and self._live is not None:
            self.attempt(self._live, self._take_design, quick=True)

    def _is_taken(self) -> bool:
        """Whether the study stands as the form says, so that nothing is left to do."""
        waiting = self.study.begun and self.study.result is None
        return not waiting and self.study.design is not None and self.form.holds(self.study.design)

    def _take_and_estimate(self) -> None:
        self._take_design()
        if self.study.begun and self.study.result is None and self.study.design is not None:
            self.study.estimate()

    def _take_design(self) -> None:
        try:
            design = self.form.design()
        except qe.DesignError:
            # Told beside the fields; a form that is being filled in is no failure.
            self.study.set_aside()
            return
        self.study.revise(design)

    def _refresh(self) -> None:
        for step in self._steps.values():
            step.refresh()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if self.interactive:
            import ipywidgets as widgets

            return widgets.VBox([step.panel for step in self._steps.values()])._repr_mimebundle_(**kwargs)
        for name in self._steps:
            self.step(name)
        body = "".join(step._repr_mimebundle_()["text/html"] for step in self._steps.values())
        return {"text/html": body, "text/plain": repr(self.study.result)}


def _unexpected(problem: BaseException) -> str:
    """A box with where it happened. The message of the error is left out: it may hold a value of the data."""
    frames = traceback.extract_tb(problem.__traceback__)
    where = [f"{frame.name} ({Path(frame.filename).name}, line {frame.lineno})" for frame in frames]
    versions = [f"{name} {held}" for name, held in qe.provenance.versions().items()]
    details = "\n".join([type(problem).__name__, *where, *versions])
    box = f"<textarea class='qi-details' readonly aria-label='Details'>{qe.markup.escape(details)}</textarea>"
    said = look.problems(
        ["Something unexpected went wrong. Nothing of your data is in the details below; please send them."]
    )
    return said + look.folded("Copy details", box)
