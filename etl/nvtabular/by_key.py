"""join_groupby and target_encoding in NVTabular's words: what it can't do, its names, and what else to ask it for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.schema import Column
from etl.ops.base import Operator
from etl.ops.group_stats import COUNT, needs_sums
from etl.ops.join_groupby import JoinGroupby
from etl.ops.keyed import Key, keys_of
from etl.ops.target_encoding import TargetEncoding

_SEPARATOR = "_"
_EXTREMES = frozenset({"min", "max"})


def keys(operator: Operator[Any], columns: Sequence[Column]) -> list[Key]:
    """The keys that one of the two operators is applied to."""
    assert isinstance(operator, JoinGroupby | TargetEncoding)
    return keys_of(columns, operator.groups, operator.fit_dependencies)


def why_not(operator: Operator[Any], columns: Sequence[Column]) -> str | None:
    """Why NVTabular can't do it, if it can't."""
    if not isinstance(operator, JoinGroupby | TargetEncoding):
        return None
    return _no_encoding(operator) if isinstance(operator, TargetEncoding) else _no_join(operator, columns)


def _no_join(operator: JoinGroupby, columns: Sequence[Column]) -> str | None:
    found = keys(operator, columns)
    if not operator.cont_cols:
        return "it needs cont_cols, for a count alone too"
    if _EXTREMES.issuperset(operator.stats):
        return "it needs a statistic beside min and max"
    grouped = {name for key in found for name in key.names if len(key.names) > 1}
    if any(key.names[0] in grouped for key in found if len(key.names) == 1):
        return "it can't take a column both alone and in a group"
    return None if operator.name_sep == _SEPARATOR else "its schema has other names where name_sep isn't `_`"


def _no_encoding(operator: TargetEncoding) -> str | None:
    given = [name for name in ("target_mean", "out_col") if getattr(operator, name) is not None]
    if given:
        return f"it fails where {given[0]} is given"
    return None if operator.drop_folds else "its folds are there for its own training rows alone"


def renamed(operator: Operator[Any], columns: Sequence[Column]) -> dict[str, str]:
    """Those of its outputs that have another name there: their name -> ours."""
    if not isinstance(operator, TargetEncoding):
        return {}
    labels = [key.label(operator.name_sep) for key in keys(operator, columns)]
    theirs = [f"TE_{label}_{target}" for label in labels for target in operator.target]
    pairs = zip(theirs, (made.name for made in operator.outputs(columns)), strict=True)
    return {one: other for one, other in pairs if one != other}


def beside(operator: Operator[Any]) -> Operator[Any] | None:
    """A second operator for the fit alone, where the first one would not tell how many rows a key has, or their sum.

    They aren't asked of the first one, which fails where a later key has no count.
    """
    if not isinstance(operator, JoinGroupby):
        return None
    missing: tuple[str, ...] = () if COUNT in operator.stats else (COUNT,)
    if needs_sums(operator.stats) and not {"sum", "mean"}.intersection(operator.stats):
        missing += ("sum",)
    numbers = operator.cont_cols if "sum" in missing else operator.cont_cols[:1]
    return operator.model_copy(update={"stats": missing, "cont_cols": numbers}) if missing else None
