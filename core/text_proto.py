"""Protocol buffers' text format as plain data, without a compiled message.

A message is a dict from field name to the list of its values, since any field may be repeated. A value is a
string, a number, a bool, an enum word or a message. An `Any` field's type lies in the key, in brackets.
Source: the Text Format Language Specification, protobuf.dev.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import UserError

Message = dict[str, list[Any]]


class Word(str):
    """An enum value: written without quotes."""

    __slots__ = ()


class Bytes(str):  # noqa: SLOT000 - a subclass of str can't have a slot with a value
    """A string whose bytes are no UTF-8, as `bytes` fields have them; `raw` holds them."""

    raw: bytes


_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[fF]?(?![A-Za-z_]))
      | (?P<word>-?[A-Za-z_][\w.]*)
      | (?P<type>\[[\w.\-]+/[\w.\-/]+\])
      | (?P<mark>[{}<>:;,\[\]])""",
    re.VERBOSE,
)
_PIECE = re.compile(
    r"""([^\\]+)|\\(?:([^0-7xXuU])|([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))""",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}
_WORDS: dict[str, Any] = {"true": True, "false": False, "inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    where: str


def parse(text: str, source: str) -> Message:
    """Read a message.

    Raises:
        UserError: The text breaks the format.

    Example:
        >>> parse('feature { name: "age" }', "x.pbtxt")
        {'feature': [{'name': ['age']}]}
    """
    reader = _Reader([*_tokens(text, source), _Token("end", "", f"{source}:end")])
    return reader.message("")


def render(message: Message, indent: str = "") -> str:
    """Write a message, one field a line.

    Example:
        >>> print(render({"feature": [{"name": ["age"], "type": [Word("INT")]}]}), end="")
        feature {
          name: "age"
          type: INT
        }
    """
    lines = []
    for name, values in message.items():
        for value in values:
            if isinstance(value, dict):
                lines.append(f"{indent}{name} {{\n{render(value, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _tokens(text: str, source: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        where = f"{source}:{line}:{position - (text.rfind(chr(10), 0, position) + 1) + 1}"
        match = _TOKEN.match(text, position)
        if match is None:
            raise UserError(f"this is not protobuf text: {text[position : position + 20]!r}", where=where)
        if match.lastgroup != "space":
            yield _Token(str(match.lastgroup), match.group(), where)
        position = match.end()


class _Reader:
    """Recursive descent over tokens."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at = tokens, 0

    def message(self, closing: str) -> Message:
        """Fields up to a closing mark, or up to the end."""
        found: Message = {}
        while True:
            token = self._next()
            if token.text == closing and token.kind in ("mark", "end"):
                return found
            if token.kind not in ("word", "type"):
                raise UserError(f"a field name was expected, not {token.text or 'the end'!r}", where=token.where)
            found.setdefault(token.text, []).extend(self._values())
            if self._peek().text in (",", ";"):
                self._next()

    def _values(self) -> list[Any]:
        if self._peek().text == ":":
            self._next()
        if self._peek().text != "[":
            return [self._value()]
        self._next()
        values: list[Any] = []
        while self._peek().text != "]":
            values.append(self._value())
            if self._peek().text == ",":
                self._next()
        self._next()
        return values

    def _value(self) -> Any:
        token = self._next()
        if token.text in _CLOSING and token.kind == "mark":
            return self.message(_CLOSING[token.text])
        if token.kind == "string":
            parts = [token.text]
            while self._peek().kind == "string":
                parts.append(self._next().text)
            return _text(b"".join(_unquoted(part) for part in parts))
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "word":
            return _WORDS.get(token.text, Word(token.text))
        raise UserError(f"a value was expected, not {token.text or 'the end'!r}", where=token.where)

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token


def _number(text: str) -> int | float:
    if text.lower().lstrip("+-").startswith("0x"):
        return int(text, 16)
    text = text.rstrip("fF")
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)


def _unquoted(text: str) -> bytes:
    """A quoted string's value; octal and hexadecimal escapes stand for bytes of UTF-8."""
    raw = bytearray()
    for plain, simple, octal, byte, point in _PIECE.findall(text[1:-1]):
        if octal or byte:
            raw.append(int(octal, 8) & 0xFF if octal else int(byte, 16))
        elif point:
            raw += chr(int(point[1:], 16)).encode()
        else:
            raw += (plain or _ESCAPES.get(simple, simple)).encode()
    return bytes(raw)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        made = Bytes(raw.decode(errors="replace"))
        made.raw = raw
        return made


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\{ord(one):03o}" if ord(one) < 32 or ord(one) == 127 else one for one in escaped) + '"'
