"""The files around the code: notebooks without outputs, versions that agree, a lock without addresses."""

import json
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


LOADED = "import sys, {packages}; print(*sys.modules)"


def others_loaded_by(packages):
    """The modules that a fresh Python holds after an import: not its own, not ours."""
    program = LOADED.format(packages=packages)
    names = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    return {name for name in names if name.split(".")[0] not in sys.stdlib_module_names | {"qieval"}}


def test_import_loads_little_more_than_pandas():
    """Pandas, which nobody can leave out, takes most of the second that `import qieval` may take. Of other
    packages only the bare name scipy is loaded; its parts come when they are used."""
    assert others_loaded_by("qieval") <= others_loaded_by("pandas, scipy")
