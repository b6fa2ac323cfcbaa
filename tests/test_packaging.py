"""The locks, the declared dependencies and what the code imports say the same; all offline, from the files alone."""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("core", "etl", "train", "serve", "pipeline")
LOCKS = ("cpu", "test", "gpu", "nvtabular")
PYTHONS = {"cpu": ("3.11", "3.12"), "test": ("3.11", "3.12"), "gpu": ("3.11", "3.12"), "nvtabular": ("3.11",)}

# Imported in the one function that needs them, in the environment that holds them.
ELSEWHERE = {"nvtabular", "merlin"}
# import name -> distribution, where they differ
DISTRIBUTION = {
    "yaml": "pyyaml", "faiss": "faiss-cpu", "cudf": "cudf-cu13", "cudf_polars": "cudf-polars-cu13",
    "cupy": "cupy-cuda13x", "cuvs": "cuvs-cu13", "rmm": "rmm-cu13", "rapidsmpf": "rapidsmpf-cu13",
    "mlflow": "mlflow-skinny",
}  # fmt: skip
# import name -> the declared distribution that cannot be installed without it
COMES_WITH = {"pydantic_core": "pydantic", "markupsafe": "jinja2", "click": "typer", "distributed": "dask-cuda"}


def lines(path: Path) -> list[str]:
    """The requirements of a file, without comments."""
    found = (re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text().splitlines())
    return [line for line in found if line]


def lock(name: str, python: str) -> dict[str, Version]:
    """What a lock installs on Linux x86-64 with this Python."""
    there = default_environment() | {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux",
        "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    pins: dict[str, Version] = {}
    for requirement in map(Requirement, lines(ROOT / "requirements" / f"{name}.txt")):
        if requirement.marker and not requirement.marker.evaluate(there):
            continue
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        key = canonicalize_name(requirement.name)
        assert key not in pins, f"{name}.txt pins {key} twice for Python {python}"
        pins[key] = Version(pin.version)
    return pins


def wanted(extra: str | None = None) -> list[Requirement]:
    project = PROJECT["project"]
    return list(map(Requirement, project["optional-dependencies"][extra] if extra else project["dependencies"]))


def assert_holds(pins: dict[str, Version], requirements: list[Requirement]) -> None:
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is in no lock"
        assert requirement.specifier.contains(pins[name], prereleases=True), f"{requirement} but locked {pins[name]}"


@pytest.mark.parametrize("python", ["3.11", "3.12"])
class TestLocks:
    def test_cpu_holds_every_dependency(self, python: str):
        assert_holds(lock("cpu", python), wanted())

    def test_gpu_holds_every_dependency_and_the_extra(self, python: str):
        pins = lock("gpu", python)
        # onnxruntime-gpu takes its place: both write into one folder
        assert "onnxruntime" not in pins
        assert_holds(pins, [need for need in wanted() if need.name != "onnxruntime"] + wanted("gpu"))

    def test_test_adds_to_cpu_and_repeats_nothing(self, python: str):
        cpu, test = lock("cpu", python), lock("test", python)
        assert not cpu.keys() & test.keys()
        assert_holds(cpu | test, wanted("test") + wanted("tune") + wanted("mlflow"))

    def test_one_polars_and_one_numpy_on_cpu_and_gpu(self, python: str):
        cpu, gpu = lock("cpu", python), lock("gpu", python)
        for name in ("polars", "numpy", "pyarrow", "pydantic"):
            assert cpu[name] == gpu[name]


@pytest.mark.parametrize("name", LOCKS)
class TestFiles:
    def test_the_pins_with_reasons_are_kept(self, name: str):
        asked = list(map(Requirement, lines(ROOT / "requirements" / f"{name}.in")))
        for python in PYTHONS[name]:
            assert_holds(lock(name, python), asked)

    def test_no_address_stands_in_a_lock(self, name: str):
        for file in (f"{name}.in", f"{name}.txt"):
            text = (ROOT / "requirements" / file).read_text()
            assert "://" not in text
            assert "index-url" not in text


def test_the_nvtabular_environment_reads_the_same_polars():
    assert lock("nvtabular", "3.11")["polars"] == lock("cpu", "3.11")["polars"]


def imports(package: str) -> set[str]:
    """Top-level names that a package imports from outside the project and the standard library."""
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_a_declared_dependency(package: str):
    declared = {canonicalize_name(need.name) for need in wanted() + wanted("gpu") + wanted("tune") + wanted("mlflow")}
    for name in imports(package) - ELSEWHERE:
        distribution = DISTRIBUTION.get(name) or COMES_WITH.get(name) or canonicalize_name(name)
        assert distribution in declared, f"{package} imports {name}, which pyproject.toml does not ask for"


@pytest.mark.parametrize("package", [*PACKAGES, "configs"])
def test_every_data_file_is_installed(package: str):
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for path in (ROOT / package).rglob("*"):
        if path.is_dir() or path.suffix in {".py", ".pyc"}:
            continue
        dotted = ".".join(path.parent.relative_to(ROOT).parts)
        allowed = patterns["*"] + patterns.get(dotted, [])
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in allowed), f"{path} would not be installed"


def test_the_typed_marker_stands_in_every_package():
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists()
