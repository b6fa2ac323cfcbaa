"""A data set prepared by the real NVTabular, beside the one that Polars prepares."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.dataset import ITEM_INDEX, ROW, SPLIT, SPLITS, TARGET, USER_INDEX, Dataset
from core.errors import UserError
from etl import Fitted, Workflow
from etl.dataset.prepare import prepare
from etl.dataset.sources import Sources
from etl.engines.nvtabular import NvtabularEngine
from etl.ops import (
    AddMetadata,
    Bucketize,
    Categorify,
    Clip,
    DataStats,
    DropLowCardinality,
    FillMedian,
    FillMissing,
    HashBucket,
    ListSlice,
    LogOp,
    Normalize,
    NormalizeMinMax,
    ReduceDtypeSize,
    Rename,
    ValueCount,
)
from etl.spec import EtlSpec
from pipeline.generate import criteo_like
from tests.etl.nvtabular.peer import installed

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.nvtabular,
    installed,
    pytest.mark.filterwarnings("ignore"),
]

COUNTS, IDS = [f"I{n}" for n in range(1, 14)], [f"C{n}" for n in range(1, 27)]
CRITEO = [
    {"columns": COUNTS, "ops": [{"fill_missing": {"fill_val": 0}}, {"clip": {"min": 0}}, "log", "normalize"]},
    {"columns": IDS, "ops": [{"categorify": {"freq_threshold": 3}}]},
]


DRAWN = pl.DataFrame(
    {
        "a": [None if n % 7 == 0 else "xyzzy"[n % 5] for n in range(600)],
        "b": [None if n % 11 == 0 else "qxwzr"[(n * n) % 5] for n in range(600)],
        "i": [None if n % 13 == 0 else (n * 7) % 17 for n in range(600)],
        "l": [[(n * k) % 6 for k in range(1 + n % 3)] for n in range(600)],
    }
)


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty thousand Criteo-like rows."""
    path = tmp_path_factory.mktemp("criteo") / "rows"
    criteo_like(path, 30_000, 5, scale=0.01)
    return path


def prepared(out: Path, rows: Path, engine: str, features: list[dict[str, Any]], **more: Any) -> Dataset:
    out.mkdir()
    sources = Sources.model_validate({"interactions": {"path": f"{rows}/*.parquet"}})
    spec = {"engine": engine, "target": {"column": "label"}, "split": "random", "features": features, **more}
    prepare(sources, EtlSpec.model_validate(spec), out, seed=7)
    return Dataset(out)


@pytest.fixture(scope="module")
def engine() -> Iterator[NvtabularEngine]:
    """One process for many workflows."""
    with NvtabularEngine() as started:
        yield started


def run(engine: NvtabularEngine, node: Any, rows: pl.DataFrame, out: Path) -> tuple[Fitted, pl.DataFrame]:
    """Fit on rows and write them as the training split."""
    fitted = engine.fit(Workflow(node), rows.lazy())
    placed = rows.with_row_index(ROW).with_columns(pl.lit(0, pl.Int8).alias(SPLIT)).lazy()
    sunk = engine.write(fitted, placed, out, keep=[SPLIT, ROW])
    assert sunk.rows == {"train": rows.height, "valid": 0, "test": 0}
    return fitted, pl.read_parquet(sunk.files["train"])


def split(dataset: Dataset, name: str) -> pl.DataFrame:
    return pl.read_parquet(dataset.files(name))


class TestCriteo:
    """The same rows and settings by both engines."""

    @pytest.fixture(scope="class")
    def both(self, clicks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
        base = tmp_path_factory.mktemp("both")
        theirs, ours = (prepared(base / engine, clicks, engine, CRITEO) for engine in ("nvtabular", "cpu"))
        return theirs, ours

    def test_the_manifest_says_who_did_it(self, both: tuple[Dataset, Dataset]) -> None:
        assert [dataset.manifest()["engine"] for dataset in both] == ["nvtabular", "cpu"]

    def test_schemas_with_every_cardinality_are_equal(self, both: tuple[Dataset, Dataset]) -> None:
        theirs, ours = both
        assert theirs.schema() == ours.schema()
        assert max(theirs.schema()[name].cardinality or 0 for name in IDS) > 300
        assert (theirs.path / "schema.pbtxt").read_bytes() == (ours.path / "schema.pbtxt").read_bytes()

    @pytest.mark.parametrize("name", SPLITS)
    def test_rows_keep_their_order_and_numbers_are_equal(self, both: tuple[Dataset, Dataset], name: str) -> None:
        theirs, ours = (split(dataset, name) for dataset in both)
        assert theirs.schema == ours.schema
        assert_frame_equal(theirs.select(TARGET, *COUNTS), ours.select(TARGET, *COUNTS), rel_tol=1e-5, abs_tol=1e-6)

    @pytest.mark.parametrize("name", SPLITS)
    def test_ids_are_equal_up_to_the_order_of_ties(self, both: tuple[Dataset, Dataset], name: str) -> None:
        """Each value has the same count under both ids; reserved ids and ids without a tie are the same."""
        states = [Fitted.load(dataset.workflow_dir).steps[-1].state.by_column for dataset in both]
        frames = [split(dataset, name) for dataset in both]
        tied = 0
        for column in IDS:
            vocabularies = [table[column] for table in states]
            assert vocabularies[0]["count"].equals(vocabularies[1]["count"])
            assert set(vocabularies[0].rows()) == set(vocabularies[1].rows())
            counts = vocabularies[0]["count"].to_list()
            ids = zip(*(frame[column].to_list() for frame in frames), strict=True)
            for one, other in ids:
                if min(one, other) < 3:
                    assert one == other
                else:
                    assert counts[one - 3] == counts[other - 3]
                    tied += one != other
        assert name != "train" or tied > 0, "without ties this would be a weaker test"

    def test_what_it_learned_is_what_is_saved_and_served(self, both: tuple[Dataset, Dataset]) -> None:
        """The workflow of the data set gives the ids that NVTabular wrote."""
        theirs, _ = both
        made = Fitted.load(theirs.workflow_dir).transform(pl.read_parquet(theirs.sample_file)).collect()
        written = split(theirs, "test").select(made.columns)
        assert made.height == 1000
        keys = [name for name in made.columns if name in IDS]
        rows = set(written.select(keys).rows())
        assert set(made.select(keys).rows()) <= rows


def test_users_items_and_strings(desk: Any) -> None:
    """Catalogues, their features and the indices are those of the rows, whoever made the rows."""
    desk.spec["engine"] = "nvtabular"
    dataset = desk.prepare()
    train = split(dataset, "train")
    for side, index, names in (
        ("user", USER_INDEX, ["user_id", "city", "age"]),
        ("item", ITEM_INDEX, ["item_id", "price"]),
    ):
        features = pl.read_parquet(dataset.features_file(side))
        for name in names:
            made, wanted = features[name].gather(train[index]).to_list(), train[name].to_list()
            assert made == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    sample = pl.read_parquet(dataset.sample_file)
    transformed = Fitted.load(dataset.workflow_dir).transform(sample).collect()
    assert_frame_equal(transformed, split(dataset, "test").select(transformed.columns), rel_tol=1e-5, abs_tol=1e-6)


def test_the_command_runs_it_and_nothing_imports_torch(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pipeline.cli", "etl", "configs/smoke.yaml", "--engine", "nvtabular"]
    done = subprocess.run(
        [*words, "--runs-dir", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert Dataset(tmp_path / "smoke" / "etl").manifest()["engine"] == "nvtabular"
    assert importlib.util.find_spec("torch") is None, "this environment holds no torch, so nothing imported it"


class TestRefusals:
    """What NVTabular does other than it would be served is not written."""

    def refused(self, engine: NvtabularEngine, node: Any, rows: pl.DataFrame, out: Path) -> str:
        with pytest.raises(UserError) as caught:
            run(engine, node, rows, out)
        assert "\n" not in str(caught.value)
        assert list(out.rglob("*.parquet")) == []
        return str(caught.value)

    def test_hashes_that_depend_on_the_row(self, engine: NvtabularEngine, tmp_path: Path) -> None:
        rows = pl.DataFrame({"city": ["Oslo", "Rome"] * 50})
        told = self.refused(engine, ["city"] >> HashBucket(10), rows, tmp_path)
        assert "feature city" in told
        assert "hash_bucket" in told
        assert "other values than would be served" in told

    def test_a_constant_column_in_normalize_min_max(self, engine: NvtabularEngine, tmp_path: Path) -> None:
        told = self.refused(engine, ["x"] >> NormalizeMinMax(), pl.DataFrame({"x": [3.0] * 100}), tmp_path)
        assert "feature x" in told
        assert "0.5 there, 0.0 when served" in told

    def test_padding_that_it_leaves_out(self, engine: NvtabularEngine, tmp_path: Path) -> None:
        told = self.refused(engine, ["l"] >> Categorify() >> ListSlice(3, pad=True), DRAWN, tmp_path)
        assert "feature l" in told
        assert "list_slice" in told

    def test_statistics_that_cannot_be_taken_over(self, engine: NvtabularEngine, tmp_path: Path) -> None:
        told = self.refused(engine, ["a"] >> DataStats(), DRAWN, tmp_path)
        assert "what NVTabular learns for data_stats can't be taken over" in told

    def test_large_integers_beside_nulls(self, engine: NvtabularEngine, tmp_path: Path) -> None:
        rows = pl.DataFrame({"id": [2**60 + number % 3 if number % 5 else None for number in range(100)]})
        told = self.refused(engine, ["id"] >> Categorify(), rows, tmp_path)
        assert "column id" in told
        assert "2^53" in told

    def test_its_own_failures_are_one_line_and_it_goes_on(self, engine: NvtabularEngine, tmp_path: Path) -> None:
        """Its Categorify takes the first value of each part that it reads, and falls over where there is none."""
        fitted = engine.fit(Workflow(["c"] >> Categorify()), pl.LazyFrame({"c": ["a", "b"]}))
        rows = pl.LazyFrame({"c": [None] * 9, ROW: range(9), SPLIT: [0] * 9}, schema_overrides={"c": pl.String})
        with pytest.raises(UserError, match="NVTabular failed in its transform: .*categorical encode column c"):
            engine.write(fitted, rows, tmp_path, keep=[SPLIT, ROW])
        run(engine, ["c"] >> Categorify(), pl.DataFrame({"c": ["a", "b"]}), tmp_path)


def test_large_integers_stay_exact(engine: NvtabularEngine, tmp_path: Path) -> None:
    values = [2**60 + number % 3 for number in range(100)]
    fitted, _ = run(engine, ["id"] >> Categorify(), pl.DataFrame({"id": values}), tmp_path)
    assert set(fitted.steps[0].state.by_column["id"]["value"]) == set(values)


def test_a_graph_with_shared_and_renamed_columns(engine: NvtabularEngine, tmp_path: Path) -> None:
    """One column on three ways, and one node read twice."""
    rows = pl.DataFrame({"x": [1.0, None, 3.0, 8.0, 2.0, 2.0], "c": ["a", "b", "a", None, "c", "a"]})
    filled = ["x"] >> FillMedian()
    scaled = filled >> Normalize()
    logged = filled >> Clip(min=2) >> LogOp() >> Rename(postfix="_log")
    ids = (["c"] >> Categorify()) + (["c"] >> Categorify(freq_threshold=2) >> Rename(postfix="_often"))
    node = scaled + logged + ids
    _, made = run(engine, node, rows, tmp_path)
    ours = Workflow(node).fit(rows).transform(rows).collect()
    assert_frame_equal(made, ours.select(made.columns), rel_tol=1e-5, abs_tol=1e-6)


def test_the_engine_runs_no_plans_and_no_fit_of_another(engine: NvtabularEngine, tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(UserError, match="can't run a Polars plan"):
        engine.collect([frame.lazy()])
    with pytest.raises(UserError, match="only run what it fitted last"):
        engine.write(Workflow(["x"] >> Normalize()).fit(frame), frame.lazy(), tmp_path, keep=[])


@pytest.mark.parametrize(
    ("columns", "operator"),
    [
        ([["a", "b"], "i"], Categorify()),
        ([["a", "b"]], Categorify(encode_type="combo")),
        ([["a", "i"], ["b", "a"]], Categorify(encode_type="combo")),
        ([["a", "b"], "a"], Categorify(encode_type="combo")),
        (["a", "i"], Categorify(max_size=5)),
        (["a", "i"], Categorify(max_size={"a": 4, "i": 9})),
        (["i"], Categorify(freq_threshold=35)),
        (["l"], Categorify()),
        (["a"], Categorify(dtype="int64")),
    ],
    ids=repr,
)
def test_vocabularies_of_every_kind_are_taken_over(
    engine: NvtabularEngine, columns: Any, operator: Categorify, tmp_path: Path
) -> None:
    fitted, made = run(engine, columns >> operator, DRAWN, tmp_path)
    assert_frame_equal(made, fitted.transform(DRAWN).collect())
    # Its order of ties stays that of the ids.
    assert_frame_equal(made, fitted.update(DRAWN).transform(DRAWN).collect())
    ours = Workflow(columns >> operator).fit(DRAWN)
    assert [column.cardinality for column in fitted.schema] == [column.cardinality for column in ours.schema]
    for name, table in ours.steps[0].state.by_column.items():
        # Which of several values with one count max_size leaves out is a matter of ties.
        assert fitted.steps[0].state.by_column[name]["count"].to_list() == table["count"].to_list()


@pytest.mark.parametrize(
    "node",
    [
        ["l"] >> ValueCount() >> Categorify(),
        ["l"] >> ListSlice(2) >> Categorify(),
        ["l"] >> Categorify() >> ListSlice(-2),
        ["a", "b"] >> FillMissing("none") >> Categorify(),
        ["a", "i"] >> Categorify() >> DropLowCardinality(8),
        ["a"] >> Categorify() >> ReduceDtypeSize(),
        (["a", "b"] >> Categorify()) + ([["a", "b"]] >> Categorify(encode_type="combo")),
        ["i"] >> FillMedian() >> Normalize() >> AddMetadata(tags=["user"]),
        ["i"] >> FillMissing(0) >> NormalizeMinMax() >> Bucketize([0.2, 0.5]),
    ],
)
def test_chains_of_operators(engine: NvtabularEngine, node: Any, tmp_path: Path) -> None:
    rows = DRAWN.with_row_index(ROW).with_columns((pl.col(ROW) % 3).cast(pl.Int8).alias(SPLIT)).lazy()
    training = pl.col(SPLIT) == 0
    fitted = engine.fit(Workflow(node), rows, only=training)
    sunk = engine.write(fitted, rows, tmp_path, keep=[SPLIT, ROW], training=training)
    ours = Workflow(node).fit(rows, only=training)
    assert fitted.schema == ours.schema
    assert sunk.rows == {"train": 200, "valid": 200, "test": 200}
    for number, name in enumerate(SPLITS):
        made = pl.read_parquet(sunk.files[name])
        wanted = ours.transform(rows.filter(pl.col(SPLIT) == number)).collect()
        if "Categorify" not in repr(node):
            assert_frame_equal(made, wanted, rel_tol=1e-5, abs_tol=1e-6)
        assert made.schema == wanted.schema
