"""A workflow that the real NVTabular has saved: its vocabularies and its schema, read here, keep every id."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.errors import UserError
from core.schema_pbtxt import read
from etl import Workflow
from etl.ops import Categorify, FillMissing, Rename
from etl.ops.nvt import nvtabular_module
from tests.etl.nvtabular.peer import Peer, installed

pytestmark = [pytest.mark.nvtabular, installed, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(5)
COUNT = 400
ROWS = pl.DataFrame(
    {
        "s": RNG.choice(["Rome", "Oslo", "Łódź", "x y", None], COUNT).tolist(),
        "i": RNG.integers(-9, 21, COUNT),
        "f": [None if value < 2 else float(value) for value in RNG.integers(0, 9, COUNT)],
        "p": RNG.choice(list("abcdxyz"), COUNT).tolist(),
        "q": RNG.choice(list("xyzuvw"), COUNT).tolist(),
        "b": RNG.random(COUNT) < 0.4,
        "t": pl.Series([86_400_000_000 * int(day) for day in RNG.integers(0, 5, COUNT)]).cast(pl.Datetime("us")),
        "words": [RNG.choice(list("klmno"), size).tolist() for size in RNG.integers(1, 4, COUNT)],
        "ids": [RNG.integers(0, 8, size).tolist() for size in RNG.integers(1, 4, COUNT)],
    }
)
SINGLE = ["s", "i", "f", "b", "t", "words", "ids"]


def saved(tmp_path: Path, node: Any) -> tuple[Path, pl.DataFrame, Path]:
    """Where NVTabular has saved its workflow, what it made of the rows, and where its schema lies."""
    peer = Peer(tmp_path)
    workflow = peer.fit(node, ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        workflow.save(str(tmp_path / "workflow"))
        workflow.transform(peer.dataset(ROWS)).to_parquet(str(tmp_path / "made"))
    return tmp_path / "workflow", pl.read_parquet(tmp_path / "made" / "*.parquet"), tmp_path / "made" / "schema.pbtxt"


@pytest.mark.parametrize(
    ("columns", "theirs", "ours", "buckets"),
    [
        (SINGLE, {}, {}, 1),
        ([["p", "q"], "i"], {}, {}, 1),
        ([["p", "q"], ["s", "i"]], {"encode_type": "combo"}, {"encode_type": "combo"}, 1),
        ([["p", "q"]], {"encode_type": "combo", "name_sep": "-"}, {"encode_type": "combo", "name_sep": "-"}, 1),
        (["i", "p"], {"freq_threshold": 14, "num_buckets": 4}, {"num_buckets": 4}, 4),
        (["i", "p"], {"max_size": 6, "num_buckets": 2}, {"num_buckets": 2}, 2),
        (["s", "words"], {"freq_threshold": 75}, {}, 1),
        (["i", "s"], {"split_out": 2}, {}, 1),
    ],
)
def test_every_id_is_kept(tmp_path: Path, columns: Any, theirs: Any, ours: Any, buckets: int) -> None:
    """Ids of what is out of vocabulary are those of one hash there and of another here."""
    operator = Peer(tmp_path).ops.Categorify(out_path=str(tmp_path / "stats"), **theirs)
    workflow, wanted, schema = saved(tmp_path, columns >> operator)
    for place in (workflow, tmp_path / "stats"):
        fitted = Workflow(columns >> Categorify(vocabs=str(place), **ours)).fit(ROWS)
        made = fitted.transform(ROWS).collect()
        for name in made.columns:
            pairs = zip(made[name].explode(), wanted[name].explode(), strict=True)
            assert all(one == other or (buckets > 1 and max(one, other) < 2 + buckets) for one, other in pairs)
            assert made[name].explode().max() > 2 + buckets
            told = read(schema)[name]
            assert (told.cardinality, told.is_list) == (fitted.schema[name].cardinality, fitted.schema[name].is_list)
            assert told.embedding_dim == fitted.schema[name].embedding_dim


def test_behind_other_operators(tmp_path: Path) -> None:
    ops = Peer(tmp_path).ops
    node = ["i", "f"] >> ops.FillMissing(-1) >> ops.Rename(postfix="_r") >> ops.Categorify(out_path=str(tmp_path))
    workflow, wanted, _ = saved(tmp_path, node)
    mine = ["i", "f"] >> FillMissing(-1) >> Rename(postfix="_r") >> Categorify(vocabs=str(workflow))
    made = Workflow(mine).fit(ROWS).transform(ROWS).collect()
    for name in ("i_r", "f_r"):
        assert made[name].to_list() == wanted[name].to_list()


def test_given_values_have_ids_and_no_counts(tmp_path: Path) -> None:
    pandas = nvtabular_module("pandas")
    vocabs = {"i": pandas.Series([5, 3, 9]), "p": pandas.Series(["b", "a"])}
    operator = Peer(tmp_path).ops.Categorify(out_path=str(tmp_path), vocabs=vocabs)
    workflow, wanted, _ = saved(tmp_path, ["i", "p"] >> operator)
    made = Workflow(["i", "p"] >> Categorify(vocabs=str(workflow))).fit(ROWS).transform(ROWS).collect()
    assert [made[name].to_list() for name in ("i", "p")] == [wanted[name].to_list() for name in ("i", "p")]


def test_one_table_for_all_columns_is_refused(tmp_path: Path) -> None:
    """Its null has the id of a value, so the ids can't be kept."""
    operator = Peer(tmp_path).ops.Categorify(out_path=str(tmp_path / "stats"), single_table=True)
    workflow, *_ = saved(tmp_path, ["i", "p"] >> operator)
    for place, words in (
        (workflow, "ids of single_table can't be taken over"),
        (tmp_path / "stats", "meta.p.parquet says 3"),
    ):
        with pytest.raises(UserError, match=words):
            Workflow(["i", "p"] >> Categorify(vocabs=str(place))).fit(ROWS)
