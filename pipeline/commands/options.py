"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="The YAML file of the run.", show_default=False)]
Bundle = Annotated[Path, typer.Argument(help="The directory of the bundle.", show_default=False)]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="A.B=VALUE", help="Change a setting; repeatable.", show_default=False),
]
Engine = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where the ETL runs; short for --set etl.engine=NAME.", show_default=False),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="STAGE", help="Run from here on, unchanged or not.", show_default=False)
]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.", show_default=False)]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where tensors live.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would run and why; run nothing.")]
RunsDir = Annotated[Path, typer.Option(help="Where run directories lie.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")]

RUNS = Path("runs")


def changes(given: list[str], engine: str | None) -> list[str]:
    """What `--set` and `--engine` ask for together; the latter has the last word."""
    return [*given, *([] if engine is None else [f"etl.engine={engine}"])]
