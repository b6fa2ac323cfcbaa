"""Recommendations for a few users, made by the exported bundle itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX
from pipeline.report.files import Run
from pipeline.report.view import Example, Fact, ItemLine

if TYPE_CHECKING:
    import polars as pl

    from serve.recommend import Recommender
    from serve.recommendation import Recommendation

USERS, ITEMS, LIKED = 4, 10, 8
LONGEST = 60
"""Characters of a value in small print."""


def examples(run: Run) -> tuple[Example, ...]:
    """`USERS` users, evenly spaced by how many items they liked in training: nobody is picked for good looks."""
    from serve.bundle import Bundle
    from serve.recommend import Recommender

    if not (run.bundle / "manifest.json").exists() or not run.dataset.has_entities:
        return ()
    bundle = Bundle.open(run.bundle)
    if not bundle.has_items:
        return ()
    recommender = Recommender(bundle)
    likes = _likes(run)
    chosen = _spread(likes)
    return tuple(_example(run, user, likes, recommender) for user in chosen)


def _likes(run: Run) -> pl.DataFrame:
    """What was liked, latest first: USER_INDEX, ITEM_INDEX, SPLIT."""
    import polars as pl

    found = pl.scan_parquet(run.dataset.interactions_file).filter(pl.col(TARGET) > 0.5).with_row_index("at")
    latest = found.sort([USER_INDEX, TIME, "at"], descending=[False, True, True])
    return latest.select(USER_INDEX, ITEM_INDEX, SPLIT).collect()


def _spread(likes: pl.DataFrame) -> list[int]:
    import polars as pl

    train = likes.filter(pl.col(SPLIT) == SPLITS.index("train"))
    sizes = train.group_by(USER_INDEX).len().filter(pl.col("len") >= 3).sort("len", USER_INDEX)
    if sizes.is_empty():
        return []
    places = {round((2 * number + 1) / (2 * USERS) * (sizes.height - 1)) for number in range(USERS)}
    return [int(sizes[USER_INDEX][place]) for place in sorted(places)]


def _example(run: Run, user: int, likes: pl.DataFrame, recommender: Recommender) -> Example:
    import polars as pl

    roles = recommender.bundle.roles
    person = _entity(run.dataset.entity_file("users"), user)
    identity = person.pop(str(roles.user))
    mine = likes.filter((pl.col(USER_INDEX) == user) & (pl.col(SPLIT) == SPLITS.index("train")))
    rows = mine[ITEM_INDEX].unique(maintain_order=True)
    items = pl.read_parquet(run.dataset.entity_file("items"))[rows.head(LIKED).to_list()].to_dicts()
    answer = recommender.recommend(user=identity, k=ITEMS)
    return Example(
        user=str(identity),
        facts=tuple(Fact(name, _short(value)) for name, value in person.items() if value is not None),
        liked=tuple(ItemLine(_title(item, roles.title, roles.item), _about(item, roles)) for item in items),
        liked_of=len(rows),
        recommended=tuple(
            ItemLine(item.title, _about(item.columns, roles), f"{item.score:.3f}") for item in answer.items
        ),
        stages=_path(answer),
    )


def _entity(file: Path, row: int) -> dict[str, Any]:
    import polars as pl

    return pl.scan_parquet(file).slice(row, 1).collect().row(0, named=True)


def _title(item: Mapping[str, Any], title: str | None, identity: str | None) -> str:
    return str(item[title] if title and item.get(title) is not None else item[str(identity)])


def _about(item: Mapping[str, Any], roles: Any) -> str:
    """The other columns of an item, in a line."""
    hidden = {roles.title, roles.item}
    values = [_short(value) for name, value in item.items() if name not in hidden and value is not None]
    return " · ".join(dict.fromkeys(values[:3]))


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
