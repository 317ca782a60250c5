"""scikit-learn learners for cross-fitting: four by name, others by the dotted name of their class."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any, Literal

import numpy as np

from qieval.errors import DesignError
from qieval.numerics.adjustment_cross_fitting import CrossFitting, _folds, _learned, _Task
from qieval.numerics.two_way import Codes, Floats, Mask

Task = Literal["binary", "linear", "log"]
"""A yes/no (the treatment, a risk), a mean, or a mean that cannot be negative (counts, rates, costs)."""

NAMES = ("regression", "lasso", "gradient boosting", "random forest")
TREES = 200
SMALLEST_LEAF = 10


def learner(name: str, task: Task, seed: int) -> Any:
    """An unfitted learner: one of NAMES, or a class of scikit-learn such as "sklearn.naive_bayes.GaussianNB".

    A class may have arguments: "sklearn.ensemble.ExtraTreesRegressor(min_samples_leaf=5)"; only plain values
    are read, nothing is executed. "regression": linear, logistic or Poisson, without penalty. "lasso":
    linear or logistic, its strength chosen by cross-validation; a log task has a linear one.
    "gradient boosting": 200 small trees by histogram; "random forest": 200 trees with at least 10 rows in a
    leaf. An open random_state is set to seed. DesignError for anything else, and for a class that cannot do
    the task.

    >>> learner("regression", "linear", 1)
    LinearRegression()
    """
    if name in NAMES:
        return _NAMED[name](task, seed)
    made = _imported(name)
    wanted = "predict_proba" if task == "binary" else "predict"
    if not (hasattr(made, "fit") and hasattr(made, "predict") and hasattr(made, "get_params")):
        raise DesignError(f"own_learners: '{name}' is not a learner of scikit-learn that predicts.")
    if task == "binary" and not hasattr(made, wanted) and _chooses(made):
        raise DesignError(
            f"own_learners: '{name}' gives no probabilities (predict_proba), which are needed here."
        )
    if task != "binary" and _chooses(made):
        raise DesignError(
            f"own_learners: '{name}' tells classes apart, but the outcome is not 0 or 1. Name a regressor."
        )
    if "random_state" in made.get_params() and made.get_params()["random_state"] is None:
        made.set_params(random_state=seed)
    return made


def takes_weights(made: Any) -> bool:
    """Whether a learner can be fitted with weights of rows, which rates need."""
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(made, "steps", None)
    last = steps[-1][1] if steps else made
    return bool(has_fit_parameter(getattr(last, "estimator", last), "sample_weight"))


def held_out_scores(
    x: Floats, treated: Mask, score: Any, plan: CrossFitting, cluster: Codes | None = None
) -> Floats:
    """Scores (n,) of the first draw of folds in `cross_fitted`, without any outcome; kept off 0 and 1.

    They are the same numbers if every random_state of the learners is set.
    """
    rng = np.random.default_rng(plan.seed)
    fold, out = _folds(treated, cluster, plan.folds, rng), np.empty(treated.size)
    for one in np.unique(fold):
        rows = fold == one
        out[rows] = _learned(score, _Task(x, treated.astype(float), None, ~rows), rows, rng)
    return np.clip(out, plan.bound, 1 - plan.bound)


def _imported(text: str) -> Any:
    """The object that 'package.module.Class(argument=value)' describes."""
    path, arguments = _parsed(text)
    if not path.startswith("sklearn.") or path.count(".") < 2:
        raise DesignError(
            f"own_learners: '{text}' is not a class of scikit-learn. Write its full name, such as"
            " 'sklearn.ensemble.ExtraTreesRegressor', with arguments in brackets where it needs them."
        )
    module, name = path.rsplit(".", 1)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as cause:
        raise DesignError(f"own_learners: there is no '{path}' in scikit-learn ({cause}).") from cause
    if not inspect.isclass(found):
        raise DesignError(f"own_learners: '{path}' is not a class.")
    try:
        return found(**arguments)
    except TypeError as cause:
        raise DesignError(f"own_learners: '{text}' cannot be made ({cause}).") from cause


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Dotted name and keyword arguments; only literals are allowed as values."""
    wrong = DesignError(
        f"own_learners: '{text}' cannot be read. Write the name of a class, such as"
        " 'sklearn.ensemble.ExtraTreesRegressor(min_samples_leaf=5)'."
    )
    try:
        tree: ast.expr = ast.parse(text.strip(), mode="eval").body
        arguments: dict[str, Any] = {}
        if isinstance(tree, ast.Call):
            if tree.args or any(item.arg is None for item in tree.keywords):
                raise wrong
            arguments = {str(item.arg): ast.literal_eval(item.value) for item in tree.keywords}
            tree = tree.func
    except (SyntaxError, ValueError) as cause:
        raise wrong from cause
    parts: list[str] = []
    while isinstance(tree, ast.Attribute):
        parts.append(tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise wrong
    return ".".join([tree.id, *reversed(parts)]), arguments


def _chooses(made: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(made))


def _regression(task: Task, seed: int) -> Any:
    from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if task == "linear":
        return LinearRegression()
    if task == "log":
        return make_pipeline(StandardScaler(), PoissonRegressor(alpha=0.0, max_iter=1000, tol=1e-8))
    return make_pipeline(StandardScaler(), LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8))


def _lasso(task: Task, seed: int) -> Any:
    from sklearn.linear_model import LassoCV, LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if task != "binary":
        return make_pipeline(StandardScaler(), LassoCV(cv=5, random_state=seed))
    plain = LogisticRegression(l1_ratio=1.0, solver="saga", max_iter=2000, tol=1e-3, random_state=seed)
    strengths = {"C": list(np.logspace(-3, 2, 8))}
    return make_pipeline(StandardScaler(), GridSearchCV(plain, strengths, scoring="neg_log_loss", cv=5))


def _boosting(task: Task, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    shared = {
        "max_iter": TREES,
        "learning_rate": 0.05,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        "random_state": seed,
    }
    if task == "binary":
        return HistGradientBoostingClassifier(**shared)
    return HistGradientBoostingRegressor(loss="poisson" if task == "log" else "squared_error", **shared)


def _forest(task: Task, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    made = RandomForestClassifier if task == "binary" else RandomForestRegressor
    return made(TREES, min_samples_leaf=SMALLEST_LEAF, random_state=seed)


_NAMED = {
    "regression": _regression,
    "lasso": _lasso,
    "gradient boosting": _boosting,
    "random forest": _forest,
}
