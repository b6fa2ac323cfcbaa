"""Where a stage writes, and how its output comes into place: whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from core import log
from core.files import TEMPORARY, new_directory, recover_directory, remove_temporaries, replace_directory
from pipeline.stages import Stage

_log = log.get("run")
WORK = ".work"
"""Directory below the run directory where stages work that go on after a kill."""


def tidy(run_dir: Path, stages: Sequence[Stage]) -> None:
    """Clear what a killed run left; its checkpoints stay."""
    for stage in stages:
        if not stage.is_file:
            recover_directory(run_dir / stage.output)
    remove_temporaries(run_dir)


@contextlib.contextmanager
def placed(stage: Stage, run_dir: Path, key: str) -> Iterator[Path]:
    """Give a place to write to; when the block ends well it becomes the stage's output."""
    target = run_dir / stage.output
    if stage.is_file:
        with _new_file(target) as file:
            yield file
    elif stage.resumes:
        work = _work_directory(stage, run_dir, key)
        yield work
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_directory(work, target)
    else:
        with new_directory(target) as folder:
            yield folder


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    folder = target.parent / f"{TEMPORARY}{target.stem}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder / target.name
        # What was written beside the file comes first: it is the file that tells of it.
        for file in sorted(folder.iterdir(), key=lambda file: file.name == target.name):
            file.replace(target.parent / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work_directory(stage: Stage, run_dir: Path, key: str) -> Path:
    """Where a stage that can resume works: one directory a key; those of other keys are removed."""
    work = run_dir / WORK / f"{stage.name}-{key[:16]}"
    for old in (run_dir / WORK).glob(f"{stage.name}-*"):
        if old != work:
            shutil.rmtree(old, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        _log.info("%s: going on from where it was interrupted", stage.name)
    return work


def remove(stage: Stage, run_dir: Path) -> None:
    """Remove the output of a stage that the config leaves out, so that no later stage reads it."""
    target = run_dir / stage.output
    if target.is_dir():
        shutil.rmtree(target)
    for work in (run_dir / WORK).glob(f"{stage.name}-*"):
        shutil.rmtree(work, ignore_errors=True)
