"""Stages that write text instead of models, to test the runner alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.config import load_text
from pipeline.spec import RunSpec
from pipeline.stages import Context, Stage

CONFIG = """
name: fake
data: {interactions: {path: DATA}, roles: {user: u, item: i}}
etl: {target: {column: y}, features: [{columns: [u], ops: [categorify]}]}
train: {retriever: {model: popularity}, ranker: {model: mlp, epochs: 3}}
"""


@dataclass
class Fakes:
    """Fake stages and what they did.

    Attributes:
        ran: Names in order of running.
        before: Something to do inside a stage, by name.
    """

    ran: list[str] = field(default_factory=list)
    before: dict[str, Callable[[Path], None]] = field(default_factory=dict)

    def stages(self) -> tuple[Stage, ...]:
        """Four stages in the shapes that exist: a directory, two that resume, a file."""
        return (
            self._stage(
                "etl", ("data",), "etl", lambda spec: spec.etl.model_dump(mode="json"), volatile=("manifest.json",)
            ),
            self._stage("retriever", ("etl",), "train/retriever", _part("retriever"), group="train", resumes=True),
            self._stage("ranker", ("etl",), "train/ranker", _part("ranker"), group="train", resumes=True),
            self._stage(
                "evaluate", ("etl", "retriever", "ranker"), "metrics.json", lambda spec: spec.seed, is_file=True
            ),
        )

    def _stage(
        self, name: str, inputs: tuple[str, ...], output: str, settings: Callable[[RunSpec], Any], **more: Any
    ) -> Stage:
        def run(context: Context, out: Path) -> Mapping[str, Any]:
            self.ran.append(name)
            if name in self.before:
                self.before[name](out)
            text = f"{settings(context.spec)}"
            if more.get("is_file"):
                out.write_text(text)
            else:
                (out / "result.txt").write_text(text)
            if name == "etl":
                (out / "manifest.json").write_text(f"a time: {time.monotonic_ns()}")
            return {"rows": 100, "engine": "cpu"}

        return Stage(name, inputs, output, settings, run, ("core",), **more)


def _part(name: str) -> Callable[[RunSpec], Any]:
    def settings(spec: RunSpec) -> Any:
        part = getattr(spec.train, name)
        return part and part.model_dump(mode="json")

    return settings


def context(tmp_path: Path, *overrides: str, data: str = "u,i,y\n1,1,0\n") -> Context:
    """A run on a small file."""
    file = tmp_path / "data.csv"
    if not file.exists() or file.read_text() != data:
        file.write_text(data)
    spec = load_text(RunSpec, CONFIG.replace("DATA", str(file)), "fake.yaml", overrides)
    return Context(spec, spec.data.resolve(tmp_path), tmp_path / "runs" / spec.name)
