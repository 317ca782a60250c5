"""Combinations of options against numbers of rdrobust for Python 2.1.1, made once on drawn data."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from qieval.numerics.discontinuity import Local, Scored, discontinuity


@dataclass(frozen=True)
class Draw:
    """Drawn rows: a score with `ties` values a unit (0: continuous), and what is used beside it."""

    seed: int
    n: int
    ties: int
    used: tuple[str, ...]

    def rows(self) -> Scored:
        rng = np.random.default_rng(self.seed)
        score = rng.normal(0, 1, self.n)
        if self.ties:
            score = np.round(score * self.ties) / self.ties
        covariates = rng.normal(size=(self.n, 3))
        covariates[:, 0] *= 50
        covariates[:, 1] += 10
        clusters = rng.integers(0, max(self.n // 12, 8), self.n)
        shared = rng.normal(size=clusters.max() + 1)[clusters]
        uptake = (rng.random(self.n) < np.where(score >= 0, 0.75, 0.2) + 0.04 * score).astype(float)
        y = 5 + score - 0.4 * score**2 + 0.3 * score**3 * (score < 0) + 0.8 * uptake
        y = y + 0.01 * covariates[:, 0] + 0.2 * covariates[:, 2] + 0.5 * shared + rng.normal(size=self.n)
        extras = {
            "uptake": uptake,
            "covariates": covariates,
            "clusters": clusters,
            "weights": rng.uniform(0.3, 2, self.n),
        }
        return Scored(score=score, y=y, **{name: extras[name] for name in self.used})


WIDENED = 2e-5
"""Relative: it widens the farthest pilot window by sqrt(eps), and we do not."""

# Conventional and corrected estimate and their standard errors, robust interval, h and b by side.
CASES = [
    (
        Draw(439486, 400, 0, ("covariates", "clusters")),
        Local(kernel="uniform", rule="msetwo", variance="cr2", level=0.9),
        [0.5266023234592496, 0.6482744355650526, 0.4667468126621792, 0.5076605301321961],
        [-0.1867528286829977, 1.483301699813103],
        [0.32019026056471395, 0.5318990376525343, 0.6212302514799459, 1.219319887997943],
    ),
    (
        Draw(271524, 150, 8, ()),
        Local(p=0, kernel="epanechnikov", rule="cercomb1", variance="hc3", regularise=0.0, level=0.9),
        [0.973847380427217, 0.7353385401086694, 0.26831757952700114, 0.48762941374272245],
        [-0.06674046969426806, 1.537417549911607],
        [0.7010484222447658, 0.7010484222447658, 0.7553232386086625, 0.7553232386086625],
    ),
    (
        Draw(26692, 400, 8, ("uptake", "covariates", "weights")),
        Local(
            kernel="uniform",
            rule="msesum",
            neighbours=5,
            mass_points="off",
            regularise=0.5,
            restrict=False,
        ),
        [0.2956802743348517, 0.472808978502445, 0.6353771940175157, 0.7940524588272511],
        [-1.0835052426344411, 2.029123199639331],
        [0.6218228438535776, 0.6218228438535776, 1.0340859465901227, 1.0340859465901227],
    ),
    (
        Draw(825775, 400, 8, ("weights",)),
        Local(
            p=2,
            kernel="epanechnikov",
            variance="hc2",
            h=(1.618986197915972, 1.6923344683414054),
            b=(1.1318710623434036, 0.9079913808774916),
        ),
        [0.4566423022480146, 0.193857704187276, 0.3852246492028068, 1.379002006889382],
        [-2.5089365639243684, 2.8966519722989204],
        [1.618986197915972, 1.6923344683414054, 1.1318710623434036, 0.9079913808774916],
    ),
    (
        Draw(926373, 150, 8, ("uptake", "covariates", "clusters")),
        Local(deriv=1, rule="cercomb2", variance="cr3", sharp_bandwidth=True, level=0.9),
        [0.0035294673053563037, -0.3284408131053181, 2.2810763900539848, 2.8240562494701544],
        [-4.973599977761275, 4.316718351550639],
        [0.5022164015850812, 0.4804264422834041, 1.19996990445776, 1.10882553138943],
    ),
    (
        Draw(960081, 400, 8, ("uptake",)),
        Local(p=2, rule="cerrd", neighbours=1, rho=0.5694120232554098, level=0.9),
        [1.1663988617786216, 1.0685971074039442, 1.0014476958698788, 1.1558170242448842],
        [-0.832552717017512, 2.9697469318254006],
        [0.6915834311761208, 0.6915834311761208, 1.2145571272314193, 1.2145571272314193],
    ),
    (
        Draw(422294, 400, 0, ("uptake", "clusters")),
        Local(
            p=2,
            kernel="epanechnikov",
            variance="cr2",
            level=0.9,
            h=(1.788878921050058, 0.6349263263712711),
            b=(2.134230989373254, 0.6241696601994654),
        ),
        [1.4830195163283537, 2.102307503335454, 1.0568522001416893, 1.285796110210153],
        [-0.01263889206381208, 4.21725389873472],
        [1.788878921050058, 0.6349263263712711, 2.134230989373254, 0.6241696601994654],
    ),
    (
        Draw(6714, 150, 0, ("uptake", "covariates", "clusters", "weights")),
        Local(p=2, kernel="epanechnikov", rule="msesum", variance="cr2", regularise=0.5, restrict=False),
        [1.0977049237692325, 1.1403461565719513, 0.8366629712666945, 0.9161873611669847],
        [-0.6553480744061297, 2.9360403875500323],
        [1.831790194930612, 1.831790194930612, 2.128950242722885, 2.128950242722885],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1].variance}-{case[1].rule}-{case[0].seed}")
def test_options_together(case):
    draw, local, estimates, interval, widths = case
    rows = draw.rows()
    chosen = discontinuity(rows, local)
    assert [*chosen.h, *chosen.b] == pytest.approx(widths, rel=WIDENED)
    found = discontinuity(rows, replace(local, h=tuple(widths[:2]), b=tuple(widths[2:]), rho=None))
    shown = [*found.estimate[[0, 2]], *found.std_error[[0, 2]]]
    assert shown == pytest.approx(estimates, rel=1e-9)
    assert [found.low[2], found.high[2]] == pytest.approx(interval, rel=1e-9)
