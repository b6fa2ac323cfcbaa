"""Errors that are the user's to mend, told apart from our own bugs."""

from __future__ import annotations


class UserError(Exception):
    """A fault in the user's input: says where it is, what it is and how to cure it.

    The command line prints it without a traceback and exits with 2.

    Args:
        what: The fault, as one sentence without a final full stop.
        where: The place: a file, `file:line:column`, a column or a path inside the config.
        cure: What the user can do about it.

    Example:
        >>> print(UserError("the file is empty", where="ratings.csv", cure="give a file with rows"))
        ratings.csv: the file is empty; give a file with rows
    """

    def __init__(self, what: str, *, where: str | None = None, cure: str | None = None) -> None:
        self.what, self.where, self.cure = what, where, cure
        super().__init__(what)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{place}{self.what}{cure}"


class MissingExtra(UserError):
    """A package or a device that an optional feature needs is not there."""
