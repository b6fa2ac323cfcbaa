#!/usr/bin/env bash
# Make the environment: `setup.sh VENV` for running, `setup.sh VENV test` for the tests too. Called by the Makefile,
# which keeps a stamp, so this runs only when a lock or pyproject.toml is newer than the last finished setup.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=$1
with=${2:-run}
python=${PYTHON:-python3}
unfinished=$venv/.unfinished
unset PYTHONPATH PYTHONHOME  # another project's packages must not count as installed here
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

fail() {
    echo "setup: $1" >&2
    exit 2
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

require_python() {
    command -v "$python" >/dev/null || fail "there is no '$python'; name a Python 3.11 or newer: make PYTHON=python3.12 …"
    new_enough "$python" || fail "Python 3.11 or newer is needed, '$python' is $("$python" --version 2>&1 || true); name another: make PYTHON=python3.12 …"
}

# A setup that was cut short may have left half a package behind which pip takes for a whole one, so start over.
usable() {
    [ ! -e "$unfinished" ] && new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1
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

usable || create
touch "$unfinished"
echo "setup: installing requirements/cpu.txt (0.4 GB to download; 3 GB where pip finds only the CUDA build of torch: docs/install.md)"
install --requirement requirements/cpu.txt
if [ "$with" = test ]; then
    echo "setup: installing requirements/test.txt"
    install --requirement requirements/test.txt --constraint requirements/cpu.txt
fi
# The lock holds every dependency and the build tool, so neither is looked for again.
install --no-deps --no-build-isolation --editable .
rm "$unfinished"
