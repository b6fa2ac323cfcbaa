"""The users of a bundle: who somebody is, and what they already have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.errors import UserError
from serve.bundle import ITEM_ROW, SEEN, USER_ROW, USERS, Bundle
from serve.columns import encode
from serve.signature import Array, Input, Signature

NOTHING: Array = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Person:
    """One user of a request.

    Attributes:
        id: The raw id that was asked for, or None.
        known: Whether the bundle knows the user.
        columns: User and context inputs by the column that knows them, each a vector of length 1.
        seen: Rows of the items that the user already has.
    """

    id: int | str | None
    known: bool
    columns: Mapping[str, Array]
    seen: Array

    def columns_for(self, signature: Signature) -> dict[str, Array]:
        """The user and context inputs of a model; what is not known is null."""
        wanted = signature.of_side("user", "context")
        return {item.name: self.columns.get(item.column, item.null) for item in wanted}


class People:
    """Users by raw id.

    Args:
        frame: Raw user columns, sorted by id.
        seen: Rows of users and of items, sorted by the first.
        id_column: The raw user id.
        inputs: The user inputs of the models, by the column that knows them.
    """

    def __init__(self, frame: pl.DataFrame, seen: pl.DataFrame, id_column: str, inputs: Mapping[str, Input]) -> None:
        self._frame, self._id, self._inputs = frame, id_column, inputs
        self._items = seen[ITEM_ROW].to_numpy()
        self._starts = np.searchsorted(seen[USER_ROW].to_numpy(), np.arange(len(frame) + 1))

    @classmethod
    def read(cls, bundle: Bundle) -> People:
        """Read a bundle's users."""
        inputs = {item.column: item for one in bundle.signatures.values() for item in one.of_side("user")}
        return cls(bundle.table(USERS), bundle.table(SEEN), str(bundle.roles.user), inputs)

    def find(self, user: int | str | None, given: Mapping[str, Array]) -> Person:
        """A user by raw id, with the given inputs in place of the known ones.

        Raises:
            UserError: The id has another type than the ids of the data.
        """
        identity = self._identity(user)
        row = self._row(identity)
        known = self._known(row) if row is not None else self._named(identity)
        seen = NOTHING if row is None else self._items[self._starts[row] : self._starts[row + 1]]
        # One value that is given may stand for several that are known.
        here = {column: given[item.name] for column, item in self._inputs.items() if item.name in given}
        return Person(identity, row is not None, {**known, **given, **here}, seen)

    def _identity(self, user: object) -> int | str | None:
        """The id in the type of the data: a command line gives numbers as text."""
        if user is None:
            return None
        if not isinstance(user, int | str) or isinstance(user, bool):
            raise UserError(f"a user id is a whole number or a text, got {user!r}", where=self._id)
        if self._frame[self._id].dtype == pl.String:
            return str(user)
        try:
            return int(user)
        except ValueError:
            raise UserError(f"user ids are whole numbers here, got {user!r}", where=self._id) from None

    def _row(self, identity: int | str | None) -> int | None:
        column = self._frame[self._id]
        if identity is None or len(column) == 0 or not _fits(column, identity):
            return None
        row = column.search_sorted(identity)
        return row if row < len(column) and column[row] == identity else None

    def _known(self, row: int) -> dict[str, Array]:
        one = self._frame.slice(row, 1)
        return {name: encode(one[name], item.dtype) for name, item in self._inputs.items() if name in one}

    def _named(self, identity: int | str | None) -> dict[str, Array]:
        """A cold user: the models see the unknown id and nulls."""
        if identity is None or self._id not in self._inputs:
            return {}
        item = self._inputs[self._id]
        return {self._id: encode(pl.Series(self._id, [identity]), item.dtype)}


def _fits(column: pl.Series, identity: int | str) -> bool:
    """Whether a number lies within the ids: one beyond the column's type cannot be searched for."""
    return isinstance(identity, str) or int(column[0]) <= identity <= int(column[-1])
