"""Registries as settings: a plain dict kind -> Spec class becomes a field that takes any of the classes.

Two forms. A model is `{kind: dlrm, embedding_dim: 16}` (or just `dlrm`), an operator is `log` or
`{clip: {min: 1}}`. Both are read, dumped in the same form, and described in the JSON Schema.

    class RankerSpec(Spec):
        model: Annotated[ModelSpec, ByKind(RANKERS)]        # ModelSpec: a common base, for mypy

    class FeatureSpec(Spec):
        ops: tuple[Annotated[Operator, ByName(OPERATORS)], ...]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from core.spec import Spec, custom_error, fault_at
from core.suggest import did_you_mean


@dataclass(frozen=True, eq=False)
class ByKind:
    """Take `{kind: NAME, ...settings}`, or `NAME` alone where every setting has a default.

    Args:
        registry: What may be chosen.
        noun: What one of them is called in a message.
        key: The key that chooses.

    Example:
        >>> from typing import Annotated
        >>> class Mlp(Spec):
        ...     width: int = 8
        >>> class Train(Spec):
        ...     model: Annotated[Mlp, ByKind({"mlp": Mlp}, noun="model")]
        >>> Train(model="mlp").model_dump()
        {'model': {'kind': 'mlp', 'width': 8}}
    """

    registry: Mapping[str, type[Spec]]
    noun: str = "kind"
    key: str = "kind"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(self.registry, self._read, self._dump)

    def _read(self, value: Any) -> Spec:
        settings = {self.key: value} if isinstance(value, str) else value
        if not isinstance(settings, Mapping):
            raise custom_error("kind_type", f"must be the name of a {self.noun} or a mapping with `{self.key}`")
        if self.key not in settings:
            raise custom_error("kind_missing", f"`{self.key}` is missing; {_listed(self.registry)}")
        kind = settings[self.key]
        if kind not in self.registry:
            told = f"there is no {self.noun} {kind!r}; {did_you_mean(kind, self.registry)}"
            raise fault_at(() if isinstance(value, str) else (self.key,), told, kind)
        chosen = self.registry[kind]
        rest = {name: one for name, one in settings.items() if name != self.key or self.key in chosen.model_fields}
        return chosen.model_validate(rest)

    def _dump(self, value: Spec, info: core_schema.SerializationInfo) -> dict[str, Any]:
        return {self.key: _kind_of(value, self.registry), **_settings(value, info)}

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        choices: list[dict[str, Any]] = [{"enum": sorted(self.registry)}]
        for kind, chosen in self.registry.items():
            body = chosen.model_json_schema()
            properties = {self.key: {"const": kind}, **body.get("properties", {})}
            required = [self.key, *(name for name in body.get("required", []) if name != self.key)]
            choices.append({**body, "properties": properties, "required": required})
        return {"anyOf": choices}


@dataclass(frozen=True, eq=False)
class ByName:
    """Take `NAME`, or `{NAME: {...settings}}`.

    Args:
        registry: What may be chosen.
        noun: What one of them is called in a message.

    Example:
        >>> from typing import Annotated
        >>> class Clip(Spec):
        ...     high: int = 8
        >>> class Feature(Spec):
        ...     op: Annotated[Clip, ByName({"clip": Clip})]
        >>> Feature(op={"clip": {"high": 1}}).model_dump()
        {'op': {'clip': {'high': 1}}}
    """

    registry: Mapping[str, type[Spec]]
    noun: str = "operator"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(self.registry, self._read, self._dump)

    def _read(self, value: Any) -> Spec:
        named = {value: {}} if isinstance(value, str) else value
        if not isinstance(named, Mapping) or len(named) != 1:
            raise custom_error("name_type", f"must be the name of an {self.noun}, or one name with its settings")
        (name, settings), *_ = named.items()
        if name not in self.registry:
            told = f"there is no {self.noun} {name!r}; {did_you_mean(name, self.registry)}"
            raise fault_at(() if isinstance(value, str) else (name,), told, name)
        given = {} if settings is None else settings
        if isinstance(value, str):
            return self.registry[name].model_validate(given)
        # A dict validator puts the name into the places of the errors.
        found: dict[str, Spec] = TypeAdapter(dict[str, self.registry[name]]).validate_python({name: given})  # type: ignore[name-defined]
        return found[name]

    def _dump(self, value: Spec, info: core_schema.SerializationInfo) -> Any:
        name, settings = _kind_of(value, self.registry), _settings(value, info)
        return {name: settings} if settings else name

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        choices: list[dict[str, Any]] = [{"enum": sorted(self.registry)}]
        for name, chosen in self.registry.items():
            properties = {name: {"anyOf": [chosen.model_json_schema(), {"type": "null"}]}}
            choices.append(
                {
                    "type": "object",
                    "properties": properties,
                    "required": [name],
                    "additionalProperties": False,
                }
            )
        return {"anyOf": choices}


def _schema(registry: Mapping[str, type[Spec]], read: Callable[[Any], Spec], dump: Callable[..., Any]) -> CoreSchema:
    def validate(value: Any) -> Spec:
        ready = isinstance(value, Spec) and type(value) in registry.values()
        return value if ready else read(value)

    return core_schema.no_info_plain_validator_function(
        validate,
        serialization=core_schema.plain_serializer_function_ser_schema(dump, info_arg=True),
    )


def _settings(value: Spec, info: core_schema.SerializationInfo) -> dict[str, Any]:
    dumped = value.model_dump(
        mode=info.mode,
        by_alias=info.by_alias,
        exclude_defaults=info.exclude_defaults,
        exclude_none=info.exclude_none,
    )
    return {name: one for name, one in dumped.items() if name != "kind"}


def _kind_of(value: Spec, registry: Mapping[str, type[Spec]]) -> str:
    return next(kind for kind, chosen in registry.items() if type(value) is chosen)


def _listed(registry: Mapping[str, Any]) -> str:
    return f"one of: {', '.join(sorted(registry))}"
