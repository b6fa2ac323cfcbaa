"""Settings from YAML, with errors that say file, line, column, path, fault and cure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from core.config_errors import explain
from core.errors import UserError
from core.overrides import apply
from core.spec import Spec
from core.yaml_positions import Located, parse

S = TypeVar("S", bound=Spec)


def load(cls: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """Read settings from a YAML file.

    Args:
        cls: The settings to read.
        path: The file.
        overrides: Changes such as `train.ranker.epochs=3`, made before the settings are validated.

    Raises:
        UserError: The file is missing or not YAML, or settings are wrong; every fault is told, one a line.
    """
    return validated(cls, located(path, overrides))


def located(path: Path, overrides: Sequence[str] = ()) -> Located:
    """Read a YAML file as plain data, with the places of each part; arguments as `load`.

    Raises:
        UserError: The file is missing or not YAML, or a change has no place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path), cure="give the path of a YAML config") from None
    except IsADirectoryError:
        raise UserError("this is a directory", where=str(path), cure="give the path of a YAML config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"this file can't be read ({error})", where=str(path)) from None
    return _changed(text, str(path), overrides)


def load_text(cls: type[S], text: str, source: str, overrides: Sequence[str] = ()) -> S:
    """Read settings from YAML text.

    Args:
        cls: The settings to read.
        text: One YAML document that is a mapping.
        source: What to call the text in errors.
        overrides: Changes such as `train.ranker.epochs=3`.

    Raises:
        UserError: As `load`.

    Example:
        >>> class Model(Spec):
        ...     width: int = 8
        >>> load_text(Model, "width: 16", "x.yaml", ["width=32"])
        Model(width=32)
    """
    return validated(cls, _changed(text, source, overrides))


def validated(cls: type[S], data: Located) -> S:
    """Plain data as settings.

    Raises:
        UserError: Settings are wrong; every fault is told, one a line.
    """
    try:
        return cls.model_validate(data.data)
    except ValidationError as error:
        raise explain(error, data) from None


def _changed(text: str, source: str, overrides: Sequence[str]) -> Located:
    found = parse(text, source)
    if not isinstance(found.data, dict):
        raise UserError("a config is a mapping of keys to values", where=found.places[()].value)
    return apply(found, overrides)


def dump(spec: Spec) -> str:
    r"""Write settings as YAML, every default spelled out; `load` reads it back to equal settings.

    Example:
        >>> class Model(Spec):
        ...     width: int = 8
        >>> dump(Model())
        'width: 8\n'
    """
    data = spec.model_dump(mode="json", by_alias=True)
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))


def json_schema(cls: type[Spec]) -> dict[str, Any]:
    """The JSON Schema of settings, for editors; all definitions lie at its top."""
    shared: dict[str, Any] = {}
    schema = _hoist(cls.model_json_schema(), shared)
    return {**schema, "$defs": shared} if shared else schema


def _hoist(value: Any, shared: dict[str, Any]) -> Any:
    """A copy without inner definitions; they are gathered in `shared`."""
    if isinstance(value, list):
        return [_hoist(one, shared) for one in value]
    if not isinstance(value, dict):
        return value
    for name, definition in value.get("$defs", {}).items():
        shared[name] = _hoist(definition, shared)
    return {key: _hoist(one, shared) for key, one in value.items() if key != "$defs"}
