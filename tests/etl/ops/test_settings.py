"""Settings that make no sense are refused when they are given; and the words of NVTabular."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from core.errors import MissingExtra, UserError
from core.schema import Column, DType
from etl.ops import (
    OPERATORS,
    Bucketize,
    Categorify,
    Clip,
    FillMedian,
    FillMissing,
    Formula,
    HashBucket,
    LambdaOp,
    LogOp,
    Normalize,
    NormalizeMinMax,
    Rename,
)


@pytest.mark.parametrize(
    ("kind", "settings", "match"),
    [
        ("clip", {}, "give min, max or both"),
        ("clip", {"min": 2, "max": 1}, "min must not be above max, got min 2.0 and max 1.0"),
        ("clip", {"min": float("nan")}, "finite number"),
        ("clip", {"minimum": 1}, "unknown key; did you mean min"),
        ("categorify", {"max_size": 3}, "max_size must be above 3, the number of reserved ids, got 3"),
        ("categorify", {"num_buckets": 0}, "greater than or equal to 1"),
        ("categorify", {"freq_threshold": -1}, "greater than or equal to 0"),
        ("bucketize", {"boundaries": []}, "at least 1"),
        ("bucketize", {"boundaries": [1, 1]}, "boundaries must increase, got 1 before 1"),
        ("bucketize", {"boundaries": {"x": [2, 1]}}, "boundaries must increase, got 2 before 1"),
        ("hash_bucket", {}, "required"),
        ("hash_bucket", {"num_buckets": 0}, "greater than or equal to 1"),
        ("rename", {}, "either name"),
        ("rename", {"name": "a", "postfix": "b"}, "either name"),
        ("fill_missing", {"fill_val": 2**64}, "64 bits"),
        ("fill_missing", {"fill_val": True}, "number"),
        ("expression", {"formula": "a"}, "required"),
    ],
)
def test_refused(kind, settings, match):
    with pytest.raises(ValidationError, match=match):
        OPERATORS[kind](**settings)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Clip(max=1).max_value = 2


COLUMNS = (Column("x", DType.INT64), Column("y", DType.INT64))


class Recorded:
    """Stands in for any operator of NVTabular: remembers how it was made."""

    def __init__(self, *values: Any, **settings: Any):
        self.made = (type(self).__name__, values, settings)


@pytest.fixture
def stand_in(monkeypatch):
    module = ModuleType("nvtabular.ops")
    for name in ("Categorify", "FillMissing", "FillMedian", "Clip", "LogOp", "Normalize", "NormalizeMinMax"):
        setattr(module, name, type(name, (Recorded,), {}))
    for name in ("Bucketize", "HashBucket", "Rename"):
        setattr(module, name, type(name, (Recorded,), {}))
    monkeypatch.setitem(sys.modules, "nvtabular", ModuleType("nvtabular"))
    monkeypatch.setitem(sys.modules, "nvtabular.ops", module)


@pytest.mark.parametrize(
    ("operator", "made"),
    [
        (Categorify(), ("Categorify", (), {"freq_threshold": 0, "max_size": 0, "num_buckets": None})),
        (
            Categorify(max_size=9, num_buckets={"x": 3}),
            ("Categorify", (), {"freq_threshold": 0, "max_size": 9, "num_buckets": {"x": 3, "y": 1}}),
        ),
        (FillMissing(3), ("FillMissing", (), {"fill_val": 3, "add_binary_cols": False})),
        (FillMedian(add_binary_cols=True), ("FillMedian", (), {"add_binary_cols": True})),
        (Clip(min=1), ("Clip", (), {"min_value": 1.0, "max_value": None})),
        (LogOp(), ("LogOp", (), {})),
        (Normalize(), ("Normalize", (), {})),
        (NormalizeMinMax(), ("NormalizeMinMax", (), {})),
        (Bucketize([1, 2]), ("Bucketize", ({"x": [1.0, 2.0], "y": [1.0, 2.0]},), {})),
        (HashBucket(5), ("HashBucket", (5,), {})),
        (Rename(postfix="_p"), ("Rename", (), {"name": None, "postfix": "_p"})),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.usefixtures("stand_in")
def test_in_the_words_of_nvtabular(operator, made):
    assert operator.nvtabular(COLUMNS).made == made


@pytest.mark.parametrize("operator", [Formula("x + y", "z"), LambdaOp(lambda x: x)])
def test_what_nvtabular_has_no_word_for(operator):
    with pytest.raises(UserError, match="NVTabular"):
        operator.nvtabular(COLUMNS)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvtabular", None)
    monkeypatch.setitem(sys.modules, "nvtabular.ops", None)
    with pytest.raises(MissingExtra, match="nvtabular can't be imported"):
        LogOp().nvtabular(COLUMNS)
