"""Models read single values so far; a feature of lists is refused by name."""

from __future__ import annotations

import pytest

from core.errors import UserError
from core.schema import Column, DType, Schema, Tag
from train.batch import Features

AGE = Column("age", DType.FLOAT32, frozenset({Tag.CONTINUOUS, Tag.USER}))
GENRES = Column("genres", DType.INT32, frozenset({Tag.CATEGORICAL, Tag.ITEM}), is_list=True, cardinality=9)


def test_a_list_is_named_with_a_cure():
    with pytest.raises(UserError, match="feature genres: .*lists.*list_columns"):
        Features.of(Schema((AGE, GENRES)))
    with pytest.raises(UserError, match="feature genres"):
        Features.of(Schema((AGE, GENRES)), Tag.ITEM)


def test_the_other_side_does_not_mind():
    assert Features.of(Schema((AGE, GENRES)), Tag.USER).continuous == ("age",)
