"""Which fields of a roll-out are shown, and which are folded under which title."""

from collections.abc import Mapping

Names = tuple[str, ...]

SHOWN: Names = ("outcome", "unit", "time", "first_treated", "measured_in", "covariates")
FOLDED: Mapping[str, Names] = {
    "Who and when: a column that is switched on, people or organisations, which periods": (
        "treatment",
        "units_are",
        "data",
        "unbalanced",
        "anticipation",
        "rollout_randomised",
        "first_period",
        "last_period",
    ),
    "How covariates are used (has a default)": ("estimator",),
    "Clusters and weights (optional)": ("cluster", "second_cluster", "weights"),
    "Rates: the people or bed days behind the events (optional)": ("exposure",),
    "Triple differences: people in the same places whom it passes by (optional)": ("eligible",),
    "Neighbours and distance: who else may have been reached (optional)": (
        "neighbour",
        "distance",
        "exclusion",
    ),
    "Analysis: who is compared, how effects are averaged (have defaults)": (
        "approach",
        "control_group",
        "base_period",
        "aggregation",
        "event_window",
        "balanced_to",
    ),
    "How the interval is made (has a default)": ("inference", "small_sample", "draws"),
}
WITH_THE_QUESTION: Names = ("expected_lag",)
"""Fields that are asked for with the question."""
