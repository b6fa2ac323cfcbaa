"""Text of a formula -> its tree."""

from __future__ import annotations

import ast
import datetime as dt
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.errors import UserError
from core.suggest import did_you_mean
from etl.formula.tree import Call, Name, Number, Text, Tree

FUNCTIONS = {
    "abs": (1, 1),
    "ceil": (1, 1),
    "exp": (1, 1),
    "fill_null": (2, 2),
    "floor": (1, 1),
    "is_null": (1, 1),
    "log": (1, 1),
    "log1p": (1, 1),
    "max": (2, 99),
    "min": (2, 99),
    "sqrt": (1, 1),
    "where": (3, 3),
}
"""What a formula may call: the fewest and the most arguments. `column("a b")` names a column that is no word, and
`date("2026-01-31")` is a moment as operators see one: microseconds since 1970."""

TESTS = ("contains", "ends_with", "starts_with")
"""Functions of a column of strings and a text."""
ONE_OF = "one_of"
"""The function behind `a == "x"` and `a in ["x", "y"]`: a column of strings, and texts."""

_COLUMN, _DATE = "column", "date"
_LONGEST = 2_000
_DEEPEST = 200

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.USub: "neg",
    ast.UAdd: "pos",
    ast.Not: "not",
    ast.And: "and",
    ast.Or: "or",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}


@lru_cache(maxsize=1024)
def parse(text: str) -> Tree:
    """Parse a formula.

    Raises:
        UserError: The text is no formula; says at which of its columns (from 1), and why.

    Example:
        >>> parse("a / 2")
        Call(function='div', arguments=(Name(name='a'), Number(value=2.0)))
        >>> parse("a + b[0]")
        Traceback (most recent call last):
        core.errors.UserError: formula 'a + b[0]', column 5: this is not allowed in a formula
    """
    if len(text) > _LONGEST:
        raise UserError(f"a formula has at most {_LONGEST} characters, got {len(text)}")
    flat = "".join(" " if character.isspace() else character for character in text)
    start = len(flat) - len(flat.lstrip())
    return _Reader(text, flat.lstrip(), start).read()


@dataclass(frozen=True)
class _Reader:
    """Turns Python's syntax tree into ours; everything that is not named here is refused."""

    text: str
    flat: str
    start: int

    def read(self) -> Tree:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                body = ast.parse(self.flat, mode="eval").body
        except SyntaxError as error:
            # Python gives no offset for what is missing at the end.
            column = (error.offset or len(self.flat) + 1) + self.start
            raise self._error(column, error.msg) from None
        except (RecursionError, MemoryError):
            raise self._error(1, "the formula is nested too deeply") from None
        except ValueError as error:
            raise self._error(1, str(error)) from None
        return self._tree(body, 0)

    def _tree(self, node: ast.expr, depth: int) -> Tree:
        if depth > _DEEPEST:
            raise self._at(node, "the formula is nested too deeply")
        readers: dict[type[ast.expr], Callable[[ast.expr, int], Tree]] = {
            ast.Constant: self._number,
            ast.Name: self._name,
            ast.Call: self._call,
            ast.BinOp: self._binary,
            ast.UnaryOp: self._unary,
            ast.BoolOp: self._logic,
            ast.Compare: self._comparison,
            ast.IfExp: self._choice,
        }
        reader = readers.get(type(node))
        if reader is None:
            raise self._at(node, "this is not allowed in a formula")
        return reader(node, depth + 1)

    def _number(self, node: ast.expr, depth: int) -> Tree:
        value = getattr(node, "value", None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._at(node, f"a constant must be a number, got {value!r}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._at(node, "the number is too large")
        return Number(number)

    def _name(self, node: ast.expr, depth: int) -> Tree:
        assert isinstance(node, ast.Name)
        return Name(node.id)

    def _call(self, node: ast.expr, depth: int) -> Tree:
        assert isinstance(node, ast.Call)
        if not isinstance(node.func, ast.Name):
            raise self._at(node, "only a function by its name can be called")
        name = node.func.id
        if node.keywords:
            raise self._at(node, f"{name} takes no named arguments")
        if name == _COLUMN:
            return Name(self._quoted(node, 'column takes one name in quotes, as column("a b")'))
        if name == _DATE:
            return self._moment(node)
        if name in TESTS:
            return self._test(node, name, depth)
        if name not in FUNCTIONS:
            known = (*FUNCTIONS, *TESTS, _COLUMN, _DATE)
            raise self._at(node, f"there is no function {name}; {did_you_mean(name, known)}")
        least, most = FUNCTIONS[name]
        if not least <= len(node.args) <= most:
            wanted = str(least) if least == most else f"{least} or more"
            raise self._at(node, f"{name} takes {wanted} arguments, got {len(node.args)}")
        return self._fold(name, [self._tree(argument, depth) for argument in node.args])

    def _fold(self, name: str, arguments: Sequence[Tree]) -> Tree:
        if name in {"min", "max"}:
            return _halved(name, arguments)
        return Call(name, tuple(arguments))

    def _quoted(self, node: ast.Call, told: str) -> str:
        text = _text(node.args[0]) if len(node.args) == 1 else None
        if text is None:
            raise self._at(node, told)
        return text.value

    def _moment(self, node: ast.Call) -> Tree:
        told = 'date takes one date or time in quotes, as date("2026-01-31") or date("2026-01-31 12:00")'
        try:
            moment = dt.datetime.fromisoformat(self._quoted(node, told))
        except ValueError:
            raise self._at(node, told) from None
        if moment.tzinfo is not None:
            raise self._at(node, "date takes no time zone; times are read in UTC")
        return Number(float((moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)))  # noqa: DTZ001

    def _test(self, node: ast.Call, name: str, depth: int) -> Tree:
        text = _text(node.args[1]) if len(node.args) == 2 else None
        if text is None:
            raise self._at(node, f'{name} takes a column and a text in quotes, as {name}(a, "x")')
        return Call(name, (self._strings(node.args[0], depth), text))

    def _strings(self, node: ast.expr, depth: int) -> Tree:
        column = self._tree(node, depth)
        if not isinstance(column, Name):
            raise self._at(node, "only a column can be compared with text")
        return column

    def _binary(self, node: ast.expr, depth: int) -> Tree:
        assert isinstance(node, ast.BinOp)
        pair = (self._tree(node.left, depth), self._tree(node.right, depth))
        return Call(self._operator(node, node.op), pair)

    def _unary(self, node: ast.expr, depth: int) -> Tree:
        assert isinstance(node, ast.UnaryOp)
        name, value = self._operator(node, node.op), self._tree(node.operand, depth)
        return value if name == "pos" else Call(name, (value,))

    def _logic(self, node: ast.expr, depth: int) -> Tree:
        assert isinstance(node, ast.BoolOp)
        name = self._operator(node, node.op)
        values = [self._tree(value, depth) for value in node.values]
        return _halved(name, values)

    def _comparison(self, node: ast.expr, depth: int) -> Tree:
        """`a < b < c` means `a < b and b < c`."""
        assert isinstance(node, ast.Compare)
        values = [node.left, *node.comparators]
        pairs = [self._pair(node, kind, values[index : index + 2], depth) for index, kind in enumerate(node.ops)]
        return _halved("and", pairs)

    def _pair(self, node: ast.Compare, kind: ast.cmpop, pair: Sequence[ast.expr], depth: int) -> Tree:
        left, right = pair
        if isinstance(kind, ast.In | ast.NotIn):
            return _unless(isinstance(kind, ast.NotIn), self._among(left, right, depth))
        if _text(left) is None and _text(right) is None:
            return Call(self._operator(node, kind), (self._tree(left, depth), self._tree(right, depth)))
        if not isinstance(kind, ast.Eq | ast.NotEq):
            raise self._at(node, "text can only be compared by ==, != and in")
        text, other = (left, right) if _text(right) is None else (right, left)
        return _unless(isinstance(kind, ast.NotEq), self._one_of(other, [text], depth))

    def _among(self, left: ast.expr, right: ast.expr, depth: int) -> Tree:
        """`a in [1, 2]` means `a == 1 or a == 2`."""
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise self._at(right, 'after `in` stands a list, as a in [1, 2] or a in ["x", "y"]')
        if any(_text(one) is not None for one in right.elts):
            return self._one_of(left, right.elts, depth)
        value = self._tree(left, depth)
        equal = [Call("eq", (value, self._tree(one, depth))) for one in right.elts]
        return _halved("or", equal)

    def _one_of(self, column: ast.expr, texts: Sequence[ast.expr], depth: int) -> Tree:
        found = []
        for one in texts:
            text = _text(one)
            if text is None:
                raise self._at(one, "a list holds texts or numbers, not both")
            found.append(text)
        return Call(ONE_OF, (self._strings(column, depth), *dict.fromkeys(found)))

    def _choice(self, node: ast.expr, depth: int) -> Tree:
        assert isinstance(node, ast.IfExp)
        parts = (node.test, node.body, node.orelse)
        return Call("where", tuple(self._tree(part, depth) for part in parts))

    def _operator(self, node: ast.expr, kind: ast.AST) -> str:
        if type(kind) not in _OPERATORS:
            raise self._at(node, "this operator is not allowed in a formula")
        return _OPERATORS[type(kind)]

    def _at(self, node: ast.expr, what: str) -> UserError:
        # Python counts columns in bytes of UTF-8.
        before = self.flat.encode()[: node.col_offset].decode()
        return self._error(len(before) + self.start + 1, what)

    def _error(self, column: int, what: str) -> UserError:
        return UserError(what, where=f"formula {self.text!r}, column {column}")


def _text(node: ast.expr) -> Text | None:
    """A text in quotes."""
    return Text(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _unless(negated: bool, tree: Tree) -> Tree:
    return Call("not", (tree,)) if negated else tree


def _halved(name: str, trees: Sequence[Tree]) -> Tree:
    """All of them put together, by halves, so that a long list makes no deep tree."""
    if len(trees) == 1:
        return trees[0]
    half = len(trees) // 2
    return Call(name, (_halved(name, trees[:half]), _halved(name, trees[half:])))
