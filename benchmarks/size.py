"""How often does the interval exclude no effect when there is none? Simulated panels with persistent errors.

Each row: panels without an effect (20 periods, half before the start, errors with first-order
autocorrelation 0.8), share with p < 0.05 and its Monte Carlo error. Prints a Markdown table, the one in
docs/validation.md. Usage: python benchmarks/size.py [--panels N]
"""

import argparse
from dataclasses import replace

import numpy as np

import qieval as qe
from qieval.methods.difference_in_differences import estimate

DESIGN = qe.DifferenceInDifferences(
    outcome="y", unit="unit", time="time", treated="treated", start=10, draws=999
)
ROWS = [
    (10, 5, {}),
    (20, 8, {}),
    (20, 8, {"inference": "analytic"}),
    (27, 1, {}),
    (40, 1, {}),
    (40, 1, {"inference": "analytic"}),
    (50, 20, {}),
    (50, 20, {"inference": "analytic"}),
    (50, 20, {"variance": "iid"}),
    (100, 40, {}),
    (200, 15, {}),
    (200, 15, {"inference": "analytic"}),
    (200, 25, {}),
]


def size(units: int, treated: int, fields: dict, panels: int) -> tuple[float, str]:
    design = replace(DESIGN, **fields)
    found, by = [], ""
    for seed in range(panels):
        panel = qe.simulate_panel(n_units=units, n_periods=20, n_treated=treated, rho=0.8, seed=seed)
        result = estimate(design, panel, brief=True)
        found.append(result.estimates.loc[0, "p_value"] <= 0.05)
        by = str(result.facts["interval by"]).split(" (")[0].split(" with ")[0]
    return float(np.mean(found)), by


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", type=int, default=2000)
    panels = parser.parse_args().panels
    error = np.sqrt(0.05 * 0.95 / panels)
    print(f"{panels:,} panels a row; Monte Carlo error {error:.2%} at 5%\n")
    print("| clusters | treated | stated | interval by | rejects a true null |")
    print("|---|---|---|---|---|")
    for units, treated, fields in ROWS:
        share, by = size(units, treated, fields, panels)
        stated = ", ".join(f"{name}='{held}'" for name, held in fields.items()) or "nothing (automatic)"
        print(f"| {units} | {treated} | {stated} | {by} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
