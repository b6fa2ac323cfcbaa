"""The leak guard: what was planted is named, what is honest is not, and the settings decide what follows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from core.errors import UserError
from etl.care.alone import alone, presence
from etl.care.leaks import LeakSpec
from etl.spec import EtlSpec
from tests.e2e.run import in_process

from .conftest import Desk, kept, write_config

ROWS = 3000
HONEST = {"x": ["normalize"], "shop": ["categorify"]}


def sale(row: int) -> int:
    return int(random.Random(row).random() < 0.3)


def table(**more: Sequence[Any]) -> pl.DataFrame:
    """Rows of which the features tell something of the target, and not all."""
    draw = random.Random(1)
    return pl.DataFrame(
        {
            "t": range(ROWS),
            "sold": [sale(n) for n in range(ROWS)],
            "x": [draw.gauss(sale(n), 1) for n in range(ROWS)],
            "shop": [f"s{draw.randrange(9)}" for _ in range(ROWS)],
            **more,
        }
    )


def plant(desk: Desk, ops: dict[str, list[Any]], **more: Sequence[Any]) -> None:
    desk.sources = {"interactions": {"path": desk.write("sales.parquet", table(**more))}, "roles": {"time": "t"}}
    desk.spec["target"] = {"column": "sold"}
    desk.spec["split"] = {"by": "time", "valid": 0.2, "test": 0.2}
    desk.spec["features"] = [{"columns": [name], "ops": named} for name, named in {**HONEST, **ops}.items()]


def warnings(desk: Desk) -> dict[str, str]:
    """Column -> kind of each warning of a run."""
    return {one["column"]: one["kind"] for one in desk.prepare().manifest()["warnings"]}


def test_honest_features_are_not_named(flat: Desk, caplog: pytest.LogCaptureFixture) -> None:
    plant(flat, {})
    assert warnings(flat) == {}
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


COPIES = {
    "as it is": [sale(n) for n in range(ROWS)],
    "as text": ["yes" if sale(n) else "no" for n in range(ROWS)],
    "falling": [-3.5 * sale(n) - 1 for n in range(ROWS)],
    "with noise": [sale(n) * 10 + random.Random(n + 1).random() for n in range(ROWS)],
    "not monotone": [
        random.Random(n).choice([-1, 1]) * (1 + random.Random(-n).random()) * sale(n) for n in range(ROWS)
    ],
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_the_target(flat: Desk, way: str, caplog: pytest.LogCaptureFixture) -> None:
    plant(flat, {"copy": ["categorify"] if way == "as text" else ["normalize"]}, copy=COPIES[way])
    assert warnings(flat) == {"copy": "alone"}
    assert "the column copy alone tells the target (AUC" in caplog.text


def test_a_column_that_is_filled_in_after_the_event(flat: Desk) -> None:
    invoice = [1000 + n % 50 if sale(n) else None for n in range(ROWS)]
    plant(flat, {"invoice": [{"fill_missing": {"fill_val": 0}}, "normalize"]}, invoice=invoice)
    assert warnings(flat) == {"invoice": "presence"}


def test_a_feature_that_two_columns_make_together(flat: Desk) -> None:
    """Neither of them tells anything alone."""
    left = [random.Random(n + 7).random() for n in range(ROWS)]
    right = [value + sale(n) / 4 for n, value in enumerate(left)]
    plant(flat, {}, left=left, right=right)
    both = {
        "columns": ["left", "right"],
        "ops": [{"expression": {"name": "gain", "formula": "right - left"}}, "normalize"],
    }
    flat.spec["features"].append(both)
    found = warnings(flat)
    assert found == {"gain": "alone"}


def test_a_column_that_names_the_row(flat: Desk) -> None:
    plant(flat, {"invoice": ["categorify"]}, invoice=[f"r{n}" for n in range(ROWS)])
    assert warnings(flat)["invoice"] == "row"


def test_a_time_as_a_feature_tells_the_split(flat: Desk) -> None:
    plant(flat, {"day": ["normalize"]}, day=[n // 100 for n in range(ROWS)])
    flat.spec["leaks"] = {"ignore": []}
    kinds = [(one["column"], one["kind"]) for one in flat.prepare().manifest()["warnings"]]
    assert ("day", "split") in kinds


@pytest.mark.parametrize("way", [1.5, -1.5])
def test_a_feature_of_the_targets_of_its_own_rows(flat: Desk, way: float) -> None:
    """A number that moves with the answer, or against it, on training rows and hardly elsewhere."""
    draw = random.Random(9)
    known = [n < ROWS * 0.6 or draw.random() < 0.2 for n in range(ROWS)]
    rate = [draw.gauss(way * (sale(n) if told else draw.random() < 0.3), 1) for n, told in enumerate(known)]
    plant(flat, {"rate": ["normalize"]}, rate=rate)
    assert warnings(flat)["rate"] == "gap"


@pytest.mark.parametrize("nulls", [False, True])
def test_copies_of_training_rows(flat: Desk, *, nulls: bool) -> None:
    """The last 600 rows are the first 600 once more."""
    plant(flat, {})
    sales = table(note=[None if nulls and n % 2000 else n for n in range(ROWS)])
    flat.spec["features"].append({"columns": ["note"], "ops": ["fill_missing"]})
    frame = pl.concat([sales.head(2400), sales.head(600)])
    flat.sources = {"interactions": {"path": flat.write("twice.parquet", frame)}}
    flat.spec["split"] = {"by": "random", "valid": 0, "test": 0.2}
    (found,) = [one for one in flat.prepare().manifest()["warnings"] if one["kind"] == "duplicates"]
    # 1200 of the 3000 rows have a twin, which trains in 0.8 of all cases: 32 % of the test rows.
    assert 24 < float(found["told"].split("%")[0]) < 40
    flat.spec["leaks"] = {"duplicates": 0.5}
    assert warnings(flat) == {}


def test_refused_by_name_and_nothing_is_written(flat: Desk) -> None:
    plant(flat, {"copy": ["normalize"]}, copy=COPIES["falling"])
    flat.spec["leaks"] = "refuse"
    with pytest.raises(UserError, match="the column copy alone tells the target") as caught:
        flat.prepare()
    assert "`etl.leaks.ignore`" in str(caught.value)
    assert not (flat.path / "out1" / "manifest.json").exists()


def test_what_the_settings_tell_is_refused_before_a_row_is_read(flat: Desk) -> None:
    flat.spec |= {"leaks": "refuse", "split": {"by": "random"}}
    flat.sources = {"interactions": {"path": "nowhere.parquet"}, "roles": {"time": "t"}}
    with pytest.raises(UserError, match="the split is random though"):
        flat.prepare()


def test_refused_on_the_command_line_and_the_data_set_before_stays(flat: Desk) -> None:
    plant(flat, {})
    write_config(flat, flat.path / "config.yaml")
    assert in_process("etl", flat.path / "config.yaml", "--runs-dir", flat.path / "runs").code == 0
    before = kept(flat.path / "runs")
    plant(flat, {"copy": ["normalize"]}, copy=COPIES["falling"])
    flat.spec["leaks"] = {"action": "refuse"}
    write_config(flat, flat.path / "config.yaml")
    outcome = in_process("etl", flat.path / "config.yaml", "--runs-dir", flat.path / "runs")
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert "etl.leaks: the column copy alone tells the target" in outcome.errors[0]
    assert kept(flat.path / "runs") == before


@pytest.mark.parametrize("leaks", ["off", {"ignore": ["copy"]}, {"action": "refuse", "ignore": ["copy"]}])
def test_what_is_to_be_ignored_is(flat: Desk, leaks: Any) -> None:
    plant(flat, {"copy": ["normalize"]}, copy=COPIES["falling"])
    flat.spec["leaks"] = leaks
    assert warnings(flat) == {}


def test_features_of_what_is_to_be_ignored_are_ignored_too(flat: Desk) -> None:
    plant(flat, {"day": [{"rename": {"postfix": "_n"}}, "normalize"]}, day=[n // 100 for n in range(ROWS)])
    for ignored, kinds in (((), {"split"}), (("day",), set())):
        flat.spec["leaks"] = {"ignore": list(ignored)}
        found = flat.prepare().manifest()["warnings"]
        assert {one["kind"] for one in found} - {"drift"} == kinds


def test_settings() -> None:
    # YAML reads a bare `off` as false.
    flat = {"target": {"column": "a"}, "features": [{"columns": ["b"], "ops": ["log"]}]}
    for value in (False, "off", {"action": False}):
        assert EtlSpec.model_validate({**flat, "leaks": value}).leaks.action == "off"
    assert LeakSpec(alone=0.9).duplicates == 0.01
    with pytest.raises(ValidationError):
        LeakSpec(alone=0.2)


def test_alone_says_nothing_of_few_rows_and_of_lists() -> None:
    answer = pl.Series([0.0] * 500 + [1.0] * 15)
    assert alone(pl.Series(range(515)), answer) is None
    assert alone(pl.Series([[1]] * 515), answer) is None


def test_ids_tell_nothing() -> None:
    draw = random.Random(3)
    answer = pl.Series([float(draw.random() < 0.5) for _ in range(4000)])
    told = alone(pl.Series([f"r{n}" for n in range(4000)]), answer)
    assert told is not None
    assert told < 0.55


def test_auc_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = random.Random(5)
    answer = [float(draw.random() < 0.3) for _ in range(2000)]
    values = [round(draw.gauss(one, 2), 1) for one in answer]
    expected = metrics.roc_auc_score(answer, values)
    told = alone(pl.Series(values), pl.Series(answer))
    assert told == pytest.approx(expected, abs=1e-6)
    assert presence(pl.Series(values), pl.Series(answer)) is None


def shop_sales(desk: Desk, op: Any, split: dict[str, Any] | None = None) -> None:
    """Sales of shops that sell at rates of their own."""
    draw = random.Random(4)
    shops = [draw.randrange(60) for _ in range(ROWS)]
    frame = pl.DataFrame(
        {
            "t": range(ROWS),
            "shop": [f"s{shop}" for shop in shops],
            "sold": [int(draw.random() < 0.1 + shop / 75) for shop in shops],
        }
    )
    desk.sources = {"interactions": {"path": desk.write("shops.parquet", frame)}, "roles": {"time": "t"}}
    desk.spec["target"] = {"column": "sold"}
    desk.spec["split"] = split or {"by": "time", "valid": 0.2, "test": 0.2}
    desk.spec["features"] = [{"columns": ["shop"], "ops": [op]}]


RANDOM = {"by": "random", "valid": 0.2, "test": 0.2}


def test_target_encoding_out_of_fold_is_no_leak(flat: Desk) -> None:
    shop_sales(flat, {"target_encoding": {"target": "sold"}})
    assert warnings(flat) == {}


def test_group_means_of_the_target_are_named(flat: Desk) -> None:
    shop_sales(flat, {"join_groupby": {"cont_cols": ["sold"], "stats": ["mean"]}})
    flat.spec["features"][0]["ops"].append("fill_median")
    assert warnings(flat)["shop"] == "target"


@pytest.mark.parametrize(
    ("split", "kinds"),
    [(None, []), ({"by": "user_time", "valid": 0.2, "test": 0.2}, []), (RANDOM, ["history", "split"])],
)
def test_a_history_of_targets_wants_a_split_by_time(flat: Desk, split: dict[str, Any] | None, kinds: list[str]) -> None:
    shop_sales(flat, {"history": {"stats": ["rate", "count"], "unit": "s"}}, split)
    flat.sources["roles"]["user"] = "shop"
    found = [one["kind"] for one in flat.prepare().manifest()["warnings"] if one["kind"] in {"history", "split"}]
    assert sorted(found) == kinds


def test_the_target_of_the_row_before_is_no_leak(flat: Desk) -> None:
    shop_sales(flat, "categorify")
    lagged = {"columns": ["sold"], "ops": [{"lag": {"partition_cols": "shop", "unit": "s"}}, {"fill_missing": {}}]}
    flat.spec["features"].append({**lagged, "ops": [*lagged["ops"], "normalize"]})
    assert warnings(flat) == {}
    flat.spec["features"][1]["ops"] = ["normalize"]
    with pytest.raises(UserError, match="the column sold is the target and a feature"):
        flat.prepare()


def test_rows_chosen_by_their_target(flat: Desk) -> None:
    shop_sales(flat, "categorify")
    flat.spec["features"][0]["ops"].insert(0, {"filter": {"f": "sold >= 0"}})
    assert "rows" in warnings(flat).values()


def test_a_leak_of_a_rare_answer(flat: Desk) -> None:
    """Of 60,000 rows 90 are positive: a plain sample of 10,000 training rows would hold about 11 of them."""
    rows = 60_000
    rare = [int(n % 667 == 5) for n in range(rows)]
    draw = random.Random(2)
    frame = pl.DataFrame(
        {"t": range(rows), "sold": rare, "copy": [-one for one in rare], "x": [draw.random() for _ in range(rows)]}
    )
    plant(flat, {})
    flat.sources["interactions"] = {"path": flat.write("rare.parquet", frame)}
    flat.spec["features"] = [{"columns": ["copy", "x"], "ops": ["normalize"]}]
    assert warnings(flat) == {"copy": "alone"}


AGAIN = {"repeats": {"key": ["shop"], "within": 30, "name": "again", "unit": "s"}}


def outcomes(desk: Desk, op: dict[str, Any] | str, columns: Sequence[str] = ("shop",), target: str = "sold") -> None:
    shop_sales(desk, op)
    gap = {"gap": 30, "unit": "s"} if target == "again" else {}
    desk.spec |= {"rows": [AGAIN], "target": {"column": target}, "split": {**desk.spec["split"], **gap}}
    desk.spec["features"] = [{"columns": ["shop"], "ops": ["categorify"]}, {"columns": list(columns), "ops": [op]}]


def test_an_outcome_is_no_feature(flat: Desk) -> None:
    outcomes(flat, "normalize", ["again"])
    with pytest.raises(UserError, match="feature again: the column again is an outcome that is known 30 later"):
        flat.prepare()


@pytest.mark.parametrize("target", ["sold", "again"])
def test_a_history_of_outcomes_wants_a_delay(flat: Desk, target: str) -> None:
    history = {"stats": ["rate"], "target": "again", "unit": "s"}
    outcomes(flat, {"history": history}, target=target)
    with pytest.raises(UserError, match="history sees again of earlier rows before it is known") as caught:
        flat.prepare()
    assert "delay: 30" in str(caught.value)
    outcomes(flat, {"history": {**history, "delay": 30}}, target=target)
    flat.prepare()
