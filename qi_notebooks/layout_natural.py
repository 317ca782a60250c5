"""Which fields of designs with a rule, an instrument, or one group before and after are shown, and which are
folded under which title; by the name of the design."""

from collections.abc import Mapping

Names = tuple[str, ...]

SHOWN: Mapping[str, Names] = {
    "RegressionDiscontinuity": (
        "outcome",
        "score",
        "cutoff",
        "treated_side",
        "received",
        "measured_in",
    ),
    "InstrumentalVariables": ("outcome", "received", "measured_in", "instruments", "covariates"),
    "BeforeAfter": ("outcome", "before", "selected", "threshold", "units_are", "measured_in"),
}
FOLDED: Mapping[str, Mapping[str, Names]] = {
    "RegressionDiscontinuity": {
        "Characteristics, outcomes that cannot change, clusters (optional)": (
            "covariates",
            "categories",
            "negative_controls",
            "cluster",
            "units_are",
        ),
        "Rates and weights (optional)": ("person_time", "weights"),
        "How the line is fitted: bandwidth, order, weights by distance": (
            "bandwidth",
            "bandwidth_rule",
            "order",
            "kernel",
            "bandwidth_for",
        ),
        "Scores that many are recorded at, people very near the cutoff": (
            "donut",
            "leave_out",
            "mass_points",
        ),
        "Which interval: robust, honest, or as if by lot": (
            "inference",
            "smoothness",
            "smoothness_received",
            "curvature",
            "window",
            "draws",
        ),
        "Another rule: a change of slope, or a cutoff of each place": ("estimand", "cutoff_column"),
    },
    "InstrumentalVariables": {
        "Codes, outcomes that cannot change, clusters, weights (optional)": (
            "categories",
            "negative_controls",
            "cluster",
            "weights",
            "units_are",
        ),
        "How the effect is estimated, and which interval is shown": (
            "estimator",
            "interval",
            "variance",
            "small_sample",
        ),
        "Outcomes that are risks or events in a time: residual inclusion": ("model", "person_time"),
        "For the checks: subgroups, a direct effect that is plausible": ("subgroups", "direct_effect"),
    },
    "BeforeAfter": {
        "How people were picked, and what is known of everybody": (
            "selected_on",
            "population_mean",
            "population_sd",
            "reliability",
        ),
        "What would have changed anyway": ("expected_change",),
        "Data with a row for each person and period": ("unit", "time", "start"),
        "Rates, and what people share (optional)": ("person_time", "person_time_before", "cluster"),
    },
}
WITH_THE_QUESTION: Names = ("exclusion",)
"""Fields that are asked for with the question."""
