"""The design of difference-in-differences for roll-outs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qieval.fields import choice, number, values
from qieval.rollout_design import RolloutDesign

COUNTS = ("poisson", "poisson two-way")
APPROACHES = ("group-time", "interaction-weighted", "imputation", "two-stage", "stacked", "two-way", *COUNTS)


@dataclass(frozen=True, kw_only=True, repr=False)
class StaggeredAdoption(RolloutDesign):
    """Compare the change in units that begin with the change in units that have not begun, start by start.

    The effect is that on the treated (ATT). `approach` says how it is put together:

    - 'group-time': an effect for each cohort (units with the same start) and period, by comparing its change
      with that of the `control_group`, doubly robust in the covariates (Callaway and Sant'Anna 2021; R did);
    - 'interaction-weighted': the regression with an effect for each cohort and period (Sun and Abraham 2021;
      fixest::sunab); 'stacked': one data set per cohort, stacked with corrective weights (Wing et al. 2024);
    - 'imputation': outcomes without the intervention are predicted from untreated observations (Borusyak,
      Jaravel and Spiess 2024; didimputation); 'two-stage' has the same estimates with errors of Gardner 2022;
    - 'two-way': the regression with unit and period effects and one coefficient. With different starts it
      also compares units with others that began earlier, and may even have the wrong sign: a warning, to
      compare with;
    - 'poisson': ratios of rates by cohort and period with `exposure` as offset (Wooldridge 2023), with the
      number of events prevented; 'poisson two-way': the single ratio with unit and period effects.

    `aggregation` says how effects of cohorts and periods become the one in the headline; the others follow in
    the table: 'group' averages each cohort's effect over its periods, then cohorts by size; 'simple' averages
    all treated cohort-periods by size; 'dynamic' averages over the periods since the start, 'calendar' over
    calendar periods. Only periods from the start on count, also with anticipation.

    Units that begin in the first period (less anticipation) have no time before: they are left out and
    counted. Starts after the last period count as never. `unbalanced`: when units lack periods, 'pairs' uses
    in each comparison the units seen in both its periods, 'drop' only units seen in every period (the default
    of R did), 'cross-sections' every row as if people were sampled anew (allow_unbalanced_panel of R did).
    The three answer differently on the same data; how many rows each used is shown.

    Standard errors come from influence functions without a factor for few clusters, as in R did
    (small_sample='reference'), or with G/(G-1) ('clusters'); regressions have fixest's factor and t(G-1).
    Bands cover all periods together (sup-t, computed, not drawn). inference='automatic' is analytic, with
    few clusters the jackknife over clusters.

    With `eligible` the effect is a triple difference: the change in eligible units of treated places beyond
    that in ineligible units of the same places (Ortiz-Villavicencio and Sant'Anna 2025).

    Missing values: see `missing`; an empty start means never. Raises DesignError when fields contradict each
    other.

    >>> StaggeredAdoption(outcome="y", unit="id", time="month", first_treated="began")
    StaggeredAdoption(outcome='y', unit='id', time='month', first_treated='began')
    """

    title: ClassVar[str] = "Staggered adoption"

    approach: str = choice(
        APPROACHES, "how effects of cohorts and periods are estimated", default="group-time"
    )
    estimator: str = choice(
        ("doubly robust", "ipw", "regression"),
        "how covariates are used: by a model of who begins and one of the outcome, or only one of them",
        default="doubly robust",
    )
    control_group: str = choice(
        ("never", "not yet"),
        "who is compared with: units that never begin, or also those that begin later",
        default="never",
    )
    base_period: str = choice(
        ("varying", "universal"),
        "what periods before the start are compared with: the period before each (varying), or all with the"
        " last one before the start (universal)",
        default="varying",
    )
    unbalanced: str = choice(
        ("pairs", "drop", "cross-sections"),
        "what to do with units that lack periods: use pairs of periods, leave the units out, or treat rows as"
        " sampled anew",
        default="pairs",
    )
    aggregation: str = choice(
        ("group", "simple", "dynamic", "calendar"),
        "how effects of cohorts and periods become the one in the headline",
        default="group",
    )
    event_window: tuple[Any, ...] = values(
        "the first and the last period since the start to show, such as -6 and 12", empty="all"
    )
    balanced_to: int = number(
        "only cohorts followed at least this many periods after their start enter the effects by period"
        " since the start (-1: all cohorts)",
        low=-1,
        high=600,
        default=-1,
        whole=True,
    )
    inference: str = choice(
        (
            "automatic",
            "analytic",
            "multiplier bootstrap",
            "cluster jackknife",
            "wild cluster bootstrap",
            "randomisation",
        ),
        "how the interval is made; automatic uses a method for few clusters where there are few",
        default="automatic",
    )
    small_sample: str = choice(
        ("reference", "none", "clusters"),
        "the factor of the standard error for few clusters: as the software that the approach comes from,"
        " none, or G/(G-1)",
        default="reference",
    )
    draws: int = number(
        "random draws of a bootstrap or of randomisation", low=99, high=99_999, default=1999, whole=True
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        found += self._wrong_for_counts() + self._wrong_for_data() + self._wrong_for_inference()
        if self.event_window:
            held = [moment for moment in self.event_window if isinstance(moment, int | float)]
            whole = len(held) == 2 and all(moment == np.floor(moment) for moment in held)
            if len(self.event_window) != 2 or not whole or held[0] > held[1]:
                found.append(
                    f"event_window: {self.event_window!r} is not a first and a last period since the start."
                    " Give two whole numbers, such as (-6, 12)."
                )
        return found

    def _wrong_for_counts(self) -> list[str]:
        found = []
        if self.exposure is not None and self.approach not in COUNTS:
            found.append(
                "exposure, approach: rates are compared as ratios by approach='poisson', not"
                f" '{self.approach}'."
                " Choose it, or divide events by exposure and give the rate as the outcome (with weights)."
            )
        if self.eligible is not None and self.approach != "group-time":
            found.append(
                f"eligible, approach: triple differences are estimated by approach='group-time', not"
                f" '{self.approach}'."
            )
        if self.second_cluster is not None and self.approach != "group-time":
            found.append(
                f"second_cluster, approach: two ways of clustering are there for approach='group-time', not"
                f" '{self.approach}'. Keep the cluster with fewer groups."
            )
        return found

    def _wrong_for_data(self) -> list[str]:
        crossed = self.data == "repeated cross-sections" or self.unbalanced == "cross-sections"
        if crossed and self.approach not in ("group-time", "poisson"):
            return [
                f"data, unbalanced, approach: '{self.approach}' follows units over time, which cross-sections"
                " do not. Use approach='group-time' (or 'poisson')."
            ]
        if crossed and self.eligible is not None:
            return ["eligible, unbalanced: triple differences need units that are followed."]
        return []

    def _wrong_for_inference(self) -> list[str]:
        found = []
        if self.inference == "wild cluster bootstrap" and self.approach not in (
            "interaction-weighted",
            "two-way",
        ):
            found.append(
                "inference, approach: the wild cluster bootstrap works on a regression. Use"
                " approach='interaction-weighted' (without covariates and with never-treated controls it has"
                " the same estimates as 'group-time'), or inference='cluster jackknife'."
            )
        if self.inference == "multiplier bootstrap" and self.approach != "group-time":
            found.append(
                "inference, approach: the multiplier bootstrap works on the influence functions of"
                f" approach='group-time', not '{self.approach}'."
            )
        if self.second_cluster is not None and self.inference in ("cluster jackknife", "randomisation"):
            found.append(
                f"second_cluster, inference: '{self.inference}' knows one way of clustering. Leave out the"
                " second"
                " (keep the one with fewer groups), or use inference='analytic'."
            )
        if self.inference == "randomisation" and self.rollout_randomised == "no":
            found.append(
                "inference, rollout_randomised: drawing the order again is only a test where it was drawn by"
                " lot. Set rollout_randomised='yes' if it was; otherwise use inference='cluster jackknife'."
            )
        return found
