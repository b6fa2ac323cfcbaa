"""`gyrfalcon report`: write the report of a run again."""

from __future__ import annotations

from pathlib import Path

import typer

from core.errors import UserError
from pipeline.lock import locked


def report(run_dir: Path) -> None:
    """Write `report.html` of a run directory.

    Raises:
        UserError: There is no finished run here, or another process works on it.
    """
    from pipeline.report import write_report

    for name in ("manifest.json", "metrics.json"):
        if not (run_dir / name).exists():
            raise UserError(
                f"there is no finished run here: {name} is missing",
                where=str(run_dir),
                cure="give the directory of a run, such as runs/quickstart, and finish it with gyrfalcon run",
            )
    with locked(run_dir):
        write_report(run_dir, run_dir / "report.html")
    typer.echo(run_dir / "report.html")
