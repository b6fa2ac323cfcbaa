"""Operators: a plain dict from the kind in YAML to the operator. A new one is a new file and a line here."""

from __future__ import annotations

from typing import Any

from etl.ops.base import Operator
from etl.ops.bucketize import Bucketize
from etl.ops.categorify import Categorify
from etl.ops.clip import Clip
from etl.ops.column_similarity import ColumnSimilarity
from etl.ops.data_stats import DataStats
from etl.ops.drop_low_cardinality import DropLowCardinality
from etl.ops.dropna import Dropna
from etl.ops.fill import FillMedian, FillMissing
from etl.ops.filter import Filter
from etl.ops.formula import Formula
from etl.ops.groupby import Groupby
from etl.ops.hash_bucket import HashBucket
from etl.ops.hash_text import HashText, SplitText
from etl.ops.hashed_cross import HashedCross
from etl.ops.join_external import JoinExternal
from etl.ops.join_groupby import JoinGroupby
from etl.ops.lambda_op import LambdaOp
from etl.ops.list_columns import ListColumns
from etl.ops.list_slice import ListSlice
from etl.ops.log import LogOp
from etl.ops.metadata import (
    AddMetadata,
    AddProperties,
    AddTags,
    TagAsItemFeatures,
    TagAsItemID,
    TagAsUserFeatures,
    TagAsUserID,
)
from etl.ops.normalize import Normalize, NormalizeMinMax
from etl.ops.reduce_dtype_size import ReduceDtypeSize
from etl.ops.rename import Rename
from etl.ops.target_encoding import TargetEncoding
from etl.ops.time_features import TimeFeatures
from etl.ops.value_count import ValueCount
from etl.ops.windows.difference_lag import DifferenceLag
from etl.ops.windows.history import History
from etl.ops.windows.lag import Lag
from etl.ops.windows.rolling import Rolling
from etl.ops.windows.sessions import Sessionize

OPERATORS: dict[str, type[Operator[Any]]] = {
    "categorify": Categorify,
    "fill_missing": FillMissing,
    "fill_median": FillMedian,
    "clip": Clip,
    "log": LogOp,
    "normalize": Normalize,
    "normalize_min_max": NormalizeMinMax,
    "bucketize": Bucketize,
    "hash_bucket": HashBucket,
    "hash_text": HashText,
    "split_text": SplitText,
    "list_columns": ListColumns,
    "list_slice": ListSlice,
    "value_count": ValueCount,
    "rename": Rename,
    "expression": Formula,
    "filter": Filter,
    "dropna": Dropna,
    "groupby": Groupby,
    "target_encoding": TargetEncoding,
    "join_groupby": JoinGroupby,
    "difference_lag": DifferenceLag,
    "lag": Lag,
    "sessions": Sessionize,
    "history": History,
    "rolling": Rolling,
    "time_features": TimeFeatures,
    "add_metadata": AddMetadata,
    "add_tags": AddTags,
    "add_properties": AddProperties,
    "tag_as_user_id": TagAsUserID,
    "tag_as_item_id": TagAsItemID,
    "tag_as_user_features": TagAsUserFeatures,
    "tag_as_item_features": TagAsItemFeatures,
    "drop_low_cardinality": DropLowCardinality,
    "hashed_cross": HashedCross,
    "reduce_dtype_size": ReduceDtypeSize,
    "join_external": JoinExternal,
    "data_stats": DataStats,
    "column_similarity": ColumnSimilarity,
}
"""What a config and a saved workflow may name. LambdaOp is not here: it holds Python code."""

__all__ = [
    "OPERATORS",
    "AddMetadata",
    "AddProperties",
    "AddTags",
    "Bucketize",
    "Categorify",
    "Clip",
    "ColumnSimilarity",
    "DataStats",
    "DifferenceLag",
    "DropLowCardinality",
    "Dropna",
    "FillMedian",
    "FillMissing",
    "Filter",
    "Formula",
    "Groupby",
    "HashBucket",
    "HashText",
    "HashedCross",
    "History",
    "JoinExternal",
    "JoinGroupby",
    "Lag",
    "LambdaOp",
    "ListColumns",
    "ListSlice",
    "LogOp",
    "Normalize",
    "NormalizeMinMax",
    "Operator",
    "ReduceDtypeSize",
    "Rename",
    "Rolling",
    "Sessionize",
    "SplitText",
    "TagAsItemFeatures",
    "TagAsItemID",
    "TagAsUserFeatures",
    "TagAsUserID",
    "TargetEncoding",
    "TimeFeatures",
    "ValueCount",
]
