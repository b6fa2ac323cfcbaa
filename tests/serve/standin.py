"""A tiny workflow and networks with known weights: what the export needs, without ETL or training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from core.schema import Column, DType, Schema, Tag
from etl.onnx import GraphBuilder, Value
from serve.signature import Array
from train.batch import Batch, Features

USERS = (10, 20, 30)
JOBS = ("doctor", "writer")
FEATURES = Features(("user_id", "job"), (6, 5), ("age_log",))
UNKNOWN, NULL = 2, 1


class Workflow:
    """Categorify of a user id and a job, log(1 + age) with null as zero."""

    input_schema = Schema(
        (
            Column("user_id", DType.INT64, frozenset({Tag.USER, Tag.USER_ID})),
            Column("job", DType.STRING, frozenset({Tag.USER})),
            Column("age", DType.FLOAT64, frozenset({Tag.ITEM})),
            Column("unused", DType.INT32),
        )
    )

    def inputs_of(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Which raw columns the outputs need."""
        sources = {"user_id": "user_id", "job": "job", "age_log": "age"}
        return tuple(sources[name] for name in columns)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[str] | None = None
    ) -> dict[str, Value]:
        """The graph of the outputs."""
        made = {}
        if "user_id" in (columns or ()):
            made["user_id"] = self._encode(graph, inputs["user_id"], "int64", USERS, -(2**63))
        if "job" in (columns or ()):
            made["job"] = self._encode(graph, inputs["job"], "string", JOBS, "")
        if "age_log" in (columns or ()):
            age = inputs["age"]
            missing = graph.op("IsNaN", age, dtype="bool")
            filled = graph.op("Where", missing, graph.constant(0.0, "float64"), age, dtype="float64")
            older = graph.op("Add", filled, graph.constant(1.0, "float64"), dtype="float64")
            log = graph.op("Log", older, dtype="float64")
            made["age_log"] = graph.op("Cast", log, dtype="float32", to=1)
        return made

    def transform(self, columns: Mapping[str, Array]) -> Batch:
        """The same arithmetic in numpy, over vectors that already have one length."""
        user = [encode(value, USERS, -(2**63)) for value in columns["user_id"].tolist()]
        job = [encode(value, JOBS, "") for value in columns["job"].tolist()]
        age = np.log1p(np.nan_to_num(columns["age"])).astype(np.float32)
        return Batch(torch.tensor([user, job]).T, torch.tensor(age)[:, None])

    def _encode(
        self, graph: GraphBuilder, value: Value, dtype: str, keys: Sequence[int] | Sequence[str], null: int | str
    ) -> Value:
        keys_name = {"int64": "keys_int64s", "string": "keys_strings"}[dtype]
        ids = [NULL, *range(UNKNOWN + 1, UNKNOWN + 1 + len(keys))]
        encoder = {keys_name: [null, *keys], "values_int64s": ids, "default_int64": UNKNOWN}
        return graph.op("LabelEncoder", value, dtype="int64", domain="ai.onnx.ml", **encoder)


def encode(value: object, keys: Sequence[object], null: object) -> int:
    """The id of a value: 1 null, 2 unknown, then the keys in order."""
    if value == null:
        return NULL
    return UNKNOWN + 1 + list(keys).index(value) if value in keys else UNKNOWN


class Net(nn.Module):
    """One embedding with offsets, then a linear layer: a logit, or a vector of `width`."""

    def __init__(self, *, width: int = 0, rows: int = 11, dim: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.table = nn.Parameter(torch.randn(rows, dim, generator=generator))
        self.register_buffer("offsets", torch.tensor([0, FEATURES.cardinalities[0]]))
        self.linear = nn.Linear(2 * dim + 1, max(width, 1))
        self.width = width

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B or vector_BD."""
        embedded_BFE = nn.functional.embedding(batch.ids_BF.long() + self.offsets, self.table)
        out_BD: Tensor = self.linear(torch.cat([embedded_BFE.flatten(1), batch.dense_BD], 1))
        return out_BD if self.width else out_BD.squeeze(1)


class Constant(nn.Module):
    """A query tower without any feature, as popularity has: 1 for every row."""

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vector_B1."""
        return torch.ones(batch.ids_BF.shape[0], 1)
