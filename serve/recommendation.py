"""What a recommendation says: the items, and what each stage did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Item:
    """One recommended item.

    Attributes:
        id: Its raw id.
        title: What to show; the id as text where the data have no title.
        columns: Its other raw columns.
        score: The ranker's probability, or the retriever's inner product where there is no ranker.
    """

    id: int | str
    title: str
    columns: Mapping[str, Any]
    score: float


@dataclass(frozen=True)
class Stage:
    """What one stage did.

    Attributes:
        name: candidates, filtering or ranking.
        given: Items that went in.
        kept: Items that came out.
        dropped: Reason -> number of items.
        seconds: Time taken.
    """

    name: str
    given: int
    kept: int
    dropped: Mapping[str, int]
    seconds: float


@dataclass(frozen=True)
class Recommendation:
    """The answer for one user.

    Attributes:
        user: The raw id that was asked for, None for nobody in particular.
        known: Whether the bundle knows the user.
        items: Best first.
        stages: In order.
    """

    user: int | str | None
    known: bool
    items: tuple[Item, ...]
    stages: tuple[Stage, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; times in milliseconds."""
        return {
            "user": self.user,
            "known": self.known,
            "items": [_item(item) for item in self.items],
            "stages": [_stage(stage) for stage in self.stages],
        }


def _item(item: Item) -> dict[str, Any]:
    columns = {name: _plain(value) for name, value in item.columns.items()}
    return {"id": item.id, "title": item.title, "score": item.score, "columns": columns}


def _stage(stage: Stage) -> dict[str, Any]:
    told = {"name": stage.name, "in": stage.given, "out": stage.kept, "dropped": dict(stage.dropped)}
    return {**told, "milliseconds": round(stage.seconds * 1000, 3)}


def _plain(value: Any) -> Any:
    """A raw value as JSON: dates as text, a float that is no number as null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value)
