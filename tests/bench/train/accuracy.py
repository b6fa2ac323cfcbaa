"""One shipped config from its data to its test figures; prints one line of JSON.

python -m tests.bench.train.accuracy CONFIG RUNS [KEY=VALUE ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.train.turns import ROOT


def main() -> None:
    """Run the config up to its evaluation; what a killed run has left is taken up."""
    config, runs, overrides = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    started = time.monotonic()
    command = [sys.executable, "-m", "pipeline.cli", "run", str(ROOT / "configs" / f"{config}.yaml")]
    command += ["--until", "evaluate", "--device", "cpu", "--runs-dir", str(runs)]
    for text in overrides:
        command += ["--set", text]
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
    metrics = json.loads((runs / config / "metrics.json").read_text())
    stages = json.loads((runs / config / "manifest.json").read_text())["stages"]
    groups = {
        name: {
            "model": found["model"],
            **{split: _numbers(found[split]) for split in ("valid", "test") if split in found},
        }
        for name, found in metrics.items()
        if isinstance(found, dict) and "test" in found
    }
    seconds = {name: round(float(stage["seconds"]), 1) for name, stage in stages.items() if "seconds" in stage}
    print(json.dumps({"bench": "accuracy", "groups": groups, "seconds": seconds, "wall": time.monotonic() - started}))


def _numbers(figures: dict) -> dict[str, float]:
    """The figures of all rows or users, without segments and intervals."""
    return {name: value for name, value in figures.items() if isinstance(value, (int, float))}


if __name__ == "__main__":
    main()
