#!/usr/bin/env bash
# Make an environment: `setup.sh VENV` for running, `setup.sh VENV test` for the tests too, `setup.sh VENV nvtabular`
# for NVTabular and its comparison tests, which live apart. Called by the Makefile, which keeps a stamp, so this runs
# only when a lock or pyproject.toml is newer than the last finished setup.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$1
with=${2:-run}
python=${PYTHON:-python3}
unfinished=$venv/.unfinished
unset PYTHONPATH PYTHONHOME  # another project's packages must not count as installed here
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

wanted="Python 3.11 or newer is needed"
too_old="sys.version_info < (3, 11)"
again="make PYTHON=python3.12 …"
if [ "$with" = nvtabular ]; then
    wanted="Python 3.11 is needed for NVTabular, which runs on no newer one"
    too_old="sys.version_info[:2] != (3, 11)"
    again="make test-nvtabular PYTHON=python3.11"
fi

fail() {
    echo "setup: $1" >&2
    exit 2
}

fits() {
    "$1" -c "import sys; sys.exit($too_old)" 2>/dev/null
}

require_python() {
    # A newer python3 often has a 3.11 beside it.
    if [ "$with" = nvtabular ] && ! fits "$python" && fits python3.11; then
        python=python3.11
    fi
    command -v "$python" >/dev/null || fail "there is no '$python'. $wanted; name one: $again"
    fits "$python" || fail "$wanted, '$python' is $("$python" --version 2>&1 || true); name another: $again"
}

# A setup that was cut short may have left half a package behind which pip takes for a whole one, so start over.
usable() {
    [ ! -e "$unfinished" ] && fits "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

create() {
    require_python
    echo "setup: creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" || fail "'$python -m venv' failed (Debian and Ubuntu: install python3-venv)"
}

install() {
    # Bars for a person at a terminal, silence in a log.
    local quiet=(--quiet)
    [ -t 1 ] && quiet=()
    "$venv/bin/python" -m pip install "${quiet[@]}" "$@" || fail "pip failed; run the same command again to retry"
}

# The lock is complete. Were anything resolved, pip would refuse a package whose extra names a repository address. uv
# does the same as pip in a fraction of the time.
install_nvtabular() {
    echo "setup: installing requirements/nvtabular.txt (0.3 GB to download)"
    if command -v uv >/dev/null; then
        uv pip install --quiet --python "$venv/bin/python" --no-deps --requirement requirements/nvtabular.txt && return
        echo "setup: uv failed, trying pip"
    fi
    install --no-deps --requirement requirements/nvtabular.txt
}

install_cpu() {
    echo "setup: installing requirements/cpu.txt (0.4 GB to download; 3 GB where pip finds only the CUDA build of torch: docs/install.md)"
    install --requirement requirements/cpu.txt
    if [ "$with" = test ]; then
        echo "setup: installing requirements/test.txt"
        install --requirement requirements/test.txt --constraint requirements/cpu.txt
    fi
}

usable || create
touch "$unfinished"
if [ "$with" = nvtabular ]; then install_nvtabular; else install_cpu; fi
# The lock holds every dependency and the build tool, so neither is looked for again.
install --no-deps --no-build-isolation --editable .
rm "$unfinished"
