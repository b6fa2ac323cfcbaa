"""The ETL beside NVTabular and beside a script in Polars, on the same generated rows, in turn, in one run.

    make bench-etl                             all of it, into docs/etl_figures.md
    make bench-etl ARGS="hand --repeats 5"     one part
    make bench-etl ARGS="--folder DIR"         where to put the rows, 3 GB, and the results, 10 GB

NVTabular runs in the environment that `make test-nvtabular` builds, or in GYRFALCON_NVTABULAR_PYTHON; without one its
parts are skipped. Every side runs in a process of its own. Seconds are those of fit, transform and writing Parquet,
medians of the repeats (what takes minutes runs once: NVTabular's larger rows, what has a limit). Imports are left out
on all sides, and so is saving the workflow.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from etl.nvtabular.process import PYTHON
from tests.bench.etl.measure import Run, run
from tests.bench.etl.report import Row, Table, write
from tests.bench.etl.rows import write_distinct, write_rows
from tests.bench.etl.same import differences, largest_difference

ROOT = Path(__file__).resolve().parents[2]
NVT = Path(__file__).parent / "etl" / "nvt.py"
GIB, MIB = 1 << 30, 1 << 20
MILLION = 1_000_000


@dataclass
class Bench:
    """What the parts share.

    Attributes:
        folder: For rows and results.
        repeats: How often each side runs.
        nvtabular: Its Python; None: skip what needs it.
        millions: Numbers of rows, in millions, of the comparisons.
    """

    folder: Path
    repeats: int
    nvtabular: Path | None
    millions: tuple[int, ...]

    def rows(self, millions: int, scale: float = 1.0) -> Path:
        """A file of rows, made when it isn't there."""
        path = self.folder / f"rows-{millions}-{scale:g}.parquet"
        if not path.exists():
            write_rows(path, millions * MILLION, scale=scale)
        return path

    def distinct(self, millions: int) -> Path:
        """A file of one column of distinct ids."""
        path = self.folder / f"distinct-{millions}.parquet"
        if not path.exists():
            write_distinct(path, millions * MILLION)
        return path

    def side(self, name: str, source: Path, *, limit: int | None = None) -> Run:
        """Run one side; its result stays in `folder/name` until the next one."""
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        if name == "nvtabular":
            return run([str(self.nvtabular), str(NVT), "etl", str(source), str(out)])
        module = "tests.bench.etl.sides"
        return run([sys.executable, "-m", module, name, str(source), str(out)], limit=limit)

    def said(self, command: list[str], source: Path, side: str) -> dict[str, float]:
        """What a command says of the rows and the result of a side."""
        return run([*command, str(source), str(self.folder / side)]).said

    def turns(self, source: dict[str, Path], repeats: int | None = None) -> dict[str, list[Run]]:
        """Run sides in turn: side (or what to call it) -> its runs."""
        done: dict[str, list[Run]] = {name: [] for name in source}
        for _ in range(repeats or self.repeats):
            for name, path in source.items():
                done[name].append(self.side(name.split()[0], path))
        return done


def against_nvtabular(bench: Bench) -> list[Table]:
    """Wall time, processor time, memory; the same ids."""
    if bench.nvtabular is None:
        print(f"skipped: NVTabular's environment isn't there (make test-nvtabular, or set {PYTHON})")
        return []
    tables = []
    for millions in bench.millions:
        source = bench.rows(millions)
        done = bench.turns({"nvtabular": source, "ours": source}, bench.repeats if millions == 1 else 1)
        rows = [Row.of(name, runs) for name, runs in done.items()]
        table = Table(f"{millions} million rows", rows, base="nvtabular")
        ours, theirs = done["ours"][-1].said["cardinalities"], done["nvtabular"][-1].said["cardinalities"]
        told = differences(bench.folder / "ours" / "train", bench.folder / "nvtabular" / "rows")
        gap = largest_difference(bench.folder / "ours" / "train", bench.folder / "nvtabular" / "rows")
        table.notes.append(f"{sum(ours.values()):,} ids; cardinalities {'equal' if ours == theirs else 'DIFFER'}")
        table.notes.append("; ".join(told) or "each row has the same ids, up to the order of equally frequent values")
        table.notes.append(f"largest difference of a number {gap:.1e}")
        tables.append(table)
    return tables


def against_hand(bench: Bench) -> list[Table]:
    """The same job as a script in Polars."""
    tables = []
    for millions in bench.millions:
        source = bench.rows(millions)
        done = bench.turns({"ours": source, "replace": source, "join": source})
        rows = [Row.of(name, runs) for name, runs in done.items()]
        best = min(("replace", "join"), key=lambda name: median(one.wall for one in done[name]))
        tables.append(Table(f"{millions} million rows, by hand in Polars", rows, base=best))
    return tables


def ten_times(bench: Bench) -> list[Table]:
    """Ten times the rows, and the ids with them."""
    small, large = bench.rows(1), bench.rows(10, 10.0)
    done = bench.turns({"ours 1M": small, "ours 10M": large})
    rows = [Row.of(name, runs) for name, runs in done.items()]
    table = Table("ten times the rows and ids", rows, base="ours 1M", times=True)
    for limit in (3 * GIB, round(1.5 * rows[0].resident) * MIB):
        limited = bench.side("ours", large, limit=limit)
        rows.append(Row.of(f"ours 10M, under {limit // MIB} MiB", [limited]))
        table.notes.append(f"under a limit of {limit // MIB} MiB ({limited.said['limit']}) it ended well")
    table.notes.append(
        "the lower limit is 1.5 times the peak of 1M; pages of files that it brings into memory count too"
    )
    return [table]


def many_ids(bench: Bench) -> list[Table]:
    """One column of 100 million distinct ids."""
    done = bench.side("distinct", bench.distinct(100), limit=8 * GIB)
    table = Table("100 million distinct ids in one column", [Row.of("ours", [done])])
    table.notes.append(
        f"under a limit of 8 GiB ({done.said['limit']}); cardinality {done.said['cardinalities']['C1']:,}"
    )
    return [table]


def online(bench: Bench) -> list[Table]:
    """A frame in memory, as an online caller has it."""
    source, table = bench.rows(1), Table("a frame in memory, p50 of a call in ms", [])
    bench.side("ours", source)
    mine = bench.said([sys.executable, "-m", "tests.bench.etl.online"], source, "ours")
    table.notes += _milliseconds("`Fitted.online().apply(frame)`", mine, "")
    table.notes += _milliseconds("`Fitted.transform(frame).collect()`", mine, "plain ")
    if bench.nvtabular is not None:
        if not (bench.folder / "nvtabular" / "workflow").exists():
            bench.side("nvtabular", source)
        theirs = bench.said([str(bench.nvtabular), str(NVT), "online"], source, "nvtabular")
        table.notes += _milliseconds("NVTabular's `workflow.transform(frame)`", theirs, "")
    return [table]


def _milliseconds(call: str, found: dict[str, float], prefix: str) -> list[str]:
    one, thousand = found[f"{prefix}1"], found[f"{prefix}1000"]
    return [f"{call}: {one:.1f} ms for one row, {thousand:.1f} ms for 1000 rows"]


PARTS: dict[str, Callable[[Bench], list[Table]]] = {
    "nvtabular": against_nvtabular,
    "hand": against_hand,
    "ten": ten_times,
    "many": many_ids,
    "online": online,
}


def main() -> None:
    """Run the parts that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--millions", type=int, nargs="+", default=(1, 5))
    parser.add_argument("--nvtabular", type=Path, default=ROOT / ".venv-nvtabular" / "bin" / "python")
    given = parser.parse_args()
    python = Path(os.environ.get(PYTHON) or given.nvtabular)
    with tempfile.TemporaryDirectory(prefix="gyrfalcon-bench-") as temporary:
        bench = Bench(
            given.folder or Path(temporary), given.repeats, python if python.exists() else None, tuple(given.millions)
        )
        bench.folder.mkdir(parents=True, exist_ok=True)
        for part in given.parts:
            write(part, PARTS[part](bench), ROOT / "docs" / "etl_figures.md")


if __name__ == "__main__":
    main()
