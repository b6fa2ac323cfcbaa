"""Head lines and stages of the report: what was run on what, how long it took, and how much it needed."""

from __future__ import annotations

from collections.abc import Mapping

from core.dataset import SPLITS
from pipeline.manifest import Record
from pipeline.report.axes import short
from pipeline.report.files import Run, read_object
from pipeline.report.view import Fact, StageRow
from pipeline.report.words import model_name, plural, seconds, size

PHASES = ("read", "fit", "transform", "describe")


def timeline(run: Run) -> tuple[StageRow, ...]:
    """One bar a stage; stages run one after another, so each starts where the one before ended."""
    whole = sum(record.seconds for record in run.records.values()) or 1.0
    rows, start = [], 0.0
    for name, record in run.records.items():
        width = 100 * record.seconds / whole
        rate = f"{short(record.rows_per_second)} rows/s" if record.rows_per_second else ""
        rows.append(StageRow(name, seconds(record.seconds), rate, _note(record), start, width))
        start += width
    return tuple(rows)


def total(run: Run) -> str:
    """The whole time in a sentence."""
    whole = seconds(sum(record.seconds for record in run.records.values()))
    return f"{whole} in all. A stage that was skipped because nothing had changed keeps the time of when it ran."


def lead(run: Run) -> str:
    """What was run on what, in a line."""
    data = run.setting("data", "interactions")
    name = data.get("dataset") or data.get("path") if isinstance(data, Mapping) else data
    if isinstance(name, list | tuple):
        name = ", ".join(str(each).rsplit("/", 1)[-1] for each in name)
    split = run.setting("etl", "split", "by") or run.setting("etl", "split")
    parts = [str(name or "data"), f"split by {split}" if isinstance(split, str) else ""]
    parts += [f"{model_name(run.model(side))} {side}" for side in ("retriever", "ranker") if run.histories.get(side)]
    return " · ".join(part for part in parts if part)


def facts(run: Run) -> tuple[Fact, ...]:
    """Rows, time and memory for the head of the page."""
    whole = sum(record.seconds for record in run.records.values())
    peak = max((record.peak_memory_bytes for record in run.records.values()), default=0)
    devices = sorted({record.device for record in run.records.values() if record.device})
    found = [Fact("Run time", seconds(whole), ", ".join(devices))]
    splits = rows_of(run)
    if splits:
        note = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        found.insert(0, Fact("Interactions", f"{sum(splits.values()):,}", note))
    found += gone(run) + learned(run)
    if peak:
        found.append(Fact("Largest memory", size(peak)))
    return tuple(found)


def rows_of(run: Run) -> dict[str, int]:
    """Rows of each split that has any."""
    etl = run.records.get("etl")
    rows = etl.figures.get("rows") if etl else None
    if not isinstance(rows, Mapping):
        return {}
    return {split: int(rows[split]) for split in SPLITS if rows.get(split)}


def gone(run: Run) -> list[Fact]:
    """Rows that are in no split: what each rule dropped, and what the split set aside."""
    etl = run.records.get("etl")
    figures = etl.figures if etl else {}
    found, rules = [], figures.get("dropped")
    if isinstance(rules, list) and rules:
        lost = {number: one["before"] - one["after"] for number, one in enumerate(rules)}
        note = ", ".join(f"{one['rule']} {lost[number]:,}" for number, one in enumerate(rules))
        found.append(Fact("Rows dropped", f"{sum(lost.values()):,} of {rules[0]['before']:,}", note))
    if figures.get("aside"):
        found.append(Fact("Rows set aside", f"{figures['aside']:,}", "before a cut, their answers not known yet"))
    if figures.get("fold_in"):
        found.append(Fact("Rows folded in", f"{figures['fold_in']:,}", "what is known of users who are held out"))
    return found


def learned(run: Run) -> list[Fact]:
    """Where the features go on from an earlier run: all rows that they learned from, and how many ids are new."""
    etl = run.records.get("etl")
    told = etl.figures.get("learned") if etl else None
    if not isinstance(told, Mapping) or not told.get("earlier"):
        return []
    rows = [one["rows"] for one in told["seen"]]
    new = {name: now - before for name, (before, now) in told["ids"].items() if now > before}
    ids = ", ".join(f"{name} {count:,}" for name, count in new.items())
    return [Fact("Learned from", f"{sum(rows):,} rows", f"{rows[-1]:,} of this run; new ids: {ids or 'none'}")]


def versions(run: Run) -> tuple[Fact, ...]:
    """The program's version, and those that the bundle was made with."""
    program = [record.version for record in run.records.values() if record.version]
    found = [Fact("gyrfalcon", program[-1])] if program else []
    held = read_object(run.bundle / "manifest.json").get("versions", {})
    return tuple(found + [Fact(str(name), str(value)) for name, value in held.items() if name != "gyrfalcon"])


def _note(record: Record) -> str:
    figures = record.figures
    parts = [record.engine and f"engine {record.engine}", record.device]
    if isinstance(figures.get("epochs"), int):
        best = f", best {figures['best_epoch']}" if figures.get("best_epoch") else ""
        parts.append(f"{plural(figures['epochs'], 'epoch')}{best}")
    phases = figures.get("phases")
    if isinstance(phases, Mapping):
        parts += [f"{name} {seconds(phases[name]['seconds'])}" for name in PHASES if name in phases]
    if isinstance(figures.get("bytes"), int):
        parts.append(size(figures["bytes"]))
    if record.peak_memory_bytes:
        parts.append(f"peak {size(record.peak_memory_bytes)}")
    return " · ".join(part for part in parts if part)
