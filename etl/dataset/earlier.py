"""The fitted workflow of an earlier run, to go on from: where it lies, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from core import log
from core.errors import UserError
from core.files import hash_json, hash_tree
from core.schema import Tag
from etl.fitted import Fitted
from etl.saving import FILE

_PLACES = ("", "workflow", "etl/workflow")
"""Where a fitted workflow lies in its own directory, in a data set, and in a run."""
_log = log.get("etl")


@dataclass(frozen=True)
class Earlier:
    """A fitted workflow and the hash of its files."""

    fitted: Fitted
    digest: str

    @classmethod
    def load(cls, place: Path) -> Self:
        """Read it from a run, a data set or its own directory.

        Raises:
            UserError: There is none, or it can't be read.
        """
        directory = workflow_in([place])
        return cls(Fitted.load(directory), hash_json(hash_tree(directory)))


def workflow_in(places: Sequence[Path]) -> Path:
    """The directory of the fitted workflow: the first that is found in runs, data sets or directories of workflows.

    Raises:
        UserError: There is none.
    """
    for place in places:
        for below in _PLACES:
            if (place / below / FILE).is_file():
                return place / below
    raise UserError(
        "there is no fitted workflow to start from",
        where=" or ".join(str(place) for place in places),
        cure="name the directory of a run whose etl stage is done, of a data set, or of a saved workflow",
    )


def provenance(fitted: Fitted, earlier: Earlier | None) -> dict[str, Any]:
    """What a data set tells of how its workflow came about, as plain JSON values.

    `seen`: the rows of the fit and of each update; `earlier`: hash of the workflow that was gone on from, if any;
    `ids`: by feature, the number of ids before (0 in a first fit) and now. New ids are those from the first number on.
    """
    before = {} if earlier is None else {column.name: column.cardinality for column in earlier.fitted.schema}
    ids = {
        column.name: [before.get(column.name) or 0, column.cardinality]
        for column in fitted.schema
        if Tag.CATEGORICAL in column.tags
    }
    return {
        "seen": [one.to_json() for one in fitted.seen],
        "earlier": None if earlier is None else earlier.digest,
        "ids": ids,
    }


def tell_growth(told: dict[str, Any]) -> None:
    """Say in the log which features have new ids."""
    if told["earlier"] is not None:
        for name, (before, now) in told["ids"].items():
            if now > before:
                _log.info("%s: %d new ids, %d .. %d", name, now - before, before, now - 1)
