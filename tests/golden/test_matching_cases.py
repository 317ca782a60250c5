"""Every case of matching.json with the test that compares it, or the reason why none does.

A case that is added to the reference file fails here until somebody has said where it is tested.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
NOT = "not compared: "

PUBLIC, WEIGHTS = "test_matching.py", "test_weighting.py"
NEAREST, OPTIMAL = "test_matching_nearest.py", "test_matching_optimal.py"
EFFECTS, BALANCE, GENETIC = "test_matching_effects.py", "test_matching_balance.py", "test_matching_genetic.py"
SENSITIVITY, KERNELS = "test_sensitivity_numbers.py", "test_weighting_numbers.py"

LALONDE_UNIQUE = (
    *("nn_default", "nn_order_data", "nn_order_smallest", "nn_order_closest", "nn_order_farthest"),
    *("nn_linear_logit", "nn_caliper02", "nn_caliper02_linear", "nn_exact_race", "nn_ratio2", "nn_replace"),
    *("nn_replace_ratio3", "nn_mahalanobis", "nn_robust_mahalanobis", "nn_cov_caliper", "nn_discard_both"),
    *("nn_ATC_replace", "subclass6", "subclass6_ATE", "cem_default", "cem_cutpoints", "exact_cats"),
)
LALONDE_TOTALS = (
    *("nn_mahvars_caliper", "optimal_pair", "optimal_pair_linear", "optimal_2to1"),
    *("full", "full_probit", "full_ATE", "full_minmax"),
)
QUICK = (
    NOT + "generalised full matching (quickmatch) is an approximation of full matching, which is exact here"
)
MATCH = (
    *("ps_M1", "ps_ATE", "ps_ATC", "ps_M3", "ps_caliper025", "ps_common_support", "ps_biasadj", "x_invvar"),
    *("x_mahalanobis", "x_mahalanobis_biasadj_M4", "x_mahalanobis_ATE_varcalc1"),
    *("x_exact_black_caliper", "ps_varcalc2"),
)
RHC_UNIQUE = (
    *("nn_caliper02_linear", "nn_no_caliper", "nn_replace_caliper02", "nn_exact_cat1_caliper02"),
    *("nn_mahvars_caliper02", "subclass10_ATE"),
)

CASES = {
    "lalonde_matchit": {
        "ps_model": f"{NEAREST}::test_propensity_model",
        **dict.fromkeys(LALONDE_UNIQUE, f"{PUBLIC}::test_lalonde"),
        **dict.fromkeys(LALONDE_TOTALS, f"{PUBLIC}::test_lalonde_by_total_distance"),
        "optimal_mahalanobis": f"{PUBLIC}::test_lalonde_mahalanobis_pairs_are_no_worse_than_optmatch",
        "quick": QUICK,
        "nn_default_interactions": f"{BALANCE}::test_matchit_interactions",
    },
    "exact_optimum_totals": {
        "note": NOT + "words",
        **{
            f"{data}|{scale}": f"{OPTIMAL}::test_totals_are_the_exact_minima"
            for data in ("lalonde_matchit", "nhefs", "rhc")
            for scale in ("ps", "linear_logit")
        },
    },
    "lalonde_weights": {
        **{
            f"ipw_glm_{whom}": f"{WEIGHTS}::test_lalonde_scores"
            for whom in ("ATE", "ATT", "ATC", "ATO", "ATM")
        },
        **{
            f"ebal_{what}": f"{WEIGHTS}::test_lalonde_entropy_balancing"
            for what in ("ATE", "ATT", "ATC", "moments2_ATT")
        },
        **{f"cbps_{whom}_just": f"{WEIGHTS}::test_lalonde_just_identified" for whom in ("ATE", "ATT")},
        **{f"cbps_{whom}_over": f"{KERNELS}::test_lalonde_over_identified" for whom in ("ATE", "ATT")},
    },
    "cobalt_lalonde": {
        **dict.fromkeys(
            ("matchit_default_ATT", "binary_std", "pooled", "ipw_ATT", "ipw_ATE", "ipw_ATC"),
            f"{BALANCE}::test_cobalt_conventions",
        ),
        "int_poly": f"{BALANCE}::test_cobalt_squares_and_interactions",
        "bal_compute": f"{BALANCE}::test_cobalt_scalars",
        "bal_compute_energy": f"{BALANCE}::test_cobalt_scalars",
    },
    "nhefs": {
        "ps_model": f"{NEAREST}::test_propensity_model",
        "gformula_note": NOT + "words",
        **{
            f"weights.ipw_glm_{whom}": f"{WEIGHTS}::test_nhefs_scores"
            for whom in ("ATE", "ATT", "ATO", "ATM")
        },
        **{
            f"weights.{method}_{whom}": f"{WEIGHTS}::test_nhefs_balancing"
            for method in ("ebal", "cbps")
            for whom in ("ATE", "ATT")
        },
        **{
            f"weights.ipw_ATE_weights_trimmed_{at}": f"{WEIGHTS}::test_nhefs_cut_weights"
            for at in ("0.95", "0.99")
        },
        **{
            f"weights.ipw_ATE_ps_trim_{at}": f"{WEIGHTS}::test_nhefs_trimmed_by_the_score"
            for at in ("0.05", "0.1")
        },
        **{
            f"matching.{name}": f"{PUBLIC}::test_nhefs"
            for name in ("nn_caliper02_linear", "nn_replace", "nn_exact_sex_race_caliper", "subclass5_ATE")
        },
        **{f"matching.{name}": f"{PUBLIC}::test_nhefs_by_total_distance" for name in ("full", "optimal")},
        "matching.cem": f"{PUBLIC}::test_nhefs_coarsened_on_every_term",
    },
    "lalonde_dw_Matching": {
        "ps_model": f"{GENETIC}::test_effect_and_standard_errors",
        **dict.fromkeys(MATCH, f"{GENETIC}::test_effect_and_standard_errors"),
        "ps_noties": f"{GENETIC}::test_ties_drawn_at_random",
        "ps_noreplace": f"{GENETIC}::test_ties_drawn_at_random",
        "matchbalance_ps_M1": f"{GENETIC}::test_matchbalance",
        "fixed_weight_matrix": f"{GENETIC}::test_loss_at_given_weights",
        "fixed_weight_note": NOT + "words",
    },
    "genmatch_lalonde_dw": {
        "call": NOT + "words",
        "runs": f"{PUBLIC}::test_runs_of_genmatch_at_the_weights_they_found",
    },
    "rhc": {
        "ps_model": f"{NEAREST}::test_propensity_model",
        "crude": f"{PUBLIC}::test_crude_risks_are_those_of_the_reference",
        "preference_score": f"{BALANCE}::test_right_heart_catheterisation_overlap",
        "outcome_regression": f"{EFFECTS}::test_outcome_regression_of_right_heart_catheterisation",
        **dict.fromkeys(RHC_UNIQUE, f"{PUBLIC}::test_right_heart_catheterisation"),
        "balance_unmatched": f"{BALANCE}::test_right_heart_catheterisation_before",
        **dict.fromkeys(
            ("full_linear", "optimal_pair_linear"), f"{PUBLIC}::test_right_heart_catheterisation_by_total"
        ),
        "quick_linear": QUICK,
        "rosenbaum_nn_caliper02_linear": f"{SENSITIVITY}::test_signed_rank_and_hodges_lehmann_bounds",
        **{
            f"weights.ipw_{whom}": f"{WEIGHTS}::test_right_heart_catheterisation_scores"
            for whom in ("ATE", "ATT", "ATO")
        },
        **{
            f"weights.{name}": f"{WEIGHTS}::test_right_heart_catheterisation_balancing"
            for name in ("ebal_ATT", "ebal_ATE", "cbps_ATE")
        },
    },
    "sensitivity": {
        "versions": NOT + "words",
        "darfur": f"{SENSITIVITY}::test_darfur_statistics_and_bounds",
        "rhc_lpm": f"{SENSITIVITY}::test_right_heart_catheter_statistics_and_bounds",
        "rhc_leave_one_covariate_out": f"{SENSITIVITY}::test_leave_one_covariate_out",
        "oster": f"{SENSITIVITY}::test_oster",
        "evalues": f"{SENSITIVITY}::test_e_values",
        "bias_factor": f"{SENSITIVITY}::test_bias_factor",
        "tipr": f"{SENSITIVITY}::test_tipping_points",
        "empirical_calibration": f"{SENSITIVITY}::test_empirical_calibration",
        "sensitivitymv_erpcp": NOT
        + "its data are not among the shared files; the statistic is tested by hand",
        "rosenbaum_exact_rhc": f"{SENSITIVITY}::test_binary_bounds",
    },
    "cross_checks": {
        "note": NOT + "words",
        "remark": NOT + "words",
        **dict.fromkeys(
            ("nn_caliper02", "nn_no_caliper"), f"{PUBLIC}::test_cross_checks_with_another_package"
        ),
        "full_exact_minimum": NOT
        + "full matchings of the same least total differ in the effect; the total is compared",
    },
}
NESTED = {"nhefs": ("weights", "matching"), "rhc": ("weights",)}


def cases_of(section, stored):
    """Names of the cases of a section, those of nested sections after the section's name and a dot."""
    for name, held in stored.items():
        if name in NESTED.get(section, ()):
            yield from (f"{name}.{inner}" for inner in held)
        else:
            yield name


def test_every_case_is_accounted_for(matching_reference):
    sections = {name for name in matching_reference if name != "meta"}
    assert sections == set(CASES), "a section came or went"
    for section in sections:
        stored = set(cases_of(section, matching_reference[section]))
        assert stored - set(CASES[section]) == set(), f"new in {section}: say where they are tested"
        assert set(CASES[section]) - stored == set(), f"no longer in {section}"


@pytest.mark.parametrize(
    "where",
    sorted({where for named in CASES.values() for where in named.values() if not where.startswith(NOT)}),
)
def test_the_tests_named_exist(where):
    file, _, name = where.partition("::")
    source = (HERE / file).read_text(encoding="utf-8")
    assert not name or f"def {name}(" in source


@pytest.mark.parametrize("section", CASES)
def test_the_tests_named_mention_their_cases(section):
    """The name of the case, or the part before its last word where names are put together, is in the file."""
    for case, where in CASES[section].items():
        if where.startswith(NOT):
            continue
        source = (HERE / where.partition("::")[0]).read_text(encoding="utf-8")
        last = case.split(".", 1)[-1] if case.startswith(("weights.", "matching.")) else case
        pieces = [last, *last.split("|")[:1], *last.split("_")[1:], last.partition("_")[2]]
        assert any(piece and piece in source for piece in pieces), f"{case} is not mentioned in {where}"
