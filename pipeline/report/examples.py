"""Recommendations for a few users: the exported bundle's models, as they stood before the test split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import log
from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX
from pipeline.report.files import Run
from pipeline.report.view import Example, Fact, ItemLine

if TYPE_CHECKING:
    import polars as pl

    from serve.bundle import Bundle, Roles
    from serve.people import People
    from serve.recommend import Recommender
    from serve.recommendation import Recommendation

SHOWN, ITEMS, LIKED, FEWEST = 4, 10, 10, 3
SAID = 3
"""Columns of an item in small print."""
LONGEST = 60
"""Characters of a value in small print."""


def examples(run: Run) -> tuple[Example, ...]:
    """`SHOWN` users, evenly spaced by how many items they liked in training: nobody is picked for good looks.

    The bundle leaves out all that a user ever had. Here only what came before the test split is left out, so that
    the page can show which recommendations came true. None where nothing can be recommended without a context
    that nobody gave (the invoice of the line that is scored).

    Raises:
        UserError: The bundle can't be read.
    """
    from serve.bundle import Bundle
    from serve.recommend import MissingValue, Recommender

    if not (run.bundle / "manifest.json").exists() or not run.dataset.has_entities:
        return ()
    bundle = Bundle.open(run.bundle)
    if not bundle.has_items:
        return ()
    recommender = Recommender(bundle, people=_people(run, bundle))
    likes = _likes(run)
    try:
        return tuple(_example(run, user, likes, recommender) for user in _spread(likes))
    except MissingValue as error:
        log.get("report").info("no examples: %s", error)
        return ()


def note(run: Run) -> str:
    """What the examples are, in a sentence or two."""
    told = "Users evenly spaced by how much they liked in training, not picked for good looks."
    if run.dataset.files("test"):
        told += " What they had met before the test split is never recommended."
    return told


def _people(run: Run, bundle: Bundle) -> People:
    """The users of the bundle, who have only what came before the test split."""
    import polars as pl

    from serve.bundle import ITEM_ROW, USER_ROW, USERS
    from serve.columns import features_of
    from serve.people import People

    before = pl.scan_parquet(run.dataset.interactions_file).filter(pl.col(SPLIT) != SPLITS.index("test"))
    rows = (pl.col(USER_INDEX).cast(pl.UInt32).alias(USER_ROW), pl.col(ITEM_INDEX).cast(pl.UInt32).alias(ITEM_ROW))
    seen = before.select(rows).unique().sort(USER_ROW, ITEM_ROW).collect()
    inputs = features_of(tuple(bundle.signatures.values()), "user")
    return People(bundle.table(USERS), seen, str(bundle.roles.user), inputs)


def _likes(run: Run) -> pl.DataFrame:
    """What was liked, latest first: USER_INDEX, ITEM_INDEX, SPLIT."""
    import polars as pl

    found = pl.scan_parquet(run.dataset.interactions_file).filter(pl.col(TARGET) > 0.5).with_row_index("at")
    latest = found.sort([USER_INDEX, TIME, "at"], descending=[False, True, True])
    return latest.select(USER_INDEX, ITEM_INDEX, SPLIT).collect()


def _spread(likes: pl.DataFrame) -> list[int]:
    import polars as pl

    train = likes.filter(pl.col(SPLIT) == SPLITS.index("train"))
    sizes = train.group_by(USER_INDEX).len().filter(pl.col("len") >= FEWEST).sort("len", USER_INDEX)
    if sizes.is_empty():
        return []
    places = {round((2 * number + 1) / (2 * SHOWN) * (sizes.height - 1)) for number in range(SHOWN)}
    return [int(sizes[USER_INDEX][place]) for place in sorted(places)]


def _example(run: Run, user: int, likes: pl.DataFrame, recommender: Recommender) -> Example:
    import polars as pl

    roles = recommender.bundle.roles
    person = _entity(run.dataset.entity_file("users"), user)
    identity = person.pop(str(roles.user))
    mine = likes.filter(pl.col(USER_INDEX) == user)
    liked, later = (
        mine.filter(pl.col(SPLIT) == SPLITS.index(split))[ITEM_INDEX].unique(maintain_order=True)
        for split in ("train", "test")
    )
    catalogue = pl.read_parquet(run.dataset.entity_file("items"))
    came = set(catalogue[str(roles.item)].gather(later).to_list())
    items = catalogue[liked.head(LIKED).to_list()].to_dicts()
    answer = recommender.recommend(user=identity, k=ITEMS)
    return Example(
        user=str(identity),
        facts=tuple(Fact(name, _short(value)) for name, value in person.items() if value is not None),
        liked=tuple(ItemLine(_title(item, roles), _about(item, roles)) for item in items),
        liked_of=len(liked),
        recommended=tuple(
            ItemLine(item.title, _about(item.columns, roles), f"{item.score:.3f}", item.id in came)
            for item in answer.items
        ),
        later_of=len(came),
        stages=_path(answer),
    )


def _entity(file: Path, row: int) -> dict[str, Any]:
    import polars as pl

    return pl.scan_parquet(file).slice(row, 1).collect().row(0, named=True)


def _title(item: Mapping[str, Any], roles: Roles) -> str:
    named = item.get(roles.title) if roles.title else None
    return str(item[str(roles.item)] if named is None else named)


def _about(item: Mapping[str, Any], roles: Roles) -> str:
    """The other columns of an item, in a line; what a later column says in full is not said before."""
    hidden = {roles.title, roles.item}
    values = [_short(value) for name, value in item.items() if name not in hidden and value is not None][:SAID]
    return " · ".join(
        value for at, value in enumerate(values) if not any(value in later.split() for later in values[at + 1 :])
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _path(answer: Recommendation) -> tuple[str, ...]:
    """What each stage kept and dropped; times are left out, so that the same run gives the same page."""
    steps = []
    for stage in answer.stages:
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in stage.dropped.items() if count)
        steps.append(f"{stage.name}: {stage.kept:,} of {stage.given:,}" + (f" ({dropped})" if dropped else ""))
    return tuple(steps)
