"""The steps of a guided study, in order. Each is a view of the study: it shows, asks and passes on."""

import qieval as qe
from qi_notebooks import layout
from qi_notebooks.steps.base import Step
from qi_notebooks.steps.before import DataStep, DesignChecks, Lock, Question
from qi_notebooks.steps.choose import Choose
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
    """The steps of a study with a design: only designs that make groups alike have something to choose."""
    tried = layout.makes_groups_alike(design)
    return tuple(step for step in EVERY if tried or step is not Choose)


__all__ = ["Step", "steps_of"]
