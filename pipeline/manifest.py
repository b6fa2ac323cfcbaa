"""What a run directory says of itself: `manifest.json`.

    {"version": 1,
     "order": ["etl", "retriever", "ranker", "evaluate", "export", "report"],
     "stages": {"etl": {"key": ..., "inputs": {"data": HASH}, "outputs": {"train/part-0.parquet": HASH, ...},
                        "seconds": 3.2, "rows": 100000, "rows_per_second": 31250.0, "engine": "cpu",
                        "device": "cpu", "peak_memory_bytes": 1234567, "peak_is_of_stage": true,
                        "finished": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "figures": {...}},
                "retriever": ..., "ranker": ..., "evaluate": ..., "export": ..., "report": ...}}

`inputs` are hashes of what a stage read, `outputs` those of each file that
it wrote. `figures` is what the stage itself told. No stage's key holds the device: the same config trained on
another device is taken as done, unless `--device` asks for a device other than the one written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import read_json, write_json

VERSION = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class Record:
    """What is known of a finished stage.

    Attributes:
        key: Hash of everything that decides its output.
        parts: What the key is made of, each as a hash, so that a change can be named.
        inputs: Hash of each input.
        outputs: Hash of each file that it wrote, by path below its output.
        seconds: Wall-clock time.
        rows: Rows that it read, where that means something.
        rows_per_second: `rows` / `seconds` of the part that reads them.
        engine: ETL engine.
        device: Device of the tensors.
        peak_memory_bytes: Largest resident memory.
        peak_is_of_stage: Whether that peak is the stage's own, or that of the process so far.
        finished: Time in UTC, ISO 8601.
        version: Version of the program.
        figures: What the stage told.
    """

    key: str
    parts: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    seconds: float
    rows: int | None = None
    rows_per_second: float | None = None
    engine: str | None = None
    device: str | None = None
    peak_memory_bytes: int = 0
    peak_is_of_stage: bool = True
    finished: str = ""
    version: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def read(run_dir: Path) -> dict[str, Record]:
    """The records of a run; none where it has no manifest, or one that can't be read."""
    try:
        value = read_json(run_dir / NAME)
        if value["version"] != VERSION:
            return {}
        return {name: Record(**value["stages"][name]) for name in value["order"]}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}


def write(run_dir: Path, records: Mapping[str, Record]) -> None:
    """Write the records; `order` tells the order of the stages, since the keys of JSON are sorted."""
    stages = {name: asdict(record) for name, record in records.items()}
    write_json(run_dir / NAME, {"version": VERSION, "order": list(stages), "stages": stages})
