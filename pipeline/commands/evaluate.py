"""`gyrfalcon evaluate`: the stage of a config, or a run as it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from core import log
from core.errors import UserError
from pipeline.commands.judged import USERS_FILE, print_table
from pipeline.commands.run import Request, run
from pipeline.sides import sides_of, title_of

if TYPE_CHECKING:
    from pipeline.spec import RunSpec

SPLITS = ("valid", "test")
SHOWN = ("auc", "gauc", "logloss", "recall", "ndcg", "sampled_hr", "sampled_ndcg")
"""Figures of segments that are printed; `metrics.json` holds all."""


def evaluate(request: Request, *, split: str | None) -> None:
    """Judge the models of a config (after the stages before) or of a run directory.

    Without `split` the run's `metrics.json` is written. With it, or where settings are changed for a run directory,
    figures are only printed, and no other split is looked at: a setting can be chosen on valid, test unseen.

    Raises:
        UserError: There is no such run or config, or it can't be judged.
    """
    if split is not None and split not in SPLITS:
        raise UserError(f"there is no split {split!r} to judge", where="--split", cure="choose valid or test")
    if request.config.is_dir():
        _evaluate_run(request, split)
    elif split is None:
        run(request)
    else:
        run(replace(request, start=None, end="train"))
        if not request.dry:
            spec = _load(request.config, request)
            _judge(request.runs_dir / spec.name, spec, request, [split], write=False)


def _evaluate_run(request: Request, split: str | None) -> None:
    where = str(request.config)
    if request.dry or request.start:
        told = "--dry-run and --force are for configs; a run directory is always judged anew"
        raise UserError(told, where=where, cure="leave them out")
    others = [one for one in request.overrides if not one.startswith("evaluate.")]
    if others:
        cure = "change settings under evaluate only, or give the config"
        told = f"the models of a run are as they were trained: {others[0]} can't change them"
        raise UserError(told, where=where, cure=cure)
    config = request.config / "config.yaml"
    if not config.exists():
        cure = "give the directory of a run, such as runs/quickstart, or a config"
        raise UserError("there is no run here: config.yaml is missing", where=where, cure=cure)
    log.configure(verbose=request.verbose)
    splits = SPLITS if split is None else (split,)
    _judge(
        request.config,
        _load(config, request),
        request,
        list(splits),
        write=split is None and not request.overrides,
    )


def _load(config: Path, request: Request) -> RunSpec:
    from core.config import load
    from pipeline.spec import RunSpec

    return load(RunSpec, config, request.overrides)


def _judge(run_dir: Path, spec: RunSpec, request: Request, splits: list[str], *, write: bool) -> None:
    from core.dataset import Dataset
    from core.device import pick
    from core.files import write_json
    from pipeline.lock import locked
    from train.evaluate import evaluate as judge

    with locked(run_dir):
        dataset = Dataset(run_dir / "etl")
        dataset.manifest()
        fresh = run_dir / f".{USERS_FILE}" if write else None
        device = pick(request.device)
        metrics = judge(dataset, run_dir / "train", spec.evaluate, device=device, splits=splits, users_file=fresh)
        if fresh is not None:
            fresh.replace(run_dir / USERS_FILE)
            write_json(run_dir / "metrics.json", metrics)
    for split in splits:
        for side, part in sides_of(metrics).items():
            if split in part:
                _print(part, title_of(side, part), split)
    for line in metrics["verdicts"]:
        typer.echo(line)


def _print(part: Mapping[str, Any], title: str, split: str) -> None:
    """One table: a line a figure, a column a model."""
    from rich.markup import escape
    from rich.table import Table

    from pipeline.report.measures import measure, place

    models = {str(part["model"]): part[split]}
    models |= {name: one[split] for name, one in part.get("baselines", {}).items() if split in one}
    shown = Table(title=f"{title} on {split}", title_justify="left")
    shown.add_column("figure")
    for name in models:
        shown.add_column(escape(name), justify="right")
    own = models[str(part["model"])]
    for figure in sorted((name for name in own if measure(name).note), key=place):
        shown.add_row(measure(figure).label, *[_cell(one, figure) for one in models.values()])
    print_table(shown)
    _print_segments(own, f"{title} {part['model']} on {split} by segment")


def _print_segments(figures: dict[str, Any], title: str) -> None:
    """One table: a line a segment, with its size."""
    from rich.markup import escape
    from rich.table import Table

    from pipeline.report.measures import measure, place

    segments = figures.get("segments", {})
    chosen = sorted((name for name in figures.get("intervals", {}) if name.partition("@")[0] in SHOWN), key=place)
    if not segments or not chosen:
        return
    shown = Table(title=title, title_justify="left")
    for head in ("segment", "", "of", *(measure(name).label for name in chosen)):
        shown.add_column(head, justify="left" if head in ("segment", "") else "right")
    for by, parts in segments.items():
        for name, each in parts.items():
            size = f"{each['rows']:,} rows" if "rows" in each else f"{each['users']:,} users"
            shown.add_row(escape(by), escape(name), size, *[_cell(each, figure) for figure in chosen])
    print_table(shown)


def _cell(figures: dict[str, Any], name: str) -> str:
    value, ends = figures.get(name), figures.get("intervals", {}).get(name)
    if value is None:
        return "n/a"
    return f"{value:.4f}" + (f" ({ends[0]:.4f} to {ends[1]:.4f})" if ends and None not in ends else "")
