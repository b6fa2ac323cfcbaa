"""The base of every settings type."""

from __future__ import annotations

from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from core.errors import UserError
from core.suggest import did_you_mean

_KNOWN = frozenset(get_args(core_schema.ErrorType))


class Spec(BaseModel):
    """Settings: frozen, and an unknown key is an error that names the nearest known one.

    Example:
        >>> class Model(Spec):
        ...     width: int = 8
        >>> Model(width=16)
        Model(width=16)
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _helpful_errors(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except UserError as error:
            told = "; ".join(part for part in (error.what, error.cure) if part)
            raise custom_error("user_error", told) from None
        except ValidationError as error:
            details = [_detail(cls, dict(one)) for one in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, details) from None


def listed(value: object) -> object:
    """One name or number as a list of one, for settings that take one or several: `BeforeValidator(listed)`.

    Example:
        >>> listed("age"), listed(["age", "sex"])
        (('age',), ['age', 'sex'])
    """
    return (value,) if isinstance(value, str | int | float) else value


def custom_error(kind: str, message: str) -> PydanticCustomError:
    """An error for a validator to raise, with a message that is not known before it happens."""
    return PydanticCustomError(kind, message)


def fault_at(place: tuple[int | str, ...], message: str, value: Any = None) -> ValidationError:
    """An error for a validator of a whole to raise that stands at one of its parts.

    Args:
        place: Keys that lead from the validated settings to the part.
        message: What is wrong.
        value: What stands there.
    """
    detail = InitErrorDetails(type=custom_error("value", message), loc=place, input=value)
    return ValidationError.from_exception_data("settings", [detail])


def _detail(cls: type[Spec], error: dict[str, Any]) -> InitErrorDetails:
    """Give an error of pydantic again, with the known keys where a key is unknown."""
    kind, place, value = error["type"], error["loc"], error["input"]
    if kind == "extra_forbidden" and len(place) == 1:
        keys = [field.alias or name for name, field in cls.model_fields.items()]
        told = custom_error("unknown_key", f"unknown key; {did_you_mean(place[0], keys)}")
        return InitErrorDetails(type=told, loc=place, input=value)
    if kind in _KNOWN:
        return InitErrorDetails(type=kind, loc=place, input=value, ctx=error.get("ctx", {}))
    return InitErrorDetails(type=custom_error(kind, error["msg"]), loc=place, input=value)
