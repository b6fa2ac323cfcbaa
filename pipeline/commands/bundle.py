"""`gyrfalcon verify`, `recommend` and `serve`: what is done with a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from core import log
from core.errors import UserError

if TYPE_CHECKING:
    from serve.recommendation import Recommendation
    from serve.signature import Input

SHOWN_COLUMNS = 3
"""Raw columns of an item beside its title."""


def verify(path: Path) -> None:
    """Replay the golden rows and print the largest difference.

    Raises:
        UserError: The directory is no bundle, or the scores differ.
    """
    from serve.verify import verify as check

    found = check(path)
    for name, difference in found.differences.items():
        typer.echo(f"{name}: largest difference {difference:.2e}")
    typer.echo(f"{found.rows:,} golden rows, {found.files} files with the right hash")
    if not found.ok:
        raise UserError(
            f"the largest difference is {found.largest_difference:.2e}, above {found.tolerance:.0e}",
            where=str(path),
            cure="export the bundle again, or use the versions that its manifest names",
        )
    typer.echo(f"verified: within {found.tolerance:.0e}")


def recommend(path: Path, *, user: str | None, features: Sequence[str], k: int) -> None:
    """Print the items for a user and what each stage did.

    Raises:
        UserError: The directory is no bundle, or a feature is not known to it.
    """
    from serve.bundle import Bundle
    from serve.columns import features_of
    from serve.recommend import Recommender

    bundle = Bundle.open(path)
    inputs = features_of(tuple(bundle.signatures.values()), "user", "context")
    _print(Recommender(bundle).recommend(user, _parsed(features, inputs), k))


def serve(path: Path, *, host: str, port: int) -> None:
    """Serve until a signal comes."""
    from serve.app import serve as run

    log.configure()
    run(path, host, port)


def _parsed(features: Sequence[str], inputs: Mapping[str, Input]) -> dict[str, Any]:
    """What was typed as `name=value`, as the bundle wants it; an empty value is null, commas part a list."""
    from serve.columns import typed

    found: dict[str, Any] = {}
    for feature in features:
        name, equals, text = feature.partition("=")
        if not name or not equals:
            raise UserError(f"{feature!r} is no feature", where="--features", cure="write it as --features name=value")
        found[name] = typed(name, text, inputs)
    return found


def _print(found: Recommendation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    who = "someone unknown" if found.user is None else f"user {found.user}"
    cold = "" if found.known or found.user is None else " (cold: this id was not in the training data)"
    items = Table(title=escape(f"For {who}{cold}"), title_justify="left")
    extra = _further_columns(found)
    for name, justify in (("#", "right"), ("item", "right"), ("title", "left"), ("score", "right")):
        items.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in extra:
        items.add_column(escape(name))
    for rank, item in enumerate(found.items, start=1):
        shown = [escape(_text(item.columns.get(name))) for name in extra]
        items.add_row(str(rank), escape(str(item.id)), escape(item.title), f"{item.score:.4f}", *shown)
    console.print(items)
    stages = Table(title="What each stage did", title_justify="left")
    for name in ("stage", "in", "out", "dropped", "ms"):
        stages.add_column(name, justify="left" if name in ("stage", "dropped") else "right")
    for stage in found.stages:
        row = (f"{stage.given:,}", f"{stage.kept:,}", _dropped(stage.dropped), f"{1000 * stage.seconds:.1f}")
        stages.add_row(stage.name, *row)
    console.print(stages)


def _further_columns(found: Recommendation) -> list[str]:
    """Some raw columns that tell more than the id and the title."""
    if not found.items:
        return []
    told = {str(found.items[0].id), found.items[0].title}
    return [name for name, value in found.items[0].columns.items() if str(value) not in told][:SHOWN_COLUMNS]


def _dropped(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in reasons.items() if number) or "none"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
