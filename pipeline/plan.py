"""Whether a stage must run, and why."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.files import hash_bytes, hash_json
from pipeline.hashes import HashCache, digest
from pipeline.manifest import Record
from pipeline.stages import Context, Stage


@dataclass(frozen=True)
class Decision:
    """What happens to a stage.

    Attributes:
        runs: Whether it runs; None where only the run itself can tell (a stage before it runs).
        reason: Why, in a few words.
        key: Hash of everything that decides its output.
        parts: What the key is made of.
        inputs: Hash of each input.
    """

    runs: bool | None
    reason: str
    key: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


def decide(
    stage: Stage, context: Context, record: Record | None, cache: HashCache, *, inputs: Mapping[str, str], forced: bool
) -> Decision:
    """Compare a stage with what the manifest knows of its last run.

    Args:
        stage: The stage.
        context: The run.
        record: What the manifest holds of it.
        cache: Hashes of files.
        inputs: Hash of each input as it is now.
        forced: It was asked for with `--from`.
    """
    parts = {
        "config": hash_json(stage.settings(context.spec)),
        "code": code_hash(stage.packages),
        "libraries": hash_json({} if stage.elsewhere(context.spec) else _versions(stage.libraries)),
        **{f"input {name}": value for name, value in inputs.items()},
    }
    key = hash_json(parts)

    def decision(*, runs: bool, reason: str) -> Decision:
        return Decision(runs, reason, key, parts, inputs)

    if forced:
        return decision(runs=True, reason="asked for with --from")
    if record is None:
        return decision(runs=True, reason="not done yet")
    if record.key != key:
        changed = sorted(name for name in {*parts, *record.parts} if parts.get(name) != record.parts.get(name))
        return decision(runs=True, reason=f"changed: {', '.join(changed)}")
    if stage.uses_device and context.device != "auto" and record.device != context.torch_device().type:
        return decision(runs=True, reason=f"was done on {record.device}, --device asks for {context.device}")
    if cache.tree(context.run_dir / stage.output) != record.outputs:
        return decision(runs=True, reason="its output is missing or was changed")
    return decision(runs=False, reason="unchanged")


def output_hash(stage: Stage, record: Record) -> str:
    """One hash of what a stage wrote, without the files that hold times."""
    return digest({name: value for name, value in record.outputs.items() if name not in stage.volatile})


def data_hash(context: Context, cache: HashCache) -> str:
    """One hash of the raw files and of how they are read; where they lie does not count.

    Raises:
        UserError: A file is missing.
    """
    from etl.ops.given import named_tables
    from etl.read.paths import find

    features = context.spec.etl.features
    tables: dict[str, object] = {"roles": context.sources.roles.model_dump(), "title": context.sources.title}
    named = {name: getattr(context.sources, name) for name in ("interactions", "users", "items")}
    named |= {f"table {number} of the features": one for number, one in enumerate(named_tables(features))}
    for name, table in named.items():
        if table is not None:
            files = [(path.name, cache.of(path)) for path in find(table)]
            tables[name] = {"settings": table.model_dump(exclude={"path"}), "files": files}
    return hash_json(tables)


def start_hash(run_dir: Path, side: str, cache: HashCache) -> str:
    """One hash of what a training takes over from an earlier run: its model, its ids, its users and items."""
    places = (f"train/{side}", "etl/workflow", "etl/entities")
    return hash_json({place: cache.tree(run_dir / place) for place in places if (run_dir / place).exists()})


SOURCES = frozenset({".py", ".j2"})
"""Files of a package that decide what it does: code, and templates of the report."""


@functools.cache
def code_hash(packages: tuple[str, ...]) -> str:
    """One hash of the source of some of our packages: changed code makes a stage run again."""
    hashes = {}
    for package in packages:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder).rglob("*")):
                if file.suffix in SOURCES:
                    hashes[f"{package}/{file.relative_to(folder).as_posix()}"] = hash_bytes(file.read_bytes())
    return digest(hashes)


def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in libraries:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found
