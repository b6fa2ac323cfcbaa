"""Values that change their kind, their zone, their size or their encoding: one message, at both doors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from tests.e2e.run import in_process

from .conftest import Desk, kept, write_config

ROWS = 40
DATA = {"a": list(range(ROWS)), "b": [f"v{n % 4}" for n in range(ROWS)], "click": [n % 2 for n in range(ROWS)]}
HOURS = [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(ROWS)]  # noqa: DTZ001  files without a zone exist

Spoil = Callable[[Desk], None]


def frame(**changes: object) -> pl.DataFrame:
    return pl.DataFrame({**DATA, **changes})


def files(*parts: pl.DataFrame | str) -> Spoil:
    """Give these files as one table; texts become CSV files."""

    def spoil(desk: Desk) -> None:
        names = [f"part{n}.{'csv' if isinstance(part, str) else 'parquet'}" for n, part in enumerate(parts, 1)]
        paths = [desk.write(name, part) for name, part in zip(names, parts, strict=True)]
        desk.sources["interactions"] = {"path": paths}

    return spoil


def timed(*parts: pl.DataFrame | str, dtypes: bool = False) -> Spoil:
    """The same for tables with the time `t`."""

    def spoil(desk: Desk) -> None:
        files(*parts)(desk)
        desk.sources["roles"] = {"time": "t"}
        desk.spec["split"] = {"by": "time", "valid": 0.2, "test": 0.2}
        if dtypes:
            desk.sources["interactions"]["dtypes"] = {"t": "datetime"}

    return spoil


def zoned(zone: str | None, unit: str = "us") -> pl.DataFrame:
    return frame(t=pl.Series(HOURS).cast(pl.Datetime(unit)).dt.replace_time_zone(zone))  # type: ignore[arg-type] # a name of a unit


def csv(value: Callable[[int], object], *, column: str = "a") -> str:
    """A CSV of which one column holds what a function of the row's number says."""
    columns = {**DATA, column: [value(n) for n in range(ROWS)]}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return "\n".join(lines) + "\n"


def typed(kind: str, text: str) -> Spoil:
    def spoil(desk: Desk) -> None:
        files(text)(desk)
        desk.sources["interactions"]["dtypes"] = {"a": kind}

    return spoil


def not_utf8(desk: Desk) -> None:
    raw = pa.array([b"Oslo", b"Z\xfcrich"] * (ROWS // 2), type=pa.binary())
    text = pa.Array.from_buffers(pa.string(), ROWS, raw.buffers())
    desk.write("part1.parquet", frame())
    pq.write_table(pa.table({**DATA, "b": text}), desk.path / "part2.parquet")
    desk.sources["interactions"] = {"path": [str(desk.path / f"part{n}.parquet") for n in (1, 2)]}


BIG = 2**63 + 5
CASES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "wider integers in the second file": (
        files(frame(), frame().cast({"a": pl.Int32})),
        ("the column a is of type Int64 in", "part1.parquet", "Int32 in", "part2.parquet"),
    ),
    "text in the second file": (
        files(frame(), frame().cast({"a": pl.String})),
        ("the column a is of type Int64 in", "String in", "part2.parquet"),
    ),
    "text in the second CSV": (
        files(csv(lambda n: n), csv(lambda n: "none" if n == 7 else n)),
        ("column a: normalize takes numbers, got string",),
    ),
    "a text among given integers": (
        typed("int64", csv(lambda n: "many" if n == 7 else n)),
        ("part1.csv:9: the value 'many' in the column a is no int64", "nulls"),
    ),
    "a text among given booleans": (
        typed("bool", csv(lambda n: "maybe" if n == 39 else "true")),
        ("part1.csv:41: the value 'maybe' in the column a is no bool",),
    ),
    "unsigned integers beyond 2^63": (
        files(frame(a=pl.Series([BIG] * ROWS, dtype=pl.UInt64))),
        ("part1.parquet: the column a holds 9223372036854775813, beyond the largest int64", "as strings"),
    ),
    "an integer beyond 2^63 in a CSV": (
        files(csv(lambda n: BIG if n == 30 else n)),
        ("column a", "2^63", "dtypes: {a: string}"),
    ),
    "an integer beyond 2^63 among given integers": (
        typed("int64", csv(lambda n: BIG if n == 30 else n)),
        ("part1.csv:32: the value '9223372036854775813' in the column a is no int64",),
    ),
    "two zones": (
        timed(zoned("UTC"), zoned("Europe/Berlin")),
        ("a datetime in UTC (us)", "a datetime in Europe/Berlin (us)", "part2.parquet", "best in UTC"),
    ),
    "a zone and none": (
        timed(zoned(None), zoned("UTC")),
        ("a datetime without a zone (us)", "a datetime in UTC (us)", "best in UTC"),
    ),
    "two units": (timed(zoned(None), zoned(None, "ms")), ("without a zone (us)", "without a zone (ms)")),
    "a zone in some lines": (
        timed(csv(lambda n: f"{HOURS[n].isoformat()}{'Z' if n > 20 else ''}", column="t"), dtypes=True),
        ("column t have a zone in some lines (", "part1.csv:23", "none in others (", "part1.csv:2", "best in UTC"),
    ),
    "a time that is none": (
        timed(csv(lambda n: "yesterday" if n == 9 else HOURS[n], column="t"), dtypes=True),
        ("part1.csv:11: the value 'yesterday' in the column t is no datetime",),
    ),
    "Parquet text that is not UTF-8": (
        not_utf8,
        ("part2.parquet: the column b holds bytes that are not UTF-8", "convert"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_python(flat: Desk, case: str) -> None:
    spoil, words = CASES[case]
    spoil(flat)
    with pytest.raises(UserError) as caught:
        flat.prepare()
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((flat.path / "out1").iterdir()) == []


@pytest.mark.parametrize("case", CASES)
def test_command_line(flat: Desk, case: str) -> None:
    """A good data set is made first; what is wrong afterwards leaves its bytes as they are."""
    config = flat.path / "config.yaml"
    write_config(flat, config)
    runs = flat.path / "runs"
    assert in_process("etl", config, "--runs-dir", runs).code == 0
    before = kept(runs)
    spoil, words = CASES[case]
    spoil(flat)
    write_config(flat, config)
    outcome = in_process("etl", config, "--runs-dir", runs)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.errors[0]
    assert kept(runs) == before


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2024-01-01T02:00:00+02:00", datetime(2024, 1, 1)),  # noqa: DTZ001
        ("2024-01-01T00:00:00.5Z", datetime(2024, 1, 1, 0, 0, 0, 500_000)),  # noqa: DTZ001
        ("2023-12-31 18:30:00-0530", datetime(2024, 1, 1)),  # noqa: DTZ001
        ("2024-01-01 00:00", datetime(2024, 1, 1)),  # noqa: DTZ001
    ],
)
def test_offsets_of_a_csv_are_instants(flat: Desk, text: str, first: datetime) -> None:
    from etl.dataset.sources import TableSpec
    from etl.read import open_table

    path = flat.write("t.csv", f"t,x\n{text},1\n,2\n")
    table = open_table(TableSpec(path=path, dtypes={"t": "datetime"}))  # type: ignore[arg-type] # as YAML gives it
    assert table.read(lambda scan: scan.collect())["t"].to_list() == [first, None]


def test_a_column_that_turns_to_text_is_told(flat: Desk, caplog: pytest.LogCaptureFixture) -> None:
    from etl.dataset.sources import TableSpec
    from etl.read import open_table

    paths = [flat.write("1.csv", "a\n1\n2\n"), flat.write("2.csv", "a\n3\nfoo\n")]
    open_table(TableSpec(path=paths))  # type: ignore[arg-type] # as YAML gives it
    assert "the column a is read as text: the value 'foo' in the column a is no int64" in caplog.text
    assert "2.csv:3" in caplog.text
