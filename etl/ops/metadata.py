"""What columns mean: tags and properties for the schema; values pass as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema

from core.errors import UserError
from core.schema import Column, Tag
from core.schema_pbtxt import OTHER_TAGS
from core.spec import custom_error
from core.suggest import did_you_mean
from etl.ops.base import State
from etl.ops.declare import require_numbers
from etl.ops.nvt import nvtabular_ops
from etl.ops.unchanged import Unchanged

_SAME = {"binary_classification": "binary"}
_MERLIN = frozenset(
    {
        *("tokenized", "embedding", "session", "classification", "multi_class"),
        *("text_tokenized", "multi_class_classification"),
    }
)
"""Tags that Merlin alone knows; they are kept in the property `merlin_tags`, and written into its schema."""


def _listed(value: object) -> object:
    """One tag or several; tags of Merlin (an enum of much the same words) are taken too."""
    given = value if isinstance(value, list | tuple | set | frozenset) else () if value is None else [value]
    words = [str(getattr(one, "value", one)) for one in given]
    return tuple(sorted(_SAME.get(word, word) for word in words))


def _known(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        if word not in {*Tag, *_MERLIN}:
            raise custom_error("tag", f"there is no tag {word!r}; {did_you_mean(word, [*Tag, *_MERLIN])}")
    return words


# Schemas of their own: those of enums and of JsonValue are references, which the schema of a config can't hold.
_WORDS = WithJsonSchema({"type": "array", "items": {"enum": sorted({*Tag, *_MERLIN})}})
Properties = Annotated[dict[str, JsonValue], WithJsonSchema({"type": "object"})]
Tags = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_known), _WORDS]


class Described(Unchanged[State]):
    """The columns as they are, with more in their schema."""

    takes_lists = True

    @property
    def given_tags(self) -> tuple[str, ...]:
        """Tags to add."""
        return ()

    @property
    def given_properties(self) -> Mapping[str, Any]:
        """Properties to add."""
        return {}

    def outputs(self, columns: Sequence[Column], state: State | None = None) -> tuple[Column, ...]:
        """Declare the columns with their tags and properties; refuses a meaning that they can't have."""
        return tuple(described(column, self.given_tags, self.given_properties, self.kind) for column in columns)

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.AddMetadata`."""
        return nvtabular_ops().AddMetadata(
            tags=[str(tag) for tag in self.given_tags], properties=dict(self.given_properties)
        )


class AddMetadata(Described):
    """Add tags and properties to the schema of the columns.

    Args:
        tags: Words of `core.schema.Tag`. `categorical` is given by the operators that make ids; `continuous` makes
            a column of numbers one that a model reads, as float32.
        properties: Any JSON values; a property that is there already is replaced.

    Example:
        >>> import polars as pl
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"price": [1.5]})
        >>> node = ["price"] >> AddMetadata(tags=["item", "continuous"], properties={"unit": "EUR"})
        >>> schema = Workflow(node).fit(frame).schema
        >>> sorted(schema["price"].tags), schema["price"].properties
        ([<Tag.CONTINUOUS: 'continuous'>, <Tag.ITEM: 'item'>], {'unit': 'EUR'})
    """

    kind = "add_metadata"

    tags: Tags = ()
    properties: Properties = Field(default_factory=dict)

    @property
    def given_tags(self) -> tuple[str, ...]:
        """See `Described`."""
        return self.tags

    @property
    def given_properties(self) -> Mapping[str, Any]:
        """See `Described`."""
        return self.properties


class AddTags(Described):
    """Add tags to the schema of the columns; see `AddMetadata`."""

    kind = "add_tags"

    tags: Tags

    @property
    def given_tags(self) -> tuple[str, ...]:
        """See `Described`."""
        return self.tags


class AddProperties(Described):
    """Add properties to the schema of the columns; see `AddMetadata`."""

    kind = "add_properties"

    properties: Properties

    @property
    def given_properties(self) -> Mapping[str, Any]:
        """See `Described`."""
        return self.properties


class TagAs(Described):
    """Add the tags of its class."""

    always: ClassVar[tuple[str, ...]]

    @property
    def given_tags(self) -> tuple[str, ...]:
        """See `Described`."""
        return self.always


class TagAsUserID(TagAs):
    """The columns are the id of a user: tags `user`, `user_id` and `id`.

    Example:
        >>> import polars as pl
        >>> from etl import Workflow
        >>> schema = Workflow(["who"] >> TagAsUserID()).fit(pl.DataFrame({"who": [1]})).schema
        >>> sorted(tag.value for tag in schema["who"].tags)
        ['id', 'user', 'user_id']
    """

    kind = "tag_as_user_id"
    always = (Tag.ID, Tag.USER, Tag.USER_ID)


class TagAsItemID(TagAs):
    """The columns are the id of an item: tags `item`, `item_id` and `id`."""

    kind = "tag_as_item_id"
    always = (Tag.ID, Tag.ITEM, Tag.ITEM_ID)


class TagAsUserFeatures(TagAs):
    """The columns tell something of the user: tag `user`."""

    kind = "tag_as_user_features"
    always = (Tag.USER,)


class TagAsItemFeatures(TagAs):
    """The columns tell something of the item: tag `item`."""

    kind = "tag_as_item_features"
    always = (Tag.ITEM,)


def described(column: Column, tags: Sequence[str], properties: Mapping[str, Any], kind: str) -> Column:
    """A column with more tags and properties.

    Raises:
        UserError: Its values can't have that meaning.
    """
    given = {Tag(word) for word in tags if word in {*Tag}}
    others = sorted({word for word in tags if word in _MERLIN} | set(column.properties.get(OTHER_TAGS, ())))
    kept = {OTHER_TAGS: others} if others else {}
    made = replace(column.with_tags(*given), properties={**column.properties, **kept, **properties})
    if Tag.CONTINUOUS in given:
        require_numbers([column], kind)
    if {Tag.CONTINUOUS, Tag.CATEGORICAL} <= made.tags:
        raise _refusal(column, "is categorical and continuous at once", "leave one of the tags out")
    if Tag.CATEGORICAL in given and Tag.CATEGORICAL not in column.tags:
        raise _refusal(column, "holds no ids", "make ids with categorify or hash_bucket, which set the tag")
    return made


def _refusal(column: Column, what: str, cure: str) -> UserError:
    return UserError(f"the column {what}", where=f"column {column.name}", cure=cure)
