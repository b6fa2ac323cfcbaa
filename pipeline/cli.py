"""The command line. Nothing heavy is imported until a command needs it: `gyrfalcon --help` is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import guard
from pipeline.commands import options as o
from pipeline.commands.guard import guarded

app = typer.Typer(
    help="Interaction logs to ranked recommendations in one run.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Named data sets: list, fetch, generate.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data, name="data")


def main() -> None:
    """Entry point of the console script."""
    # Threads of OpenMP that wait by spinning make small training steps ten times slower on a shared machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="gyrfalcon")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Interaction logs to ranked recommendations in one run."""
    guard.show_tracebacks(debug)
    if version:
        from core.version import program_version

        typer.echo(f"gyrfalcon {program_version()}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
@guarded
def run(  # noqa: PLR0913 - each option is a parameter
    config: o.Config,
    *,
    changes: o.Set = [],  # noqa: B006 - typer reads the default and never changes it
    engine: o.Engine = None,
    start: o.From = None,
    until: o.Until = None,
    device: o.Device = "auto",
    dry_run: o.DryRun = False,
    runs_dir: o.RunsDir = o.RUNS,
    verbose: o.Verbose = False,
) -> None:
    """Take data through every stage; what is unchanged is skipped."""
    from pipeline.commands.run import Request, run

    run(Request(config, o.changes(changes, engine), start, until, device, runs_dir, dry_run, verbose))


def _one_stage(name: str, what: str) -> None:
    """Add the command of one stage."""

    def stage(
        config: o.Config,
        *,
        changes: o.Set = [],  # noqa: B006
        engine: o.Engine = None,
        force: Annotated[bool, typer.Option("--force", help="Run it even when it is unchanged.")] = False,
        device: o.Device = "auto",
        dry_run: o.DryRun = False,
        runs_dir: o.RunsDir = o.RUNS,
        verbose: o.Verbose = False,
    ) -> None:
        from pipeline.commands.run import Request, run

        first = name if force else None
        run(Request(config, o.changes(changes, engine), first, name, device, runs_dir, dry_run, verbose))

    stage.__doc__ = what
    app.command(name)(guarded(stage))


_one_stage("etl", "Raw files to a data set of features.")
_one_stage("train", "Train the candidate generator and the ranker (after the stages before).")
_one_stage("export", "Write the bundle (after the stages before).")


@app.command()
@guarded
def evaluate(  # noqa: PLR0913 - each option is a parameter
    target: Annotated[
        Path, typer.Argument(metavar="CONFIG|RUN", help="A config, or a run directory.", show_default=False)
    ],
    *,
    split: Annotated[
        str | None, typer.Option(metavar="valid|test", help="Judge this split alone; print, write nothing.")
    ] = None,
    changes: o.Set = [],  # noqa: B006
    engine: o.Engine = None,
    force: Annotated[bool, typer.Option("--force", help="Run it even when it is unchanged.")] = False,
    device: o.Device = "auto",
    dry_run: o.DryRun = False,
    runs_dir: o.RunsDir = o.RUNS,
    verbose: o.Verbose = False,
) -> None:
    """Judge the models of a config (after the stages before), or those of a run as they lie."""
    from pipeline.commands.evaluate import evaluate
    from pipeline.commands.run import Request

    first = "evaluate" if force else None
    given = Request(target, o.changes(changes, engine), first, "evaluate", device, runs_dir, dry_run, verbose)
    evaluate(given, split=split)


@app.command()
@guarded
def tune(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|RUN", help="A config with a section `tune`, or a search to show.", show_default=False
        ),
    ],
    *,
    changes: o.Set = [],  # noqa: B006
    engine: o.Engine = None,
    device: o.Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the space and tell it; train nothing.")] = False,
    runs_dir: o.RunsDir = o.RUNS,
    verbose: o.Verbose = False,
) -> None:
    """Search for good settings on the validation split, or show the trials of a search."""
    from pipeline.commands.tune import tune

    given = o.changes(changes, engine)
    tune(target, changes=given, device=device, runs_dir=runs_dir, dry=dry_run, verbose=verbose)


@app.command()
@guarded
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories.", show_default=False)],
    split: Annotated[str, typer.Option(metavar="valid|test", help="The split whose figures are compared.")] = "test",
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
) -> None:
    """Figures of several runs in one table, with the paired differences to the first."""
    from pipeline.commands.compare import compare

    compare(runs, split=split, confidence=confidence)


@app.command()
@guarded
def verify(bundle: o.Bundle) -> None:
    """Replay the golden rows of a bundle through ONNX Runtime and compare the scores."""
    from pipeline.commands.bundle import verify

    verify(bundle)


@app.command()
@guarded
def recommend(
    bundle: o.Bundle,
    user: Annotated[str | None, typer.Option(help="Id of the user; an unknown one is a cold user.")] = None,
    features: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="A raw feature of the user; repeatable.")
    ] = [],  # noqa: B006
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many items.")] = 10,
) -> None:
    """Recommend items to a user, and show which stage dropped what."""
    from pipeline.commands.bundle import recommend

    recommend(bundle, user=user, features=features, k=k)


@app.command()
@guarded
def serve(
    bundle: o.Bundle,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve a bundle: the KServe v2 protocol, /recommend and /metrics."""
    from pipeline.commands.bundle import serve

    serve(bundle, host=host, port=port)


@app.command()
@guarded
def report(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", show_default=False)],
) -> None:
    """Write report.html of a run again."""
    from pipeline.commands.report import report

    report(run_directory)


@app.command()
@guarded
def doctor() -> None:
    """Tell versions, engines and devices, what is missing and how to get it."""
    from pipeline.commands.doctor import doctor

    doctor()


@app.command()
@guarded
def schema() -> None:
    """Print the JSON Schema of a config, for editors."""
    from pipeline.commands.schema import schema

    schema()


@data.command("list")
@guarded
def data_list() -> None:
    """List the named data sets."""
    from pipeline.commands.data import list_all

    list_all()


@data.command("fetch")
@guarded
def data_fetch(
    name: Annotated[str, typer.Argument(help="Name of the data set.", show_default=False)],
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of a generated data set.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of a generated data set.")] = None,
) -> None:
    """Bring a named data set into the cache and say where it lies."""
    from pipeline.commands.data import fetch

    fetch(name, rows=rows, seed=seed)


@data.command("generate")
@guarded
def data_generate(
    out: Annotated[Path, typer.Argument(help="Directory to write; it must not exist.", show_default=False)],
    rows: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="What the data come from.")] = 1,
    scale: Annotated[float, typer.Option(help="Factor on the cardinalities.")] = 1.0,
) -> None:
    """Write clicks in the shape of Criteo's, any number of rows."""
    from pipeline.commands.data import generate

    generate(out, rows=rows, seed=seed, scale=scale)


if __name__ == "__main__":
    main()
