"""Interrupted time series without an effect: how often each treatment of autocorrelation finds one at 5%.

Regressors are an intercept, time, and a change in level and in slope from the middle of the series, with two
harmonics of twelve months where said so. Errors are normal and autoregressive of order 1. Counts have mean
100 and a log-mean with autoregressive deviations of SD 0.1, which doubles the variance of a Poisson count.

Every choice is one of the kernels as `qe.estimate` calls them. ARIMA(1,0,0) is maximum likelihood with the
inverse Hessian and the normal distribution, as R's arima. Newey-West covariances are adjusted by n / (n - k);
"corrected" is for bias and degrees of freedom under independence (hac_small_sample), "fixed-b" Kiefer and
Vogelsang's critical value. Prints markdown tables; a line for each setting goes to the error stream as it is
finished. Usage: python benchmarks/type_one_series.py [--samples N --seed N --only WORDS --read FILE]
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import special

from qieval.numerics.series_autoregression import whiten
from qieval.numerics.series_choice import recommended
from qieval.numerics.series_errors import (
    HacSmallSample,
    bandwidth_andrews,
    bandwidth_newey_west,
    equal_weighted_cosine,
    fixed_b_critical_value,
    hac_small_sample,
    lag_rule,
    newey_west,
)
from qieval.numerics.series_gls import ArFit, gls_ar
from qieval.numerics.series_linearised import linearised, recommended_linearised
from qieval.numerics.series_prais_winsten import prais_winsten
from qieval.numerics.series_regression import SeriesFit, bread, fit_series, score_contributions
from qieval.numerics.series_small_samples import kenward_roger

POINTS, RHO, LEVEL = (24, 48, 120), (0.0, 0.3, 0.6), 0.05
MEAN, LATENT = 100.0, 0.1
TESTED = slice(2, 4)
"""Places of the changes in level and slope among the coefficients."""

Rejects = dict[str, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """Kind of outcome, number of points, autocorrelation, and whether the model has harmonics."""

    outcome: str
    n: int
    rho: float
    season: bool

    @property
    def said(self) -> str:
        return f"{self.outcome}, {self.n} points, autocorrelation {self.rho:g}" + ", season" * self.season

    def errors(self, seed: int, samples: int) -> np.ndarray:
        """Autoregressive errors (samples, n) of variance one."""
        rng = np.random.default_rng([seed, self.n, round(100 * self.rho), self.season, len(self.outcome)])
        out = rng.standard_normal((samples, self.n))
        for t in range(1, self.n):
            out[:, t] = self.rho * out[:, t - 1] + np.sqrt(1 - self.rho**2) * out[:, t]
        if self.outcome == "counts":
            out = rng.poisson(MEAN * np.exp(LATENT * out)).astype(float)
        return out


@dataclass(frozen=True, eq=False)
class Design:
    """Regressors (n, k) and times (n,) of a setting, with what depends on nothing else."""

    x: np.ndarray
    at: np.ndarray
    small: dict[float, HacSmallSample] = field(default_factory=dict)

    @classmethod
    def of(cls, setting: Setting) -> "Design":
        at = np.arange(setting.n)
        after = (at >= setting.n // 2).astype(float)
        columns = [np.ones(setting.n), at, after, after * (at - setting.n // 2)]
        if setting.season:
            columns += [wave(2 * np.pi * at * h / 12) for h in (1, 2) for wave in (np.sin, np.cos)]
        return cls(np.column_stack(columns).astype(float), at)

    def moments(self, lags: float) -> HacSmallSample:
        """Of the Newey-West variance of least squares, kept by the number of lags."""
        if lags not in self.small:
            self.small[lags] = hac_small_sample(self.x, self.at, lags)
        return self.small[lags]


def settings() -> Iterator[Setting]:
    for outcome, seasons in (("amounts", (False, True)), ("counts", (False,))):
        for season in seasons:
            yield from (
                Setting(outcome, n, rho, season) for n in POINTS if not (season and n == 24) for rho in RHO
            )


def t_test(coefficients: np.ndarray, covariance: np.ndarray, df: np.ndarray | float) -> np.ndarray:
    """Whether the changes in level and slope are found at 5% (2,); df may be infinite."""
    t = np.abs(coefficients) / np.sqrt(np.diag(covariance))
    freedom = np.broadcast_to(df, t.shape)[TESTED]
    p = np.where(np.isinf(freedom), 2 * special.ndtr(-t[TESTED]), 2 * special.stdtr(freedom, -t[TESTED]))
    return np.asarray(p < LEVEL)


def newey_west_tests(fit: SeriesFit, design: Design, name: str, lags: float, weighted: bool) -> Rejects:
    """With the normal and t distribution, corrected, and with the fixed-b critical value."""
    n, k = design.x.shape
    scores, bread_, b = score_contributions(fit, design.x), bread(fit), fit.coefficients
    covariance = newey_west(scores, bread_, design.at, lags)
    x = np.sqrt(fit.weights)[:, None] * design.x if weighted else design.x
    small = hac_small_sample(x, design.at, lags) if weighted else design.moments(lags)
    t = np.abs(b) / np.sqrt(np.diag(covariance))
    return {
        f"Newey-West, {name}, normal": t_test(b, covariance, np.inf),
        f"Newey-West, {name}, t": t_test(b, covariance, n - k),
        f"Newey-West, {name}, fixed-b": t[TESTED] > fixed_b_critical_value(lags, n),
        f"Newey-West, {name}, corrected": t_test(
            b, covariance / np.sqrt(np.outer(small.bias, small.bias)), small.df
        ),
    }


def arima_covariance(fit: ArFit, design: Design) -> np.ndarray:
    """Inverse Hessian of the likelihood in coefficients and autocorrelation, variance concentrated out."""
    n, step, rho = fit.fitted.size, 1e-5, fit.phi[0]
    both = np.column_stack([design.x, fit.residuals])

    def parts(value: float) -> tuple[np.ndarray, float]:
        white = whiten(both, design.at, np.array([value]))
        likelihood = -n / 2 * np.log(white[:, -1] @ white[:, -1]) - (n - 1) / 2 * np.log1p(-(value**2))
        return white[:, :-1].T @ white[:, -1], float(likelihood)

    inner = np.linalg.inv(fit.covariance) * n / (n - design.x.shape[1])
    high, low, middle = parts(rho + step), parts(rho - step), parts(rho)
    curvature = -(high[1] - 2 * middle[1] + low[1]) / step**2
    mixed = (high[0] - low[0]) / (2 * step) / fit.sigma**2
    if curvature > 0:
        inner = inner - np.outer(mixed, mixed) / curvature
    return np.linalg.inv(inner)


def lag_rules(setting: Setting, scores: np.ndarray, at: np.ndarray) -> dict[str, float]:
    return {
        "0.75 n^(1/3)": lag_rule("cube root", setting.n),
        "4 (n/100)^(2/9)": lag_rule("rule of thumb", setting.n),
        "12 lags": 12,
        "automatic (Newey and West)": np.floor(bandwidth_newey_west(scores, at)),
        "automatic (Andrews)": np.round(max(bandwidth_andrews(scores, at) - 1, 0), 1),
    }


def amounts(setting: Setting, design: Design, y: np.ndarray) -> Rejects:
    x, at = design.x, design.at
    n, k = x.shape
    plain = fit_series(y, x, "gaussian")
    scores = score_contributions(plain, x)
    out = {"ordinary least squares": t_test(plain.coefficients, plain.covariance, n - k)}
    for name, lags in lag_rules(setting, scores, at).items():
        out |= newey_west_tests(plain, design, name, float(lags), weighted=False)
    cosine, terms = equal_weighted_cosine(scores, bread(plain), at)
    out["equal-weighted cosine"] = t_test(plain.coefficients, cosine, float(terms))
    iterated, likely = prais_winsten(y, x), gls_ar(y, x, at, 1, "ML")
    out["Prais-Winsten"] = t_test(iterated.coefficients, iterated.covariance, n - k)
    out["GLS, ML"] = t_test(likely.coefficients, likely.covariance, n - k)
    out["ARIMA(1,0,0)"] = t_test(likely.coefficients, arima_covariance(likely, design), np.inf)
    chosen = recommended(y, x, at, 12 if setting.season else None)
    first = chosen.fit if chosen.order == 1 else gls_ar(y, x, at)
    small = chosen.small_sample if chosen.order == 1 else kenward_roger(first, x, at)
    out["GLS, REML"] = t_test(first.coefficients, first.covariance, n - k)
    out["GLS, REML, Kenward-Roger"] = t_test(first.coefficients, small.covariance, small.df)
    out["recommended"] = chosen.p_values[TESTED] < LEVEL
    return out


def counts(setting: Setting, design: Design, y: np.ndarray) -> Rejects:
    x, at = design.x, design.at
    n, k = x.shape
    plain = fit_series(y, x, "quasi-poisson")
    out = {"quasi-Poisson": t_test(plain.coefficients, plain.covariance, n - k)}
    for name, lags in lag_rules(setting, score_contributions(plain, x), at).items():
        if name == "0.75 n^(1/3)":
            out |= newey_west_tests(plain, design, name, float(lags), weighted=True)
    logged = recommended(np.log(y), x, at)
    out["logarithms, recommended"] = logged.p_values[TESTED] < LEVEL
    fit = gls_ar(*linearised(plain, x), at)
    out["quasi-Poisson, AR(1) errors, t"] = t_test(fit.coefficients, fit.covariance, n - k)
    out["quasi-Poisson, recommended"] = recommended_linearised(plain, x, at).p_values[TESTED] < LEVEL
    return out


def study(setting: Setting, samples: int, seed: int) -> dict[str, list[float]]:
    """Shares of samples (level, slope) in which each choice finds an effect."""
    design = Design.of(setting)
    measure = amounts if setting.outcome == "amounts" else counts
    runs = [measure(setting, design, y) for y in setting.errors(seed, samples)]
    return {name: np.mean([run[name] for run in runs], axis=0).tolist() for name in runs[0]}


Results = dict[Setting, dict[str, list[float]]]


def grid(results: Results, chosen: Sequence[Setting]) -> str:
    heads = " | ".join(f"{s.n}, {s.rho:g}" for s in chosen)
    lines = [f"| points, autocorrelation | {heads} |", f"|---|{'---|' * len(chosen)}"]
    for name in results[chosen[0]]:
        cells = (" / ".join(f"{100 * share:.1f}" for share in results[s][name]) for s in chosen)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(results: Results, outcome: str) -> str:
    """Distance from 5% over all settings and both changes, in percentage points."""
    held = [found for setting, found in results.items() if setting.outcome == outcome]
    away = {name: 100 * np.abs(np.ravel([f[name] for f in held]) - LEVEL) for name in held[0]}
    lines = ["| choice | largest distance from 5% | mean distance |", "|---|---|---|"]
    for name, found in sorted(away.items(), key=lambda pair: float(pair[1].mean())):
        lines.append(f"| {name} | {found.max():.1f} | {found.mean():.2f} |")
    return "\n".join(lines)


def tables(results: Results) -> str:
    parts = []
    for said, outcome, season in (
        ("Amounts: level / slope found, per cent", "amounts", False),
        ("Amounts, two harmonics in the model", "amounts", True),
        ("Counts", "counts", False),
    ):
        chosen = [s for s in results if s.outcome == outcome and s.season == season]
        if chosen:
            parts.append(f"{said}\n\n{grid(results, chosen)}")
    for outcome in dict.fromkeys(s.outcome for s in results):
        parts.append(f"Distance from 5%, {outcome}, in percentage points\n\n{summary(results, outcome)}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20_102)
    parser.add_argument("--only", default="", help="settings whose description holds these words")
    parser.add_argument("--read", help="the error stream of an earlier run, which is carried on")
    options = parser.parse_args()
    results: Results = {}
    for line in Path(options.read).read_text(encoding="utf-8").splitlines() if options.read else ():
        results[Setting(**json.loads(line)["setting"])] = json.loads(line)["found"]
    for setting in settings():
        if options.only in setting.said and setting not in results:
            results[setting] = study(setting, options.samples, options.seed)
            line = json.dumps({"setting": vars(setting), "found": results[setting]})
            print(line, file=sys.stderr, flush=True)
    print(tables(results))


if __name__ == "__main__":
    main()
