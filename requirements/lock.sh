#!/usr/bin/env bash
# Write the locks anew: *.in + pyproject.toml -> *.txt. Needs `uv` (on PATH, or UV=path); reads metadata only.
#
#   requirements/lock.sh             keep the versions that still fit
#   requirements/lock.sh --upgrade   take the newest that fit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export UV_CUSTOM_COMPILE_COMMAND="requirements/lock.sh"

# --universal: one file holds for Python 3.11 and 3.12, with markers where a version differs.
lock() {
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --no-emit-index-url "$@"
}

lock "$@" \
    pyproject.toml --constraints requirements/cpu.in \
    --output-file requirements/cpu.txt

# Only what is not in cpu.txt already: the two are installed one after the other. What the extras ask for is in it, so
# that they are tested; it is also the lock to install one of them from.
in_cpu=$(sed -nE 's/^([A-Za-z0-9_.-]+)==.*/--no-emit-package \1/p' requirements/cpu.txt | sort -u)
# shellcheck disable=SC2086  # one word a flag is meant
lock "$@" \
    pyproject.toml --extra test --extra tune --extra mlflow requirements/test.in --constraints requirements/cpu.txt $in_cpu \
    --output-file requirements/test.txt

lock "$@" \
    pyproject.toml --extra gpu requirements/gpu.in --no-emit-package onnxruntime \
    --output-file requirements/gpu.txt

lock "$@" \
    requirements/nvtabular.in \
    --output-file requirements/nvtabular.txt
