"""`gyrfalcon tune`: search for good settings, or show what a search has found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from core import log
from core.errors import UserError

if TYPE_CHECKING:
    from pipeline.tune.space import Config, Goal


def tune(target: Path, *, changes: Sequence[str], device: str, runs_dir: Path, dry: bool, verbose: bool) -> None:
    """Search by a config, or print the trials of a search's directory.

    Raises:
        UserError: The config, its space or the data are at fault, or there is no search.
    """
    from pipeline.tune.results import print_table

    if target.is_dir():
        if changes or dry:
            told = "--set and --dry-run are for configs; a directory is only shown"
            raise UserError(told, where=str(target), cure="leave them out, or give the config")
        print_table(target)
        return
    from core.device import pick
    from pipeline.commands.run import Request, context_of
    from pipeline.track import mlflow_client
    from pipeline.tune import sampling
    from pipeline.tune.search import Search
    from pipeline.tune.space import Config

    log.configure(verbose=verbose)
    pick(device)
    config = Config.load(target, tuple(changes))
    wanted = config.checked()
    if dry:
        _print_plan(config, wanted, runs_dir)
        return
    sampling.require()
    if config.spec.track is not None:
        mlflow_client.require()
    spec = config.spec.model_copy(update={"tune": None, "track": None})
    request = Request(target, changes, device=device, runs_dir=runs_dir)
    search = Search(config, context_of(request, spec, directory(runs_dir, spec.name)), wanted)
    search.run()
    print_table(search.root)


def _print_plan(config: Config, wanted: Goal, runs_dir: Path) -> None:
    from pipeline.tune import trials
    from pipeline.tune.space import size

    root, count = directory(runs_dir, config.spec.name), size(config.tune.space)
    done = len(trials.read(root))
    typer.echo(f"{wanted.side}: {wanted.monitor} on the validation split")
    typer.echo(f"{config.tune.trials} trials, {done} of them done, in {root}")
    typer.echo(f"{'endless' if count is None else count} combinations of:")
    for path, one in config.tune.space.items():
        told = one.model_dump(exclude_none=True, exclude_defaults=True)
        typer.echo(f"  {path}: {told.get('choices', told)}")


def directory(runs_dir: Path, name: str) -> Path:
    """Where a search lies: beside the run of the same config."""
    return runs_dir / f"{name}-tune"
