"""Rankers that are told what a user met: one raw history in, the features of its items looked up in the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.dataset import ITEM_INDEX, SPLIT, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.schema import Column, DType, Schema
from etl.fitted import Fitted
from serve.bundle import HISTORY_COLUMN, RANKER, RANKER_HISTORY_COLUMN, Bundle
from serve.columns import encode_frame, parse
from serve.golden import batch_of
from serve.histories import kept_of, with_histories
from serve.parts import Parts
from serve.recommend import Recommender
from serve.signature import Array
from serve.verify import verify
from tests.serve import planted
from tests.serve.test_models_export import fresh
from train.batch import Batch, Features, ListFeature
from train.histories import END, Histories
from train.history_batches import HistorySpec, WithHistory
from train.models import RANKERS
from train.models.behaviour import BEHAVIOUR
from train.pairs import entity_batch, read_interactions
from train.spec import RankerSpec

KINDS = ["mlp", *BEHAVIOUR]
LONGEST = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Fitted]:
    dataset, fitted = planted.dataset(tmp_path_factory.mktemp("met") / "data")
    fitted.schema.write(dataset.schema_file)
    rng = np.random.default_rng(0)
    rows = planted.seen().sample(fraction=1.0, shuffle=True, seed=1)
    rows = rows.with_columns(
        pl.Series(SPLIT, np.arange(len(rows)) // 60, pl.Int8),
        pl.Series(TARGET, rng.integers(0, 2, len(rows)), pl.Float32),
        pl.Series(TIME, np.sort(rng.integers(0, 150, len(rows))), pl.Int64),
    )
    rows.write_parquet(dataset.interactions_file)
    return dataset, fitted


def ranker(fitted: Fitted, kind: str = "mlp", *, positives_only: bool = True) -> planted.Ranker:
    """A ranker with fresh weights that is told of two features of the last items."""
    plain = Features.of(fitted.schema)
    sizes = dict(zip(plain.categorical, plain.cardinalities, strict=True))
    lists = tuple(ListFeature(f"history.{name}", sizes[name], of=name) for name in ("item_id", "year"))
    features = replace(plain, lists=(*plain.lists, *lists))
    model = RANKERS[kind].model_validate({"kind": kind})
    torch.manual_seed(3)
    module = model.build(features).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    history = HistorySpec(longest=LONGEST, features=("item_id", "year"), positives_only=positives_only)
    return planted.Ranker(module, features, RankerSpec(model=model, history=history))


def every_item(bundle: Bundle, history: list[str] | None, user: int = 3) -> Array:
    """The ranker's scores of one user and all items."""
    model = bundle.model(RANKER)
    given = {item.name: item for item in model.signature.inputs}[HISTORY_COLUMN]
    one = encode_frame(bundle.table("users.parquet")[user : user + 1], model.signature.of_side("user", "context"))
    one[HISTORY_COLUMN] = parse(given, history)
    items = encode_frame(bundle.table("items.parquet"), model.signature.of_side("item"))
    return model.run({**one, **items})


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_is_the_module(data: tuple[Dataset, Fitted], kind: str, tmp_path: Path) -> None:
    dataset, fitted = data
    path = planted.bundle(tmp_path, Parts(dataset, fitted, ranker(fitted, kind), None))
    found = verify(path)
    assert found.ok
    assert found.largest_difference < 2e-6
    bundle = Bundle.open(path)
    histories: list[list[str]] = [[], ["i03"], ["i03", "i07", "i09"], ["i05", "i03", "i07", "i09", "i11"]]
    scores = [every_item(bundle, history) for history in histories]
    assert all(np.ptp(one) > 0 for one in scores)
    assert all(np.abs(one - scores[0]).max() > 1e-6 for one in scores[1:])
    # The newest count, unknown ones don't, and a history for all rows is that of each row.
    assert np.array_equal(every_item(bundle, ["i20", "i21", *histories[3][1:]]), every_item(bundle, histories[3]))
    assert np.array_equal(every_item(bundle, ["i03", "?", "i07", "no", "i09"]), scores[2])
    assert np.array_equal(every_item(bundle, None), scores[0])


@pytest.mark.parametrize("positives_only", [True, False])
def test_scores_are_those_of_the_evaluation_at_the_same_moment(
    data: tuple[Dataset, Fitted], tmp_path: Path, *, positives_only: bool
) -> None:
    dataset, fitted = data
    made = ranker(fitted, positives_only=positives_only)
    model = Bundle.open(planted.bundle(tmp_path, Parts(dataset, fitted, made, None))).model(RANKER)
    rows = pl.read_parquet(dataset.interactions_file).filter(pl.col(SPLIT) == 2)
    user, item = planted.users()[rows[USER_INDEX]], planted.items()[rows[ITEM_INDEX]].drop("title")
    raw = user.hstack(item).with_columns(pl.lit(7, pl.Int8).alias("hour"))

    # As a ranker is evaluated: features by the workflow, histories by the loader of rows.
    features = fitted.transform(raw.lazy(), columns=[one for one in made.features.names if "." not in one]).collect()
    plain = replace(made.features, lists=())
    histories = Histories.of(read_interactions(dataset), positives_only=positives_only)
    batch = replace(batch_of(features, plain), extra={name: tensor(rows[name]) for name in (USER_INDEX, TIME)})
    item_side = Features.of(fitted.schema, planted.Tag.ITEM)
    ids = entity_batch(dataset, "item", item_side).ids_BF
    columns = {one.name: ids[:, item_side.categorical.index(str(one.of))] for one in made.features.history}
    with torch.inference_mode():
        told = next(WithHistory(Once(batch), histories, columns, longest=LONGEST).epoch(0))
        wanted = torch.sigmoid(made.module(told)).numpy()

    met = histories.before(batch.extra[USER_INDEX], batch.extra[TIME])
    names = planted.items()["item_id"].to_list()
    raw_lists = [[names[row] for row in met.rows(at, at + 1).values_J.tolist()] for at in range(len(met))]
    assert max(map(len, raw_lists)) > LONGEST
    found = model.run(encode_frame(raw.with_columns(pl.Series(HISTORY_COLUMN, raw_lists)), model.signature.inputs))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_what_is_stored_is_what_training_would_have_used_at_the_end(data: tuple[Dataset, Fitted]) -> None:
    dataset, fitted = data
    interactions, names = read_interactions(dataset), planted.items()["item_id"].to_list()

    def stored(parts: Parts) -> dict[str, list[list[str]]]:
        kept = kept_of(parts)
        users = with_histories(planted.users(), dataset, kept)
        assert users.columns == [*planted.users().columns, *kept]
        return {column: users[column].to_list() for column in kept}

    def at_the_end(longest: int | None, *, positives_only: bool) -> list[list[str]]:
        lists = Histories.of(interactions, positives_only=positives_only).at(END, longest=longest)
        return [[names[row] for row in lists.rows(at, at + 1).values_J.tolist()] for at in range(len(lists))]

    for positives_only in (True, False):
        told = ranker(fitted, positives_only=positives_only)
        wanted = at_the_end(LONGEST, positives_only=positives_only)
        assert stored(Parts(dataset, fitted, told, None)) == {HISTORY_COLUMN: wanted}
        whole = at_the_end(None, positives_only=True)
        both = {HISTORY_COLUMN: whole} if positives_only else {HISTORY_COLUMN: whole, RANKER_HISTORY_COLUMN: wanted}
        assert stored(Parts(dataset, fitted, told, fresh("ease", fitted))) == both
    assert stored(Parts(dataset, fitted, None, fresh("mf", fitted))) == {}


def test_one_history_that_is_given_is_told_to_both_models(data: tuple[Dataset, Fitted], tmp_path: Path) -> None:
    dataset, fitted = data
    parts = Parts(dataset, fitted, ranker(fitted, positives_only=False), fresh("mult_vae", fitted))
    bundle = Bundle.open(planted.bundle(tmp_path, parts))
    assert verify(bundle.path).ok
    recommender, users = Recommender(bundle), bundle.table("users.parquet")
    shown = {item.id: item.score for item in recommender.recommend(103, k=5).items}
    known = every_item(bundle, users[RANKER_HISTORY_COLUMN][3].to_list())
    assert all(known[int(str(name)[1:])] == pytest.approx(score) for name, score in shown.items())
    session = recommender.recommend(103, {HISTORY_COLUMN: ["i03", "i07"]}, k=planted.ITEMS).items
    given = every_item(bundle, ["i03", "i07"])
    assert all(given[int(str(item.id)[1:])] == pytest.approx(item.score) for item in session)
    assert not {"i03", "i07"} & {item.id for item in session}


def test_a_raw_column_of_that_name_is_refused(data: tuple[Dataset, Fitted], tmp_path: Path) -> None:
    dataset, fitted = planted.dataset(tmp_path / "data")
    raw = dataset.raw_schema()
    Schema((*raw, Column(HISTORY_COLUMN, DType.STRING))).write(dataset.raw_schema_file)
    with pytest.raises(UserError, match="column history.*rename the column"):
        planted.bundle(tmp_path, Parts(dataset, fitted, ranker(data[1]), None))


class Once:
    """One batch."""

    rows, steps = 1, 1

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batch."""
        del number, start
        yield self.batch


def tensor(column: pl.Series) -> torch.Tensor:
    return torch.from_numpy(column.cast(pl.Int64).to_numpy().copy())
