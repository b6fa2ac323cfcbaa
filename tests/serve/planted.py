"""A small data set with users and items, models with known weights, and the bundle of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from core.dataset import ITEM_INDEX, SPLIT, TARGET, TIME, USER_INDEX, Dataset
from core.files import write_json
from core.schema import Column, DType, Schema, Tag
from core.spec import Spec
from etl.fitted import Fitted
from etl.ops import Categorify, FillMedian, LogOp, Normalize
from etl.workflow import Workflow
from serve.export import write_bundle
from serve.parts import Parts
from serve.spec import ExportSpec
from train.batch import Batch, Features
from train.models.retrieve.base import Reads

USERS, ITEMS, WIDTH = 12, 40, 4
SPEC = Spec()
TAGS = {
    "user_id": {Tag.USER, Tag.USER_ID},
    "age": {Tag.USER},
    "gender": {Tag.USER},
    "item_id": {Tag.ITEM, Tag.ITEM_ID},
    "year": {Tag.ITEM},
    "price": {Tag.ITEM},
    "hour": {Tag.CONTEXT},
}
DTYPES = {"user_id": DType.INT64, "year": DType.INT32, "age": DType.FLOAT64, "price": DType.FLOAT32, "hour": DType.INT8}


class Additive(nn.Module):
    """The sum of an embedding a feature and of weighted dense features: a logit, or a vector of `width`."""

    def __init__(self, features: Features, *, width: int = 0, seed: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        columns = max(width, 1)
        self.table = nn.Parameter(torch.randn(sum(features.cardinalities), columns, generator=generator))
        offsets = np.cumsum([0, *features.cardinalities[:-1]]).tolist()
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64))
        self.weight = nn.Parameter(torch.randn(len(features.continuous), columns, generator=generator))
        self.width = width

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_B or vector_BD."""
        out_BD: Tensor = self.table[batch.ids_BF.long() + self.offsets].sum(1) + batch.dense_BD @ self.weight
        return out_BD if self.width else out_BD.squeeze(1)


@dataclass(frozen=True)
class Ranker:
    """A trained ranker, as the export sees it."""

    module: nn.Module
    features: Features
    spec: Spec = SPEC


@dataclass(frozen=True)
class Retriever:
    """A trained retriever, as the export sees it."""

    query_module: nn.Module
    item_module: nn.Module
    user_features: Features
    item_features: Features
    spec: Spec = SPEC
    reads: frozenset[Reads] = frozenset({Reads.FEATURES})

    def user_vectors(self, users: Batch) -> Tensor:
        """Batch of users -> vectors."""
        with torch.inference_mode():
            return self.query_module(users)

    def item_vectors(self, items: Batch) -> Tensor:
        """Batch of items -> vectors."""
        with torch.inference_mode():
            return self.item_module(items)


def users(*, fill: bool = True) -> pl.DataFrame:
    """User 100 + n; every third has no age, unless nothing would `fill` it."""
    return pl.DataFrame(
        {
            "user_id": range(100, 100 + USERS),
            "age": [None if fill and n % 3 == 0 else 20.0 + n for n in range(USERS)],
            "gender": ["F" if n % 2 else "M" for n in range(USERS)],
        },
        schema_overrides={"user_id": pl.Int64},
    )


def items(*, holes: bool = False) -> pl.DataFrame:
    """Item `i00` ...; some have no year, and with `holes` item 3 has no price, which the workflow does not fill."""
    return pl.DataFrame(
        {
            "item_id": [f"i{n:02}" for n in range(ITEMS)],
            "title": [f"Item number {n}" for n in range(ITEMS)],
            "year": [None if n % 7 == 0 else 1980 + n for n in range(ITEMS)],
            "price": [None if holes and n == 3 else 1.5 * n for n in range(ITEMS)],
        },
        schema_overrides={"year": pl.Int32, "price": pl.Float32},
    )


def seen() -> pl.DataFrame:
    """User n has the items n, 2n, 3n, ..., user 0 all but the last three, user 1 every one."""
    pairs = [(u, i) for u in range(USERS) for i in range(ITEMS) if (i < ITEMS - 3 if u == 0 else i % u == 0)]
    return pl.DataFrame(pairs, schema={USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32}, orient="row")


def liked() -> pl.DataFrame:
    """`seen` as the ETL writes it: every row is a positive of training; nobody knows when it was."""
    return seen().with_columns(
        pl.lit(0, pl.Int8).alias(SPLIT), pl.lit(1.0, pl.Float32).alias(TARGET), pl.lit(0, pl.Int64).alias(TIME)
    )


def interactions() -> pl.DataFrame:
    """Raw rows: the joined tables and the hour."""
    pairs = seen()
    rows = users()[pairs[USER_INDEX]].hstack(items()[pairs[ITEM_INDEX]])
    hours = pl.Series("hour", np.arange(len(rows)) % 24, dtype=pl.Int8)
    return rows.drop("title").with_columns(hours)


def fitted(*, fill: bool = True) -> Fitted:
    """The workflow, fitted on all rows; without `fill` an unknown age stays unknown."""
    age = ["age"] >> FillMedian() >> Normalize() if fill else ["age"] >> Normalize()
    nodes = (
        *[[name] >> Categorify() for name in ("user_id", "gender", "item_id", "year", "hour")],
        age,
        ["price"] >> LogOp() >> Normalize(),
    )
    return Workflow(*nodes, tags=TAGS).fit(interactions())


def dataset(path: Path, *, entities: bool = True, holes: bool = False, fill: bool = True) -> tuple[Dataset, Fitted]:
    """Write the part of a data set that the export reads."""
    data, workflow = Dataset(path), fitted(fill=fill)
    (path / "entities").mkdir(parents=True)
    (path / "raw").mkdir()
    raw = Schema(tuple(Column(n, DTYPES.get(n, DType.STRING), frozenset(t)) for n, t in TAGS.items()))
    raw.write(data.raw_schema_file)
    write_json(path / "manifest.json", {"title": "title", "rows": {"train": 100}})
    interactions().sample(60, seed=1).write_parquet(data.sample_file)
    for side, table in (("user", users(fill=fill)), ("item", items(holes=holes))):
        table.write_parquet(data.entity_file(f"{side}s"))
        names = [column.name for column in workflow.schema if Tag(side) in column.tags]
        workflow.transform(table, columns=names).collect().write_parquet(data.features_file(side))
    if entities:
        liked().write_parquet(data.interactions_file)
    return data, workflow


def parts(
    path: Path,
    *,
    ranker: bool = True,
    retriever: bool = True,
    entities: bool = True,
    holes: bool = False,
    fill: bool = True,
) -> Parts:
    """Everything that a bundle is made of."""
    data, workflow = dataset(path, entities=entities, holes=holes, fill=fill)
    schema = workflow.schema
    both, user, item = Features.of(schema), Features.of(schema, Tag.USER), Features.of(schema, Tag.ITEM)
    towers = Retriever(Additive(user, width=WIDTH, seed=2), Additive(item, width=WIDTH, seed=3), user, item)
    return Parts(data, workflow, Ranker(Additive(both), both) if ranker else None, towers if retriever else None)


def bundle(path: Path, made: Parts | None = None) -> Path:
    """Write a bundle, of all parts by default: its directory."""
    spec = ExportSpec(golden_rows=50, candidates=10)
    made = made or parts(path / "data")
    write_bundle(made, spec, path / "bundle", metrics={"auc": 0.5, "curves": [1]}, config={"name": "planted"})
    return path / "bundle"
