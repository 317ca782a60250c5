"""The steps of a guided study, in order. Each is a view of the study: it shows, asks and passes on."""

from qi_notebooks.steps.base import Step
from qi_notebooks.steps.before import DataStep, DesignChecks, Lock, Question
from qi_notebooks.steps.findings import Assumptions, Estimate, Sensitivity
from qi_notebooks.steps.output import Code, ReportStep

STEPS: tuple[type[Step], ...] = (
    Question,
    DataStep,
    DesignChecks,
    Lock,
    Estimate,
    Assumptions,
    Sensitivity,
    ReportStep,
    Code,
)

__all__ = ["STEPS", "Step"]
