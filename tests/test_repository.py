"""The files around the code: notebooks without outputs, versions that agree, a lock without addresses."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from qi_notebooks import safety

PIP_ONLY = {"causaldata"}
"""Core dependencies that conda-forge does not have; pip installs them with qieval itself."""
SLOW_IMPORTS = {"statsmodels", "plotnine", "linearmodels", "sklearn", "matplotlib", "scipy.stats"}
IMPORT_SECONDS = 1.0
PACKAGE_LINE = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;]+)(?: ; .+)? \\$", re.MULTILINE)


def normal(name):
    """The name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def lock(root):
    return (root / "requirements.lock").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def locked(lock):
    """All versions of each package; some have one for older and one for newer Pythons."""
    found = {}
    for name, version in PACKAGE_LINE.findall(lock):
        found.setdefault(normal(name), []).append(Version(version))
    return found


def notebooks(root):
    return sorted([*(root / "qi_notebooks").rglob("*.ipynb"), *(root / "notebooks").rglob("*.ipynb")])


def test_notebooks_are_kept_without_outputs_and_identifiers(root):
    found = [path for path in notebooks(root) if ".ipynb_checkpoints" not in path.parts]
    assert found
    problems = {path.name: safety.check(path) for path in found}
    assert {name: held for name, held in problems.items() if held} == {}


def test_notebooks_name_the_kernel_that_every_installation_has(root):
    for path in notebooks(root):
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        assert metadata["kernelspec"]["name"] == "python3", f"{path.name}: JupyterLab would ask for a kernel"


def test_conda_gets_the_versions_of_pyproject(root, project):
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    plain = [line for line in environment["dependencies"] if isinstance(line, str)]
    [pip] = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    core = {line for line in project["dependencies"] if Requirement(line).name not in PIP_ONLY}
    assert set(plain) == core | {f"python{project['requires-python']}", "pip"}
    assert environment["channels"] == ["conda-forge"]
    assert pip == ["-e .[lab,test]"]


def test_the_lock_has_hashes_and_names_no_host(lock, locked):
    assert len(locked) > 100
    entries = re.split(r"\n(?=\S)", lock)
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert len(packages) == sum(map(len, locked.values()))
    assert [entry.split(" ")[0] for entry in packages if "--hash=sha256:" not in entry] == []
    assert re.findall(r"[a-z]+://|--(?:extra-)?index-url|--find-links|--trusted-host|file:", lock) == []


def test_the_lock_satisfies_pyproject(project, locked):
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    wanted += [line for name in ("lab", "big", "docs", "bench", "test") for line in extras[name]]
    for line in wanted:
        requirement = Requirement(line)
        assert normal(requirement.name) in locked, f"{line}: not in requirements.lock; compile it again"
        assert all(version in requirement.specifier for version in locked[normal(requirement.name)]), line


def test_the_version_is_the_same_everywhere(root, project):
    import qieval as qe

    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["version"] == qe.__version__ == citation["version"]
    assert f"## {project['version']}" in changelog


def test_every_target_of_the_makefile_that_people_use_is_there(root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {"lab", "test", "lint", "bench", "docs", "clean"} <= targets


IMPORTED = """
import os, sys
def seconds():
    used = os.times()
    return used.user + used.system
before = seconds()
import {package}
print(seconds() - before, *sorted(sys.modules))
"""


def imported(package):
    """The CPU seconds that the import of a package takes (best of three), and the modules it loads."""
    # Modules are compiled in the first run and read in the others, as for a user.
    compiled = {name: held for name, held in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = [sys.executable, "-c", IMPORTED.format(package=package)]
    runs = [subprocess.check_output(program, text=True, env=compiled).split() for _ in range(3)]
    return min(float(run[0]) for run in runs), set(runs[0][1:])


def test_import_leaves_slow_packages_alone_and_is_quick():
    spent, modules = imported("qieval")
    assert SLOW_IMPORTS & modules == set()
    # On a machine that is busy with other tests every CPU second holds less work; pandas, which nobody can
    # leave out and which alone takes nearly half a second on an idle one, is the yardstick there.
    allowed = max(IMPORT_SECONDS, 2 * imported("pandas")[0])
    assert spent < allowed
