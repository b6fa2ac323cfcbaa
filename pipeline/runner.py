"""Runs the stages of a config in order: what is unchanged is skipped, what is made appears whole or not at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from core import log
from core.config import dump
from core.errors import UserError
from core.files import hash_json, write_text
from core.suggest import did_you_mean
from core.version import program_version
from pipeline import manifest, outputs
from pipeline.failures import as_user_error
from pipeline.hashes import HashCache, digest
from pipeline.lock import locked
from pipeline.manifest import Record
from pipeline.memory import peak_bytes, reset_peak
from pipeline.plan import Decision, data_hash, decide, output_hash, start_hash
from pipeline.stages import STAGES, Context, Figures, Stage

_log = log.get("run")
HASHES = ".hashes.json"


@dataclass(frozen=True)
class Range:
    """Which stages to look at.

    Attributes:
        start: Stages from here on run even when they are unchanged.
        end: Stages after this one are left alone.
    """

    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class Step:
    """What became of a stage."""

    stage: str
    decision: Decision
    record: Record | None


EVERYTHING = Range()


class StageFailed(Exception):
    """A fault of ours inside a stage; the cause is chained."""


class Interrupted(KeyboardInterrupt):
    """The run was interrupted; says what is kept and how to go on."""


def execute(
    context: Context, chosen: Range = EVERYTHING, *, stages: Sequence[Stage] = STAGES, dry: bool = False
) -> list[Step]:
    """Bring a run directory up to date.

    Args:
        context: The run.
        chosen: Which stages.
        stages: All stages, in order.
        dry: Only tell what would happen.

    Returns:
        What became of each stage, in order.

    Raises:
        UserError: The data or the settings are at fault, the disk is full, or another process works here.
        Interrupted: The run was interrupted; finished stages and the checkpoints of training are kept.
    """
    forced, wanted = _select(chosen, stages)
    if dry:
        return _Run(context, forced).plan(wanted)
    with locked(context.run_dir):
        outputs.tidy(context.run_dir, stages)
        run = _Run(context, forced)
        steps = [step for stage in wanted if (step := run.step(stage)) is not None]
        run.finish()
        return steps


class _Run:
    """The state of one execution: what is known of each stage so far."""

    def __init__(self, context: Context, forced: frozenset[str]) -> None:
        self._context, self._forced = context, forced
        self._records = manifest.read(context.run_dir)
        self._cache = HashCache(context.run_dir / HASHES)
        self._hashes = {"data": data_hash(context, self._cache)}
        if context.start_from is not None:
            self._hashes["start_from"] = digest(self._cache.tree(context.start_from))
        for side, run_dir in context.begun_from.items():
            self._hashes[f"start of {side}"] = start_hash(run_dir, side, self._cache)

    def plan(self, wanted: Sequence[Stage]) -> list[Step]:
        """Decide for each stage without running any."""
        steps: list[Step] = []
        waiting: set[str] = set()
        for stage in wanted:
            if stage.settings(self._context.spec) is None:
                continue
            before = sorted(waiting.intersection(stage.inputs))
            decision = Decision(None, f"depends on what {', '.join(before)} gives") if before else self._decide(stage)
            record = self._records.get(stage.name)
            if decision.runs is not False:
                waiting.add(stage.name)
            elif record is not None:
                self._hashes[stage.name] = output_hash(stage, record)
            steps.append(Step(stage.name, decision, record))
        return steps

    def step(self, stage: Stage) -> Step | None:
        """Run a stage, or find that it is unchanged, or that the config leaves it out."""
        if stage.settings(self._context.spec) is None:
            self._records.pop(stage.name, None)
            outputs.remove(stage, self._context.run_dir)
            return None
        decision = self._decide(stage)
        _log.info("%s: %s (%s)", stage.name, "runs" if decision.runs else "skipped", decision.reason)
        if decision.runs:
            with _translated(stage, self._context):
                self._make(stage, decision)
        record = self._records[stage.name]
        self._hashes[stage.name] = output_hash(stage, record)
        return Step(stage.name, decision, record)

    def finish(self) -> None:
        """Write down what changed although no stage ran: a path in the config, hashes of files."""
        config = self._context.run_dir / "config.yaml"
        text = dump(self._context.spec)
        if not config.exists() or config.read_text(encoding="utf-8") != text:
            write_text(config, text)
        self._cache.save()

    def _decide(self, stage: Stage) -> Decision:
        inputs = {name: self._hashes[name] for name in stage.inputs if name in self._hashes}
        if "manifest" in stage.inputs:
            others = {name: asdict(record) for name, record in self._records.items() if name != stage.name}
            inputs["manifest"] = hash_json(others)
        forced = stage.name in self._forced
        record = self._records.get(stage.name)
        return decide(stage, self._context, record, self._cache, inputs=inputs, forced=forced)

    def _make(self, stage: Stage, decision: Decision) -> None:
        reset = reset_peak()
        start = time.perf_counter()
        with outputs.placed(stage, self._context.run_dir, decision.key) as out:
            figures = stage.run(self._context, out)
        record = _record(stage, self._context, decision, figures, time.perf_counter() - start)
        written = self._cache.tree(self._context.run_dir / stage.output)
        self._records[stage.name] = replace(record, outputs=written, peak_is_of_stage=reset)
        self._save()

    def _save(self) -> None:
        run_dir = self._context.run_dir
        ordered = {stage.name: self._records[stage.name] for stage in STAGES if stage.name in self._records}
        others = {name: record for name, record in self._records.items() if name not in ordered}
        manifest.write(run_dir, {**ordered, **others})
        self.finish()


def _select(chosen: Range, stages: Sequence[Stage]) -> tuple[frozenset[str], list[Stage]]:
    """Names of the stages that must run, and the stages to look at."""
    names = {name for stage in stages for name in (stage.name, stage.group) if name}
    for option, name in (("--from", chosen.start), ("--until", chosen.end)):
        if name is not None and name not in names:
            raise UserError(f"there is no stage {name!r}", where=option, cure=did_you_mean(name, names))
    hits = [index for index, stage in enumerate(stages) if chosen.start in (stage.name, stage.group)]
    first = hits[0] if chosen.start and hits else len(stages)
    ends = [index for index, stage in enumerate(stages) if chosen.end in (stage.name, stage.group)]
    last = ends[-1] if chosen.end and ends else len(stages) - 1
    if chosen.start and first > last:
        raise UserError(f"stage {chosen.start!r} comes after {chosen.end!r}", where="--from", cure="swap the two")
    return frozenset(stage.name for stage in stages[first:]), list(stages[: last + 1])


def _record(stage: Stage, context: Context, decision: Decision, figures: Figures, seconds: float) -> Record:
    rows = figures.get("rows")
    total = sum(rows.values()) if isinstance(rows, Mapping) else rows
    rate = figures.get("rows_per_second") or (total / seconds if total else None)
    return Record(
        key=decision.key,
        parts=decision.parts,
        inputs=decision.inputs,
        outputs={},
        seconds=round(seconds, 3),
        rows=total,
        rows_per_second=round(rate, 1) if rate else None,
        engine=figures.get("engine"),
        device=context.torch_device().type if stage.uses_device else None,
        peak_memory_bytes=peak_bytes(),
        finished=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        version=program_version(),
        figures=figures,
    )


@contextlib.contextmanager
def _translated(stage: Stage, context: Context) -> Iterator[None]:
    """Turn what the machine refuses into the user's words, and name the stage of everything else."""
    try:
        yield
    except UserError:
        raise
    except KeyboardInterrupt:
        kept = "its last checkpoint and the stages before are kept" if stage.resumes else "the stages before are kept"
        raise Interrupted(f"interrupted in stage {stage.name}: {kept}; run the same command to go on") from None
    except Exception as error:
        known = as_user_error(error, context.run_dir / stage.output)
        if known is not None:
            raise known from error
        raise StageFailed(f"stage {stage.name} failed: {type(error).__name__}: {error}") from error
