"""A data set prepared by the real NVTabular, beside the one that Polars prepares."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.dataset import ITEM_INDEX, ROW, SPLITS, TARGET, USER_INDEX, Dataset
from core.errors import UserError
from etl import Fitted, Workflow
from etl.engines.nvtabular import NvtabularEngine
from etl.ops import Categorify, FillMedian, Normalize
from etl.prepare import prepare
from etl.sources import Sources
from etl.spec import EtlSpec
from pipeline.generate import criteo_like

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.nvtabular,
    pytest.mark.skipif(importlib.util.find_spec("nvtabular") is None, reason="the package nvtabular is not installed"),
    pytest.mark.filterwarnings("ignore"),
]

COUNTS, IDS = [f"I{n}" for n in range(1, 14)], [f"C{n}" for n in range(1, 27)]
CRITEO = [
    {"columns": COUNTS, "ops": [{"fill_missing": {"fill_val": 0}}, {"clip": {"min": 0}}, "log", "normalize"]},
    {"columns": IDS, "ops": [{"categorify": {"freq_threshold": 3}}]},
]


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

    def refused(self, rows: pl.DataFrame, features: list[dict[str, Any]], tmp_path: Path) -> str:
        (tmp_path / "rows").mkdir()
        label = [number % 2 for number in range(rows.height)]
        rows.with_columns(label=pl.Series(label)).write_parquet(tmp_path / "rows" / "a.parquet")
        with pytest.raises(UserError) as caught:
            prepared(tmp_path / "out", tmp_path / "rows", "nvtabular", features)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_hashes_that_depend_on_the_row(self, tmp_path: Path) -> None:
        rows = pl.DataFrame({"city": ["Oslo", "Rome"] * 50})
        told = self.refused(rows, [{"columns": ["city"], "ops": [{"hash_bucket": {"num_buckets": 10}}]}], tmp_path)
        assert "feature city" in told
        assert "hash_bucket" in told
        assert "other values than would be served" in told

    def test_a_constant_column_in_normalize_min_max(self, tmp_path: Path) -> None:
        rows = pl.DataFrame({"x": [3.0] * 100})
        told = self.refused(rows, [{"columns": ["x"], "ops": ["normalize_min_max"]}], tmp_path)
        assert "feature x" in told
        assert "0.5 there, 0.0 when served" in told

    def test_an_operator_that_it_lacks(self, tmp_path: Path) -> None:
        rows = pl.DataFrame({"x": [3.0, 4.0] * 50})
        features = [{"columns": ["x"], "ops": [{"expression": {"formula": "x + 1", "name": "y"}}]}]
        assert "NVTabular has no operator for formulas" in self.refused(rows, features, tmp_path)

    def test_large_integers_beside_nulls(self, tmp_path: Path) -> None:
        rows = pl.DataFrame({"id": [2**60 + number % 3 if number % 5 else None for number in range(100)]})
        told = self.refused(rows, [{"columns": ["id"], "ops": ["categorify"]}], tmp_path)
        assert "column id" in told
        assert "2^53" in told

    def test_its_own_failures_are_one_line(self, tmp_path: Path) -> None:
        """Its Categorify takes the first value of each part that it reads, and falls over where there is none."""
        rows = pl.DataFrame({"c": [None] * 99 + ["a"], "n": range(100)})
        told = self.refused(rows, [{"columns": ["c"], "ops": ["categorify"]}], tmp_path)
        assert "NVTabular failed in its" in told
        assert "categorical encode column c" in told


def test_large_integers_stay_exact(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    values = [2**60 + number % 3 for number in range(100)]
    frame = pl.DataFrame({"id": values, "label": [number % 2 for number in range(100)]})
    frame.write_parquet(tmp_path / "rows" / "a.parquet")
    features = [{"columns": ["id"], "ops": ["categorify"]}]
    dataset = prepared(tmp_path / "out", tmp_path / "rows", "nvtabular", features)
    (state,) = Fitted.load(dataset.workflow_dir).steps[0].state.by_column.values()
    assert set(state["value"]) == set(values)


def test_in_python_a_graph_with_shared_and_renamed_columns(tmp_path: Path) -> None:
    """One column on three ways, and one node read twice."""
    from etl.ops import Clip, LogOp, Rename

    frame = pl.DataFrame({"x": [1.0, None, 3.0, 8.0, 2.0, 2.0], "c": ["a", "b", "a", None, "c", "a"]})
    filled = ["x"] >> FillMedian()
    scaled = filled >> Normalize()
    logged = filled >> Clip(min=2) >> LogOp() >> Rename(postfix="_log")
    ids = ["c"] >> Categorify()
    workflow = Workflow(scaled + logged + ids + (["c"] >> Categorify(freq_threshold=2) >> Rename(postfix="_often")))
    with NvtabularEngine() as engine:
        fitted = engine.fit(workflow, frame.lazy())
        rows = frame.with_row_index(ROW).with_columns(__split__=pl.lit(0, pl.Int8)).lazy()
        (tmp_path / "out").mkdir()
        sunk = engine.write(fitted, rows, tmp_path / "out", keep=["__split__", ROW])
    assert sunk.rows == {"train": 6, "valid": 0, "test": 0}
    made = pl.read_parquet(sunk.files["train"])
    assert_frame_equal(
        made, workflow.fit(frame).transform(frame).collect().select(made.columns), rel_tol=1e-5, abs_tol=1e-6
    )


def test_the_engine_runs_no_plans_and_no_fit_of_another(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    with NvtabularEngine() as engine:
        with pytest.raises(UserError, match="can't run a Polars plan"):
            engine.collect([frame.lazy()])
        with pytest.raises(UserError, match="only run what it fitted last"):
            engine.write(Workflow(["x"] >> Normalize()).fit(frame), frame.lazy(), tmp_path, keep=[])


DRAWN = pl.DataFrame(
    {
        "a": [None if n % 7 == 0 else "xyzzy"[n % 5] for n in range(600)],
        "b": [None if n % 11 == 0 else "qxwzr"[(n * n) % 5] for n in range(600)],
        "i": [None if n % 13 == 0 else (n * 7) % 17 for n in range(600)],
        "l": [[(n * k) % 6 for k in range(1 + n % 3)] for n in range(600)],
    }
)


@pytest.mark.parametrize(
    ("columns", "operator"),
    [
        ([["a", "b"], "i"], Categorify()),
        ([["a", "b"]], Categorify(encode_type="combo")),
        ([["a", "i"], ["b", "a"]], Categorify(encode_type="combo")),
        (["a", "i"], Categorify(max_size=5)),
        (["a", "i"], Categorify(max_size={"a": 4, "i": 9})),
        (["i"], Categorify(freq_threshold=35)),
        (["l"], Categorify()),
        (["a"], Categorify(dtype="int64")),
    ],
    ids=repr,
)
def test_vocabularies_of_every_kind_are_taken_over(columns: Any, operator: Categorify, tmp_path: Path) -> None:
    """The engine itself refuses to write what its taken-over workflow would not give."""
    rows = DRAWN.with_row_index(ROW).with_columns(__split__=pl.lit(0, pl.Int8)).lazy()
    with NvtabularEngine() as engine:
        fitted = engine.fit(Workflow(columns >> operator), DRAWN.lazy())
        sunk = engine.write(fitted, rows, tmp_path, keep=["__split__", ROW])
    made = pl.read_parquet(sunk.files["train"])
    assert_frame_equal(made, fitted.transform(DRAWN).collect())
    ours = Workflow(columns >> operator).fit(DRAWN)
    assert [column.cardinality for column in fitted.schema] == [column.cardinality for column in ours.schema]
    for name, table in ours.steps[0].state.by_column.items():
        # Which of several values with one count max_size leaves out is a matter of ties.
        assert fitted.steps[0].state.by_column[name]["count"].to_list() == table["count"].to_list()
