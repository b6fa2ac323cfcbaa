"""What the operators that describe columns leave in the schema, and the sizes that are read off it."""

from __future__ import annotations

from enum import Enum

import polars as pl
import pytest

from core.errors import UserError
from core.schema import Column, DType, Schema, Tag
from core.schema_pbtxt import from_text, to_text
from etl import Workflow, get_embedding_sizes
from etl.ops import (
    AddMetadata,
    AddProperties,
    AddTags,
    Categorify,
    HashBucket,
    LogOp,
    Normalize,
    TagAsItemFeatures,
    TagAsItemID,
    TagAsUserFeatures,
    TagAsUserID,
)
from etl.ops.base import Operator
from etl.values.embedding_sizes import EmbeddingSize

FRAME = pl.DataFrame({"x": [1, 2], "s": ["a", ""], "l": [["a"], ["b", "c"]]})


class MerlinTags(Enum):
    """As Merlin's own enum is made."""

    USER = "user"
    CONTEXT = "context"


@pytest.mark.parametrize(
    ("operator", "tags"),
    [
        (AddTags([Tag.CONTEXT, "item"]), {Tag.CONTEXT, Tag.ITEM}),
        (AddTags("text"), {Tag.TEXT}),
        (AddTags([MerlinTags.USER, MerlinTags.CONTEXT]), {Tag.USER, Tag.CONTEXT}),
        (AddMetadata(["time"]), {Tag.TIME}),
        (TagAsUserID(), {Tag.ID, Tag.USER, Tag.USER_ID}),
        (TagAsItemID(), {Tag.ID, Tag.ITEM, Tag.ITEM_ID}),
        (TagAsUserFeatures(), {Tag.USER}),
        (TagAsItemFeatures(), {Tag.ITEM}),
    ],
    ids=lambda value: repr(value) if isinstance(value, Operator) else "+".join(sorted(value)),
)
def test_tags_are_added_and_values_pass(operator: Operator, tags: set[Tag]) -> None:
    fitted = Workflow(["x", "s", "l"] >> operator, tags={"x": {Tag.SESSION_ID}}).fit(FRAME)
    assert fitted.schema["x"].tags == tags | {Tag.SESSION_ID}
    assert fitted.schema["l"].tags == tags
    made = fitted.transform(FRAME).collect()
    assert made.to_dict(as_series=False) == {"x": [1, 2], "s": ["a", None], "l": [["a"], ["b", "c"]]}


def test_tags_flow_on() -> None:
    schema = Workflow(["x"] >> TagAsItemFeatures() >> LogOp() >> Normalize()).fit(FRAME).schema
    assert schema["x"].tags == {Tag.ITEM, Tag.CONTINUOUS}


def test_properties_are_added_and_replaced() -> None:
    node = ["x"] >> AddProperties({"unit": "EUR", "range": [0, 1]}) >> AddMetadata(properties={"unit": "NOK"})
    fitted = Workflow(node).fit(FRAME)
    assert fitted.schema["x"].properties == {"unit": "NOK", "range": [0, 1]}
    assert from_text(to_text(fitted.schema), "x")["x"].properties == {"unit": "NOK", "range": [0, 1]}


def test_continuous_makes_a_number_that_a_model_reads() -> None:
    fitted = Workflow(["x"] >> AddTags(["continuous"])).fit(FRAME)
    assert fitted.schema["x"].dtype == DType.FLOAT32
    assert fitted.transform(FRAME).collect()["x"].dtype == pl.Float32


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (["s"] >> AddTags("continuous"), "column s: add_tags takes numbers"),
        (["x"] >> AddTags("categorical"), "column x: the column holds no ids; make ids with categorify"),
        (["x"] >> Categorify() >> AddTags("continuous"), "column x: .*categorical and continuous at once"),
    ],
)
def test_a_meaning_that_the_values_cannot_have(node: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Workflow(node).fit(FRAME)


def test_categorical_may_be_said_again_of_ids() -> None:
    fitted = Workflow(["x"] >> Categorify() >> AddTags(["categorical", "user"])).fit(FRAME)
    assert fitted.schema["x"].tags == {Tag.CATEGORICAL, Tag.USER}


def test_sizes_of_embedding_tables() -> None:
    node = (["s"] >> Categorify()) + (["x"] >> HashBucket(100_000)) + (["l"] >> Categorify())
    fitted = Workflow(node).fit(FRAME)
    sizes = {"s": (4, 16), "x": (100_000, 512), "l": (6, 16)}
    assert get_embedding_sizes(fitted) == sizes
    assert get_embedding_sizes(fitted.schema)["s"] == EmbeddingSize(cardinality=4, dimension=16)


def test_sizes_that_a_schema_does_not_tell() -> None:
    schema = Schema((Column("n", DType.FLOAT32), Column("c", DType.INT32, frozenset({Tag.CATEGORICAL}))))
    with pytest.raises(UserError, match="column c: the schema does not tell the cardinality"):
        get_embedding_sizes(schema)
