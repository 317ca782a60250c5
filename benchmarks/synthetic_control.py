"""Synthetic control: time, memory and what is reached, beside other packages, in one run.

How rows are run: side_by_side.py. Data: cigarette sales in 39 states 1970 to
2000 (Proposition 99, California from 1989; scits_prop99_smoking.csv) with the predictors of Abadie, Diamond
and Hainmueller (2010); simulated panels with four factors. Other packages run in an environment of their own,
given as --peers (python with mlsynth, diff-diff, pysyncon, synthdid-py). "result" tells what was reached.
Usage: python benchmarks/synthetic_control.py [--peers PYTHON --repeats R --limit SECONDS --only WORDS]
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from side_by_side import Group, Row, Run, main

SHARED = Path(__file__).resolve().parents[2] / "shared"
SMOKING = SHARED / "data" / "scits_prop99_smoking.csv"
REFERENCE = SHARED / "reference" / "scits.json"
DRAWS = 200
FEW = 8
"""Units of a warm-up."""

WINDOWS = {
    "lnincome": (1980, 1988),
    "age15to24": (1980, 1988),
    "retprice": (1980, 1988),
    "beer": (1984, 1988),
    "cig75": (1975, 1975),
    "cig80": (1980, 1980),
    "cig88": (1988, 1988),
}


@dataclass(frozen=True, eq=False)
class Panel:
    """Outcomes (t, n) of units, the treated first; predictors (k, n); the long table of both."""

    outcomes: np.ndarray
    predictors: np.ndarray
    frame: pd.DataFrame
    pre: int
    names: list[str]

    @property
    def target(self) -> np.ndarray:
        return np.ascontiguousarray(self.outcomes[:, 0])

    @property
    def donors(self) -> np.ndarray:
        return np.ascontiguousarray(self.outcomes[:, 1:])

    @property
    def years(self) -> list[int]:
        return sorted(self.frame["time"].unique())


def smoking(units: int | None = None) -> Panel:
    frame = pd.read_csv(SMOKING).rename(columns={"state": "unit", "year": "time", "cigsale": "y"})
    names = ["California", *sorted(set(frame["unit"]) - {"California"})][:units]
    frame = frame[frame["unit"].isin(names)].reset_index(drop=True)
    for name in ("cig75", "cig80", "cig88"):
        frame[name] = frame["y"]
    means = [
        frame[frame["time"].between(*window)].groupby("unit")[name].mean()[names]
        for name, window in WINDOWS.items()
    ]
    return _panel(frame, names, 1989, np.array(means))


def simulated(donors: int, periods: int, pre: int, units: int | None = None) -> Panel:
    rng = np.random.default_rng(0)
    n = donors + 1 if units is None else units
    factors = np.cumsum(rng.standard_normal((periods, 4)), axis=0)
    y = 50 + factors @ rng.standard_normal((4, n)) + rng.standard_normal((periods, n))
    names = [f"u{at:05}" for at in range(n)]
    frame = pd.DataFrame(
        {"unit": np.repeat(names, periods), "time": np.tile(np.arange(periods), n), "y": y.T.ravel()}
    )
    return _panel(frame, names, pre, np.empty((0, n)))


def _panel(frame: pd.DataFrame, names: list[str], start: int, predictors: np.ndarray) -> Panel:
    frame["treated"] = ((frame["unit"] == names[0]) & (frame["time"] >= start)).astype(int)
    wide = frame.pivot(index="time", columns="unit", values="y")[names]
    pre = int((wide.index < start).sum())
    return Panel(np.ascontiguousarray(wide.to_numpy()), predictors, frame, pre, names)


def loss(mean_square: float) -> str:
    return f"squared gap before {mean_square:.7f}"


def nested_one(panel: Panel) -> Run:
    from qieval.numerics.predictor_weights import nested

    x, pre = panel.predictors, panel.pre

    def run() -> str:
        found = nested(x[:, 0], x[:, 1:], panel.target[:pre], panel.donors[:pre], seed=1)
        proven = "proven global minimum" if found.complete else "search not finished"
        return f"{loss(found.loss_v)}, {proven}, duality gap {found.gap:.0e}"

    return run


def nested_all(panel: Panel) -> Run:
    from qieval.numerics.predictor_weights import all_units

    units = np.arange(1, len(panel.names))
    first = nested_one(panel)

    def run() -> str:
        said = first()
        found = all_units(
            panel.predictors, panel.outcomes, slice(0, panel.pre), seed=1, units=units, treated=0
        )
        return f"{said}; {against_mscmt(panel, found.loss_v)}, {int(found.complete.sum())} proven"

    return run


def against_mscmt(panel: Panel, losses: np.ndarray) -> str:
    """How many placebos have a loss no higher than the one recorded of R MSCMT."""
    if not REFERENCE.is_file():
        return f"{losses.size} placebos, no reference beside the repository"
    cases = json.loads(REFERENCE.read_text(encoding="utf-8"))["cases"]
    theirs = next(case["values"] for case in cases if case["id"] == "prop99_nested_MSCMT")["placebo_loss_v"]
    recorded = np.array([theirs[name] for name in panel.names[1:]])
    as_low = int((losses <= recorded * (1 + 1e-6)).sum())
    return f"{as_low} of {losses.size} placebos at MSCMT's loss or lower"


def outcomes_one(panel: Panel) -> Run:
    from qieval.numerics.simplex import simplex_least_squares

    def run() -> str:
        found = simplex_least_squares(panel.donors[: panel.pre], panel.target[: panel.pre])
        return f"{loss(found.objective / panel.pre)}, duality gap {found.gap:.0e}"

    return run


def outcomes_all(panel: Panel) -> Run:
    from qieval.numerics.placebo_units import placebo_units, ratio_ranks

    def run() -> str:
        found = placebo_units(panel.outcomes, panel.pre, exclude=[0])
        rank = ratio_ranks(found, 0)
        return (
            f"{loss(found.mspe_pre[0])}, rank {rank.rank} of {rank.n_units}, largest duality gap"
            f" {found.gap_certificate.max():.0e}"
        )

    return run


def sdid_draws(panel: Panel, exact: bool) -> Run:
    """The estimate and 200 random placebos, as R draws them."""
    from qieval.numerics.synthetic_did import Known, Study, fit_study
    from qieval.numerics.synthetic_did_weights import AS_R, EXACT

    t, n = panel.outcomes.shape
    study = Study(
        np.ascontiguousarray(panel.outcomes.T),
        np.where(np.arange(n) == 0, panel.pre, t),
        optimiser=EXACT if exact else AS_R,
    )
    starts = np.append(np.full(n - 2, t), panel.pre)

    def run() -> str:
        fitted = fit_study(study)
        cohort, rng, effects = fitted.cohorts[0], np.random.default_rng(1), []
        for _ in range(DRAWS):
            units = rng.permutation(np.arange(1, n))
            known = Known(cohort.penalties, cohort.unit_weights[units], cohort.time_weights)
            effects.append(fit_study(study.sample(units, starts), {panel.pre: known}).estimate)
        return f"{fitted.estimate:.6f} (SE {np.std(effects):.2f})"

    return run


def public(panel: Panel, kind: str = "SyntheticControl", **given: Any) -> Run:
    """The public path: checks, weights, placebos, intervals, balance."""
    import qieval as qe

    frame = panel.frame.assign(treated=panel.frame["unit"] == panel.names[0])
    design = getattr(qe, kind)(
        outcome="y", unit="unit", time="time", treated="treated", start=panel.years[panel.pre], **given
    )

    def run() -> str:
        found = qe.estimate(design, frame).estimates.iloc[0]
        return f"{found['estimate']:.6f} ({found['conf_low']:.2f} to {found['conf_high']:.2f})"

    return run


def public_nested(panel: Panel) -> Run:
    words = {name: f"{low} to {high}" for name, (low, high) in WINDOWS.items() if not name.startswith("cig")}
    return public(panel, predictors=words | {"y": "1975; 1980; 1988"}, v="nested")


def mlsynth(panel: Panel, nested: bool, placebos: bool) -> Run:
    from mlsynth import VanillaSC

    given = {"outcome": "y", "treat": "treated", "unitid": "unit", "time": "time"}
    given |= {"inference": "placebo" if placebos else False, "display_graphs": False}
    if nested:
        given |= {"backend": "mscmt", "covariates": list(WINDOWS), "covariate_windows": WINDOWS}
    columns = ["unit", "time", "y", "treated", *(WINDOWS if nested else ())]

    def run() -> str:
        found = VanillaSC({"df": panel.frame[columns], **given}).fit()
        gap = found.time_series.estimated_gap.ravel()[: panel.pre]
        return loss(float(np.mean(gap**2)))

    return run


def diff_diff(panel: Panel, nested: bool, placebos: bool, starts: int = 4) -> Run:
    from diff_diff import SyntheticControl

    columns = {"outcome": "y", "treatment": "treated", "unit": "unit", "time": "time"}
    special = [
        (name, list(range(low, high + 1)), "mean")
        for name, (low, high) in WINDOWS.items()
        if not name.startswith("cig")
    ]
    if nested:
        model = SyntheticControl(n_starts=starts, seed=1)
    else:
        model = SyntheticControl(v_method="custom", custom_v=np.ones(panel.pre), standardize="none")
    more = {"special_predictors": special, "pre_period_outcomes": [1975, 1980, 1988]} if nested else {}

    def run() -> str:
        found = model.fit(panel.frame, **columns, **more)
        if placebos:
            found.in_space_placebo()
        return loss(found.pre_rmspe**2)

    return run


def diff_diff_sdid(panel: Panel) -> Run:
    from diff_diff import SyntheticDiD

    last = panel.years[panel.pre :]
    frame = panel.frame.assign(treated=(panel.frame["unit"] == panel.names[0]).astype(int))
    model = SyntheticDiD(variance_method="placebo", n_bootstrap=DRAWS, seed=1)

    def run() -> str:
        found = model.fit(frame, "y", "treated", "unit", "time", post_periods=last)
        return f"{found.att:.6f} (SE {found.se:.2f})"

    return run


def synthdid_py(panel: Panel) -> Run:
    from synthdid import synthdid_estimate
    from synthdid.vcov import placebo_se

    y = np.column_stack([panel.donors, panel.target]).T

    def run() -> str:
        found = synthdid_estimate(y, y.shape[0] - 1, panel.pre)
        return f"{float(found):.6f} (SE {placebo_se(found, DRAWS, 1):.2f})"

    return run


def pysyncon(panel: Panel, placebos: bool) -> Run:
    """Placebos one after the other: its own test starts processes for them."""
    from pysyncon import Dataprep, Synth

    def prepared(treated: str) -> Any:
        return Dataprep(
            foo=panel.frame,
            predictors=["lnincome", "age15to24", "retprice"],
            predictors_op="mean",
            dependent="y",
            unit_variable="unit",
            time_variable="time",
            treatment_identifier=treated,
            controls_identifier=[name for name in panel.names[1:] if name != treated],
            time_predictors_prior=range(1980, 1989),
            time_optimize_ssr=range(1970, 1989),
            special_predictors=[
                ("beer", range(1984, 1989), "mean"),
                *(("y", [year], "mean") for year in (1975, 1980, 1988)),
            ],
        )

    def run() -> str:
        first, *others = panel.names if placebos else panel.names[:1]
        model = Synth()
        model.fit(prepared(first))
        for name in others:
            Synth().fit(prepared(name))
        gaps = panel.target[: panel.pre] - panel.donors[: panel.pre] @ model.W
        return loss(float(np.mean(gaps**2)))

    return run


Prepare = Callable[["Panel"], Run]


def on(make: "Make", *rows: tuple[str, Prepare, bool]) -> list[Row]:
    """Rows on one panel; a warm-up takes a few of its units."""
    return [
        Row(tool, lambda small, prepare=prepare: prepare(make(FEW if small else None)), peer=peer)
        for tool, prepare, peer in rows
    ]


def own(tool: str, prepare: Prepare) -> tuple[str, Prepare, bool]:
    return tool, prepare, False


def of_peer(tool: str, prepare: Callable[..., Run], *given: Any) -> tuple[str, Prepare, bool]:
    return tool, lambda panel: prepare(panel, *given), True


Make = Callable[[int | None], Panel]
KERNEL = "qieval"
PUBLIC = "qieval, `qe.estimate` with placebos, intervals and balance"

GROUPS: dict[str, Group] = {
    "nested one": Group(
        "Proposition 99, nested V, one fit",
        on(
            smoking,
            own(KERNEL, nested_one),
            of_peer("mlsynth, MSCMT backend", mlsynth, True, False),
            of_peer("diff-diff, 4 starts", diff_diff, True, False),
            of_peer("diff-diff, 20 starts", diff_diff, True, False, 20),
            of_peer("pysyncon, defaults", pysyncon, False),
        ),
        needs=SMOKING,
    ),
    "nested placebos": Group(
        "Proposition 99, nested V, one fit and 38 placebos (aim: 10 s)",
        on(
            smoking,
            own(KERNEL, nested_all),
            own(PUBLIC, public_nested),
            of_peer("mlsynth, MSCMT backend", mlsynth, True, True),
            of_peer("diff-diff, 4 starts", diff_diff, True, True),
            of_peer("pysyncon, defaults", pysyncon, True),
        ),
        needs=SMOKING,
    ),
    "outcomes placebos": Group(
        "Proposition 99, outcomes only, one fit and 38 placebos (aim: 0.5 s)",
        on(
            smoking,
            own(KERNEL, outcomes_all),
            own(PUBLIC, public),
            of_peer("mlsynth", mlsynth, False, True),
            of_peer("diff-diff", diff_diff, False, True),
        ),
        needs=SMOKING,
    ),
    "sdid": Group(
        f"Proposition 99, SDID and {DRAWS} placebo draws (aim: 2 s)",
        on(
            smoking,
            own("qieval, as R synthdid", lambda panel: sdid_draws(panel, exact=False)),
            own("qieval, exact weights", lambda panel: sdid_draws(panel, exact=True)),
            own(
                "qieval, `qe.estimate` with all 38 placebos",
                lambda panel: public(panel, "SyntheticDifferenceInDifferences"),
            ),
            of_peer("diff-diff", diff_diff_sdid),
            of_peer("synthdid-py", synthdid_py),
        ),
        needs=SMOKING,
    ),
    "200": Group(
        "200 donors x 100 periods (80 before), one fit and 200 placebos (aim: 1 s)",
        on(
            lambda units: simulated(200, 100, 80, units),
            own(KERNEL, outcomes_all),
            own(PUBLIC, public),
            of_peer("mlsynth", mlsynth, False, True),
            of_peer("diff-diff", diff_diff, False, True),
        ),
    ),
    "200 sdid": Group(
        f"200 donors x 100 periods (80 before), SDID and {DRAWS} placebo draws",
        on(
            lambda units: simulated(200, 100, 80, units),
            own("qieval, as R synthdid", lambda panel: sdid_draws(panel, exact=False)),
            own("qieval, exact weights", lambda panel: sdid_draws(panel, exact=True)),
            of_peer("diff-diff", diff_diff_sdid),
        ),
    ),
    "2000 one": Group(
        "2,000 donors x 200 periods (150 before), one fit (aim: 0.05 s)",
        on(
            lambda units: simulated(2000, 200, 150, units),
            own(KERNEL, outcomes_one),
            of_peer("mlsynth", mlsynth, False, False),
            of_peer("diff-diff", diff_diff, False, False),
        ),
    ),
    "2000": Group(
        "2,000 donors x 200 periods (150 before), one fit and 2,000 placebos (aim: 45 s, 500 MB)",
        on(
            lambda units: simulated(2000, 200, 150, units),
            own(KERNEL, outcomes_all),
            own(PUBLIC, public),
            of_peer("mlsynth", mlsynth, False, True),
            of_peer("diff-diff", diff_diff, False, True),
        ),
    ),
}

RECORDED = """
Recorded elsewhere (R 4.2.2, one thread, user CPU seconds; not run by this script):

| task | software | CPU seconds | result |
|---|---|---|---|
| Proposition 99, nested V, 38 placebos | tidysynth 0.2.1 | 42 | squared gap before 3.1662 |
| | MSCMT 1.4.3 | 54 | 3.0766636 |
| | Synth 1.1-8 | 179 | 3.2091 |
| Proposition 99, SDID and 200 placebo draws | synthdid 0.0.9 | 39 | -15.603828 |
| 2,000 donors x 200 periods, one fit | synthdid 0.0.9, SDID | 43 | |
| | augsynth 0.2.0, without ridge | 17 | 546 MB |
"""


if __name__ == "__main__":
    main(__file__, __doc__, GROUPS)
    if "--one" not in sys.argv:
        print(RECORDED)
