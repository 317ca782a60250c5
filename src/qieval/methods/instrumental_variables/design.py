"""The design of an instrumental variable analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from qieval.fields import choice, column, columns, number, text
from qieval.row_design import RowDesign

EXCLUSION = "the instrument acts only through the intervention"
"""The assumption whose argument must be written down before an estimate is shown."""


@dataclass(frozen=True, kw_only=True, repr=False)
class InstrumentalVariables(RowDesign):
    """Use something that moved who received the intervention and has no other way to the outcome.

    `received` is who received the intervention (1 or 0), or how much; `instruments` are what moved it, such
    as the distance to a specialist hospital, a clinician's preference, or a lottery. `exclusion` says in
    words why the instrument acts on the outcome only through the intervention: no data can show it, so no
    estimate is made without it. `covariates` enter both equations.

    `estimator`: '2SLS' (two-stage least squares), 'LIML' and 'Fuller' (less biased with several weak
    instruments), 'GMM' (two steps), or 'residual inclusion' (2SRI, for outcomes that are risks or counts).
    `interval` of the headline: 'Anderson-Rubin' is right however weak the instrument, and may be one
    interval, two rays, everything or empty; 'conditional likelihood ratio' (equal variances) and 'tF' (one
    instrument, 95%) are other remedies; 'Wald' is the usual one, which is wrong with weak instruments;
    'automatic' is Anderson-Rubin with one instrument, or with several whose effective F is below the
    conservative critical value for a bias of 10%, and otherwise Wald. Text among the instruments becomes one
    0/1 instrument for each value but the first.

    The effect is that in people whom the instrument moved (compliers); residual inclusion gives a model's
    average over everybody. Rows with a missing value are refused or left out and counted. A DesignError says
    that the exclusion argument lacks, a DataError or EstimationError that the instrument does not vary or
    moves nothing. Sources: Angrist, Imbens and Rubin 1996; Andrews, Stock and Sun
    2019; Montiel Olea and Pflueger 2013; Swanson and Hernan 2013. Checked against R ivreg, ivmodel and
    Python linearmodels.

    >>> InstrumentalVariables(outcome="died", received="specialist", instruments=("distance",))
    InstrumentalVariables(outcome='died', received='specialist', instruments=('distance',))
    """

    title: ClassVar[str] = "Instrumental variables"

    received: str = column("numeric", "who received the intervention (1 or 0), or how much of it")
    instruments: tuple[str, ...] = columns(
        "any", "what moved who received it and has no other way to the outcome"
    )
    exclusion: str = text(
        "why the instrument acts on the outcome only through the intervention, in your own words"
    )
    estimator: str = choice(
        ("2SLS", "LIML", "Fuller", "GMM", "residual inclusion"),
        "how the effect is estimated",
        default="2SLS",
    )
    interval: str = choice(
        ("automatic", "Anderson-Rubin", "conditional likelihood ratio", "tF", "Wald"),
        "which interval is in the headline",
        default="automatic",
    )
    variance: str = choice(
        ("robust", "unadjusted"),
        "whether standard errors allow for unequal variances (with a cluster column they allow for clusters)",
        default="robust",
    )
    small_sample: str = choice(
        ("yes", "no"), "whether variances are multiplied by n / (n - k), as HC1 does", default="yes"
    )
    model: str = choice(
        ("automatic", "logit", "probit", "Poisson"),
        "the outcome model of residual inclusion",
        default="automatic",
    )
    direct_effect: float = number(
        "the largest direct effect of one unit of the instrument on the outcome that you find plausible, for"
        " the sensitivity analysis of the exclusion (0: found at which it would matter)",
        low=0,
        high=1e12,
        default=0,
    )
    subgroups: tuple[str, ...] = columns(
        "any",
        "characteristics in whose groups the instrument should move people the same way",
        step="analysis",
    )

    def roles(self) -> dict[str, str]:
        """The columns that are no characteristics, by role."""
        return super().roles() | {"received": self.received}

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value; people may belong to no subgroup."""
        only = set(self.subgroups) - {*self.covariates, *self.instruments, *self.roles().values()}
        only -= {self.cluster, self.weights}
        return tuple(name for name in self.used_columns() if name not in only)

    def argued(self) -> Mapping[str, str]:
        """The arguments with that for the exclusion."""
        said = dict(self.arguments)
        if self.exclusion.strip():
            said[EXCLUSION] = self.exclusion.strip()
        return said

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if not self.instruments:
            found.append(
                "instruments: nothing is named that moved who received the intervention. Name the"
                " instrument; without one, compare similar people (Matching, Weighting,"
                " RegressionAdjustment)."
            )
        taken: dict[str, Any] = {f"covariates {name}": name for name in self.covariates}
        taken |= {f"negative_controls {name}": name for name in self.negative_controls}
        taken |= self.roles() | ({"weights": self.weights} if self.weights else {})
        found += [
            f"instruments: '{name}' is already named under {role.split()[0]}. An instrument must be something"
            " else."
            for role, name in taken.items()
            if name in self.instruments
        ]
        closed = {**self.roles(), **{f"instruments {name}": name for name in self.instruments}}
        found += [
            f"subgroups: '{name}' is already named under {role.split()[0]}. Name a characteristic from before"
            " the intervention."
            for role, name in closed.items()
            if name in self.subgroups
        ]
        if EXCLUSION in self.arguments and self.exclusion.strip():
            found.append(
                "exclusion, arguments: the exclusion argument is given twice. Keep it under exclusion."
            )
        return found + self._wrong_estimator() + self._wrong_interval()

    def _wrong_estimator(self) -> list[str]:
        """Problems between the estimator and other fields."""
        found = []
        inclusion = self.estimator == "residual inclusion"
        if not inclusion and self.person_time is not None:
            found.append(
                "person_time, estimator: rates need estimator='residual inclusion', or divide the events"
                " by the time yourself and give the time as weights."
            )
        if not inclusion and self.model != "automatic":
            found.append(
                f"model, estimator: '{self.model}' is a model of residual inclusion. Set"
                " estimator='residual inclusion', or leave model='automatic'."
            )
        if self.person_time is not None and self.model in ("logit", "probit"):
            found.append(
                f"model, person_time: '{self.model}' is for risks, not for events in a time. Use Poisson."
            )
        if self.variance == "unadjusted" and self.cluster is not None:
            found.append(
                "variance, cluster: 'unadjusted' ignores the clusters that are named. Use 'robust', or leave"
                " cluster empty."
            )
        if self.variance == "unadjusted" and self.estimator in ("GMM", "residual inclusion"):
            found.append(
                f"variance, estimator: {self.estimator} has no standard error for equal variances here. Use"
                " variance='robust'."
            )
        return found

    def _wrong_interval(self) -> list[str]:
        """Problems between the interval and other fields."""
        found = []
        if self.estimator == "residual inclusion" and self.interval not in ("automatic", "Wald"):
            found.append(
                f"interval, estimator: '{self.interval}' is made for linear models. With residual"
                " inclusion leave interval='automatic'."
            )
        if self.interval == "tF" and len(self.instruments) != 1:
            found.append("interval, instruments: the tF interval is for one instrument.")
        if self.interval == "tF" and self.level != 0.95:
            found.append(
                f"interval, level: the tF interval is tabulated for 95% only, not for {self.level:.4g}."
            )
        if self.interval == "conditional likelihood ratio" and self.cluster is not None:
            found.append(
                "interval, cluster: the conditional likelihood ratio interval takes rows as independent."
                " Use Anderson-Rubin, which allows for clusters."
            )
        return found
