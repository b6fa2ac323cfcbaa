"""`make` and requirements/setup.sh, with a Python that only writes down how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Says that it is 3.12; `-m venv` puts a copy of itself into the environment; `-m pip install` fails on demand.
FAKE = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    "-c import sys; sys.exit"*) exit $TOO_OLD ;;
    --version) echo "Python 3.9.18" ;;
    "-m venv --clear "*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    *"pip install"*cpu.txt* | *"pip install"*nvtabular.txt*) exit $PIP_STATUS ;;
esac
"""


@pytest.fixture
def setup(tmp_path):
    """Call setup.sh with a fake Python; returns its process and what Python was asked to do."""
    python, calls, venv = tmp_path / "python", tmp_path / "calls", tmp_path / "venv"
    python.write_text(FAKE)
    python.chmod(0o755)

    def call(*arguments: str, too_old: int = 0, pip_status: int = 0, name: str = str(python)):
        calls.write_text("")
        env = os.environ | {"PYTHON": name, "CALLS": str(calls), "TOO_OLD": str(too_old), "PIP_STATUS": str(pip_status)}
        script = ROOT / "requirements" / "setup.sh"
        done = subprocess.run([script, venv, *arguments], env=env, capture_output=True, text=True, check=False)
        return done, calls.read_text()

    call.venv = venv
    return call


def test_first_use_installs_the_lock_then_the_project(setup):
    done, calls = setup()
    assert done.returncode == 0, done.stderr
    assert calls.index("-m venv --clear") < calls.index("requirements/cpu.txt") < calls.index("--editable .")
    assert "test.txt" not in calls
    assert not (setup.venv / ".unfinished").exists()


def test_the_tests_come_on_top(setup):
    _, calls = setup("test")
    assert calls.index("--requirement requirements/cpu.txt") < calls.index("--requirement requirements/test.txt")


def test_a_good_environment_is_kept(setup):
    setup()
    _, calls = setup()
    assert "-m venv" not in calls


def test_a_setup_that_was_cut_short_starts_over(setup):
    failed, _ = setup(pip_status=1)
    assert failed.returncode == 2
    assert "run the same command again" in failed.stderr
    done, calls = setup()
    assert done.returncode == 0
    assert "-m venv --clear" in calls


def test_an_environment_without_its_python_is_made_anew(setup):
    setup()
    (setup.venv / "bin" / "python").unlink()
    done, calls = setup()
    assert done.returncode == 0
    assert "-m venv --clear" in calls


@pytest.mark.parametrize("case", [{"too_old": 1}, {"name": "no-such-python"}])
def test_no_fitting_python_is_one_clear_message(setup, case):
    done, _ = setup(**case)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "Python 3.11 or newer" in line
    assert "make PYTHON=" in line
    assert not setup.venv.exists()


def make(*arguments: str) -> str:
    """What make prints; a venv that is not there, so that every target shows its setup."""
    command = ["make", "--no-print-directory", "VENV=nowhere", *arguments]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "GPU_PYTHON"))}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def bare_path(tmp_path, monkeypatch):
    """A PATH on which nothing is found but what the script itself needs: no uv, no other Python."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "dirname", "touch", "rm", "mkdir", "cp"):
        (tools / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tools))


def test_nvtabular_gets_its_own_lock_with_nothing_resolved(setup, bare_path):
    done, calls = setup("nvtabular")
    assert done.returncode == 0, done.stderr
    assert "install --quiet --no-deps --requirement requirements/nvtabular.txt" in calls
    assert "cpu.txt" not in calls
    assert "sys.version_info[:2] != (3, 11)" in calls
    assert calls.index("nvtabular.txt") < calls.index("--editable .")


def test_nvtabular_starts_over_where_it_was_cut_short(setup, bare_path):
    assert setup("nvtabular", pip_status=1)[0].returncode == 2
    assert (setup.venv / ".unfinished").exists()
    done, calls = setup("nvtabular")
    assert done.returncode == 0
    assert "-m venv --clear" in calls


def test_nvtabular_says_which_python_it_needs(setup, bare_path):
    done, _ = setup("nvtabular", too_old=1)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "Python 3.11 is needed for NVTabular" in line
    assert "make test-nvtabular PYTHON=python3.11" in line
    assert not setup.venv.exists()


TARGETS = {"setup", "run", "test", "check", "lint", "type", "bench", "etl", "train", "evaluate", "export", "serve"}
TARGETS |= {"test-nvtabular", "report", "gpu-check", "docker-build", "docker-run", "clean"}


def test_help_is_the_default_and_names_every_target():
    assert {line.split()[0] for line in make().splitlines() if line.strip()} >= TARGETS


@pytest.mark.parametrize("stage", ["run", "etl", "train", "evaluate", "export"])
def test_a_stage_runs_the_named_config(stage):
    assert f"nowhere/bin/gyrfalcon {stage} configs/smoke.yaml" in make("-n", stage, "CONFIG=configs/smoke.yaml")


def test_run_installs_no_test_dependencies():
    assert "setup.sh 'nowhere' test" not in make("-n", "run")
    assert "setup.sh 'nowhere' test" in make("-n", "test")


def test_serve_and_report_follow_the_config():
    assert "serve runs/smoke/bundle" in make("-n", "serve", "CONFIG=configs/smoke.yaml")
    assert "report runs/other" in make("-n", "report", "RUN=runs/other")


def test_gpu_check_can_use_another_environment():
    assert "python3 -m tests.gpu.check" in make("-n", "gpu-check", "GPU_PYTHON=python3")
    assert "setup.sh" not in make("-n", "gpu-check", "GPU_PYTHON=python3")
    assert "nowhere/bin/python -m tests.gpu.check" in make("-n", "gpu-check")


def test_ci_runs_what_a_person_runs():
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "make check" in script
    assert script.index("make test-nvtabular") < script.index("make test ")
