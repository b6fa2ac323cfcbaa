"""What a person reads at the end of a run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.files import read_json
from pipeline.runner import Step
from pipeline.sides import base_of, sides_of, title_of

LISTS = ("recall", "ndcg", "sampled_hr", "sampled_ndcg")
HEADLINES = {"ranker": ("auc", "gauc", "logloss"), "retriever": LISTS, "catalogue": LISTS}
"""Figures that are shown; those of lists at every length."""
MIB = 2**20


def print_plan(steps: Sequence[Step]) -> None:
    """Print what would run and why."""
    from rich.console import Console

    words = {True: "run", False: "skip", None: "maybe"}
    for step in steps:
        Console(highlight=False).print(
            f"{step.stage:<10} {words[step.decision.runs]:<6} {step.decision.reason}", markup=False
        )


def print_summary(run_dir: Path, steps: Sequence[Step]) -> None:
    """Print stages with times, headline figures with baselines, verdicts, and what to type next."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "", "seconds", "rows", "rows/s", "peak MiB"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right")
    for step in steps:
        table.add_row(*_row(step))
    console.print(table)
    if any(step.stage == "evaluate" for step in steps):
        _print_metrics(console, read_json(run_dir / "metrics.json"))
    for line in _next(run_dir, {step.stage for step in steps}):
        console.print(line, markup=False, soft_wrap=True)


def _row(step: Step) -> tuple[str, ...]:
    record = step.record
    if record is None:
        return (step.stage, "", "", "", "", "")
    done = "done" if step.decision.runs else "unchanged"
    rows = f"{record.rows:,}" if record.rows else ""
    rate = f"{record.rows_per_second:,.0f}" if record.rows_per_second else ""
    return (step.stage, done, f"{record.seconds:.1f}", rows, rate, f"{record.peak_memory_bytes / MIB:,.0f}")


def _print_metrics(console: Any, metrics: Mapping[str, Any]) -> None:
    from rich.table import Table

    from pipeline.report.measures import place

    sides = sides_of(metrics)
    for side in sorted(sides, key=lambda side: list(HEADLINES).index(base_of(side))):
        part, names = sides[side], HEADLINES[base_of(side)]
        rows = list(_figures(part, side))
        if not rows[0][1]:  # a target that no row of the test split tells: the verdicts say so
            continue
        known = {name for _, figures in rows for name in figures if name.partition("@")[0] in names}
        shown = sorted(known, key=place)
        table = Table(box=None, pad_edge=False)
        table.add_column(f"{title_of(side, part)}, test split")
        for name in shown:
            table.add_column(name, justify="right")
        for model, figures in rows:
            table.add_row(model, *(_number(figures.get(name)) for name in shown))
        console.print()
        console.print(table)
    console.print()
    for verdict in metrics.get("verdicts", []):
        console.print(verdict, markup=False, soft_wrap=True)


def _figures(part: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield str(part.get("model", name)), part.get("test", {})
    if seeds := part.get("seeds"):
        yield f"  mean of {len(seeds['each'])} seeds", seeds["mean"].get("test", {})
        yield "  their deviation", seeds["deviation"].get("test", {})
    for baseline, figures in part.get("baselines", {}).items():
        yield f"{baseline} (baseline)", figures.get("test", figures)


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else ""


def _next(run_dir: Path, stages: set[str]) -> Iterator[str]:
    if "report" in stages:
        yield f"report   {run_dir / 'report.html'}"
    if "export" in stages:
        bundle = run_dir / "bundle"
        yield f"bundle   {bundle}"
        items = (bundle / "items.parquet").exists()
        yield f"next     {_program()} {'recommend' if items else 'verify'} {bundle}" + (
            f" --user {_user(run_dir)}" if items else ""
        )


def _program() -> str:
    """How this program was called, where a shell would not find it by its name (a `.venv` that is not active)."""
    called = Path(sys.argv[0])
    if called.name != "gyrfalcon" or shutil.which("gyrfalcon") == str(called):
        return "gyrfalcon"
    return os.path.relpath(called) if called.is_absolute() else str(called)


def _user(run_dir: Path) -> str:
    """A user that the bundle knows, to try it with."""
    import polars as pl

    from core.dataset import Dataset

    frame = pl.scan_parquet(Dataset(run_dir / "etl").entity_file("users")).head(1).collect()
    return str(frame.row(0)[0]) if len(frame) else "ID"
