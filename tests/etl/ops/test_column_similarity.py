"""column_similarity against the textbook formulas, computed with dense matrices."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from core.errors import UserError
from etl import Fitted, Workflow
from etl.ops import ColumnSimilarity, similarities
from tests.contract.serving import Served, assert_same

FEATURES = pl.DataFrame(
    [(1, "x", 1.0), (1, "y", 2.0), (2, "y", 4.0), (3, "z", 5.0), (4, "x", 3.0), (4, "y", 6.0), (4, "z", 1.0)],
    schema=["id", "feature", "weight"],
    orient="row",
)
ROWS = pl.DataFrame({"a": [1, 1, 1, 2, 4, 9, None], "b": [1, 2, 3, 4, 4, 1, 1]})


def fit(operator: ColumnSimilarity, frame: pl.DataFrame = ROWS) -> Fitted:
    return Workflow([["a", "b"]] >> operator).fit(frame)


def made(operator: ColumnSimilarity, frame: pl.DataFrame = ROWS) -> list[float | None]:
    return fit(operator, frame).transform(frame).collect()["a_b_sim"].to_list()


def near(*values: float | None) -> list[object]:
    return [None if value is None else pytest.approx(value, abs=1e-6) for value in values]


class TestMetrics:
    def test_inner(self):
        assert made(ColumnSimilarity(FEATURES, metric="inner")) == near(5, 8, 0, 24, 46, 0, None)

    def test_cosine(self):
        root = math.sqrt(5)
        expected = near(1, 2 / root, 0, 6 / math.sqrt(46), 1, 0, None)
        assert made(ColumnSimilarity(FEATURES, metric="cosine")) == expected

    def test_tfidf_is_the_default(self):
        # Of 4 ids x has 2, y 3, z 2: ln 2, ln 4/3, ln 2.
        two, third = math.log(2), math.log(4 / 3)
        one, four = np.array([two, 2 * third, 0]), np.array([3 * two, 6 * third, two])
        expected = one @ four / np.linalg.norm(one) / np.linalg.norm(four)
        frame = pl.DataFrame({"a": [1, 2], "b": [4, 2]})
        assert made(ColumnSimilarity(FEATURES), frame) == near(expected, 1)

    @pytest.mark.parametrize("metric", ["inner", "cosine", "tfidf"])
    def test_as_dense_matrices(self, metric):
        draw = np.random.default_rng(3)
        dense = draw.random((50, 30)) * (draw.random((50, 30)) < 0.2)
        dense[7] = 0
        found = [int(n) for n in draw.integers(0, 50, 400)]
        frame = pl.DataFrame({"a": found, "b": found[::-1]})
        operator = ColumnSimilarity(sparse(dense), metric=metric)
        weighed = dense * np.log(50 / np.maximum((dense != 0).sum(0), 1)) if metric == "tfidf" else dense
        if metric != "inner":
            weighed = weighed / np.maximum(np.linalg.norm(weighed, axis=1, keepdims=True), 1e-300)
        expected = (weighed[frame["a"].to_numpy()] * weighed[frame["b"].to_numpy()]).sum(1)
        assert made(operator, frame) == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-9)

    def test_features_of_two_sides(self):
        words = pl.DataFrame({"word": ["n", "n", "m"], "feature": ["x", "z", "y"]})
        frame = pl.DataFrame({"a": [4, 4, 1], "b": ["n", "m", "n"]})
        assert made(ColumnSimilarity(FEATURES, words, metric="inner"), frame) == near(4, 6, 1)


def sparse(dense: np.ndarray) -> object:
    """A matrix with the part of SciPy's interface that is read."""

    class Matrix:
        shape = dense.shape
        row, col = (part.astype(np.int32) for part in np.nonzero(dense))
        data = dense[np.nonzero(dense)]

        def tocoo(self) -> Matrix:
            return self

    return Matrix()


class TestState:
    def test_saved_served_and_of_any_order(self, tmp_path):
        path = tmp_path / "features.parquet"
        FEATURES.write_parquet(path)
        fitted = fit(ColumnSimilarity(path))
        assert_same(fitted, Served(fitted), ROWS)
        fitted.save(tmp_path / "w")
        path.unlink()
        loaded = Fitted.load(tmp_path / "w")
        assert loaded.transform(ROWS).collect().equals(fitted.transform(ROWS).collect())
        turned = fit(ColumnSimilarity(FEATURES.reverse())).steps[0].state
        assert turned.tables()["left"].equals(fitted.steps[0].state.tables()["left"])

    def test_equal_pairs_of_id_and_feature_are_added(self):
        twice = pl.concat([FEATURES, FEATURES[:1]])
        assert made(ColumnSimilarity(twice, metric="inner"))[0] == pytest.approx(4 + 4)

    def test_an_id_with_very_many_features(self):
        count = 20_000
        table = pl.DataFrame({"id": [1] * count, "feature": range(count)})
        assert made(ColumnSimilarity(table, metric="inner"), pl.DataFrame({"a": [1], "b": [1]})) == [count]


class TestServed:
    """What a graph would take is bounded, for each row and in all."""

    @staticmethod
    def served(left: int, right: int) -> Served:
        tables = [pl.DataFrame({"id": [1] * count, "feature": range(count)}) for count in (left, right)]
        served = Served(fit(ColumnSimilarity(*tables, metric="inner"), pl.DataFrame({"a": [1], "b": [1]})))
        assert served.session
        return served

    def test_products_of_a_row(self):
        rows = pl.DataFrame({"a": [1], "b": [1]})
        assert self.served(1000, 100).run(rows)["a_b_sim"].tolist() == [100.0]
        told = "column a_b_sim: .* 100,100 products for each row, .* 1,001 features on the left, and up to 100 on"
        with pytest.raises(UserError, match=told):
            self.served(1001, 100)

    def test_cells(self, monkeypatch):
        monkeypatch.setattr(similarities, "_LARGEST", 2 * 5 + 2 * 3)
        assert self.served(5, 3)
        with pytest.raises(UserError, match="column a_b_sim: .* 18 cells, the limit is 16"):
            self.served(5, 4)


class TestRefused:
    def test_what_is_no_pair(self):
        for columns in (["a"], [["a", "b", "c"]], [["a", "b"], "c"]):
            with pytest.raises(UserError, match="column_similarity takes pairs of columns"):
                Workflow(columns >> ColumnSimilarity(FEATURES)).fit(ROWS.with_columns(c=1))

    def test_ids_of_another_type(self):
        with pytest.raises(UserError, match="column b: the ids are string in the rows and int64 in the given table"):
            made(ColumnSimilarity(FEATURES), pl.DataFrame({"a": [1], "b": ["x"]}))

    @pytest.mark.parametrize(
        ("table", "told"),
        [
            (FEATURES.select("id"), "two or three columns"),
            (FEATURES[:0], "one row or more"),
            (FEATURES.with_columns(weight=pl.lit(math.inf)), "finite"),
            (FEATURES.with_columns(id=pl.lit(0.5)), "whole numbers"),
            (FEATURES[:1], "no feature has a weight by tfidf"),
        ],
    )
    def test_tables(self, table, told):
        with pytest.raises(UserError, match=told):
            made(ColumnSimilarity(table))

    def test_settings(self):
        with pytest.raises(ValidationError, match="on_device has no meaning here"):
            ColumnSimilarity(FEATURES, on_device=False)
        with pytest.raises(ValidationError, match="metric"):
            ColumnSimilarity(FEATURES, metric="dot")
