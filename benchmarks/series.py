"""Interrupted time series and control charts: time, memory and what is reached, beside other packages.

How rows are run: side_by_side.py. Data: simulated counts of 5,000 practices over 120
months with a season, a trend and a fall of 10% in month 73; R's Seatbelts (scits_seatbelts.csv) for single
series. A row that says "scaled" ran on a part of the series, and its seconds are multiplied. statsmodels is
part of this environment; clinical-qikit runs in one of its own, given as --peers. "result" tells what was
reached.
Usage: python benchmarks/series.py [--peers PYTHON --repeats R --limit SECONDS --only WORDS]
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from side_by_side import Group, Row, Run, main

SEAT_BELTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "scits_seatbelts.csv"
SERIES, MONTHS, START = 5000, 120, 72
PART = 100
"""Charts that a slow program draws; the seconds are scaled."""
FEW = 3
"""Series of a warm-up."""
AGAIN = 20
"""Repetitions of a single fit, of which the mean is reported."""

Prepare = Callable[[int], Run]


def practices(series: int) -> pd.DataFrame:
    """So many practices of the same simulation, a row a month: admissions and people on the list."""
    rng = np.random.default_rng(5)
    month = np.arange(MONTHS)
    people = rng.integers(4000, 14000, (SERIES, 1)) + np.zeros((SERIES, MONTHS))
    season = 0.1 * np.sin(2 * np.pi * month / 12) - 0.0005 * month
    rate = 0.008 * np.exp(season + np.log(0.9) * (month >= START))
    level = np.exp(rng.normal(0, 0.2, (SERIES, 1)))
    scatter = rng.gamma(20, 1 / 20, (SERIES, MONTHS))
    dates = pd.period_range("2014-01", periods=MONTHS, freq="M").astype(str)
    made = pd.DataFrame(
        {
            "practice": np.repeat([f"P{number:04}" for number in range(SERIES)], MONTHS),
            "month": np.tile(dates, SERIES),
            "admissions": rng.poisson(people * rate * level * scatter).ravel(),
            "people": people.ravel(),
        }
    )
    return made.iloc[: series * MONTHS].reset_index(drop=True)


def regressors() -> np.ndarray:
    """Constant, time, two pairs of harmonics and the step (120, 7), for programs that want a matrix."""
    month = np.arange(MONTHS)
    waves = [wave(2 * np.pi * k * month / 12) for k in (1, 2) for wave in (np.sin, np.cos)]
    return np.column_stack([np.ones(MONTHS), month, *waves, month >= START]).astype(float)


def each_study(series: int) -> Run:
    import qieval as qe

    frame = practices(series)
    design = qe.InterruptedTimeSeries(
        outcome="admissions",
        time="month",
        start="2020-01",
        denominator="people",
        family="quasi-poisson",
        change="level",
        seasonality="harmonics",
        inference="independent errors",
    )

    def run() -> str:
        found = qe.each(design, frame, by="practice").table
        found = found[found["term"].str.startswith("level change")]
        first = found.iloc[0]
        return f"ratio of the first {first['estimate']:.6f} (SE {first['std_error']:.6f})"

    return run


def statsmodels_loop(series: int) -> Run:
    import statsmodels.api as sm

    frame, x = practices(series), regressors()
    y = frame["admissions"].to_numpy().reshape(series, MONTHS)
    offset = np.log(frame["people"].to_numpy().reshape(series, MONTHS))

    def run() -> str:
        steps = []
        for counts, people in zip(y, offset, strict=True):
            fit = sm.GLM(counts, x, family=sm.families.Poisson(), offset=people).fit(scale="X2")
            steps.append((fit.params[-1], fit.bse[-1]))
        first, error = steps[0]
        return f"ratio of the first {np.exp(first):.6f} (SE {error:.6f})"

    return run


def each_chart(series: int) -> Run:
    import qieval as qe

    frame = practices(series)
    design = qe.ControlChart(
        outcome="admissions", time="month", denominator="people", kind="u'", per=1000, better="lower"
    )

    def run() -> str:
        found = qe.each(design, frame, by="practice").table
        signals = int(found["signal"].iloc[:PART].sum())
        return f"{signals} of the first {PART} signal; first centre line {found['estimate'].iloc[0]:.6f}"

    return run


def qikit_loop(series: int) -> Run:
    from qikit import qic

    frame = practices(series)
    parts = [part for _, part in frame.groupby("practice")]

    def run() -> str:
        signals, centres = [], []
        for part in parts:
            made = qic(
                y=part["admissions"], n=part["people"], x=part["month"], chart="up", multiply=1000
            ).data
            signals.append(bool((made["sigma_signal"] | made["runs_signal"]).any()))
            centres.append(made["cl"].iloc[-1])
        return f"{sum(signals)} of the first {PART} signal; first centre line {centres[0]:.6f}"

    return run


def drivers() -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of drivers killed or injured (192,) and law, price of petrol, distance (192, 3)."""
    frame = pd.read_csv(SEAT_BELTS)
    logs = np.log(frame[["drivers", "PetrolPrice", "kms"]].to_numpy(dtype=float))
    return logs[:, 0], np.column_stack([frame["law"].to_numpy(dtype=float), logs[:, 1:]])


def segmented() -> tuple[np.ndarray, np.ndarray]:
    """Drivers (192,) on law, price, distance, time, constant and the month of the year (192, 16)."""
    y, x = drivers()
    month = np.arange(len(y))
    dummies = (month[:, None] % 12 == np.arange(1, 12)).astype(float)
    return y, np.column_stack([x, month, np.ones(len(y)), dummies])


def reml(_: int) -> Run:
    from qieval.numerics.series_gls import gls_ar
    from qieval.numerics.series_small_samples import kenward_roger

    y, x = segmented()
    at = np.arange(len(y))

    def run() -> str:
        for _ in range(AGAIN):
            fit = gls_ar(y, x, at, 1, "REML")
            small = kenward_roger(fit, x, at)
        error = np.sqrt(small.covariance[0, 0])
        return f"law {fit.coefficients[0]:.5f} (SE {error:.5f}, df {small.df[0]:.0f})"

    return run


def glsar(_: int) -> Run:
    import statsmodels.api as sm

    y, x = segmented()

    def run() -> str:
        for _ in range(AGAIN):
            fit = sm.GLSAR(y, x, rho=1).iterative_fit(maxiter=50)
        return f"law {fit.params[0]:.5f} (SE {fit.bse[0]:.5f}); first month dropped, no correction"

    return run


def arima(_: int) -> Run:
    from qieval.numerics.series_arima import fit_arima

    y, x = drivers()

    def run() -> str:
        fit = fit_arima(y, x, (1, 0, 1), (0, 1, 1, 12))
        error = np.sqrt(fit.covariance[0, 0])
        return f"log-likelihood {fit.log_likelihood:.5f}, law {fit.coefficients[0]:.5f} (SE {error:.5f})"

    return run


def sarimax(_: int) -> Run:
    import statsmodels.api as sm

    y, x = drivers()

    def run() -> str:
        model = sm.tsa.SARIMAX(y, exog=x, order=(1, 0, 1), seasonal_order=(0, 1, 1, 12))
        fit = model.fit(disp=False, cov_type="approx", maxiter=500)
        return f"log-likelihood {fit.llf:.5f}, law {fit.params[0]:.5f} (SE {fit.bse[0]:.5f})"

    return run


def public(**given: Any) -> Prepare:
    """The public path on the seat belts."""

    def prepare(_: int) -> Run:
        import qieval as qe

        frame = pd.read_csv(SEAT_BELTS)
        months = pd.period_range("1969-01", periods=len(frame), freq="M").astype(str)
        frame = frame.assign(month=months, price=np.log(frame["PetrolPrice"]), distance=np.log(frame["kms"]))
        design = qe.InterruptedTimeSeries(
            outcome="drivers",
            time="month",
            start="1983-02",
            family="gaussian",
            scale="logarithm",
            change="level",
            covariates=("price", "distance"),
            **given,
        )

        def run() -> str:
            for _ in range(AGAIN):
                row = qe.estimate(design, frame).estimates.iloc[0]
            return f"law {np.log(row['estimate']):.5f} (SE {row['std_error']:.5f})"

        return run

    return prepare


def row_of(tool: str, prepare: Prepare, series: int = 1, times: float = 1.0, *, peer: bool = False) -> Row:
    """A row on so many series; a warm-up takes a few of them."""
    return Row(tool, lambda small: prepare(min(FEW, series) if small else series), times, peer)


def part_of(tool: str, prepare: Prepare, series: int, *, peer: bool = False) -> Row:
    """A row that is run on a part of the series."""
    return row_of(f"{tool} (scaled from {series} series)", prepare, series, SERIES / series, peer=peer)


ONE = 1 / AGAIN

GROUPS: dict[str, Group] = {
    "series": Group(
        "5,000 series x 120 months, quasi-Poisson with exposure, trend, season and level (aim: 60 s)",
        [
            row_of("qieval, `qe.each`", each_study, SERIES),
            part_of("statsmodels, loop of `GLM`", statsmodels_loop, 500),
        ],
    ),
    "charts": Group(
        "5,000 u' charts x 120 months with rules (aim: 10 s)",
        [
            row_of("qieval, `qe.each`", each_chart, SERIES),
            part_of("clinical-qikit, loop of `qic`", qikit_loop, PART, peer=True),
        ],
    ),
    "reml": Group(
        "Seat belts, straight line with AR(1) errors, one fit",
        [
            row_of("qieval, REML with Kenward-Roger", reml, times=ONE),
            row_of(
                "qieval, `qe.estimate` with effects by period",
                public(seasonality="one per season", inference="AR errors by REML"),
                times=ONE,
            ),
            row_of("statsmodels, `GLSAR` (Cochrane-Orcutt)", glsar, times=ONE),
        ],
        needs=SEAT_BELTS,
    ),
    "arima": Group(
        "Seat belts, ARIMA(1,0,1)(0,1,1)[12] with three regressors, one fit",
        [
            row_of("qieval", arima),
            row_of(
                "qieval, `qe.estimate` with effects by period",
                public(model="ARIMA", arima="1,0,1 x 0,1,1", trend="none", seasonality="one per season"),
                times=ONE,
            ),
            row_of("statsmodels, `SARIMAX`", sarimax),
        ],
        needs=SEAT_BELTS,
    ),
}


if __name__ == "__main__":
    main(__file__, __doc__, GROUPS)
