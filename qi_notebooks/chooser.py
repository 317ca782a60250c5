"""A few plain questions that lead to a method of the catalogue, or say honestly why none of them fits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import qieval as qe
from qi_notebooks import look, presets

AIM = "What do you want?"
AIMS = ("evaluate a change: did it work?", "follow a measure over time: has something changed?")
FOLLOW = (
    "An improvement chart says that something changed, or that chance alone would explain what you see. It "
    "does not say why, so it never tells that a change worked; come back here when you want to know that."
)
UNSURE = "not sure"
ANSWERS = ("yes", "no", UNSURE)


@dataclass(frozen=True)
class Ask:
    """A question with what it means for a method that needs the answer 'yes' when the answer is 'no'."""

    words: str
    otherwise: str


QUESTIONS: Mapping[str, Ask] = {
    "comparison": Ask(
        "Is there a similar group (practices, hospitals, people) that did not get the change, or got it "
        "later?",
        "Without a comparison group, everything else that changed over the same time is counted as an "
        "effect.",
    ),
    "before": Ask(
        "Was the outcome recorded several times before the change, in both groups?",
        "Without earlier measurements nobody can see whether the groups were moving in parallel.",
    ),
    "long before": Ask(
        "Was the outcome recorded for a long time before: ten periods at least (months, quarters or years), "
        "better twenty or more?",
        "Over a short time before the change a mix of places fits by chance, and what it predicts is biased.",
    ),
    "long after": Ask(
        "Was it recorded for several periods after the change: three at the very least, better a dozen?",
        "With a few values after the change nobody can tell an effect from the ups and downs of a series.",
    ),
    "nothing else": Ask(
        "Do you know that nothing else which moves the outcome happened around the start of the change?",
        "One series cannot tell two things apart that happened at the same time.",
    ),
    "one place": Ask(
        "Did one place (a hospital, a region) or a few get the change, while at least ten others did not?",
        "With many treated places, difference-in-differences says the same, and its uncertainty is better "
        "known; with few others there is nothing to mix.",
    ),
    "many small": Ask(
        "Are there many small places (practices, wards), with some of the outcome's events in each?",
        "Totals of a few large places cannot be matched in every period by weights.",
    ),
    "one start": Ask(
        "Did all who got the change get it at about the same time?",
        "With several starts, units that started early serve as comparison for those that started late, "
        "which misleads when effects grow with time.",
    ),
    "same measure": Ask(
        "Was the outcome recorded in the same way all the time (in both groups, where there are two)?",
        "A change of recording looks like an effect.",
    ),
    "people": Ask(
        "Do your data hold many people (or organisations) without the change, whose characteristics from "
        "before it are known?",
        "Without many candidates and their characteristics nobody can find similar ones.",
    ),
    "cutoff": Ask(
        "Did a rule with a cutoff (an age, a weight, a risk score, a date) decide who got the change?",
        "Without a cutoff there is no place where people on both sides are alike but for the change.",
    ),
    "near the cutoff": Ask(
        "Are there many people near that cutoff on both sides, none of whom could choose the side?",
        "With few people near the cutoff a line through the others decides; where people choose the side, "
        "those on both sides are not alike.",
    ),
    "moved by chance": Ask(
        "Did something as good as chance (distance, a lottery, who was on duty) move who got the change, "
        "with no other way to the outcome?",
        "Without such an instrument, or with one that acts in other ways too, what is found is not the "
        "effect of the change.",
    ),
    "measured twice": Ask(
        "Was the outcome of the same people (or teams) measured once before and once after?",
        "Without a value before and after for the same people there is no change to look at.",
    ),
    "no hidden reason": Ask(
        "Is most of what decided who got the change recorded in the data (age, illness, earlier use)?",
        "Whatever led people to the change, bears on the outcome and is not recorded is counted as an "
        "effect, however alike the groups look.",
    ),
}

_SIMILAR = ("comparison", "people", "no hidden reason")
_EVERY: Mapping[str, tuple[str, ...]] = {
    "difference_in_differences": ("comparison", "before", "one start", "same measure"),
    "staggered_adoption": ("comparison", "before", "same measure"),
    "synthetic_control": ("comparison", "long before", "one place", "one start", "same measure"),
    "synthetic_difference_in_differences": ("comparison", "long before", "same measure"),
    "generalised_synthetic_control": ("comparison", "long before", "same measure"),
    "micro_synthetic_control": ("comparison", "before", "many small", "one start", "same measure"),
    "interrupted_time_series": ("long before", "long after", "nothing else", "same measure"),
    "matching": _SIMILAR,
    "genetic_matching": _SIMILAR,
    "weighting": _SIMILAR,
    "regression_adjustment": _SIMILAR,
    "regression_discontinuity": ("cutoff", "near the cutoff"),
    "instrumental_variables": ("moved by chance",),
    "before_after": ("measured twice",),
}
NEEDS: Mapping[str, tuple[str, ...]] = {method.stem: _EVERY[method.stem] for method in qe.CATALOGUE}
"""The questions that must be answered 'yes' for a method, by its stem in the catalogue."""
LAST_RESORT = ("before_after",)
"""Methods that are offered only when no other fits."""
SIMPLER: Mapping[str, tuple[str, str]] = {
    "staggered_adoption": (
        "difference_in_differences",
        "All who got the change got it at about the same time, so difference-in-differences says the same in"
        " a simpler way.",
    ),
}
"""Methods that are not offered when a simpler one fits: which one, and the reason."""
STRONGER = (
    "Another design fits your answers, or may fit, and says more: a change of the same people cannot be told "
    "from what would have happened anyway."
)
INSTEAD = (
    "A group that did not get the change, measured at the same two times: difference-in-differences.",
    "The outcome month by month, long before and after: interrupted time series.",
    "People of whom the characteristics are known, with and without the change: matching, weighting or "
    "regression adjustment.",
)
"""What would make a stronger design possible."""
CAUTIONS: Mapping[tuple[str, str], str] = {
    ("difference_in_differences", "one place"): (
        "With one treated place or a few its interval is not to be trusted, and the plain mean of the others "
        "may be a poor guide: look at synthetic control first."
    ),
    ("interrupted_time_series", "comparison"): (
        "You have a group that did not get the change: use it, as a control series here, or in a design that "
        "compares. One series alone cannot exclude that something else happened."
    ),
    ("regression_discontinuity", "cutoff"): (
        "It speaks only for people near the cutoff. Use the score before anybody rounded it, and say what "
        "else begins at the same cutoff."
    ),
    ("instrumental_variables", "moved by chance"): (
        "That the instrument has no other way to the outcome cannot be tested: you have to argue it in "
        "writing, and it speaks only for the people whom it moved."
    ),
}
"""What has to be said of a method that fits when a question is answered 'yes', by stem and question."""


@dataclass(frozen=True)
class Advice:
    """The methods that fit, those that might (something is not sure), and for the others why not.

    cautions: what has to be said of those that fit, by method. last_resort: those that are left when none of
    the others fits or might fit.
    """

    fits: tuple[str, ...]
    perhaps: Mapping[str, tuple[str, ...]]
    unfit: Mapping[str, tuple[str, ...]]
    cautions: Mapping[str, str] = field(default_factory=dict)
    last_resort: tuple[str, ...] = ()


def advise(answers: Mapping[str, str]) -> Advice:
    """Which methods of the catalogue fit the answers; a question without an answer counts as 'not sure'.

    >>> everything = advise(dict.fromkeys(QUESTIONS, "yes"))
    >>> everything.fits == tuple(stem for stem in NEEDS if stem not in (*LAST_RESORT, *SIMPLER))
    True
    >>> one = dict.fromkeys(("comparison", "long before", "one place", "one start", "same measure"), "yes")
    >>> advise({**one, "people": "no", "many small": "no", "before": "no"}).fits[0]
    'synthetic_control'
    """
    fits, perhaps, unfit = [], {}, {}
    for stem in sorted(NEEDS, key=lambda stem: stem in LAST_RESORT):
        needs = NEEDS[stem]
        failed = tuple(QUESTIONS[need].otherwise for need in needs if answers.get(need, UNSURE) == "no")
        open_ = tuple(QUESTIONS[need].words for need in needs if answers.get(need, UNSURE) == UNSURE)
        if failed:
            unfit[stem] = failed
        elif open_:
            perhaps[stem] = open_
        else:
            fits.append(stem)
    for stem, (simpler, reason) in SIMPLER.items():
        if stem in fits and simpler in fits:
            fits.remove(stem)
            unfit[stem] = (reason,)
    cautions = {
        stem: said for (stem, key), said in CAUTIONS.items() if stem in fits and answers.get(key) == "yes"
    }
    left = [stem for stem in (*fits, *perhaps) if stem in LAST_RESORT]
    if len(fits) + len(perhaps) > len(left):
        unfit |= dict.fromkeys(left, (STRONGER,))
        left = []
    others = {stem: open_ for stem, open_ in perhaps.items() if stem not in LAST_RESORT}
    return Advice(
        tuple(stem for stem in fits if stem not in LAST_RESORT), others, unfit, cautions, tuple(left)
    )


def described(advice: Advice) -> str:
    """The advice in words, as HTML."""
    parts = []
    for stem in advice.fits:
        method = qe.method_named(stem)
        words = f"{method.title}: {method.question} {method.strengths} Its limit: {method.limits}"
        parts.append(look.good(words))
        if stem in advice.cautions:
            parts.append(look.problems([advice.cautions[stem]]))
    for stem, unclear in advice.perhaps.items():
        words = f"{qe.method_named(stem).title} may fit. Find out first:"
        parts.append(qe.markup.paragraph(words) + qe.markup.bullets(unclear))
    if not advice.fits and not advice.perhaps:
        parts.append(look.problems(["None of the methods of this version fits your answers."]))
    for stem in advice.last_resort:
        method = qe.method_named(stem)
        said = f"As a last resort: {method.title}. {method.strengths} Its limit: {method.limits}"
        parts.append(look.problems([said]))
        parts.append(qe.markup.paragraph("What would make a stronger design possible:"))
        parts.append(qe.markup.bullets(INSTEAD))
    for stem, reasons in advice.unfit.items():
        parts.append(
            qe.markup.paragraph(f"Why not {qe.method_named(stem).title}:") + qe.markup.bullets(reasons)
        )
    return "".join(parts)


class Examples:
    """The shipped data sets that suit a method of the catalogue, as a table."""

    def __init__(self) -> None:
        names = {name for method in qe.CATALOGUE for name in presets.suited(method.title)}
        listed = qe.data.examples()
        self.table = listed[listed["name"].isin(names)]

    def _repr_html_(self) -> str:
        return look.styled(qe.markup.frame_table(self.table[["name", "what", "rows", "licence"]]))


class Chooser:
    """The questions as widgets, with the advice below and a link to the notebook of the method.

    The first question parts two tracks: who only follows a measure is asked nothing else.
    """

    def __init__(self) -> None:
        import ipywidgets as widgets

        self._aim = widgets.ToggleButtons(options=AIMS, value=AIMS[0], description=AIM)
        self._aim.add_class("qi-control")
        self._aim.observe(lambda _change: self._advise(), names="value")

        self._asked = {
            key: widgets.ToggleButtons(options=ANSWERS, value=UNSURE, description=ask.words)
            for key, ask in QUESTIONS.items()
        }
        for held in self._asked.values():
            held.add_class("qi-control")
            held.observe(lambda _change: self._advise(), names="value")
        self._advice = look.text()
        self._links = {stem: look.link() for stem in NEEDS}
        self._questions = widgets.VBox([*self._asked.values()])
        self._chart = look.link()
        parts = [self._aim, self._questions, self._advice, self._chart, *self._links.values()]
        inside = widgets.VBox(parts)
        inside.add_class("qi-body")
        self.widget = widgets.VBox([look.text(f"<style>{look.STYLE}</style>"), inside])
        self.widget.add_class("qi-step")
        self._advise()

    def _advise(self) -> None:
        follows = self._aim.value == AIMS[1]
        self._questions.layout.display = "none" if follows else None
        look.show_link(
            self._chart,
            "improvement_charts.ipynb" if follows else "",
            "Open the notebook: Improvement charts",
        )
        if follows:
            self._advice.value = look.note(FOLLOW)
            for place in self._links.values():
                look.show_link(place)
            return
        advice = advise({key: held.value for key, held in self._asked.items()})
        self._advice.value = described(advice)
        for stem, place in self._links.items():
            shown = stem not in advice.unfit
            look.show_link(
                place, f"{stem}.ipynb" if shown else "", f"Open the notebook: {qe.method_named(stem).title}"
            )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.widget._repr_mimebundle_(**kwargs)
