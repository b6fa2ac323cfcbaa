"""Updates against answers known by construction: growing vocabularies, medians, moments, and what was seen."""

from __future__ import annotations

import doctest
import json
import logging
import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset import TIME
from core.errors import UserError
from core.schema import DType
from etl import Fitted, Workflow
from etl.ops import Categorify, FillMedian, JoinExternal, Lag, LogOp, Normalize, NormalizeMinMax, sketch
from etl.ops.fill import Medians
from etl.ops.normalize import Moments, round_to
from etl.updates import require_same
from tests.contract.operators import GpuLikeEngine
from tests.contract.updates import states


def words(text: str) -> pl.DataFrame:
    """One row a letter; `_` is null."""
    return pl.DataFrame({"x": [None if letter == "_" else letter for letter in text]}, schema={"x": pl.String})


def numbers(values: Sequence[float | None]) -> pl.DataFrame:
    return pl.DataFrame({"x": values}, schema={"x": pl.Float64})


def ids(fitted: Fitted, text: str) -> list[int]:
    return fitted.transform(words(text)).collect()["x"].to_list()


def values(fitted: Fitted, given: Sequence[float | None]) -> list[float]:
    return fitted.transform(numbers(given)).collect()["x"].to_list()


class TestVocabularies:
    def test_known_values_keep_their_ids_and_new_ones_follow_by_count_and_value(self):
        first = Workflow(["x"] >> Categorify()).fit(words("bbba_"))
        second = first.update(words("zzyyyaaaaxx_"))
        assert ids(first, "bazyx_") == [3, 4, 2, 2, 2, 1]
        # a is the most frequent now, and keeps its id; then y, and x before z.
        assert ids(second, "bayxz_q") == [3, 4, 5, 6, 7, 1, 2]
        assert second.schema["x"].cardinality == 8
        assert second.steps[0].state.by_column["x"]["count"].to_list() == [3, 5, 3, 2, 2]

    def test_rare_values_wait_until_they_are_seen_often_enough(self):
        day = Workflow(["x"] >> Categorify(freq_threshold=3)).fit(words("aaabbc"))
        assert ids(day, "abcd") == [3, 2, 2, 2]
        day = day.update(words("bcdd"))
        assert ids(day, "abcd") == [3, 4, 2, 2]
        day = day.update(words("dc"))
        assert ids(day, "abcd") == [3, 4, 5, 6]
        assert not day.steps[0].state.rare

    def test_nothing_waits_without_a_threshold_or_room(self):
        plain = Workflow(["x"] >> Categorify()).fit(words("aabc"))
        assert not plain.steps[0].state.rare
        full = Workflow(["x"] >> Categorify(freq_threshold=2, max_size=4)).fit(words("aaabbc"))
        assert not full.steps[0].state.rare, "a full vocabulary takes no value any more"
        assert list(full.steps[0].state.tables()) == ["ids:x"]

    def test_a_full_vocabulary_keeps_newcomers_out_and_says_so(self, caplog):
        first = Workflow(["x"] >> Categorify(max_size=6)).fit(words("aab"))
        with caplog.at_level(logging.WARNING, "gyrfalcon"):
            second = first.update(words("ccccdddeebb"))
        assert ids(second, "abcde") == [3, 4, 5, 2, 2]
        assert second.schema["x"].cardinality == 6
        assert "column x: 2 new values get no id" in caplog.text
        assert second.steps[0].state.by_column["x"]["count"].to_list() == [2, 3, 4], "counts go on"
        assert ids(second.update(words("ddddddddd")), "abcde") == [3, 4, 5, 2, 2]

    def test_new_rows_beyond_the_limit_still_count_for_known_values(self):
        """The fit of the new rows alone would have no room for `a`."""
        first = Workflow(["x"] >> Categorify(max_size=4)).fit(words("a"))
        assert first.update(words("cccbba")).steps[0].state.by_column["x"].rows() == [("a", 2)]

    @given(
        parts=st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=5),
        threshold=st.integers(0, 4),
        size=st.sampled_from([0, 4, 6, 8]),
    )
    @settings(max_examples=60, deadline=None)
    def test_any_days_give_what_a_simulation_gives(self, parts, threshold, size):
        """Day by day: those with ids keep them; of the others, the most frequent that are frequent enough come in."""
        fitted = Workflow(["x"] >> Categorify(freq_threshold=threshold, max_size=size)).fit(words(parts[0]))
        known: list[str] = []
        for day, part in enumerate(parts):
            if day:
                fitted = fitted.update(words(part))
            seen = Counter("".join(parts[: day + 1]))
            new = [value for value in seen if value not in known and seen[value] >= threshold]
            room = size - 3 - len(known) if size else len(new)
            known += sorted(new, key=lambda value: (-seen[value], value))[:room]
            state = fitted.steps[0].state
            assert state.by_column["x"].rows() == [(value, seen[value]) for value in known]
            waiting = {} if size and len(known) == size - 3 else {v: n for v, n in seen.items() if v not in known}
            assert dict(state["x"].rare.rows()) == waiting, "those that may still come in, and nothing else"

    def test_saved_in_between(self, tmp_path):
        day = Workflow(["x"] >> Categorify(freq_threshold=2)).fit(words("aabc"))
        day.save(tmp_path / "monday")
        loaded = Fitted.load(tmp_path / "monday").update(words("cbd"))
        assert ids(loaded, "abcd") == [3, 4, 5, 2]
        assert states(loaded) == states(day.update(words("cbd")))
        assert [one.rows for one in loaded.seen] == [4, 3]


FLOATS = st.floats(-1e270, 1e270) | st.floats(-9, 9) | st.integers(-9, 9).map(float) | st.floats(0.5, 2)


class TestMedians:
    def test_exact_where_values_repeat(self):
        fitted = Workflow(["x"] >> FillMedian()).fit(numbers([1, 2, None])).update(numbers([7, 7, 7, 100]))
        assert values(fitted, [None]) == [7.0]

    @given(st.lists(FLOATS, min_size=1, max_size=200), st.lists(FLOATS, min_size=1, max_size=200))
    @settings(max_examples=60, deadline=None)
    def test_within_the_stated_error_of_the_exact_median(self, first, second):
        fitted = Workflow(["x"] >> FillMedian()).fit(numbers(first))
        assert fitted.steps[0].state.median["x"] == pytest.approx(statistics.median(first))
        found = fitted.update(numbers(second)).steps[0].state.median["x"]
        both = sorted([*first, *second])
        low, high = both[(len(both) - 1) // 2], both[len(both) // 2]
        error = sketch.ERROR * max(abs(low), abs(high))
        assert low - error <= found <= high + error

    def test_a_large_column_is_within_the_stated_error(self):
        spread = [math.exp(math.sin(n) * 5) for n in range(20_000)]
        fitted = Workflow(["x"] >> FillMedian()).fit(numbers(spread[:5000])).update(numbers(spread[5000:]))
        exact = statistics.median(spread)
        assert fitted.steps[0].state.median["x"] == pytest.approx(exact, rel=sketch.ERROR)
        assert fitted.steps[0].state.sketches["x"].height < 5000

    @given(st.lists(FLOATS, min_size=2, max_size=60), st.data())
    @settings(max_examples=60, deadline=None)
    def test_sketches_of_parts_are_the_sketch_of_the_whole(self, drawn, data):
        cut = data.draw(st.integers(1, len(drawn) - 1))
        whole, left, right = (
            sketch.sketch(numbers(part).lazy(), pl.col("x")).collect().sort("low")
            for part in (drawn, drawn[:cut], drawn[cut:])
        )
        assert sketch.merge(left, right).equals(whole)
        assert sketch.merge(right, left).equals(whole)

    @given(FLOATS)
    def test_bins_are_as_narrow_as_stated(self, x):
        edge = numbers([x, x * (1 + 2 * sketch.ERROR), x * (1 + 1e-9)])
        bins = sketch.sketch(edge.lazy(), pl.col("x")).collect()
        for low, high, _ in bins.rows():
            assert high - low <= sketch.ERROR * max(abs(low), abs(high))

    def test_infinite_values_are_counted_and_an_infinite_median_is_told(self):
        fitted = Workflow(["x"] >> FillMedian()).fit(numbers([1, 2, math.inf])).update(numbers([3, -math.inf]))
        assert values(fitted, [None]) == [2.0]
        with pytest.raises(UserError, match="column x: the median is infinite"):
            fitted.update(numbers([math.inf] * 9))


class TestMoments:
    def test_mean_and_deviation_of_all_rows(self):
        rows = [float(n % 7) + n / 100 for n in range(100)]
        fitted = Workflow(["x"] >> Normalize()).fit(numbers(rows[:10]))
        for start in range(10, 100, 30):
            fitted = fitted.update(numbers(rows[start : start + 30]))
        state = fitted.steps[0].state
        assert state.count["x"] == 100
        assert state.mean["x"] == pytest.approx(statistics.mean(rows), abs=3e-8 * statistics.stdev(rows))
        assert state.std["x"] == pytest.approx(statistics.stdev(rows), rel=1e-7)

    def test_far_from_zero(self):
        """The textbook formula would lose every digit here."""
        rows = [1e9 + n % 3 for n in range(30)]
        state = Workflow(["x"] >> Normalize()).fit(numbers(rows[:15])).update(numbers(rows[15:])).steps[0].state
        assert state.std["x"] == pytest.approx(statistics.stdev(rows), rel=1e-6)

    def test_constant_columns_stay_constant_or_stop_being_so(self):
        fitted = Workflow(["x"] >> Normalize()).fit(numbers([5, 5]))
        assert values(fitted.update(numbers([5, None])), [5, 6]) == [0.0, 1.0]
        assert values(fitted.update(numbers([7, 7])), [6]) == [0.0]

    def test_a_spread_that_overflows_is_told(self):
        fitted = Workflow(["x"] >> Normalize()).fit(numbers([1.7e308]))
        with pytest.raises(UserError, match="column x: the values lie too far apart for normalize"):
            fitted.update(numbers([-1.7e308]))
        fitted = Workflow(["x"] >> NormalizeMinMax()).fit(numbers([1.7e308]))
        with pytest.raises(UserError, match="column x: the values lie too far apart for normalize_min_max"):
            fitted.update(numbers([-1.7e308]))

    def test_extremes_widen(self):
        fitted = (
            Workflow(["x"] >> NormalizeMinMax()).fit(numbers([2, 4])).update(numbers([None, 0])).update(numbers([8]))
        )
        assert values(fitted, [0, 4, 8, 16]) == [0.0, 0.5, 1.0, 2.0]

    def test_rounding_is_kept(self):
        state = Workflow(["x"] >> Normalize()).fit(numbers([1, 2, 4])).update(numbers([1 / 3, 9])).steps[0].state
        assert state.mean["x"] == round_to(state.mean["x"], state.std["x"])
        assert state.std["x"] == round_to(state.std["x"], state.std["x"])


class TestWorkflows:
    def test_an_operator_behind_another_learns_from_what_that_one_gives_now(self):
        """Documented: what was learned of earlier rows stays as it was then."""
        chain = ["x"] >> FillMedian() >> Normalize()
        fitted = Workflow(chain).fit(numbers([1, 1, None])).update(numbers([3, 3, 3, 3, None]))
        medians, moments = (step.state for step in fitted.steps)
        assert medians.median["x"] == 3.0
        # Ones where the first median stood in, then threes, the new median among them.
        assert moments.mean["x"] == pytest.approx((3 * 1 + 5 * 3) / 8, abs=1e-7)

    def test_an_update_takes_as_many_passes_as_a_fit_and_gives_the_same_on_a_gpu_like_engine(self):
        node = (["x"] >> FillMedian() >> LogOp() >> Normalize()) + (["y"] >> Categorify(freq_threshold=2))
        rows = pl.DataFrame({"x": [1.0, None, 3.0, 9.0], "y": ["a", "b", "b", "a"]})
        more = pl.DataFrame({"x": [None, 5.0, 7.0], "y": ["c", None, "c"]})
        fitted = Workflow(node).fit(rows)
        assert states(fitted.update(more, GpuLikeEngine())) == states(fitted.update(more))

    def test_only_some_of_the_rows(self):
        rows = pl.DataFrame({"x": ["a", "b", "b", "c"], "new": [False, True, True, False]})
        fitted = Workflow(["x"] >> Categorify()).fit(words("a")).update(rows, only=pl.col("new"))
        assert ids(fitted, "abc") == [3, 4, 2]
        assert [one.rows for one in fitted.seen] == [1, 2]

    def test_windows_see_the_earlier_rows_that_are_given_and_only_new_ones_are_learned_from(self):
        node = ["item"] >> Lag(partition_cols="user", time="t", unit="s") >> Categorify()
        rows = pl.DataFrame({"item": list("aabbcd"), "user": [1] * 6, "t": [1, 2, 3, 4, 5, 6]})
        fitted = Workflow(node).fit(rows[:3])
        alone, among = fitted.update(rows[3:]), fitted.update(rows, only=pl.col("t") > 3)
        counts = [dict(one.steps[1].state.by_column["item_lag_1"].rows()) for one in (fitted, alone, among)]
        assert counts == [{"a": 2}, {"a": 2, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1}]
        assert among.seen[1].rows == 3

    def test_a_fit_of_no_rows_is_still_refused(self):
        with pytest.raises(UserError, match="no rows to fit on"):
            Workflow(["x"] >> Categorify()).fit(words(""))

    def test_what_nvtabular_did_not_tell_is_named(self):
        fitted = Workflow(["x"] >> Normalize()).fit(numbers([1, 2]))
        foreign = Moments(fitted.steps[0].state.mean, fitted.steps[0].state.std)
        for operator, old in ((Normalize(), foreign), (FillMedian(), Medians({"x": 1.0}))):
            new = Workflow(["x"] >> operator).fit(numbers([1, 2]))
            with pytest.raises(UserError, match="column x: this was taken over from NVTabular"):
                operator.merge(old, new.steps[0].state, new.steps[0].columns)


class TestTypes:
    def test_types_widen(self):
        small = pl.DataFrame({"n": [1, 2], "x": [1.0, 2.0]}, schema={"n": pl.Int8, "x": pl.Float32})
        large = pl.DataFrame({"n": [2**40, 2], "x": [1e200, 2.0]}, schema={"n": pl.Int64, "x": pl.Float64})
        fitted = Workflow((["n"] >> Categorify()) + (["x"] >> NormalizeMinMax())).fit(small)
        updated = fitted.update(large)
        assert [column.dtype for column in updated.input_schema] == [DType.INT64, DType.FLOAT64]
        assert updated.transform(large).collect()["n"].to_list() == [5, 4]
        narrow = updated.update(small)
        assert [column.dtype for column in narrow.input_schema] == [DType.INT64, DType.FLOAT64], "it never narrows"
        assert [column.dtype for column in fitted.input_schema] == [DType.INT8, DType.FLOAT32]

    def test_other_types_are_named(self):
        fitted = Workflow(["x"] >> Categorify()).fit(words("a"))
        with pytest.raises(UserError, match="column x: the column was fitted as string and is int64 now"):
            fitted.update(pl.DataFrame({"x": [1]}))
        with pytest.raises(UserError, match="column x: the data have no such column"):
            fitted.update(pl.DataFrame({"y": [1]}))


class TestSeen:
    def test_rows_labels_and_times(self):
        rows = words("ab").with_columns(pl.Series(TIME, [7, 5]))
        fitted = Workflow(["x"] >> Categorify()).fit(rows, label="monday").update(words("c"))
        first, second = fitted.seen
        assert (first.rows, first.label, first.first, first.last) == (2, "monday", 5, 7)
        assert (second.rows, second.label, second.first, second.last) == (1, "", None, None)

    def test_the_same_rows_given_twice_are_told(self, caplog):
        workflow = Workflow((["x"] >> Categorify()) + (["n"] >> FillMedian() >> Normalize()))
        monday = words("abbc_").with_columns(n=pl.Series([1.0, 2.0, None, 4.0, 9.0]))
        tuesday = monday.with_columns(n=pl.Series([1.0, 2.0, None, 4.0, 8.0]))
        fitted = workflow.fit(monday, label="monday").update(tuesday, label="tuesday")
        assert not caplog.records
        with caplog.at_level(logging.WARNING, "gyrfalcon"):
            again = fitted.update(monday.sample(fraction=1.0, shuffle=True, seed=1), label="wednesday")
        assert "5 rows (wednesday) were seen before, as 5 rows (monday)" in caplog.text
        assert again.seen[0].fingerprint == again.seen[2].fingerprint != again.seen[1].fingerprint

    def test_it_is_saved(self, tmp_path):
        fitted = Workflow(["x"] >> Categorify()).fit(words("ab"), label="monday").update(words("c"), label="é")
        fitted.save(tmp_path / "workflow")
        assert Fitted.load(tmp_path / "workflow").seen == fitted.seen
        told = json.loads((tmp_path / "workflow" / "workflow.json").read_text())["seen"]
        assert [one["label"] for one in told] == ["monday", "é"]
        assert set(told[0]) == {"rows", "label", "first", "last", "fingerprint"}


class TestSameFeatures:
    """`Workflow.update` goes on only from the same features, and names the first difference."""

    EARLIER = (["x"] >> Categorify(freq_threshold=2)) + (["n"] >> LogOp() >> Normalize())
    ROWS = pl.DataFrame({"x": ["a", "a"], "n": [1.0, 2.0], "m": [1.0, 2.0]})

    @pytest.mark.parametrize(
        ("node", "told"),
        [
            ((["x"] >> Categorify()) + (["n"] >> LogOp() >> Normalize()), "freq_threshold 0, where it was 2"),
            (EARLIER + (["m"] >> LogOp()), "m is new"),
            (["x"] >> Categorify(freq_threshold=2), "n is gone"),
            ((["x"] >> Categorify(freq_threshold=2)) + (["n"] >> LogOp() >> LogOp()), "n passes through log"),
            ((["x"] >> Categorify(freq_threshold=2)) + (["n"] >> Normalize() >> LogOp()), "n passes through normalize"),
            ((["n"] >> LogOp() >> Normalize()) + (["x"] >> Categorify(freq_threshold=2)), "passes through"),
        ],
    )
    def test_a_difference_is_named(self, node, told):
        fitted = Workflow(self.EARLIER).fit(self.ROWS)
        with pytest.raises(UserError, match="not those of the earlier workflow") as caught:
            Workflow(node).update(fitted, self.ROWS)
        assert told in str(caught.value)
        assert caught.value.cure

    def test_another_order_of_the_outputs_is_named(self):
        rows = pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, 5.0]})
        fitted = Workflow(["a", "b"] >> Normalize()).fit(rows)
        with pytest.raises(UserError, match="its outputs stand in another order"):
            Workflow(["b", "a"] >> Normalize()).update(fitted, rows)

    def test_a_table_that_is_given_anew_counts(self, tmp_path):
        rows, path = pl.DataFrame({"item": ["a", "b"]}), tmp_path / "items.csv"

        def workflow(text: str) -> Workflow:
            path.write_text(text)
            return Workflow(["item"] >> JoinExternal(path, "item", keep_on=False) >> Categorify())

        monday = workflow("item,kind\na,tea\n").fit(rows)
        monday.save(tmp_path / "monday")
        loaded = Fitted.load(tmp_path / "monday")
        later = workflow("item,kind\na,tea\nb,milk\n")
        made = [
            one.transform(rows).collect()["kind"].to_list() for one in (later.update(loaded, rows), loaded.update(rows))
        ]
        assert made == [[3, 4], [3, 1]]
        with pytest.raises(UserError, match="items.csv has other columns than the table"):
            workflow("item,kind\na,1\n").update(loaded, rows)

    def test_the_same_features_go_on(self):
        fitted = Workflow(self.EARLIER).fit(self.ROWS)
        assert states(Workflow(self.EARLIER).update(fitted, self.ROWS)) == states(fitted.update(self.ROWS))
        require_same(fitted.plan, Workflow(self.EARLIER).plan(self.ROWS.schema))


def test_the_page_about_updates_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "incremental.md"
    code = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0), out=told.append)
    assert runner.tries > 9
    assert not runner.failures, "".join(told)
