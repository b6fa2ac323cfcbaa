"""Settings of the leak guard: what to do about features that know the answer, or the future.

What the settings of a run alone tell stands in `etl.care.leaks_planned`, what samples of its rows tell in
`etl.care.leaks_found`, and `etl.care.guard` puts both to work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from core.errors import UserError
from core.spec import Spec
from etl.care.findings import Finding


def _word(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return {False: "off", True: "warn"}[value] if isinstance(value, bool) else value


def _action(value: object) -> object:
    return {"action": value} if isinstance(value, str | bool) else value


class LeakSpec(Spec):
    """What to do about features that may know the answer or the future.

    Attributes:
        action: `warn` (log, manifest, report), `refuse` (end with an error), or `off` (don't look). What is
            certain, the target as a feature, is refused in any case.
        ignore: Columns and features to be silent about, because someone has looked.
        alone: AUC from which a column that alone tells the target is named.
        duplicates: Share of the held-out rows from which copies of training rows are named.

    Example:
        >>> LeakSpec(ignore=["row_number"]).action
        'warn'
    """

    action: Annotated[Literal["warn", "refuse", "off"], BeforeValidator(_word)] = "warn"
    ignore: tuple[str, ...] = ()
    alone: float = Field(default=0.99, gt=0.5, le=1)
    duplicates: float = Field(default=0.01, ge=0, le=1)


AnyLeaks = Annotated[LeakSpec, BeforeValidator(_action, json_schema_input_type=str | bool | LeakSpec)]
"""Settings of the guard as a field: a bare action, or all of them."""


def settled(spec: LeakSpec, findings: Sequence[Finding]) -> list[Finding]:
    """What is left to tell of what was found.

    Raises:
        UserError: The settings refuse it.
    """
    if spec.action == "off":
        return []
    left = [found for found in findings if found.column not in spec.ignore]
    if left and spec.action == "refuse":
        told = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        cure = f"leave it out, or name it under `etl.leaks.ignore`: [{left[0].column}]"
        raise UserError(f"{left[0].told}{told}", where="etl.leaks", cure=cure)
    return left
