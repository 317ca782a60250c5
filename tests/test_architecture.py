"""The layers of the package: an import may only point to the left."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "qieval"

LAYERS = [
    {"errors", "text", "progress"},
    {"numerics"},
    {"fields", "periods", "markup", "calendar"},
    {"design"},
    {"cohort_design", "donor_design", "series_design", "row_design", "rollout_design", "windows"},
    {"chart_design"},
    {"columns", "rows"},
    {"shapes", "cohort", "row_data", "paired", "check", "provenance", "places", "series_calendar"},
    {"compared", "donors", "series", "charts"},
    {"synthetic", "interrupted", "discontinuous", "instrumented", "adjusted"},
    {"result"},
    {"covariate_balance", "rollout"},
    {"data", "methods", "diagnostics", "plots", "sensitivity"},
    {"own_distances"},
    {"catalogue"},
    {
        "verbs",
        "donor_specifications",
        "rollout_specifications",
        "rollout_reach",
        "series_tuning",
        "chained_starts",
    },
    {"tuning", "chaining", "specifications", "arms", "each", "planning"},
    {"reports"},
]
STRANGERS = [{"errors", "text", "progress"}, {"data", "methods", "diagnostics", "plots", "sensitivity"}]
"""Layers whose members may not import one another."""
KERNELS = "qieval.numerics.kernels"
"""Compiled code: slow to import, so it is imported where it is used."""
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
OPTIONAL = {"duckdb", "ibis", "pyspark"}
"""Packages that may be missing."""
SLOW = {
    "plotnine",
    "statsmodels",
    "linearmodels",
    "sklearn",
    "scipy",
    "matplotlib",
    "great_tables",
    "causaldata",
}
"""Packages whose import costs a second or more: imported where they are used."""

FILES = sorted(SOURCE.rglob("*.py"))


def unit_of(module: str) -> str:
    """The layer's name of a module such as qieval.numerics.absorb."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(tree: ast.AST) -> list[tuple[str, int, bool]]:
    """Every import that is carried out as (module, line, inside a function?)."""
    found = []
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "qieval"
                else [node.module]
            )
            found += [(name, node.lineno, id(node) in inside) for name in names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(("relative import", node.lineno, False))
    return found


def home(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_left(path):
    here = home(path)
    if here == "__init__":
        pytest.skip("the package's front door imports everything")
    assert here in RANK, f"{here} has no layer; add it to LAYERS"
    for module, line, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert module != "relative import", f"{path.name}:{line}: relative import"
        if not module.startswith("qieval."):
            continue
        there = unit_of(module)
        assert there in RANK, f"{path.name}:{line} imports {module}, which has no layer"
        same_folder = there == here
        allowed = (
            same_folder
            or RANK[there] < RANK[here]
            or (RANK[there] == RANK[here] and not any(here in layer for layer in STRANGERS))
        )
        assert allowed, f"{path.relative_to(SOURCE)}:{line} imports {module}: {here} may not import {there}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_inside_functions_are_only_of_slow_or_optional_packages(path):
    for module, line, inside in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if inside:
            assert not module.startswith("qieval") or module.startswith(KERNELS), (
                f"{path.name}:{line}: {module} is imported inside a function"
            )
        else:
            outside = "kernels" not in path.parts
            assert not (outside and module.startswith(("numba", KERNELS))), (
                f"{path.name}:{line}: {module} is slow to import; import it where it is used"
            )


@pytest.mark.parametrize("path", sorted((SOURCE / "numerics").rglob("*.py")), ids=lambda path: path.name)
def test_numerics_knows_neither_pandas_nor_us(path):
    for module, line, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert not module.startswith("pandas"), f"{path.name}:{line} imports pandas"
        ours = ("qieval.numerics", "qieval.errors", "qieval.progress")
        assert not module.startswith("qieval.") or module.startswith(ours), f"{path.name}:{line} {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_statistics_packages_are_called_from_numerics_only(path):
    for module, line, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        package = module.split(".")[0]
        if package in {"statsmodels", "linearmodels", "sklearn"}:
            assert home(path) == "numerics", f"{path.name}:{line} imports {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "qi_notebooks").glob("*.py")), ids=lambda path: path.name)
def test_notebook_layer_uses_the_public_names_only(path):
    for module, line, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert not module.startswith("qieval."), (
            f"{path.name}:{line} imports {module}; use `import qieval as qe`"
        )


def test_a_planted_upward_import_is_caught():
    planted = ast.parse("from qieval.verbs import estimate")
    ((module, _, _),) = imports(planted)
    assert RANK[unit_of(module)] > RANK["methods"]
