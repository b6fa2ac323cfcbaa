"""The report of a run: one HTML page that is whole in itself."""

from __future__ import annotations

from pathlib import Path

from core.files import write_text


def write_report(run_dir: Path, out: Path) -> None:
    """Write the report of a run; the same run gives the same bytes.

    Args:
        run_dir: The run directory.
        out: The page to write.

    Raises:
        UserError: There is no finished run, or one of its files is broken.
    """
    from pipeline.report.build import build
    from pipeline.report.files import Run
    from pipeline.report.render import render

    write_text(out, render(build(Run.read(run_dir))))
