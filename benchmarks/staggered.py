"""Roll-outs at 100,000 and 1,000,000 units of ten periods, side by side.

How rows are run: side_by_side.py. Two in five units never begin, the others in periods 4 to 8; two covariates
bear on levels and trends; the effect grows by 0.5 a period. "Kernel" is the estimate with all four averages
and their standard errors from arrays; `qe.estimate` reads and checks the frame, takes its fingerprint, and
makes the whole table with simultaneous bands. Other packages run in an environment of their own (--peers)
with the same data and, where they have them, all averages. Honest bounds: the minimum-wage panel, which lies
beside the repository, four limits for relative magnitudes and four for smoothness.
Usage: python benchmarks/staggered.py [--peers PYTHON --repeats R --limit SECONDS --only WORDS]
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from side_by_side import Group, Row, Run, main

LARGE, VAST, FEW = 100_000, 1_000_000, 2_000
PERIODS = 10
MPDTA = Path(__file__).resolve().parents[2] / "shared" / "data" / "did_mpdta.csv"


def wide(n: int) -> dict[str, np.ndarray]:
    """first (n,), 0 for never; x (n, 2); y (n, 10)."""
    rng = np.random.default_rng(12345)
    first = rng.choice([0, 4, 5, 6, 7, 8], size=n, p=[0.4, 0.12, 0.12, 0.12, 0.12, 0.12])
    x1, x2 = rng.standard_normal(n), rng.integers(0, 2, n)
    level = rng.standard_normal(n) + 0.5 * x1
    noise = rng.standard_normal((n, PERIODS))
    t = np.arange(1, PERIODS + 1)
    since = t - first[:, None] + 1
    effect = np.where((first[:, None] > 0) & (since > 0), 0.5 * since, 0.0)
    y = level[:, None] + 0.1 * t + 0.05 * t * x1[:, None] + effect + noise
    return {"first": first, "x": np.column_stack([x1, x2]), "y": y}


def long(n: int, lost: float = 0.0) -> pd.DataFrame:
    """One row for each unit and period, of which a share `lost` is missing at random."""
    held = wide(n)
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(n), PERIODS),
            "t": np.tile(np.arange(1, PERIODS + 1), n),
            "y": held["y"].ravel(),
            "g": np.repeat(held["first"], PERIODS),
            "x1": np.repeat(held["x"][:, 0], PERIODS),
            "x2": np.repeat(held["x"][:, 1], PERIODS),
        }
    )
    if not lost:
        return frame
    kept = np.random.default_rng(1).random(len(frame)) >= lost
    return frame[kept].reset_index(drop=True)


def said(estimate: float, error: float) -> str:
    return f"{estimate:.6f} (SE {error:.6f})"


def kernel(n: int) -> Run:
    from qieval.numerics.group_time import group_time
    from qieval.numerics.group_time_aggregate import Members, aggregate
    from qieval.numerics.group_time_cells import Rules, WidePanel
    from qieval.numerics.group_time_variance import influence_covariance

    held = wide(n)
    first = np.where(held["first"] == 0, np.inf, held["first"])
    panel = WidePanel(np.arange(1, PERIODS + 1), first, held["y"], held["x"])

    def run() -> str:
        cells = group_time(panel, Rules())
        influence_covariance(cells.influence)
        overall = (np.nan, np.nan)
        for kind in ("group", "dynamic", "calendar", "simple"):
            found = aggregate(cells, Members(first), kind)
            columns = np.column_stack([found.overall_influence, found.influence])
            overall = (found.overall, influence_covariance(columns).std_error[0])
        return said(*overall)

    return run


def public(*, lost: float = 0.0, covariates: tuple[str, ...] = ("x1", "x2"), **fields: Any) -> Callable:
    """A row of `qe.estimate` that shows the average over all treated units and periods."""

    def prepare(n: int) -> Run:
        import qieval as qe

        frame = long(n, lost)
        design = qe.StaggeredAdoption(
            outcome="y",
            unit="id",
            time="t",
            first_treated="g",
            covariates=covariates,
            aggregation="simple",
            **fields,
        )

        def run() -> str:
            row = qe.estimate(design, frame).estimates.iloc[0]
            return said(row["estimate"], row["std_error"])

        return run

    return prepare


def diff_diff(*, lost: float = 0.0, bootstrap: int = 0, **fields: Any) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        from diff_diff import CallawaySantAnna

        frame = long(n, lost)

        def run() -> str:
            model = CallawaySantAnna(estimation_method="dr", n_bootstrap=bootstrap, seed=1, **fields)
            found = model.fit(frame, "y", "id", "t", "g", covariates=["x1", "x2"], aggregate="all")
            return said(found.overall_att, found.overall_se)

        return run

    return prepare


def csdid(*, not_yet: bool = False, bootstrap: bool = False) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        from csdid.att_gt import ATTgt

        frame = long(n)
        control = ["notyettreated" if not_yet else "nevertreated"]

        def run() -> str:
            model = ATTgt("y", "t", "id", "g", frame, control_group=control, xformla="y~x1+x2")
            fitted = model.fit(est_method="dr", bstrap=bootstrap)
            for kind in ("group", "dynamic", "calendar", "simple"):
                fitted.aggte(typec=kind, bstrap=bootstrap, cband=bootstrap)
            return said(float(fitted.atte["overall_att"]), float(np.squeeze(fitted.atte["overall_se"])))

        return run

    return prepare


def diff_diff_sun_abraham(n: int) -> Run:
    from diff_diff import SunAbraham

    frame = long(n)

    def run() -> str:
        found = SunAbraham().fit(frame, "y", "id", "t", "g")
        return said(found.overall_att, found.overall_se)

    return run


def diff_diff_imputation(n: int) -> Run:
    from diff_diff import ImputationDiD

    frame = long(n)

    def run() -> str:
        found = ImputationDiD().fit(frame, "y", "id", "t", "g", aggregate="all")
        return said(found.overall_att, found.overall_se)

    return run


def pyfixest_two_way(n: int) -> Run:
    import pyfixest

    frame = long(n)
    frame["on"] = ((frame["g"] > 0) & (frame["t"] >= frame["g"])).astype(float)

    def run() -> str:
        found = pyfixest.feols("y ~ on | id + t", frame, vcov={"CRV1": "id"})
        return said(found.coef().iloc[0], found.se().iloc[0])

    return run


def bounds(n: int) -> Run:
    """Eight bounds on the average effect from the first to the fourth year."""
    import qieval as qe
    from qieval.numerics.trend_bounds import EventStudy, Restriction, trend_bounds

    design = qe.StaggeredAdoption(
        outcome="lemp",
        unit="countyreal",
        time="year",
        first_treated="first.treat",
        base_period="universal",
        units_are="organisations",
    )
    event = qe.estimate(design, pd.read_csv(MPDTA)).kernel.event
    after = event.at > event.reference
    study = EventStudy(event.estimate, event.covariance, ~after, np.full(after.sum(), 1 / after.sum()))
    limits = (0.5, 1.0, 1.5, 2.0), (0.0, 0.01, 0.02, 0.03)
    kinds = Restriction("relative magnitudes"), Restriction("smoothness")

    def run() -> str:
        found = [trend_bounds(study, kind, held)[0] for kind, held in zip(kinds, limits, strict=True)]
        return "; ".join(f"{one.low:.4f} to {one.high:.4f}" for one in found)

    return run


def sized(
    tool: str, prepare: Callable[[int], Run], n: int = LARGE, *, peer: bool = False, times: float = 1.0
) -> Row:
    """A row at n units; its warm-up takes two thousand."""
    return Row(tool, lambda small: prepare(FEW if small else n), peer=peer, times=times)


NOT_YET = {"control_group": "not yet"}
DRAWN = {"inference": "multiplier bootstrap", "draws": 1000}
GROUPS: dict[str, Group] = {
    "covariates": Group(
        "100,000 x 10, doubly robust, two covariates, all averages (aim: 5 times as fast as diff-diff)",
        [
            sized("qieval, `qe.estimate`", public()),
            sized("qieval, kernel", kernel),
            sized("diff-diff", diff_diff(), peer=True),
            sized("csdid", csdid(), peer=True),
        ],
    ),
    "draws": Group(
        "The same with 1,000 draws of the multiplier bootstrap (aim: 3 times as fast)",
        [
            sized("qieval, `qe.estimate`", public(**DRAWN)),
            sized("diff-diff", diff_diff(bootstrap=1000), peer=True),
            sized("csdid", csdid(bootstrap=True), peer=True),
        ],
    ),
    "not yet": Group(
        "The same against units not yet treated (aim: at most 3 times the first row of all)",
        [
            sized("qieval, `qe.estimate`", public(**NOT_YET)),
            sized("diff-diff", diff_diff(control_group="not_yet_treated"), peer=True),
            sized("csdid", csdid(not_yet=True), peer=True),
        ],
    ),
    "unbalanced": Group(
        "The same, 6% of rows missing, pairs of periods (aim: at most 3 times the first row of all)",
        [
            sized("qieval, `qe.estimate`", public(lost=0.06)),
            sized("diff-diff", diff_diff(lost=0.06), peer=True),
        ],
    ),
    "vast": Group(
        "1,000,000 x 10, doubly robust, two covariates, all averages (aim: under 6 s and 2.5 GB)",
        [
            sized("qieval, `qe.estimate`", public(), VAST),
            sized("qieval, kernel", kernel, VAST),
            sized("diff-diff", diff_diff(), VAST, peer=True),
            sized("csdid", csdid(), VAST, peer=True),
        ],
    ),
    "regressions": Group(
        "100,000 x 10, interaction-weighted (Sun and Abraham) and two-way (aim: under 2 s and 1 GB)",
        [
            sized(
                "qieval, `qe.estimate`, interaction-weighted",
                public(covariates=(), approach="interaction-weighted"),
            ),
            sized("diff-diff, `SunAbraham`", diff_diff_sun_abraham, peer=True),
            sized("qieval, `qe.estimate`, two-way", public(covariates=(), approach="two-way")),
            sized("pyfixest, two-way", pyfixest_two_way, peer=True),
            sized("qieval, `qe.estimate`, stacked", public(covariates=(), approach="stacked")),
        ],
    ),
    "imputation": Group(
        "100,000 x 10, imputation (aim: under 2 s and 1 GB)",
        [
            sized("qieval, `qe.estimate`, imputation", public(covariates=(), approach="imputation")),
            sized("diff-diff, `ImputationDiD`", diff_diff_imputation, peer=True),
            sized("qieval, `qe.estimate`, two-stage", public(covariates=(), approach="two-stage")),
        ],
    ),
    "bounds": Group(
        "Honest bounds on the minimum-wage panel, eight limits (aim: under 5 s)",
        [sized("qieval, `trend_bounds`", bounds)],
        needs=MPDTA,
    ),
}

if __name__ == "__main__":
    main(__file__, __doc__, GROUPS)
