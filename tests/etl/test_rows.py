"""Rules for rows: what each keeps, that everything downstream sees the same rows, and what is told."""

from __future__ import annotations

import json
import logging
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.dataset import ITEM_INDEX, ROW, SPLIT, TARGET, TIME, USER_INDEX
from core.errors import UserError
from etl.dataset.prepare import prepare
from etl.dataset.sources import Roles, Sources
from etl.dataset.splits import TimeSplit
from etl.dataset.splitting import Rows, learn
from etl.rows import RULES, Given, apply_rules
from etl.rows.baskets import baskets
from etl.rows.k_core import k_core
from etl.rows.repeats import repeats
from etl.spec import EtlSpec
from tests.etl.conftest import Desk

ROLES = Roles(user="u", item="i", time="t")
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abcdef")), max_size=60)


def spec(*rules: object) -> EtlSpec:
    feature = {"columns": ["u"], "ops": ["categorify"]}
    return EtlSpec.model_validate({"rows": rules, "target": {"column": "y"}, "features": [feature]})


def left(frame: pl.DataFrame, *rules: object, roles: Roles = ROLES) -> pl.DataFrame:
    """What rules leave."""
    raw = frame.with_row_index(ROW).lazy()
    context = Given(roles, tuple(frame.columns))
    made, _ = apply_rules(raw, spec(*rules).rows, context, frame.schema, "log")
    return made.collect()


def kept(frame: pl.DataFrame, *rules: object, roles: Roles = ROLES) -> list[int]:
    """The numbers of the rows that rules leave."""
    return left(frame, *rules, roles=roles)[ROW].to_list()


class TestFilter:
    FRAME = pl.DataFrame({"u": ["a", "b", "", None], "x": [1.0, -1.0, float("nan"), 5.0], "t": [1, 2, 3, 4]})

    def test_a_formula_over_numbers_and_strings(self) -> None:
        assert kept(self.FRAME, {"filter": "x > 0"}) == [0, 3]
        assert kept(self.FRAME, {"filter": "u in ['a', 'b'] and x < 0"}) == [1]
        assert kept(self.FRAME, {"filter": {"formula": "is_null(u) or is_null(x)"}}) == [2, 3]

    def test_what_is_not_known_goes(self) -> None:
        assert kept(self.FRAME, {"filter": "not x > 0"}) == [1]

    def test_a_string_is_no_number(self) -> None:
        with pytest.raises(UserError, match=r"rule 2, column u: the formula 'u > 0' takes a number, got string"):
            kept(self.FRAME, {"filter": "x > 0"}, {"filter": "u > 0"})

    def test_a_config_tells_where_the_formula_is_wrong(self) -> None:
        with pytest.raises(ValidationError, match="column 4: invalid syntax"):
            spec({"filter": "x >"})


class TestDropna:
    def test_every_value_that_stands_for_null(self) -> None:
        frame = pl.DataFrame({"u": ["a", "", None, "b"], "x": [1.0, 2.0, 3.0, float("nan")], "t": [1, 2, 3, 4]})
        assert kept(frame, {"dropna": ["u"]}) == [0, 3]
        assert kept(frame, {"dropna": "x"}) == [0, 1, 2]
        assert kept(frame, {"dropna": {"columns": ["u", "x"]}}) == [0]


class TestDropDuplicates:
    FRAME = pl.DataFrame({"u": [1, 1, 1, None, None], "i": ["a", "a", "b", "a", "a"], "t": [5, 3, 1, 2, 2]})

    def test_the_first_or_the_last_by_time_is_kept(self) -> None:
        assert kept(self.FRAME, {"drop_duplicates": ["u", "i"]}) == [1, 2, 3]
        assert kept(self.FRAME, {"drop_duplicates": {"columns": ["u", "i"], "keep": "last"}}) == [0, 2, 4]

    def test_without_times_by_the_order_of_rows(self) -> None:
        roles = Roles(user="u", item="i")
        assert kept(self.FRAME, {"drop_duplicates": ["u", "i"]}, roles=roles) == [0, 2, 3]

    def test_all_columns_by_default(self) -> None:
        assert kept(self.FRAME, "drop_duplicates") == [0, 1, 2, 3]


class TestKCore:
    @given(PAIRS, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["pairs", "events"]))
    @settings(max_examples=80, deadline=None)
    def test_as_taking_away_one_by_one(self, pairs: list[tuple[int, str]], user: int, item: int, count: str) -> None:
        frame = pl.DataFrame(pairs, schema={"u": pl.Int64, "i": pl.String}, orient="row")
        rest = list(pairs)
        while True:
            seen = list(dict.fromkeys(rest)) if count == "pairs" else rest
            users, items = Counter(u for u, _ in seen), Counter(i for _, i in seen)
            poor = [pair for pair in rest if users[pair[0]] < user or items[pair[1]] < item]
            if not poor:
                break
            rest = [pair for pair in rest if pair != poor[0]]
        made = k_core(frame, user="u", item="i", least_user=user, least_item=item, count=count)  # type: ignore[arg-type] # as drawn
        assert made.collect().rows() == rest

    def test_the_whole_unravels(self) -> None:
        chain = pl.DataFrame({"u": [1, 1, 2, 2, 3, 3], "i": ["a", "b", "b", "c", "c", "d"]})
        assert k_core(chain, user="u", item="i", least_user=2, least_item=2).collect().is_empty()

    def test_in_a_config(self) -> None:
        frame = pl.DataFrame({"u": [1, 1, 2, 2, 3], "i": ["a", "b", "a", "b", "b"], "t": [0] * 5})
        assert kept(frame, {"k_core": 2}) == [0, 1, 2, 3]
        assert kept(frame, {"k_core": {"user": 1, "item": 3, "count": "events"}}) == [1, 3, 4]

    def test_ids_must_be_there(self) -> None:
        frame = pl.DataFrame({"u": [1, None], "i": ["a", "b"], "t": [0, 0]})
        with pytest.raises(UserError, match=r"column u: some rows have no value.*\{dropna: \[u\]\}"):
            kept(frame, {"k_core": 1})
        with pytest.raises(UserError, match="k_core needs the item role"):
            kept(frame, {"k_core": 1}, roles=Roles(user="u"))


class TestRepeats:
    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=30), st.integers(0, 9))
    @settings(max_examples=80, deadline=None)
    def test_as_looking_ahead_row_by_row(self, events: list[tuple[int, int]], within: int) -> None:
        frame = pl.DataFrame(events, schema={"u": pl.Int64, TIME: pl.Int64}, orient="row").lazy()
        last = max(time for _, time in events)
        expected = [
            (user, time, int(any(one == user and time < then <= time + within for one, then in events)))
            for user, time in events
            if time + within <= last
        ]
        assert repeats(frame, ["u"], within, "again").collect().rows() == expected

    def test_times_in_days(self) -> None:
        days = pl.Series("t", ["2026-01-01", "2026-01-04", "2026-01-09", "2026-01-20"]).str.to_date()
        frame = pl.DataFrame({"u": [1, 1, 1, 2], "i": ["a", "a", "a", "b"], "t": days})
        made = left(frame, {"repeats": {"key": ["u", "i"], "within": "3d", "name": "again"}})
        assert made.select(ROW, "again").rows() == [(0, 1), (1, 0), (2, 0)]

    def test_numbers_do_not_tell_what_they_count(self) -> None:
        frame = pl.DataFrame({"u": [1, 1], "i": ["a", "a"], "t": [0, 86_400]})
        with pytest.raises(UserError, match="column t: the times are numbers.*unit: s"):
            left(frame, {"repeats": {"key": "u", "within": "1d"}})
        made = left(frame, {"repeats": {"key": "u", "within": "1d", "unit": "s"}})
        assert made.select(ROW, "repeats").rows() == [(0, 1)]

    def test_a_target_from_the_future_needs_a_gap(self) -> None:
        rule = {"repeats": {"key": ["u"], "within": "7d", "name": "y"}}
        settings = {"rows": [rule], "target": {"column": "y"}, "features": [{"columns": ["u"], "ops": ["categorify"]}]}
        for split in ({"by": "time"}, {"by": "time", "gap": "6d"}, "random"):
            with pytest.raises(ValidationError, match=r"known 7d later.*split: \{by: time, gap: 7d\}"):
                EtlSpec.model_validate({**settings, "split": split})
        assert EtlSpec.model_validate({**settings, "split": {"by": "time", "gap": "7d"}}).rows


class TestBaskets:
    FRAME = pl.DataFrame(
        {"b": ["x", "y", "x", None], "p": [2.0, 3.0, None, 9.0], "q": [2, 1, 7, 1], "t": [0, 50, 4, 9]}
    )

    def test_totals_stand_beside_every_line(self) -> None:
        rule = {"key": "b", "span": 4, "unit": "s", "lines": "n", "sums": {"value": "p * q", "pieces": "q"}}
        made = left(self.FRAME, {"baskets": rule}, roles=Roles(time="t"))
        assert made.select("n", "value", "pieces").rows() == [(2, 4.0, 9.0), (1, 3.0, 1.0), (2, 4.0, 9.0), (None,) * 3]

    def test_what_lasts_longer_is_refused(self) -> None:
        with pytest.raises(UserError, match="the basket 'x' lie further apart.*would tell of the future"):
            left(self.FRAME, {"baskets": {"key": "b", "span": 3, "unit": "s"}}, roles=Roles(time="t"))

    def test_a_key_may_have_any_name(self) -> None:
        frame = self.FRAME.rename({"b": "lines"})
        assert left(frame, {"baskets": {"key": "lines", "span": 4, "unit": "s"}}, roles=Roles(time="t")).height == 4

    def test_lines_that_were_dropped_do_not_count(self) -> None:
        rules = [{"dropna": "p"}, {"baskets": {"key": "b", "lines": "n"}}]
        assert left(self.FRAME, *rules, roles=Roles(time="t"))["n"].to_list() == [1, 1, None]

    def test_a_sum_is_the_same_whatever_the_rest(self) -> None:
        frame = pl.DataFrame({"b": [n % 7 for n in range(5000)], "p": [0.1 * n for n in range(5000)], TIME: [0] * 5000})
        one, two = (
            baskets(part.lazy(), "b", {"v": pl.col("p")}, lines=None, span=0).collect().filter(pl.col("b") == 3)
            for part in (frame, frame.filter(pl.col("b") > 2))
        )
        assert one["v"].equals(two["v"])


class TestGap:
    @given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 9))
    @settings(max_examples=80, deadline=None)
    def test_nothing_judges_within_the_gap(self, times: list[int], gap: int) -> None:
        frame = pl.DataFrame({"t": times, TIME: times}).lazy().with_row_index(ROW)
        chosen = TimeSplit(valid=0.2, test=0.2, gap=gap, unit="s")
        without = TimeSplit(valid=0.2, test=0.2)
        made, plain = (learn(one, Rows(frame, ROLES, 1))(frame).collect() for one in (chosen, without))
        starts = [plain.filter(pl.col(SPLIT) >= side)[TIME].min() for side in (1, 2)]
        for time, side, was in zip(made[TIME], made[SPLIT], plain[SPLIT], strict=True):
            near = any(start is not None and start - gap <= time < start for start in starts)
            assert side == (3 if near else was)


class TestPrepare:
    def rules(self, desk: Desk, *rules: object) -> Desk:
        desk.spec["rows"] = list(rules)
        return desk

    def test_interactions_catalogues_and_splits_see_the_same_rows(self, desk: Desk) -> None:
        del desk.sources["users"], desk.sources["items"], desk.sources["title"]
        desk.spec["features"] = [{"columns": ["user_id", "item_id"], "ops": ["categorify"]}]
        made = self.rules(desk, {"filter": "user_id < 14 and item_id not in ['i0', 'i1']"}).prepare()
        raw = pl.read_parquet(desk.sources["interactions"]["path"])
        expected = raw.filter((pl.col("user_id") < 14) & ~pl.col("item_id").is_in(["i0", "i1"]))
        assert pl.read_parquet(made.entity_file("users"))["user_id"].to_list() == [10, 11, 12, 13]
        items = pl.read_parquet(made.entity_file("items"))["item_id"]
        assert items.to_list() == [f"i{n}" for n in range(2, 7)]
        log = pl.read_parquet(made.interactions_file)
        assert log.height == expected.height
        assert items.gather(log[ITEM_INDEX].to_list()).to_list() == expected["item_id"].to_list()
        assert sum(made.manifest()["rows"].values()) == expected.height

    def test_a_column_of_a_rule_alone_goes_no_further(self, desk: Desk) -> None:
        made = self.rules(desk, {"filter": "device == 'tv'"}).prepare()
        assert "device" not in pl.read_parquet(made.profile_file)["name"].to_list()

    def test_rows_keep_their_numbers_so_a_random_split_keeps_its_sides(self, desk: Desk) -> None:
        desk.spec["split"] = {"by": "random", "valid": 0.3, "test": 0.3}
        before = pl.read_parquet(desk.prepare().interactions_file)
        after = pl.read_parquet(self.rules(desk, {"filter": "device == 'phone'"}).prepare().interactions_file)
        raw = pl.read_parquet(desk.sources["interactions"]["path"])
        chosen = before.filter(raw["device"] == "phone")
        assert after.select(SPLIT, TARGET, TIME).equals(chosen.select(SPLIT, TARGET, TIME))

    def test_what_was_dropped_is_told(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        desk.spec["rows"] = [{"filter": "device == 'phone'"}, "drop_duplicates", {"k_core": {"user": 2, "item": 2}}]
        out = desk.path / "told"
        out.mkdir()
        with caplog.at_level(logging.INFO, "gyrfalcon"):
            sources, chosen = Sources.model_validate(desk.sources), EtlSpec.model_validate(desk.spec)
            figures = prepare(sources, chosen, out, seed=1)
        assert "filter: 20 of 60 rows dropped (33.3 %)" in caplog.text
        assert figures["dropped"][0] == {"rule": "filter", "before": 60, "after": 40}
        assert [one["rule"] for one in figures["dropped"]] == ["filter", "drop_duplicates", "k_core"]
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["dropped"] == figures["dropped"]
        assert manifest["aside"] == 0

    def test_the_rule_that_took_the_last_row_is_named(self, desk: Desk) -> None:
        told = r"filter \(rule 2 of etl.rows\) drops the last 20 rows, so none are left"
        with pytest.raises(UserError, match=told) as caught:
            self.rules(desk, {"filter": "device == 'tv'"}, {"filter": "rating > 5"}, {"k_core": 9}).prepare()
        assert caught.value.cure

    def test_a_column_that_is_not_there_is_named(self, desk: Desk) -> None:
        with pytest.raises(UserError, match=r"no column devise \(filter of etl.rows\); did you mean device"):
            self.rules(desk, {"filter": "devise == 'tv'"}).prepare()

    def test_a_column_that_is_there_is_not_made_again(self, desk: Desk) -> None:
        rule = {"repeats": {"key": "user_id", "within": 3, "unit": "s", "name": "device"}}
        with pytest.raises(UserError, match="repeats is to make the column device, and there is one already"):
            self.rules(desk, rule).prepare()

    @pytest.mark.parametrize(
        ("name", "rules"),
        [
            ("basket_lines", [{"baskets": {"key": "device"}}, {"baskets": {"key": "city"}}]),
            ("basket_lines", [{"baskets": {"key": "device", "sums": {"basket_lines": "rating"}}}]),
            (TIME, [{"baskets": {"key": "device", "lines": TIME}}]),
        ],
    )
    def test_a_column_is_made_once(self, desk: Desk, name: str, rules: list[object]) -> None:
        with pytest.raises(UserError, match=f"baskets is to make the column {name}, and there is one already"):
            self.rules(desk, *rules).prepare()

    def test_a_rule_reads_what_those_before_it_make(self, desk: Desk) -> None:
        basket, many = {"baskets": {"key": "device", "span": 99, "unit": "s"}}, {"filter": "basket_lines > 1"}
        assert self.rules(desk, basket, many).prepare().manifest()["dropped"][1]["before"] == 60
        with pytest.raises(UserError, match=r"no column basket_lines \(filter of etl.rows\)"):
            self.rules(desk, many, basket).prepare()

    def test_rows_of_users_and_items_can_be_asked_for(self, desk: Desk) -> None:
        made = self.rules(desk, {"filter": "city == 'Rome' and price > 2"}).prepare()
        log = pl.read_parquet(made.interactions_file)
        users = pl.read_parquet(made.entity_file("users"))
        assert set(users.gather(log[USER_INDEX].to_list())["city"]) == {"Rome"}

    @pytest.mark.parametrize("suffix", ["parquet", "csv"])
    def test_a_target_from_the_future(self, desk: Desk, suffix: str) -> None:
        """Rows set aside are in no split, but in the history of later rows."""
        frame = pl.DataFrame({"u": [n % 3 for n in range(90)], "i": ["a"] * 90, "t": range(0, 900, 10)})
        gone = frame.filter((pl.col("u") != 1) | (pl.col("t") // 30 % 2 == 0))
        desk.sources = {
            "interactions": {"path": desk.write(f"again.{suffix}", gone)},
            "roles": {"user": "u", "item": "i", "time": "t"},
        }
        desk.spec |= {
            "rows": [{"repeats": {"key": ["u"], "within": 30, "unit": "s", "name": "again"}}],
            "target": {"column": "again"},
            "split": {"by": "time", "valid": 0.3, "test": 0.3, "gap": 30, "unit": "s"},
            "features": [
                {"columns": ["u"], "ops": [{"history": {"stats": "count", "unit": "s"}}]},
                {
                    "columns": ["i"],
                    "ops": [{"history": {"stats": "mean", "cont_cols": "again", "delay": 30, "unit": "s"}}],
                },
            ],
        }
        made = desk.prepare()
        rows = pl.read_parquet(made.interactions_file)
        assert rows[TIME].max() == 860
        sides = {side: rows.filter(pl.col(SPLIT) == side)[TIME] for side in range(4)}
        for before, after in ((0, 1), (1, 2)):
            assert sides[before].max() + 30 < sides[after].min()
        assert len(sides[3]) == made.manifest()["aside"] > 0
        test = pl.concat([pl.read_parquet(path) for path in made.files("test")])
        assert test.height == len(sides[2])
        counts = rows.with_columns(pl.int_range(pl.len()).over(USER_INDEX).alias("n")).filter(pl.col(SPLIT) == 2)["n"]
        assert test["u_history_count"].to_list() == [float(n) for n in counts]
        known = [rows.filter(pl.col(TIME) + 30 < now)[TARGET].mean() for now in sides[2]]
        assert test["i_history_again_mean"].to_list() == pytest.approx(known)


def test_an_unknown_rule_is_told_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="there is no rule 'kcore'; did you mean k_core"):
        spec({"kcore": 5})


def test_settings_come_back_as_they_were_written() -> None:
    written = spec({"filter": "x > 0"}, {"dropna": "u"}, {"k_core": 3}, "drop_duplicates").model_dump(mode="json")
    assert EtlSpec.model_validate(written).model_dump(mode="json") == written
    assert written["rows"][2] == {"k_core": {"user": 3, "item": 3, "count": "pairs"}}


def test_editors_know_the_short_forms() -> None:
    choices = EtlSpec.model_json_schema()["properties"]["rows"]["items"]["anyOf"]
    forms = {name: one for choice in choices for name, one in choice.get("properties", {}).items()}
    assert forms["filter"]["anyOf"][0]["anyOf"][0] == {"type": "string"}
    assert forms["k_core"]["anyOf"][0]["anyOf"][0]["type"] == "integer"
    assert forms.keys() == RULES.keys()
