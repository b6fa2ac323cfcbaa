"""Which columns a formula reads as numbers and which as strings, checked against the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.errors import UserError
from core.schema import Column, DType
from etl.formula.parse import ONE_OF, TESTS
from etl.formula.tree import Call, Name, Tree

TEXT, NUMBER = "text", "a number"


def require_types(tree: Tree, columns: Mapping[str, Column], formula: str) -> None:
    """Check that strings are only compared with text, numbers only with numbers, and that no column holds lists.

    Args:
        tree: What `parse` gave.
        columns: The types of its columns, by name.
        formula: The text, for messages.

    Raises:
        UserError: A column is used as what it is not; names it.

    Example:
        >>> from etl.formula.parse import parse
        >>> require_types(parse("a == 'x'"), {"a": Column("a", DType.INT64)}, "a == 'x'")
        Traceback (most recent call last):
        core.errors.UserError: column a: the formula "a == 'x'" takes text, got int64; compare it with numbers
    """
    for name, use in _uses(tree):
        column = columns[name]
        found = f"lists of {column.dtype.value}" if column.is_list else column.dtype.value
        if column.is_list or (use is not None and (column.dtype == DType.STRING) != (use == TEXT)):
            wanted = "single values" if use is None else use
            raise UserError(
                f"the formula {formula!r} takes {wanted}, got {found}", where=f"column {name}", cure=_cure(column, use)
            )


def _cure(column: Column, use: str | None) -> str:
    if column.is_list:
        return "take a column of single values"
    return "compare it with numbers" if use == TEXT else 'compare it with text in quotes, as a == "x"'


def _uses(tree: Tree) -> Iterator[tuple[str, str | None]]:
    """Each column with what the formula takes it for; None: anything."""
    if isinstance(tree, Name):
        yield tree.name, NUMBER
    if isinstance(tree, Call):
        use = TEXT if tree.function in {ONE_OF, *TESTS} else None
        for argument in tree.arguments:
            if isinstance(argument, Name) and (use == TEXT or tree.function == "is_null"):
                yield argument.name, use
            else:
                yield from _uses(argument)
