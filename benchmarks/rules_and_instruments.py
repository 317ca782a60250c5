"""Regression discontinuity, instrumental variables and regression adjustment at a million rows, side by side.

How rows are run: side_by_side.py. Discontinuity: uniform scores, five covariates, 20,000 clusters, bandwidth
chosen from the data. Instruments: five controls, two instruments, 10,000 clusters; "all diagnostics" are the
estimate with robust errors, first stage with effective F, Anderson-Rubin and conditional likelihood ratio
sets, tests of over-identification and of endogeneity (of linearmodels: its estimate, first stage, Sargan,
Wooldridge and Wu-Hausman tests). linearmodels and statsmodels are part of this environment; rdrobust (without
numba) runs in one of its own, given as --peers. "result" tells what was reached.
Usage: python benchmarks/rules_and_instruments.py [--peers PYTHON --repeats R --limit SECONDS --only WORDS]
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from side_by_side import Group, Row, Run, main

ROWS, FEW = 1_000_000, 2_000
COVARIATES = 5


def scores(n: int) -> dict[str, np.ndarray]:
    """x, y, covariates z, uptake t and clusters g with a jump of 0.4 times uptake at 0."""
    rng = np.random.default_rng(12345)
    x = rng.uniform(-1, 1, n)
    z = rng.normal(size=(n, COVARIATES))
    g = rng.integers(0, max(n // 50, 20), n)
    u = rng.normal(size=int(g.max()) + 1)[g]
    t = (rng.random(n) < np.where(x >= 0, 0.7, 0.2)).astype(float)
    y = 1 + 0.5 * x + 0.3 * x**2 + 0.4 * t + 0.2 * z[:, 0] + 0.1 * z[:, 1] + 0.3 * z[:, 4]
    return {"x": x, "y": y + 0.3 * u + rng.normal(size=n), "z": z, "t": t, "g": g}


def said(estimate: float, error: float, h: float) -> str:
    return f"{estimate:.6f} (SE {error:.6f}), h {h:.5f}"


def kernel(covariates: bool = False, clusters: bool = False, fuzzy: bool = False) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        from qieval.numerics.discontinuity import Local, Scored, discontinuity

        held = scores(n)
        rows = Scored(
            score=held["x"],
            y=held["y"],
            covariates=held["z"] if covariates else None,
            clusters=held["g"] if clusters else None,
            uptake=held["t"] if fuzzy else None,
        )
        local = Local(variance="cr1" if clusters else "nn")

        def run() -> str:
            found = discontinuity(rows, local)
            return said(found.estimate[0], found.std_error[2], found.h[0])

        return run

    return prepare


def public(covariates: bool = False, clusters: bool = False, fuzzy: bool = False) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        import qieval as qe

        held = scores(n)
        names = [f"z{at}" for at in range(COVARIATES)]
        frame = pd.DataFrame(held["z"], columns=names)
        frame = frame.assign(x=held["x"], y=held["y"], t=held["t"], g=held["g"])
        design = qe.RegressionDiscontinuity(
            outcome="y",
            score="x",
            cutoff=0,
            treated_side="at or above",
            covariates=tuple(names) if covariates else (),
            cluster="g" if clusters else None,
            received="t" if fuzzy else None,
        )

        def run() -> str:
            found = qe.estimate(design, frame)
            rows = found.estimates.set_index("term")
            return said(
                rows.loc["difference, conventional", "estimate"],
                rows.loc["difference, robust", "std_error"],
                found.facts["bandwidth on the treated side"],
            )

        return run

    return prepare


def rdrobust(covariates: bool = False, clusters: bool = False, fuzzy: bool = False) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        from rdrobust import rdrobust as call

        held = scores(n)
        given = {"covs": held["z"]} if covariates else {}
        given |= {"cluster": held["g"]} if clusters else {}
        given |= {"fuzzy": held["t"]} if fuzzy else {}

        def run() -> str:
            found = call(held["y"], held["x"], **given)
            return said(found.coef.iloc[0, 0], found.se.iloc[2, 0], found.bws.iloc[0, 0])

        return run

    return prepare


def instruments(n: int) -> dict[str, np.ndarray]:
    """Outcome y, treatment x, instruments z (n, 2), controls w (n, 6, constant first), clusters g."""
    rng = np.random.default_rng(99)
    z, w = rng.normal(size=(n, 2)), rng.normal(size=(n, COVARIATES))
    u = rng.normal(size=n)
    x = 0.3 * z[:, 0] + 0.2 * z[:, 1] + 0.1 * w.sum(axis=1) + 0.6 * u + rng.normal(size=n)
    y = 0.5 * x + 0.2 * w.sum(axis=1) + u + rng.normal(size=n)
    g = rng.integers(0, max(n // 100, 20), n)
    return {"y": y, "x": x, "z": z, "w": np.column_stack([np.ones(n), w]), "g": g}


def told(estimate: float, error: float, strength: float) -> str:
    return f"{estimate:.6f} (SE {error:.6f}), F {strength:.2f}"


def own_instruments(clusters: bool) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        from qieval.numerics.instruments import partial_out
        from qieval.numerics.instruments_anderson_rubin import anderson_rubin_set
        from qieval.numerics.instruments_conditional import conditional_likelihood_ratio_set
        from qieval.numerics.instruments_effective_f import effective_f
        from qieval.numerics.instruments_estimators import liml, ols, tsls, with_controls
        from qieval.numerics.instruments_reduced_form import reduced_form
        from qieval.numerics.instruments_validity import endogeneity, over_identification

        held = instruments(n)
        kind = "cr1" if clusters else "hc1"

        def run() -> str:
            data = partial_out(held["y"], held["x"], held["z"], held["w"], held["g"] if clusters else None)
            two = tsls(data, kind)
            with_controls(data, two)
            ols(data, kind)
            liml(data, kind)
            reduced = reduced_form(data, kind)
            strength = effective_f(reduced)
            anderson_rubin_set(reduced)
            conditional_likelihood_ratio_set(reduced_form(data, "unadjusted"))
            over_identification(data, two, "cr0" if clusters else "hc0")
            endogeneity(data, kind)
            return told(two.coefficients[0], two.errors[0], strength.f)

        return run

    return prepare


def public_instruments(clusters: bool) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        import qieval as qe

        held = instruments(n)
        names = [f"w{at}" for at in range(COVARIATES)]
        frame = pd.DataFrame(held["w"][:, 1:], columns=names)
        frame = frame.assign(y=held["y"], x=held["x"], z0=held["z"][:, 0], z1=held["z"][:, 1], g=held["g"])
        design = qe.InstrumentalVariables(
            outcome="y",
            received="x",
            instruments=("z0", "z1"),
            covariates=tuple(names),
            cluster="g" if clusters else None,
            exclusion="simulated so",
        )

        def run() -> str:
            found = qe.estimate(design, frame)
            row = found.estimates.iloc[0]
            return told(row["estimate"], row["std_error"], float(found.facts["effective F"]))

        return run

    return prepare


def linearmodels(clusters: bool, tests: bool) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        from linearmodels.iv import IV2SLS

        held = instruments(n)
        options = {"cov_type": "clustered", "clusters": held["g"]} if clusters else {"cov_type": "robust"}

        def run() -> str:
            fit = IV2SLS(held["y"], held["w"], held["x"], held["z"]).fit(**options, debiased=True)
            strength = np.nan
            if tests:
                strength = fit.first_stage.diagnostics["f.stat"].iloc[0]
                _ = (fit.sargan, fit.wooldridge_overid, fit.wu_hausman(), fit.wooldridge_regression)
            return told(fit.params.iloc[-1], fit.std_errors.iloc[-1], strength)

        return run

    return prepare


def cohort(n: int) -> dict[str, np.ndarray]:
    """Outcome y (0/1), treated, covariates x (n, 10)."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 10))
    treated = rng.random(n) < 1 / (1 + np.exp(-(x[:, :3].sum(axis=1) / 2 - 0.3)))
    risk = 1 / (1 + np.exp(-(-1.0 + 0.4 * treated + 0.3 * x[:, 0] - 0.2 * x[:, 4])))
    return {"y": (rng.random(n) < risk).astype(float), "treated": treated, "x": x}


def adjusted(estimator: str) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        import qieval as qe

        held = cohort(n)
        names = [f"x{at}" for at in range(10)]
        frame = pd.DataFrame(held["x"], columns=names)
        frame = frame.assign(y=held["y"], treated=held["treated"].astype(int))
        design = qe.RegressionAdjustment(
            outcome="y", treated="treated", covariates=tuple(names), estimator=estimator
        )

        def run() -> str:
            row = qe.estimate(design, frame).estimates.iloc[0]
            return f"{row['term']} {row['estimate']:.6f} (SE {row['std_error']:.6f})"

        return run

    return prepare


def treatment_effect(n: int) -> Run:
    import statsmodels.api as sm
    from statsmodels.treatment.treatment_effects import TreatmentEffect

    held = cohort(n)
    x = sm.add_constant(held["x"])

    def run() -> str:
        score = sm.Logit(held["treated"].astype(float), x).fit(disp=False)
        outcome = sm.OLS(held["y"], x)
        found = TreatmentEffect(outcome, held["treated"], results_select=score).aipw()
        return f"risk difference {found.effect:.6f} (SE {float(found.bse[0]):.6f}), linear outcome model"

    return run


def sized(tool: str, prepare: Callable[[int], Run], *, peer: bool = False) -> Row:
    """A row at a million rows; its warm-up takes a few thousand."""
    return Row(tool, lambda small: prepare(FEW if small else ROWS), peer=peer)


def of_discontinuity(words: str, **given: bool) -> Group:
    return Group(
        words,
        [
            sized("qieval, kernel", kernel(**given)),
            sized("qieval, `qe.estimate`", public(**given)),
            sized("rdrobust", rdrobust(**given), peer=True),
        ],
    )


def of_instruments(words: str, clusters: bool) -> Group:
    return Group(
        words,
        [
            sized("qieval, kernels, all diagnostics", own_instruments(clusters)),
            sized("qieval, `qe.estimate`", public_instruments(clusters)),
            sized("linearmodels, estimate with its tests", linearmodels(clusters, tests=True)),
            sized("linearmodels, estimate alone", linearmodels(clusters, tests=False)),
        ],
    )


GROUPS: dict[str, Group] = {
    "rd nn": of_discontinuity("Discontinuity, nearest neighbours (aim: 8 times as fast)"),
    "rd covariates": of_discontinuity(
        "Discontinuity, nearest neighbours, five covariates (aim: 8 times as fast)", covariates=True
    ),
    "rd clusters": of_discontinuity("Discontinuity, 20,000 clusters (aim: twice as fast)", clusters=True),
    "rd fuzzy": of_discontinuity("Discontinuity, fuzzy, nearest neighbours", fuzzy=True),
    "iv": of_instruments("Instruments, robust errors (aim: 10 times as fast, under 1 GB)", clusters=False),
    "iv clusters": of_instruments("Instruments, 10,000 clusters", clusters=True),
    "adjustment": Group(
        "Regression adjustment of a risk, ten covariates",
        [
            sized("qieval, g-computation", adjusted("g-computation")),
            sized("qieval, doubly robust", adjusted("doubly robust")),
            sized("statsmodels, `TreatmentEffect.aipw`", treatment_effect),
        ],
    ),
}

if __name__ == "__main__":
    main(__file__, __doc__, GROUPS)
