"""`gyrfalcon data`: named data sets."""

from __future__ import annotations

from pathlib import Path

import typer

from core import log
from core.errors import UserError


def list_all() -> None:
    """Print the named data sets."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.datasets import list_datasets

    table = Table(show_lines=True)
    for name in ("name", "rows", "what", "licence"):
        table.add_column(name, no_wrap=name == "name", justify="right" if name == "rows" else "left")
    for one in list_datasets():
        table.add_row(one["name"], one["rows"], f"{one['summary']} ({one['origin']})", one["licence"])
    Console().print(table)


def fetch(name: str, *, rows: int | None, seed: int | None) -> None:
    """Bring a data set into the cache; print where its tables lie and what may be done with it."""
    from pipeline.datasets import DATASETS, NamedData
    from pipeline.datasets import fetch as bring

    log.configure()
    folder = bring(NamedData(dataset=name, rows=rows, seed=seed))
    described = DATASETS[name]
    typer.echo(f"licence: {described.licence}")
    for table, path in described.tables.items():
        typer.echo(f"{table}: {folder / path}")


def generate(out: Path, *, rows: int, seed: int, scale: float) -> None:
    """Write Criteo-like rows.

    Raises:
        UserError: The directory exists and holds something else than generated rows.
    """
    from pipeline.generate import criteo_like

    log.configure()
    if out.exists():
        raise UserError("this exists already", where=str(out), cure="choose another directory or remove it")
    figures = criteo_like(out, rows, seed, scale=scale)
    typer.echo(
        f"{figures.rows:,} rows in {out}: clicks {figures.positives:.1%}, best possible AUC {figures.bayes_auc:.4f}"
    )
