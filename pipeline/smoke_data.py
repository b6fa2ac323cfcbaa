"""A small, seeded stand-in for MovieLens with planted answers, for tests and first steps.

Every user has one of `GENRES` at heart, told apart by nothing but what they watch. Most of what a user watches
is of that genre, and what is of that genre is liked; so likes come from the *pair* of user and film, which
popularity and a linear model of the columns cannot see. Films also have a quality and a fame, ages and years are
sometimes missing, and titles hold characters that a careless report would let through as markup.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

USERS, ITEMS, PER_USER = 240, 150, 32
GENRES = ("Comedy", "Drama", "Thriller", "Western", "Sci-Fi")
OCCUPATIONS = ("student", "engineer", "artist", "librarian", "retired", "other")
FIRST_TIME, DAY = 874_000_000, 86_400
_LEADING = (
    "Silent",
    "Crimson",
    "Last",
    "Hidden",
    "Northern",
    "Golden",
    "Broken",
    "Midnight",
    "Paper",
    "Élan &",
    "<Lost>",
)
_CLOSING = (
    "Harbour",
    "Falcon",
    "Garden",
    "Promise",
    "Railway",
    "Mirror",
    "Winter",
    "Letter",
    "Horizon",
    "Café",
    '"Echo"',
)
_HEART, _LIKED, _OTHER = 0.65, 4.5, 2.6
"""Share watched of the favoured genre, and mean ratings within and outside it."""


def write(out: Path, *, seed: int = 1) -> None:
    """Write `interactions`, `users` and `items` into the directory `out`.

    Args:
        out: An existing directory.
        seed: What the data come from.
    """
    for name, frame in tables(seed=seed).items():
        frame.write_parquet(out / f"{name}.parquet", compression="zstd")


def tables(*, seed: int) -> dict[str, pl.DataFrame]:
    """Draw the three tables; `heart` in neither of them is the genre that a user favours.

    Example:
        >>> {name: frame.height for name, frame in tables(seed=1).items()}
        {'interactions': 7680, 'users': 240, 'items': 150}
    """
    rng = np.random.default_rng(seed)
    genre = rng.permutation(np.arange(ITEMS) % len(GENRES))
    heart = rng.permutation(np.arange(USERS) % len(GENRES))
    return {
        "interactions": _interactions(rng, genre, heart),
        "users": _users(rng),
        "items": _items(rng, genre),
    }


def _users(rng: np.random.Generator) -> pl.DataFrame:
    age = rng.integers(16, 75, USERS)
    return pl.DataFrame(
        {
            "user_id": np.arange(1, USERS + 1),
            "age": _with_nulls(rng, age, 0.06),
            "occupation": rng.choice(OCCUPATIONS, USERS),
        },
        schema_overrides={"user_id": pl.Int64, "age": pl.Int32},
    )


def _items(rng: np.random.Generator, genre: np.ndarray) -> pl.DataFrame:
    names = [f"{first} {last}" for first in _LEADING for last in _CLOSING]
    names += [f"{name} II" for name in names]
    chosen = rng.permutation(len(names))[:ITEMS]
    return pl.DataFrame(
        {
            "item_id": np.arange(1, ITEMS + 1) + 1000,
            "title": [names[at] for at in chosen],
            "release_year": _with_nulls(rng, rng.integers(1950, 1999, ITEMS), 0.05),
            "genre": [GENRES[at] for at in genre],
        },
        schema_overrides={"item_id": pl.Int64, "release_year": pl.Int32},
    )


def _interactions(rng: np.random.Generator, genre: np.ndarray, heart: np.ndarray) -> pl.DataFrame:
    fame = rng.lognormal(0.0, 0.5, ITEMS)
    quality = rng.normal(0.0, 0.3, ITEMS)
    mood = rng.normal(0.0, 0.3, USERS)
    users, items, times = [], [], []
    for user in range(USERS):
        near = (genre == heart[user]) * fame
        chance = _HEART * near / near.sum() + (1 - _HEART) * fame / fame.sum()
        users += [user] * PER_USER
        items += rng.choice(ITEMS, PER_USER, replace=False, p=chance / chance.sum()).tolist()
        start = FIRST_TIME + int(rng.integers(0, 150)) * DAY
        times += np.sort(start + rng.integers(0, 40 * DAY, PER_USER)).tolist()
    user_N, item_N = np.array(users), np.array(items)
    mean = np.where(genre[item_N] == heart[user_N], _LIKED, _OTHER) + quality[item_N] + mood[user_N]
    rating = np.clip(np.rint(mean + rng.normal(0.0, 0.6, len(mean))), 1, 5)
    frame = pl.DataFrame(
        {"user_id": user_N + 1, "item_id": item_N + 1001, "rating": rating, "timestamp": times},
        schema={"user_id": pl.Int64, "item_id": pl.Int64, "rating": pl.Float32, "timestamp": pl.Int64},
    )
    return frame.sort("timestamp", "user_id", "item_id")


def _with_nulls(rng: np.random.Generator, values: np.ndarray, share: float) -> list[int | None]:
    return [None if gone else int(value) for value, gone in zip(values, rng.random(len(values)) < share, strict=True)]
