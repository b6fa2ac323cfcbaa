"""`make gpu-check`: run the tests marked `gpu`, then short figures, and write docs/gpu/<device>.md and .json.

Correctness first: where a test fails, the figures still run, the page says what failed, and the exit status is 1.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "polars", "pyarrow", "cudf-cu13", "cudf-polars-cu13", "cupy-cuda13x", "onnxruntime")


def main() -> int:
    """Run everything; 0 when no test failed, 2 without a CUDA device."""
    import torch

    if not torch.cuda.is_available():
        print("gpu-check: this PyTorch sees no CUDA device; see docs/install.md for a GPU machine", file=sys.stderr)
        return 2
    from tests.gpu.figures import FIGURES

    tests = run_tests()
    figures = [measure(name, figure) for name, figure in FIGURES.items()]
    result = {"machine": machine(), "tests": tests, "figures": figures}
    write(result)
    return 1 if tests["failed"] or not tests["passed"] else 0


def machine() -> dict[str, Any]:
    """The device and the versions that the results hold for."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "device": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.now(UTC).date().isoformat(),
    }


def run_tests() -> dict[str, Any]:
    """Run the tests marked `gpu` and read what pytest says of each."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-q", "-rs", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []
    outcome: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in cases:
        name = f"{case.get('classname', '').removeprefix('tests.gpu.')}::{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome["failed"].append(name)
        elif skip is not None:
            outcome["skipped"].append(f"{name}: {skip.get('message', '')}")
        else:
            outcome["passed"].append(name)
    return outcome


def measure(name: str, figure: Any) -> dict[str, Any]:
    """Run one figure; a figure that can't be taken says why."""
    print(f"gpu-check: {name} ...", flush=True)
    try:
        rows = figure()
    except Exception as error:
        traceback.print_exc()
        return {"name": name, "rows": [], "failed": f"{type(error).__name__}: {error}"[:300]}
    for row in rows:
        print(f"    {row}", flush=True)
    return {"name": name, "rows": rows}


def write(result: dict[str, Any]) -> None:
    """Write the page and its data under docs/gpu."""
    slug = "-".join(result["machine"]["device"].lower().split())
    folder = ROOT / "docs" / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{slug}.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / f"{slug}.md").write_text(page(result))
    print(f"gpu-check: wrote docs/gpu/{slug}.md and .json")


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    box, tests = result["machine"], result["tests"]
    versions = ", ".join(f"{name} {version}" for name, version in box["versions"].items())
    lines = [
        f"# {box['device']}",
        "",
        f"`make gpu-check` on {box['date']}: {box['memory_gib']} GiB, CUDA {box['cuda']}, Python {box['python']}.",
        f"{versions}.",
        "",
        f"Tests: {len(tests['passed'])} passed, {len(tests['failed'])} failed, {len(tests['skipped'])} skipped.",
        "",
    ]
    lines += [f"- failed: {name}" for name in tests["failed"]]
    lines += [f"- skipped: {name}" for name in tests["skipped"]]
    for figure in result["figures"]:
        lines += ["", f"## {figure['name']}", ""]
        lines += table(figure["rows"]) if figure["rows"] else [f"Not taken: {figure.get('failed', 'nothing to show')}"]
    return "\n".join(lines).rstrip() + "\n"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows with equal keys as a Markdown table."""
    names = list(rows[0])
    return [
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(shown(row[name]) for name in names) + " |" for row in rows),
    ]


def shown(value: Any) -> str:
    """A number with as many digits as it deserves."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
