"""The steps of a guided study, in order. Each is a view of the study: it shows, asks and passes on."""

import qieval as qe
from qi_notebooks import layout
from qi_notebooks.steps.base import Step
from qi_notebooks.steps.before import DataStep, DesignChecks, Lock, Question
from qi_notebooks.steps.choose import Choose, ChooseDonors
from qi_notebooks.steps.findings import Assumptions, Estimate, Sensitivity
from qi_notebooks.steps.output import Code, ReportStep

EVERY: tuple[type[Step], ...] = (
    Question,
    DataStep,
    DesignChecks,
    Choose,
    Lock,
    Estimate,
    Assumptions,
    Sensitivity,
    ReportStep,
    Code,
)


def steps_of(design: type[qe.Design]) -> tuple[type[Step], ...]:
    """The steps of a study with a design: only where something is tried out there is something to choose."""
    choose = ChooseDonors if layout.has_donors(design) else Choose
    tried = "choose" in layout.sections(design)
    return tuple(choose if step is Choose else step for step in EVERY if tried or step is not Choose)


__all__ = ["Step", "steps_of"]
